"""A sweep as its study has it, read without being its driver."""

import json
from collections.abc import Sequence

import optuna
from optuna.study import Study

from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from ganray.tuning.places import Located
from ganray.tuning.storage import open_storage
from ganray.tuning.unknown import unknown_sweep


def open_study(place: Located) -> Study:
    """The study of a recorded sweep; nothing in it is changed.

    Raises:
        UnknownSweepError: no such sweep is recorded there.
        ResourceError: the storage cannot be opened.
    """
    try:
        storage = open_storage(place, create=False)
        study = optuna.load_study(study_name=place.name, storage=storage)
    except (KeyError, FileNotFoundError):
        study = None
    if study is None or "spec" not in study.user_attrs:
        raise unknown_sweep(place)
    return study


def recorded_spec(place: Located, settings: Sequence[str] = ()) -> SweepSpec:
    """The specification of a recorded sweep, with some settings changed.

    Args:
        place: where it is recorded.
        settings: `key=value`, as on the command line.

    Raises:
        UnknownSweepError, ResourceError: as in `open_study`.
        SpecError: the settings do not go with the sweep.
    """
    raw = json.loads(open_study(place).user_attrs["spec"])
    return parse_sweep(raw, settings)

"""What to say of a sweep that its study's storage does not know."""

from pathlib import Path

from optuna.storages import BaseStorage

from ganray.errors import ResourceError, UnknownSweepError
from ganray.secrets import redact
from ganray.similar import did_you_mean
from ganray.tuning.places import Located, Place, study_location
from ganray.tuning.storage import open_storage

_ANY = "*"  # in place of a name: where the studies of other sweeps are


def unknown_sweep(place: Located) -> UnknownSweepError:
    """The error, with the names that come near among the sweeps that are recorded there."""
    told = f"no sweep named '{place.name}' is recorded in {redact(study_location(place))}"
    near = did_you_mean(place.name, _names(place)) or ";"
    return UnknownSweepError(f"{told}{near} say with --storage where it is")


def _names(place: Located) -> set[str]:
    pattern = study_location(Place(_ANY, place.storage))
    if _ANY in pattern:  # each has a file of its own
        return _journals(pattern)
    try:
        storage: BaseStorage = open_storage(place, create=False)
        found = {study.study_name for study in storage.get_all_studies()}
    except (ResourceError, FileNotFoundError):
        return set()
    return {name for name in found if "." not in name}  # the others confirm


def _journals(pattern: str) -> set[str]:
    """The names in whose place a pattern of paths has its asterisk."""
    before, _, after = pattern.partition(_ANY)
    folder, _, start = before.rpartition("/")
    paths = Path(folder or "/").glob(f"{start}{_ANY}{after}")
    return {str(path)[len(before) : len(str(path)) - len(after)] for path in paths}

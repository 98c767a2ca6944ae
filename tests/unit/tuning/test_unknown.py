"""What is said of a sweep that its study's storage does not know."""

from pathlib import Path

import pytest

from ganray.errors import UnknownSweepError
from ganray.spec.models import Storage
from ganray.tuning.confirm import ConfirmStudy
from ganray.tuning.places import Place
from ganray.tuning.study import SweepStudy
from tests.conftest import signals_at, small_spec

PLACES = {
    "a folder of results": {"results": "results"},
    "a folder of journals": {"study": "studies"},
    "one journal": {"study": "all.journal"},
    "a database": {"study": "sqlite:///all.db"},
}


@pytest.mark.parametrize("storage", PLACES.values(), ids=PLACES)
def test_nearest_sweep_of_the_storage_is_told(storage: dict[str, str], here: Path) -> None:
    for name in ("ring-8", "stacked"):
        SweepStudy.create(small_spec(here, name=name, storage=storage))
    with pytest.raises(
        UnknownSweepError, match=r"'rnig-8' is .*; did you mean 'ring-8'\? say with"
    ):
        SweepStudy.load(Place("rnig-8", Storage.model_validate(storage)))


def test_study_that_confirms_is_no_sweep(here: Path) -> None:
    storage = {"study": "sqlite:///all.db"}
    spec = small_spec(here, name="ring-8", storage=storage, confirm={"top": 1, "seeds": 1})
    study = SweepStudy.create(spec)
    study.ask()
    study.report(0, signals_at(100, distance=0.1))
    ConfirmStudy.create(spec)
    with pytest.raises(UnknownSweepError, match=r"; did you mean 'ring-8'\? say with"):
        SweepStudy.load(Place("ring-8.con", Storage.model_validate(storage)))


def test_storage_without_any_is_told_as_it_is(here: Path) -> None:
    with pytest.raises(UnknownSweepError, match=r"^no sweep named 'x' is .*journal; say with"):
        SweepStudy.load(Place("x", Storage(results="none")))
    assert not (here / "none").exists()

"""`ganray sync`: what it brings, what it prints, and why it does not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ganray.spec.models import SweepSpec
from ganray.tracking import mlflow_recorder
from ganray.tracking.reader import fetch_sweep
from ganray.tuning.lease import Lease
from tests.conftest import Answer, small_spec
from tests.driving import DIES, drive

Program = Callable[..., Answer]


@pytest.fixture
def spec(here: Path, monkeypatch: pytest.MonkeyPatch) -> SweepSpec:
    monkeypatch.setattr(mlflow_recorder, "FLUSH_SECONDS", 0.02)
    monkeypatch.setattr(mlflow_recorder, "PATIENCE_SECONDS", 0.2)
    return small_spec(here, budget={"updates": 40, "reports": 2})


def test_sweep_is_brought_from_its_folder_and_told_in_one_line(
    spec: SweepSpec, store: str, here: Path, ganray: Program
) -> None:
    drive(spec, [], lambda number, update: DIES if (number, update) == (2, 20) else None)
    where = ("--storage", here / "results", "--tracking-uri", store)
    line = f"trials brought to {store}, with %d reports and %d pictures; the others stood there"
    answer = ganray("sync", "small", *where)
    assert answer == (0, f"small: 3 of 3 {line % (5, 5)} already\n", "")
    assert [t.outcome for t in fetch_sweep("small", store).trials][2] == "cancelled"
    again = ganray("sync", "small", *where)  # the cancelled trial may go on: it is never done
    assert again == (0, f"small: 1 of 3 {line % (1, 1)} already\n", "")


def test_store_of_the_sweep_is_the_default(here: Path, spec: SweepSpec, ganray: Program) -> None:
    place = f"sqlite:///{here}/other.db"
    tracked = spec.model_copy(update={"tracking": spec.tracking.model_copy(update={"uri": place})})
    drive(tracked, [])
    assert (
        f"4 of 4 trials brought to {place}"
        in ganray("sync", "small", "--storage", here / "results").out
    )


def test_store_that_lacks_nothing_is_told_so(
    spec: SweepSpec, store: str, here: Path, ganray: Program
) -> None:
    drive(spec, [])
    where = ("--storage", here / "results", "--tracking-uri", store)
    assert "4 of 4 trials brought" in ganray("sync", "small", *where).out
    again = ganray("sync", "small", *where)
    assert again == (0, f"small: all 4 trials stood in {store} already\n", "")


def test_store_that_is_away_is_a_failure(spec: SweepSpec, here: Path, ganray: Program) -> None:
    drive(spec, [])
    where = ("--storage", here / "results", "--tracking-uri", "http://127.0.0.1:9")
    answer = ganray("sync", "small", *where)
    assert (answer.code, answer.out) == (1, "")
    assert "ganray: the tracking store http://127.0.0.1:9 did not take everything" in answer.err


def test_sweep_that_runs_or_is_unknown_is_refused(
    spec: SweepSpec, store: str, here: Path, ganray: Program
) -> None:
    study = drive(spec, [], lambda number, update: DIES)
    lease = Lease.acquire(study.record)
    running = ganray("sync", "small", "--storage", here / "results")
    lease.release()
    unknown = ganray("sync", "other", "--storage", here / "results")
    assert (running.code, unknown.code) == (2, 2)
    assert "ganray: sweep 'small' is run by process" in running.err
    assert "ganray: no sweep named 'other' is recorded in" in unknown.err

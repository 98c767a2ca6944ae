"""The file that a driver keeps of its sweep: numbers, and when it is written."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from ganray.tracking.recorder import TrialRecord
from ganray.tracking.status import StatusRecorder, status_name
from ganray.trial import Ending, Outcome, State, Verdict
from tests.conftest import signals_at, sweep_record

START = 1_700_000_000.0
HEALTHY = Verdict(State.HEALTHY, "all is well")


class Clock:
    """Seconds since 1970, moved by hand."""

    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / status_name("ring")


@pytest.fixture
def recorder(path: Path, clock: Clock) -> StatusRecorder:
    return StatusRecorder(path, clock=clock)


def start(recorder: StatusRecorder, clock: Clock, number: int, **more: Any) -> None:
    searched = {"loss": "hinge"}
    record = {"number": number, "params": searched, "searched": searched}
    recorder.start_trial(TrialRecord(**record, started=int(clock.now * 1_000), **more))


def end(
    recorder: StatusRecorder, number: int, outcome: Outcome, seconds: float = 10.0, **more: Any
) -> None:
    recorder.end_trial(Ending(number=number, outcome=outcome, at=0, wall_seconds=seconds, **more))


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_file_is_named_after_the_sweep() -> None:
    assert status_name("ring") == "ganray-ring.json"


def test_sweep_that_never_began_writes_nothing(recorder: StatusRecorder, path: Path) -> None:
    recorder.end("failed", "no data")
    assert not path.exists()


def test_numbers_of_a_sweep_under_way(recorder: StatusRecorder, path: Path, clock: Clock) -> None:
    recorder.start_sweep(sweep_record(trials=4, updates=100))
    for number in range(3):
        start(recorder, clock, number)
    end(recorder, 0, Outcome.COMPLETED, objective=0.5)
    end(recorder, 1, Outcome.COLLAPSED)
    clock.now += 5
    recorder.report(2, signals_at(30, distance=0.75, modes=2.0), HEALTHY, 0)
    found = read(path)
    assert (found["name"], found["state"], found["attempt"]) == ("ring", "running", 1)
    assert found["trials"] == {
        "total": 4,
        "ended": 2,
        "running": 1,
        "outcomes": {"completed": 1, "collapsed": 1},
    }
    assert found["best"] == {"number": 0, "objective": 0.5, "settings": {"loss": "hinge"}}
    (running,) = found["running"]
    assert (running["number"], running["update"], running["started"]) == (2, 30, START)
    assert (running["verdict"], running["reason"]) == ("healthy", "all is well")
    assert running["signals"] == {"distance": 0.75, "modes": 2.0}
    budget = found["budget"]
    assert budget["trials"] == {"used": 2, "left": 2}
    assert budget["updates"] == {"used": 30, "left": 170}
    assert budget["hours"] == {"used": 5 / 3600, "left": None}
    assert found["updated"] == clock.now


def test_sweep_waits_while_no_trial_of_it_has_a_worker(
    recorder: StatusRecorder, path: Path, clock: Clock
) -> None:
    recorder.start_sweep(sweep_record(trials=2))
    assert read(path)["waiting"] is True
    start(recorder, clock, 0)
    assert read(path)["waiting"] is False
    end(recorder, 0, Outcome.COMPLETED)
    assert read(path)["waiting"] is True
    start(recorder, clock, 1)
    end(recorder, 1, Outcome.COMPLETED)
    assert read(path)["waiting"] is False


def test_reports_are_written_once_a_second_at_most(
    recorder: StatusRecorder, path: Path, clock: Clock
) -> None:
    recorder.start_sweep(sweep_record())
    start(recorder, clock, 0)
    for update, moment, seen in ((10, 0.5, 0), (20, 1.0, 20), (30, 1.9, 20), (40, 2.0, 40)):
        clock.now = START + moment
        recorder.report(0, signals_at(update), HEALTHY, 0)
        assert read(path)["running"][0]["update"] == seen


@pytest.mark.parametrize(
    ("direction", "best"), [("min", (2, 0.1)), ("max", (1, 0.9))], ids=["min", "max"]
)
def test_best_is_of_completed_trials_of_the_search(
    recorder: StatusRecorder, path: Path, clock: Clock, direction: str, best: tuple[int, float]
) -> None:
    recorder.start_sweep(sweep_record(direction=direction))
    for number, objective in enumerate((0.5, 0.9, 0.1)):
        start(recorder, clock, number)
        end(recorder, number, Outcome.COMPLETED, objective=objective)
    start(recorder, clock, 3)
    end(recorder, 3, Outcome.STALLED, objective=0.0 if direction == "min" else 1.0)
    start(recorder, clock, 4, confirms=0)
    end(recorder, 4, Outcome.COMPLETED, objective=0.0 if direction == "min" else 1.0)
    found = read(path)["best"]
    assert (found["number"], found["objective"]) == best


def test_time_left_is_unknown_until_a_trial_has_ended(
    recorder: StatusRecorder, path: Path, clock: Clock
) -> None:
    recorder.start_sweep(sweep_record(trials=5))
    start(recorder, clock, 0)
    start(recorder, clock, 1)
    assert read(path)["eta_seconds"] is None
    clock.now += 10
    end(recorder, 0, Outcome.COMPLETED, 10.0)
    # one trial that should be through, three to come, two at a time, ten seconds each
    assert read(path)["eta_seconds"] == 15.0
    end(recorder, 1, Outcome.CANCELLED)
    assert read(path)["eta_seconds"] == 20.0  # it is to be done again


def test_time_left_is_never_more_than_the_hours(path: Path, clock: Clock) -> None:
    recorder = StatusRecorder(path, hours=0.015, hours_used=0.005, clock=clock)
    recorder.start_sweep(sweep_record(trials=1_000))
    start(recorder, clock, 0)
    end(recorder, 0, Outcome.COMPLETED, 10.0)
    clock.now += 6
    start(recorder, clock, 1)
    found = read(path)
    assert found["eta_seconds"] == pytest.approx(30.0)
    assert found["budget"]["hours"]["left"] == pytest.approx(0.01 - 6 / 3600)


@pytest.mark.parametrize(("cancelled", "state"), [(True, "stopped"), (False, "finished")])
def test_end_of_the_sweep(
    recorder: StatusRecorder, path: Path, cancelled: bool, state: str
) -> None:
    recorder.start_sweep(sweep_record(trials=1))
    recorder.end_sweep({0: Outcome.COMPLETED}, cancelled=cancelled)
    found = read(path)
    assert (found["state"], found["trials"]["ended"]) == (state, 1)
    assert found["eta_seconds"] == (None if cancelled else 0.0)


def test_being_told_again_changes_nothing(
    recorder: StatusRecorder, path: Path, clock: Clock
) -> None:
    def tell() -> None:
        recorder.start_sweep(sweep_record(trials=3))
        start(recorder, clock, 0)
        recorder.report(0, signals_at(100), HEALTHY, 0)
        end(recorder, 0, Outcome.COMPLETED, objective=0.5)

    tell()
    once = read(path)
    tell()
    assert read(path) == once


def test_cancelled_trial_that_goes_on_is_running(
    recorder: StatusRecorder, path: Path, clock: Clock
) -> None:
    recorder.start_sweep(sweep_record())
    start(recorder, clock, 0)
    end(recorder, 0, Outcome.CANCELLED)
    assert read(path)["trials"]["outcomes"] == {"cancelled": 1}
    assert read(path)["trials"]["ended"] == 0
    assert recorder.wants(0, Outcome.CANCELLED)
    start(recorder, clock, 0)
    assert read(path)["trials"]["outcomes"] == {}
    assert read(path)["trials"]["running"] == 1


def test_confirming_trials_count_as_soon_as_they_are_known(
    recorder: StatusRecorder, path: Path
) -> None:
    recorder.start_sweep(sweep_record(trials=10, confirming=6))
    assert read(path)["trials"]["total"] == 16
    recorder.start_confirming(2)
    assert read(path)["trials"]["total"] == 12


def test_what_json_does_not_know_is_null(
    recorder: StatusRecorder, path: Path, clock: Clock
) -> None:
    recorder.start_sweep(sweep_record())
    start(recorder, clock, 0)
    clock.now += 1
    recorder.report(0, signals_at(10, distance=float("inf"), js=float("nan")), HEALTHY, 0)
    assert read(path)["running"][0]["signals"] == {"distance": None, "js": None}


def test_tracking_uri_is_shown_without_a_password(path: Path) -> None:
    recorder = StatusRecorder(path, tracking_uri="http://me:hunter22@host:5000/x")
    recorder.start_sweep(sweep_record())
    recorder.end("failed", "cannot open postgresql://me:hunter22@db/x")
    assert "hunter22" not in path.read_text()
    assert read(path)["tracking_uri"].endswith("@host:5000/x")


def test_disk_that_is_full_does_not_end_the_sweep(tmp_path: Path) -> None:
    recorder = StatusRecorder(tmp_path / "gone" / "ganray-ring.json")
    recorder.start_sweep(sweep_record())
    recorder.end_sweep({}, cancelled=False)
    assert list(tmp_path.iterdir()) == []


def test_disk_that_can_neither_be_written_nor_tidied_does_not_end_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recorder = StatusRecorder(tmp_path / "file" / "ganray-ring.json")
    recorder.start_sweep(sweep_record())
    recorder.end_sweep({}, cancelled=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_reader_never_sees_half_a_file(recorder: StatusRecorder, path: Path, clock: Clock) -> None:
    recorder.start_sweep(sweep_record(trials=10_000))
    done = threading.Event()

    def write() -> None:
        for number in range(300):
            start(recorder, clock, number)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert read(path)["name"] == "ring"
    writer.join()
    assert [p.name for p in path.parent.iterdir()] == [path.name]

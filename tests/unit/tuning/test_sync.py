"""A recorder that is told a study's past knows what one knows that heard it live."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from ganray.errors import SweepRunningError, TrackingError, UnknownSweepError
from ganray.spec.models import SweepSpec
from ganray.tracking import mlflow_recorder
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.reader import fetch_sweep
from ganray.tracking.recorder import MemoryRecorder
from ganray.tracking.schema import REAL_PICTURE
from ganray.trial import GeneratorSignature, Outcome
from ganray.tuning.confirm import studies_of
from ganray.tuning.exporting import export_file
from ganray.tuning.lease import Lease
from ganray.tuning.places import BEST_PICTURE, samples_name, sweep_location, trial_location
from ganray.tuning.study import SweepStudy
from ganray.tuning.sync import INTERRUPTED, Told, sync_sweep, tell_all
from tests.conftest import signals_at, small_spec
from tests.driving import DIES, drive, leave_checkpoint


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    return small_spec(tmp_path, budget={"updates": 40, "reports": 2})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_recorder, "FLUSH_SECONDS", 0.02)
    monkeypatch.setattr(mlflow_recorder, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(mlflow_recorder, "PATIENCE_SECONDS", 0.5)


def told(study: SweepStudy) -> MemoryRecorder:
    memory = MemoryRecorder()
    tell_all(studies_of(study), [memory])
    return memory


def test_recorder_that_is_told_the_past_knows_what_one_knows_that_heard_it(
    tmp_path: Path,
) -> None:
    spec = small_spec(
        tmp_path, budget={"updates": 40, "reports": 2}, confirm={"top": 1, "seeds": 2}
    )
    live = MemoryRecorder()
    drive(spec, [live])
    past = told(SweepStudy.load(spec))
    assert len(past.trials) == 6
    assert past.confirming == 2
    assert past.real is not None
    heard = ("sweep", "real", "trials", "reports", "times", "pictures", "endings", "kept")
    for name in (*heard, "best_checkpoints"):
        assert getattr(past, name) == getattr(live, name), name
    states = {n: [v.state for v in verdicts] for n, verdicts in live.verdicts.items()}
    assert {n: [v.state for v in verdicts] for n, verdicts in past.verdicts.items()} == states


def test_trial_that_still_runs_is_told_without_an_end(spec: SweepSpec) -> None:
    drive(spec, [], lambda number, update: DIES if (number, update) == (1, 20) else None)
    past = told(SweepStudy.load(spec))
    assert list(past.trials) == [0, 1]
    assert [s.update for s in past.reports[1]] == [20]
    assert list(past.endings) == [0]


def test_each_recorder_is_told_only_what_it_wants(spec: SweepSpec) -> None:
    class Knows(MemoryRecorder):
        def wants(self, number: int, outcome: Outcome | None) -> bool:
            assert outcome is Outcome.COMPLETED
            return number == 2

    study, all_, one, nothing = drive(spec, []), MemoryRecorder(), Knows(), Knows()
    assert tell_all([study], [one, all_]) == [Told(n, True, 2, 2) for n in range(4)]
    assert (list(one.trials), list(all_.trials)) == ([2], [0, 1, 2, 3])
    assert tell_all([study], [nothing]) == [
        Told(n, n == 2, *(2 * [2 * (n == 2)])) for n in range(4)
    ]


def test_picture_that_is_not_there_is_left_out(spec: SweepSpec) -> None:
    study = drive(spec, [])
    for name in (samples_name(20), BEST_PICTURE):
        Path(trial_location(spec, 3), name).unlink()
    Path(sweep_location(spec), REAL_PICTURE).unlink()
    past = told(study)
    assert past.real is None
    assert list(past.pictures[3]) == [40]
    assert past.kept[3] == {}
    assert past.best_checkpoints[3].endswith("/0003/best.pt")


def test_trials_are_told_without_evidence_while_its_storage_is_away(
    spec: SweepSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(folder: str) -> tuple[str, ...]:
        raise OSError("no route to host")

    study = drive(spec, [])
    for module in ("sync", "real_picture"):
        monkeypatch.setattr(f"ganray.tuning.{module}.list_files", away)
    past = told(study)
    assert list(past.endings) == [0, 1, 2, 3]
    assert past.real is None
    assert (past.pictures, past.kept) == ({}, {})


# --- sync -----------------------------------------------------------------------------------------


def test_generator_that_is_missing_is_brought_once(
    spec: SweepSpec, quick: None, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = []

    def export(folder: str) -> GeneratorSignature:
        exported.append(folder)
        return export_file(folder)

    monkeypatch.setattr("ganray.tuning.sync.export_file", export)
    drive(spec, [])
    best = trial_location(spec, 3)
    leave_checkpoint(best)
    for _ in range(2):
        sync_sweep(spec, store)
    assert exported == [best]
    client = MlflowClient(store)
    (model,) = client.search_logged_models([client.get_experiment_by_name("ganray").experiment_id])
    assert (model.status, model.tags["ganray.trial"]) == ("READY", "3")


def test_generator_whose_checkpoint_is_gone_keeps_nothing_else_back(
    spec: SweepSpec, quick: None, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    drive(spec, [])
    sync_sweep(spec, store)
    assert "the generator of trial 3 is not exported: FileNotFoundError" in caplog.text
    assert fetch_sweep("small", store).status == "FINISHED"


def test_sweep_that_its_driver_left_is_brought_and_ended(
    spec: SweepSpec, quick: None, store: str
) -> None:
    drive(spec, [], lambda number, update: DIES if (number, update) == (2, 20) else None)
    synced = sync_sweep(spec, store)
    assert [trial.wanted for trial in synced.trials] == [True] * 3
    sweep = fetch_sweep("small", store)
    assert [trial.outcome for trial in sweep.trials] == ["completed", "completed", "cancelled"]
    assert sweep.trials[2].reason == INTERRUPTED
    assert sweep.status == "KILLED"
    again = sync_sweep(spec, store)
    assert [trial.wanted for trial in again.trials] == [False, False, True]  # it may go on


def test_trial_whose_last_report_ended_it_is_completed_not_cancelled(
    spec: SweepSpec, quick: None, store: str
) -> None:
    study = SweepStudy.create(spec)
    number = drive_until_the_last_report(study)
    sync_sweep(spec, store)
    assert SweepStudy.load(spec).outcomes() == {number: Outcome.COMPLETED}


def drive_until_the_last_report(study: SweepStudy) -> int:
    """As if the driver had been killed between the report and the outcome that follows from it."""
    from dataclasses import asdict

    from tests.conftest import sweep_record

    study.describe(asdict(sweep_record(name="small", study_id=study.id)))
    assignment = study.ask()
    assert assignment is not None
    for update in (20, 40):
        study.report(assignment.number, signals_at(update, distance=0.5))
    return assignment.number


def test_sweep_that_was_through_is_finished(tmp_path: Path, quick: None, store: str) -> None:
    spec = small_spec(
        tmp_path, budget={"updates": 40, "reports": 2}, confirm={"top": 1, "seeds": 2}
    )
    drive(spec, [])
    sync_sweep(spec, store)
    sweep = fetch_sweep("small", store)
    assert sweep.status == "FINISHED"
    assert [trial.confirms is not None for trial in sweep.trials] == [False] * 4 + [True] * 2


@pytest.mark.parametrize("at", [(3, 40), (4, 40)], ids=["before it confirmed", "while it did"])
def test_sweep_that_was_left_before_all_was_confirmed_is_killed(
    at: tuple[int, int], tmp_path: Path, quick: None, store: str
) -> None:
    spec = small_spec(
        tmp_path, budget={"updates": 40, "reports": 2}, confirm={"top": 1, "seeds": 2}
    )
    drive(spec, [], lambda *now: DIES if now == at else None)
    sync_sweep(spec, store)
    assert fetch_sweep("small", store).status == "KILLED"


def test_sweep_that_too_many_crashes_ended_is_finished(
    tmp_path: Path, quick: None, store: str
) -> None:
    spec = small_spec(tmp_path, budget={"updates": 40, "reports": 2, "failures": 0})
    study = drive(spec, [], lambda number, update: DIES)
    study.finish(0, Outcome.CRASHED, "a bug")
    sync_sweep(spec, store)
    assert fetch_sweep("small", store).status == "FINISHED"


def test_store_that_is_away_is_told_and_nothing_waits_for_it(spec: SweepSpec, quick: None) -> None:
    drive(spec, [])
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9 did not take everything"):
        sync_sweep(spec, "http://127.0.0.1:9")
    assert SweepStudy.load(spec).outcomes() == dict.fromkeys(range(4), Outcome.COMPLETED)


def test_sweep_that_runs_is_left_alone(spec: SweepSpec, store: str) -> None:
    study = drive(spec, [], lambda number, update: DIES)
    lease = Lease.acquire(study.record)
    with pytest.raises(SweepRunningError, match="'small' is run by process"):
        sync_sweep(spec, store)
    lease.release()
    assert study.outcomes() == {}


def test_sweep_that_nobody_was_told_of_yet_is_unknown(spec: SweepSpec, store: str) -> None:
    SweepStudy.create(spec)
    with pytest.raises(UnknownSweepError, match="'small' was left before it had begun"):
        sync_sweep(spec, store)
    with pytest.raises(UnknownSweepError, match="no sweep named 'other'"):
        sync_sweep(spec.model_copy(update={"name": "other"}), store)


def test_live_record_and_a_brought_one_are_the_same_runs(
    spec: SweepSpec, quick: None, store: str
) -> None:
    recorder = MlflowRecorder(store, "ganray")
    drive(spec, [recorder])
    recorder.close()
    before = fetch_sweep("small", store)
    synced = sync_sweep(spec, store)
    assert not [trial for trial in synced.trials if trial.wanted]
    assert fetch_sweep("small", store) == before

"""What MLflow has of a sweep is taken up, completed and corrected; nothing is doubled."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ganray.client.recorded import recorded_status
from ganray.tracking import schema
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.mlflow_writer import is_passing
from ganray.tracking.recorder import Evidence, SweepRecord
from ganray.trial import Outcome, State, Verdict
from tests.conftest import AUDIT, STARTED, signals_at
from tests.unit.tracking.playing import (
    EVIDENCE,
    HEALTHY,
    SWEEP,
    assert_whole,
    connect,
    ending,
    in_mlflow,
    play,
    png,
    runs,
    trial,
)

pytestmark = pytest.mark.usefixtures("quick")


def rows(uri: str) -> dict[tuple[int | None, str], list[tuple[int, int, float]]]:
    """The whole history of every metric: step, time and value, by trial and name."""
    client, (parent, children) = MlflowClient(uri), runs(uri)
    found = {}
    for number, run in {None: parent, **children}.items():
        for key in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, key)
            found[number, key] = sorted((m.step, m.timestamp, m.value) for m in history)
    return found


def files(uri: str) -> dict[int, list[str]]:
    """The artifacts of every trial."""
    client, (_, children) = MlflowClient(uri), runs(uri)
    return {
        number: sorted(
            file.path
            for folder in (None, "images")
            for file in client.list_artifacts(run.info.run_id, folder)
            if not file.is_dir
        )
        for number, run in children.items()
    }


def told(uri: str, tell: Callable[[MlflowRecorder], None]) -> None:
    """What a recorder of its own makes of it, as another process would."""
    recorder = MlflowRecorder(uri, "ganray")
    tell(recorder)
    recorder.close()
    assert recorder.complete


def counting(monkeypatch: pytest.MonkeyPatch, uri: str) -> tuple[MlflowRecorder, Counter[str]]:
    """A recorder, and the calls that it makes."""
    calls: Counter[str] = Counter()
    recorder = connect(monkeypatch, uri, lambda name: calls.update([name]))
    return recorder, calls


# --- told again -----------------------------------------------------------------------------------


def test_sweep_that_another_process_tells_again_has_the_same_rows_and_files(store: str) -> None:
    told(store, lambda recorder: play(recorder, trials=len(Outcome)))
    before = rows(store), files(store)
    told(store, lambda recorder: play(recorder, trials=len(Outcome)))
    assert (rows(store), files(store)) == before
    assert len(before[0][0, "distance"]) == 3
    assert sum("images/samples" in file for file in before[1][0]) == 2  # with its thumbnail
    assert_whole(store, trials=len(Outcome))


def test_runs_are_found_by_one_search(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told(store, lambda recorder: play(recorder, trials=3))
    recorder, calls = counting(monkeypatch, store)
    recorder.start_sweep(SWEEP)
    for number in range(3):
        recorder.start_trial(trial(number))
    recorder.close()
    assert calls["search_runs"] == 1
    assert "create_run" not in calls


def test_trials_that_stand_there_as_they_ended_are_not_wanted(store: str) -> None:
    told(store, lambda recorder: play(recorder, trials=len(Outcome)))
    recorder = MlflowRecorder(store, "ganray")
    recorder.start_sweep(SWEEP)
    wanted = [recorder.wants(number, outcome) for number, outcome in enumerate(Outcome)]
    assert wanted == [outcome is Outcome.CANCELLED for outcome in Outcome]
    assert recorder.wants(0, Outcome.CRASHED)  # another one than it ended with there
    assert recorder.wants(0, None)
    assert recorder.wants(len(Outcome), Outcome.COMPLETED)
    recorder.close()


@pytest.mark.parametrize(
    "left_out", ["end_trial", "evidence"], ids=["no end", "an end without evidence"]
)
def test_trial_that_was_not_told_to_its_end_is_wanted(
    left_out: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = MlflowRecorder(store, "ganray")
    monkeypatch.setattr(recorder, left_out, lambda *told: None)
    play(recorder, trials=1)
    recorder.close()
    again = MlflowRecorder(store, "ganray")
    again.start_sweep(SWEEP)
    assert again.wants(0, Outcome.COMPLETED)
    again.close()


def test_trial_whose_picture_could_not_be_read_is_wanted_until_it_can(store: str) -> None:
    def tell(load: Callable[[], bytes]) -> Callable[[MlflowRecorder], None]:
        def play_one(recorder: MlflowRecorder) -> None:
            recorder.start_sweep(SWEEP)
            assert recorder.wants(0, Outcome.COMPLETED)
            recorder.start_trial(trial(0))
            recorder.report(0, signals_at(20), HEALTHY, STARTED)
            recorder.picture(0, 20, load)
            recorder.end_trial(ending(0))
            recorder.evidence(0, Evidence(pictures={}))

        return play_one

    told(store, tell(lambda: b"no picture"))
    told(store, tell(png))
    assert in_mlflow(store)[0].pictures == {20: (16, 16)}
    recorder = MlflowRecorder(store, "ganray")
    recorder.start_sweep(SWEEP)
    assert not recorder.wants(0, Outcome.COMPLETED)
    recorder.close()


def test_pictures_that_are_there_are_not_uploaded_again(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(recorder: MlflowRecorder) -> None:
        recorder.start_sweep(SWEEP)
        recorder.start_trial(trial(0))
        for update in (10, 20):
            recorder.report(0, signals_at(update), HEALTHY, STARTED + update)
            recorder.picture(0, update, png)
        recorder.close()

    told(store, tell)
    recorder, calls = counting(monkeypatch, store)
    tell(recorder)
    assert (calls["log_artifact"], calls["list_artifacts"]) == (0, 1)


def test_picture_that_was_uploaded_by_half_is_completed_not_doubled(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = iter([None, ConnectionError("reset")])
    recorder = connect(
        monkeypatch, store, lambda name: next(uploads, None) if name == "log_artifact" else None
    )
    play(recorder, trials=1)
    recorder.close()
    picture, thumbnail = (file for file in files(store)[0] if file.startswith("images/"))
    assert {file.rpartition(".")[2] for file in (picture, thumbnail)} == {"png", "webp"}


def test_parameters_that_a_larger_budget_changed_are_no_fault(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    for trials in (4, 8):
        params = {"search.trials": trials, f"only.{trials}": 1}
        record = replace(SWEEP, params=params, sweep_file=f"trials: {trials}\n")
        told(store, lambda recorder, record=record: recorder.start_sweep(record))
    parent, _ = runs(store)
    assert parent.data.params == {"search.trials": "4", "only.4": "1", "only.8": "1"}
    file = MlflowClient(store).download_artifacts(parent.info.run_id, "sweep.yaml")
    assert Path(file).read_text() == "trials: 8\n"
    assert caplog.messages == []


def test_trials_that_a_resume_asks_for_are_counted_with_those_that_confirm(store: str) -> None:
    for trials, confirming, made, planned in ((4, 0, 0, 4), (5, 0, 0, 5), (5, 6, 2, 7)):
        record = replace(SWEEP, trials=trials, confirming=confirming, params={"search.trials": 4})

        def tell(recorder: MlflowRecorder, record: SweepRecord = record, made: int = made) -> None:
            recorder.start_sweep(record)
            if record.confirming:
                recorder.start_confirming(made)

        told(store, tell)
        status = recorded_status(SWEEP.name, store)
        assert status.trials is not None
        assert status.trials["total"] == planned


# --- what had ended and goes on -------------------------------------------------------------------


def test_sweep_that_goes_on_is_running_again_and_ends_again(store: str) -> None:
    told(store, lambda recorder: play(recorder, trials=1))
    assert runs(store)[0].info.status == "FINISHED"
    told(store, lambda recorder: recorder.start_sweep(SWEEP))
    assert runs(store)[0].info.status == "RUNNING"
    told(store, lambda recorder: play(recorder, trials=1))
    assert runs(store)[0].info.status == "FINISHED"


def test_cancelled_trial_that_goes_on_is_running_and_has_nothing_of_its_end(store: str) -> None:
    def cancel(recorder: MlflowRecorder) -> None:
        recorder.start_sweep(SWEEP)
        recorder.start_trial(trial(0))
        recorder.report(0, signals_at(10, distance=0.5), Verdict(State.SUSPECT), STARTED)
        recorder.end_trial(ending(0, Outcome.CANCELLED, would_be=AUDIT, ended="bad"))
        recorder.evidence(0, EVIDENCE)

    def go_on(recorder: MlflowRecorder) -> None:
        recorder.start_sweep(SWEEP)
        recorder.start_trial(trial(0))

    told(store, cancel)
    before = runs(store)[1][0]
    assert before.info.status == "KILLED"
    told(store, go_on)
    run = runs(store)[1][0]
    assert (run.info.run_id, run.info.status) == (before.info.run_id, "RUNNING")
    gone = before.data.tags.keys() - run.data.tags.keys()
    had_not = {schema.NONFINITE, schema.RULE}
    assert gone == (schema.OF_THE_END - had_not) | {schema.NOTE, schema.NOTED}
    assert run.data.tags[schema.STATE] == "suspect"


def test_answer_lost_when_an_end_is_taken_back_is_no_fault(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(store, lambda recorder: play(recorder, trials=len(Outcome)))
    answers = iter([ConnectionError("reset by peer")])
    recorder = connect(
        monkeypatch,
        store,
        lambda name: next(answers, None) if name == "delete_tag" else None,
        after=True,
    )
    number = list(Outcome).index(Outcome.CANCELLED)
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(number))
    recorder.close()
    assert recorder.complete
    assert not runs(store)[1][number].data.tags.keys() & schema.OF_THE_END


def test_evidence_of_a_trial_that_went_on_replaces_that_of_its_former_end(store: str) -> None:
    for size, outcome in ((24, Outcome.CANCELLED), (40, Outcome.COMPLETED)):

        def tell(recorder: MlflowRecorder, size: int = size, outcome: Outcome = outcome) -> None:
            recorder.start_sweep(SWEEP)
            recorder.start_trial(trial(0))
            recorder.end_trial(ending(0, outcome))
            recorder.evidence(0, Evidence(pictures={"best.png": lambda: png(size)}))

        told(store, tell)
    assert in_mlflow(store)[0].kept == {"best.png": (40, 40)}


def test_outcome_that_is_told_wins(store: str) -> None:
    told(store, lambda recorder: play(recorder, trials=2))  # trial 1 collapsed, with a rule

    def tell(recorder: MlflowRecorder) -> None:
        recorder.start_sweep(SWEEP)
        recorder.end_trial(ending(1, Outcome.COMPLETED, ended="healthy", at=STARTED + 9_000))

    told(store, tell)
    run = runs(store)[1][1]
    assert (run.info.status, run.info.end_time) == ("FINISHED", STARTED + 9_000)
    tags = {key: run.data.tags.get(key) for key in (schema.OUTCOME, schema.RULE, schema.ENDING)}
    assert list(tags.values()) == ["completed", None, "healthy"]
    assert schema.WOULD_BE_RULE not in run.data.tags


# --- descriptions ---------------------------------------------------------------------------------


def describe(uri: str, of: int | None, text: str) -> None:
    """As somebody does in the UI, which keeps no digest."""
    parent, children = runs(uri)
    run = parent if of is None else children[of]
    MlflowClient(uri).set_tag(run.info.run_id, schema.NOTE, text)


def test_description_that_somebody_wrote_is_left_alone(store: str) -> None:
    number = list(Outcome).index(Outcome.CANCELLED)
    told(store, lambda recorder: play(recorder, trials=len(Outcome)))
    for of in (None, number):
        describe(store, of, "Look at this one!")
    told(store, lambda recorder: play(recorder, trials=len(Outcome)))
    parent, children = runs(store)
    notes = [run.data.tags[schema.NOTE] for run in (parent, children[number])]
    assert notes == ["Look at this one!"] * 2


def test_description_of_a_trial_that_goes_on_is_written_at_its_new_end(store: str) -> None:
    def tell(recorder: MlflowRecorder, outcome: Outcome) -> None:
        recorder.start_sweep(SWEEP)
        recorder.start_trial(trial(0))
        recorder.end_trial(ending(0, outcome))

    for outcome in (Outcome.CANCELLED, Outcome.COMPLETED):
        told(store, lambda recorder, outcome=outcome: tell(recorder, outcome))
    note = runs(store)[1][0].data.tags[schema.NOTE]
    assert "completed" in note
    assert "cancelled" not in note


def test_description_that_an_older_version_took_from_the_file_is_replaced(store: str) -> None:
    told(store, lambda recorder: recorder.start_sweep(SWEEP))
    describe(store, None, "Which loss?")
    told(store, lambda recorder: play(recorder))
    assert "**ended**" in runs(store)[0].data.tags[schema.NOTE]


# --- runs that lost answers left ------------------------------------------------------------------


def stray(uri: str, of: int | None) -> str:
    """A second run of a trial, or of the sweep: made by a request that was thought lost."""
    client, (parent, children) = MlflowClient(uri), runs(uri)
    run = parent if of is None else children[of]
    keys = ("ganray.kind", "ganray.sweep", "ganray.study", "ganray.trial", "ganray.objective")
    tags = {key: run.data.tags[key] for key in (*keys, schema.PARENT) if key in run.data.tags}
    made = client.create_run(run.info.experiment_id, run.info.start_time, tags)
    identity: str = made.info.run_id
    return identity


@pytest.mark.parametrize("of", [None, 0, 1], ids=["sweep", "first trial", "second trial"])
def test_second_run_is_deleted_when_the_sweep_is_taken_up(of: int | None, store: str) -> None:
    told(store, lambda recorder: play(recorder))
    second = stray(store, of)
    told(store, lambda recorder: recorder.start_sweep(SWEEP))
    parent, children = runs(store)  # one of each
    assert second not in {parent.info.run_id, *(run.info.run_id for run in children.values())}
    told(store, lambda recorder: play(recorder))
    assert_whole(store)


def test_second_run_is_deleted_when_the_sweep_ends(store: str) -> None:
    recorder = MlflowRecorder(store, "ganray")
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    assert recorder.wants(1, None)  # by then, all of it is there
    while 0 not in runs(store)[1]:
        threading.Event().wait(0.02)
    stray(store, 0)
    recorder.end_trial(ending(0))
    recorder.end_sweep({0: Outcome.COMPLETED}, cancelled=False)
    recorder.close()
    assert runs(store)[1][0].data.tags[schema.OUTCOME] == "completed"


# --- what passes, and what does not ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionError("refused"), True),
        (MlflowException("no answer"), True),  # INTERNAL_ERROR
        (MlflowException("no", error_code=1000), False),  # INVALID_PARAMETER_VALUE
        (KeyError(7), False),
        *[
            (status, status in (408, 429, 500, 503))
            for status in (400, 403, 404, 408, 429, 500, 503)
        ],
    ],
)
def test_only_what_may_pass_is_tried_again(error: Any, passes: bool) -> None:
    if isinstance(error, int):
        status, error = error, OSError("of an artifact")
        error.response = SimpleNamespace(status_code=status)
    assert is_passing(error) is passes

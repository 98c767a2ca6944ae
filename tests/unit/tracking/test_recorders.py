"""What a recorder hears comes back: one suite for the one that remembers and the one for MLflow."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from PIL import Image

from ganray.tracking import mlflow_recorder, mlflow_writer
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.reader import fetch_history, fetch_sweep
from ganray.tracking.recorder import (
    Evidence,
    MemoryRecorder,
    Recorder,
)
from ganray.trial import Outcome, State, Verdict
from tests.conftest import AUDIT, CONFIRMING, STARTED, STOP, record_confirmation, signals_at
from tests.unit.tracking.playing import (
    CONFIG,
    HEALTHY,
    SWEEP,
    Heard,
    artifact,
    assert_whole,
    connect,
    connect_to_away,
    ending,
    in_mlflow,
    play,
    png,
    remembered,
    runs,
    trial,
)

# --- the contract: what is told comes back --------------------------------------------------------


@pytest.fixture(params=["memory", "mlflow"])
def recorder_and_heard(
    request: pytest.FixtureRequest, quick: None, store: str
) -> tuple[Recorder, Callable[[], dict[int, Heard]]]:
    if request.param == "memory":
        memory = MemoryRecorder()
        return memory, lambda: remembered(memory)
    return MlflowRecorder(store, "ganray"), lambda: in_mlflow(store)


Pair = tuple[Recorder, Callable[[], dict[int, Heard]]]


def test_whole_sweep_comes_back_as_it_was_told(recorder_and_heard: Pair) -> None:
    recorder, heard = recorder_and_heard
    play(recorder, trials=len(Outcome))
    recorder.close()
    found = heard()
    assert list(found) == list(range(len(Outcome)))
    for number, outcome in enumerate(Outcome):
        one = found[number]
        assert one.params == asdict(replace(CONFIG, seed=number))
        assert {k: type(v) for k, v in one.params.items()} == {
            k: type(v) for k, v in asdict(CONFIG).items()
        }
        assert one.history == [
            signals_at(u, distance=1.0 / (u + number), modes=1e-300, js=0.1 + 0.2).to_dict()
            for u in (10, 20, 30)
        ]
        assert one.pictures == {30: (16, 16)}
        assert (one.outcome, one.reason) == (outcome.value, f"because {outcome}")
        assert one.audited is (number == 1)
        assert one.objective == 0.1 + 0.2
        if number != 1:
            assert (one.rule, one.stops, one.kept, one.best_checkpoint) == (None, {}, {}, None)
    stopped = found[1]
    assert stopped.rule == "few_modes"
    reported = stopped.history[0]  # at update 10, as both records say
    grounds = {"thresholds": {}, "recovery": None, "signals": reported}
    assert stopped.stops == {
        "stop.json": {
            **grounds,
            "update": 10,
            "outcome": "collapsed",
            "reason": "few modes",
            "rule": "few_modes",
            "thresholds": {"mode_ratio": 0.35},
            "recovery": 0.01,
        },
        "would_be.json": {
            **grounds,
            "update": 10,
            "outcome": "stalled",
            "reason": "JS saturated",
            "rule": "separable",
        },
    }
    assert stopped.kept == {"best.png": (24, 24), "stop.png": (32, 32)}
    assert stopped.best_checkpoint == "/results/small/trials/0001/best.pt"


def test_sweep_that_is_told_twice_stands_there_once(recorder_and_heard: Pair) -> None:
    once, (recorder, heard) = MemoryRecorder(), recorder_and_heard
    for hears, times in ((once, 1), (recorder, 2)):
        for _ in range(times):
            play(hears, trials=len(Outcome))
        hears.close()
    assert heard() == remembered(once)


def test_trial_that_goes_on_has_not_ended(recorder_and_heard: Pair) -> None:
    recorder, heard = recorder_and_heard
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    recorder.report(0, signals_at(10, distance=0.5), HEALTHY, STARTED)
    recorder.end_trial(ending(0, Outcome.CANCELLED, would_be=AUDIT))
    recorder.start_trial(trial(0))
    recorder.report(0, signals_at(20, distance=0.25), HEALTHY, STARTED + 1)
    recorder.close()
    one = heard()[0]
    assert (one.outcome, one.reason, one.audited, one.rule) == (None, None, False, None)
    assert [report["update"] for report in one.history] == [10, 20]


def test_trial_that_still_runs_has_no_outcome(recorder_and_heard: Pair) -> None:
    recorder, heard = recorder_and_heard
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    recorder.report(0, signals_at(10, distance=0.5), HEALTHY, STARTED)
    recorder.close()
    (one,) = heard().values()
    assert (one.outcome, one.reason, one.audited, one.objective) == (None, None, False, None)
    assert one.history == [signals_at(10, distance=0.5).to_dict()]


def test_trial_that_crashed_at_once_has_neither_reports_nor_objective(
    recorder_and_heard: Pair,
) -> None:
    recorder, heard = recorder_and_heard
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    recorder.end_trial(ending(0, Outcome.CRASHED, objective=None, history=()))
    recorder.close()
    (one,) = heard().values()
    assert (one.outcome, one.objective, one.history) == ("crashed", None, [])


def test_sweep_without_trials_comes_back_empty(recorder_and_heard: Pair) -> None:
    recorder, heard = recorder_and_heard
    recorder.start_sweep(SWEEP)
    recorder.end_sweep({}, cancelled=True)
    recorder.close()
    assert heard() == {}


def test_trials_that_report_in_turn_are_kept_apart(recorder_and_heard: Pair) -> None:
    recorder, heard = recorder_and_heard
    recorder.start_sweep(SWEEP)
    for number in (1, 0):
        recorder.start_trial(trial(number))
    for update in (10, 20):
        for number in (0, 1):
            recorder.report(number, signals_at(update, distance=float(number)), HEALTHY, STARTED)
    recorder.close()
    for number, one in heard().items():
        assert [report["distance"] for report in one.history] == [float(number)] * 2


def test_reports_of_many_trials_all_arrive(recorder_and_heard: Pair) -> None:
    recorder, heard = recorder_and_heard
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    updates = range(1, 301)  # together more values than MLflow takes in one batch
    for update in updates:
        recorder.report(0, signals_at(update, distance=1.0 / update), HEALTHY, STARTED)
    recorder.close()
    assert [report["update"] for report in heard()[0].history] == list(updates)
    assert [report["distance"] for report in heard()[0].history] == [1.0 / u for u in updates]


# --- how it stands in MLflow ----------------------------------------------------------------------


@pytest.fixture
def recorder(quick: None, store: str) -> Iterator[MlflowRecorder]:
    recorder = MlflowRecorder(store, "ganray")
    yield recorder
    recorder.close()


def test_sweep_is_a_parent_run_with_its_file_and_its_machine(
    recorder: MlflowRecorder, store: str
) -> None:
    play(recorder)
    recorder.close()
    parent, children = runs(store)
    assert parent.info.run_name == "small"
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["mlflow.note.content"].startswith("Which loss?\n\nIt **ended** with ")
    assert parent.data.tags["ganray.sweep"] == "small"
    assert parent.data.tags["ganray.searched"] == "loss,d_lr,weight_clip"
    assert parent.data.params == {
        "data.name": "ring",
        "data.std": "0.02",
        "search.seed": "0",
        "prune.risk": "None",
    }
    assert parent.data.metrics["trials/completed"] == 1.0
    assert parent.data.metrics["trials/collapsed"] == 1.0
    assert parent.data.metrics["trials/crashed"] == 0.0
    client = MlflowClient(store)
    file = Path(client.download_artifacts(parent.info.run_id, "sweep.yaml"))
    assert file.read_text(encoding="utf-8") == SWEEP.sweep_file
    real = Image.open(client.download_artifacts(parent.info.run_id, "real.png"))
    assert real.size == (48, 48)
    machine = Path(client.download_artifacts(parent.info.run_id, "environment.json"))
    assert json.loads(machine.read_text()) == SWEEP.environment
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {
        parent.info.run_id
    }


def test_trial_is_a_child_run_that_tells_itself_in_the_list(
    recorder: MlflowRecorder, store: str
) -> None:
    play(recorder)
    recorder.close()
    _, children = runs(store)
    assert children[1].info.run_name == "1 wgan k=5"
    tags = children[1].data.tags
    assert tags["ganray.sweep"] == "small"
    assert tags["ganray.phase"] == "search"
    assert tags["ganray.outcome"] == "collapsed"
    assert tags["ganray.reason"] == "because collapsed"
    assert tags["ganray.audited"] == "true"


def test_status_of_a_run_follows_from_the_outcome(recorder: MlflowRecorder, store: str) -> None:
    play(recorder, trials=len(Outcome))
    recorder.close()
    _, children = runs(store)
    statuses = {
        Outcome(run.data.tags["ganray.outcome"]): run.info.status
        for _, run in sorted(children.items())
    }
    assert statuses == {
        Outcome.COMPLETED: "FINISHED",
        Outcome.COLLAPSED: "KILLED",
        Outcome.STALLED: "KILLED",
        Outcome.DIVERGED: "KILLED",
        Outcome.OUTRANKED: "KILLED",
        Outcome.CRASHED: "FAILED",
        Outcome.CANCELLED: "KILLED",
    }


def test_cancelled_sweep_is_killed(recorder: MlflowRecorder, store: str) -> None:
    recorder.start_sweep(SWEEP)
    recorder.end_sweep({}, cancelled=True)
    recorder.close()
    assert runs(store)[0].info.status == "KILLED"


def test_end_of_a_trial_tells_how_far_it_came_what_it_cost_and_its_best(
    recorder: MlflowRecorder, store: str
) -> None:
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    recorder.end_trial(ending(0, wall_seconds=7_200.0))
    recorder.close()
    (row,) = fetch_sweep("small", store).trials
    assert row.metrics["stopped_at"] == 0.2
    assert row.metrics["gpu_hours"] == 1.0
    assert (row.best["distance"], row.best["modes"]) == (0.3, 3.0)


def test_confirming_trial_is_a_child_run_that_says_what_it_repeats(
    recorder: MlflowRecorder, store: str
) -> None:
    record_confirmation(recorder)
    _, children = runs(store)
    assert children[3].info.run_name == "3 confirms 1 hinge"
    assert children[3].data.tags["ganray.phase"] == "confirm"
    assert children[3].data.tags["ganray.confirms"] == "1"
    assert children[1].data.tags["ganray.phase"] == "search"
    assert "ganray.confirms" not in children[1].data.tags
    endings = {n: run.data.tags.get("ganray.ending") for n, run in sorted(children.items())}
    assert endings == {number: row[3] for number, row in CONFIRMING.items()}


def test_run_of_a_sweep_has_what_its_confirmation_says(
    recorder: MlflowRecorder, store: str
) -> None:
    record_confirmation(recorder)
    parent, _ = runs(store)
    names = ("seeds", "median", "worst", "best", "bad", "healthy")
    first, second = (
        [parent.data.metrics.get(f"confirmed/{number}/{name}") for name in names]
        for number in (0, 1)
    )
    assert first == [2.0, 0.375, 0.5, 0.25, 0.5, 0.0]
    assert second == [3.0, 0.5, None, 0.0625, 2 / 3, 1 / 3]
    file = MlflowClient(store).download_artifacts(parent.info.run_id, "confirmation.json")
    table = json.loads(Path(file).read_text())["confirmed"]
    assert [row["trial"] for row in table] == [0, 1]
    assert table[1]["worst"] is None


def test_run_of_a_sweep_that_confirms_nothing_has_no_such_file(
    recorder: MlflowRecorder, store: str
) -> None:
    play(recorder)
    recorder.close()
    parent, _ = runs(store)
    assert not [name for name in parent.data.metrics if name.startswith("confirmed/")]
    files = MlflowClient(store).list_artifacts(parent.info.run_id)
    assert "confirmation.json" not in [file.path for file in files]


def test_audited_trial_is_told_with_what_would_have_stopped_it(
    recorder: MlflowRecorder, store: str
) -> None:
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    recorder.end_trial(ending(0, would_be=AUDIT, ended="healthy"))
    recorder.close()
    run = runs(store)[1][0]
    tags = {key: value for key, value in run.data.tags.items() if key.startswith("ganray.would")}
    assert tags == {
        "ganray.would_be_outcome": "stalled",
        "ganray.would_be_rule": "separable",
        "ganray.would_be_reason": "JS saturated",
        "ganray.would_be_update": "10",
    }
    assert run.data.tags["ganray.ending"] == "healthy"
    assert run.data.metrics["cost/would_be_stopped_at"] == 0.1
    assert "ganray.rule" not in run.data.tags


def test_sweep_is_told_with_what_it_used_and_saved(recorder: MlflowRecorder, store: str) -> None:
    recorder.start_sweep(replace(SWEEP, params={"prune.risk": 0.1}))
    history = [signals_at(u, measure_seconds=0.001) for u in (10, 20)]  # 1,000 updates a second
    for number, outcome in enumerate((Outcome.COMPLETED, Outcome.COLLAPSED)):
        recorder.start_trial(trial(number))
        for signals in history:
            recorder.report(number, signals, HEALTHY, STARTED)
        stop = STOP if outcome is STOP.outcome else None
        recorder.end_trial(ending(number, outcome, stop=stop, history=history, wall_seconds=7_200))
    recorder.end_sweep({0: Outcome.COMPLETED, 1: Outcome.COLLAPSED}, cancelled=False)
    recorder.close()
    parent, _ = runs(store)
    told = parent.data.metrics
    assert told["ledger/used_updates"] == 40.0
    assert told["ledger/used_seconds"] == pytest.approx(0.044)
    assert told["ledger/used_gpu_hours"] == pytest.approx(2.0)
    assert told["ledger/saved_updates"] == pytest.approx(80.0)
    assert told["ledger/surely_saved_updates"] == pytest.approx(72.0 - 4.0)
    lines = json.loads(artifact(store, parent.info.run_id, "ledger.json").read_text())
    assert list(lines) == ["few_modes", "none", "measuring", "total"]
    assert lines["few_modes"]["trials"] == 1
    assert lines["total"]["saved_updates"] == told["ledger/saved_updates"]


def test_runs_are_described_with_ways_from_one_to_the_other(
    recorder: MlflowRecorder, store: str
) -> None:
    play(recorder)
    recorder.close()
    parent, children = runs(store)
    notes = [run.data.tags["mlflow.note.content"] for run in (parent, children[0], children[1])]
    base = f"(#/experiments/{parent.info.experiment_id}/runs/"
    assert f"{base}{children[0].info.run_id}?" in notes[0]  # the best
    for told, word in zip(notes[1:], ("completed", "collapsed"), strict=True):
        assert f"{base}{parent.info.run_id}?" in told
        assert f"**{word}**" in told


def test_running_sweep_is_described_by_its_file(recorder: MlflowRecorder, store: str) -> None:
    recorder.start_sweep(SWEEP)
    recorder.close()
    assert runs(store)[0].data.tags["mlflow.note.content"] == "Which loss?"


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("tags.`ganray.outcome` = 'collapsed'", [1]),
        ("tags.`ganray.outcome` != 'collapsed' and tags.`ganray.kind` = 'trial'", [0, 2]),
        ("tags.`ganray.rule` = 'few_modes'", [1]),
        ("params.loss = 'wgan' and params.d_steps = '5'", [0, 1, 2]),
        ("params.seed = '2'", [2]),
        ("metrics.distance < 0.033", [1, 2]),
        ("metrics.`cost/stopped_at` = 0.3 and metrics.`best/js` > 0.1", [0, 1, 2]),
    ],
)
def test_trials_are_found_by_outcome_settings_and_signals(
    where: str, numbers: list[int], recorder: MlflowRecorder, store: str
) -> None:
    play(recorder, trials=3)
    recorder.close()
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("ganray").experiment_id
    found = client.search_runs([experiment], where)
    assert sorted(int(run.data.tags["ganray.trial"]) for run in found) == numbers


def test_state_of_a_running_trial_is_a_tag(recorder: MlflowRecorder, store: str) -> None:
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    for update, state in ((10, State.WARMING_UP), (20, State.HEALTHY), (30, State.SUSPECT)):
        recorder.report(0, signals_at(update), Verdict(state), STARTED)
    recorder.close()
    assert runs(store)[1][0].data.tags["ganray.state"] == "suspect"


def test_run_lasts_from_the_start_to_the_end_of_its_trial_not_of_its_writing(
    recorder: MlflowRecorder, store: str
) -> None:
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    recorder.end_trial(ending(0, at=STARTED + 5_000))
    recorder.end_sweep({0: Outcome.COMPLETED}, cancelled=False)
    recorder.close()
    parent, children = runs(store)
    for run in (parent, children[0]):
        assert (run.info.start_time, run.info.end_time) == (STARTED, STARTED + 5_000)


def test_sweep_that_starts_again_goes_on_in_its_runs(quick: None, store: str) -> None:
    for update in (10, 20):
        recorder = MlflowRecorder(store, "ganray")
        recorder.start_sweep(SWEEP)
        recorder.start_trial(trial(0))
        recorder.report(0, signals_at(update, distance=0.5), HEALTHY, STARTED)
        recorder.close()
    _, children = runs(store)
    assert list(children) == [0]
    assert [report["update"] for report in fetch_history("small", store)] == [10, 20]


def test_other_sweep_of_the_same_name_has_runs_of_its_own(quick: None, store: str) -> None:
    for later, (study_id, loss) in enumerate((("first", "wgan"), ("second", "hinge"))):
        recorder = MlflowRecorder(store, "ganray")
        recorder.start_sweep(replace(SWEEP, study_id=study_id, started=STARTED + later))
        recorder.start_trial(trial(0, replace(CONFIG, loss=loss)))
        recorder.report(0, signals_at(10, distance=0.5), HEALTHY, STARTED)
        recorder.close()
    client = MlflowClient(store)
    found = client.search_runs([client.get_experiment_by_name("ganray").experiment_id])
    assert len(found) == 4
    (latest,) = in_mlflow(store).values()  # the reader takes the later one
    assert latest.params["loss"] == "hinge"
    assert len(latest.history) == 1


def test_reason_of_any_length_is_kept_as_far_as_mlflow_takes_it(
    recorder: MlflowRecorder, store: str
) -> None:
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    recorder.end_trial(ending(0, Outcome.CRASHED, reason="no memory " * 2_000))
    recorder.close()
    run = runs(store)[1][0]
    assert run.data.tags["ganray.reason"].startswith("no memory no memory")
    assert run.info.status == "FAILED"


def test_every_event_of_a_trial_is_recorded_only_once(recorder: MlflowRecorder, store: str) -> None:
    play(recorder)
    recorder.close()
    client, (_, children) = MlflowClient(store), runs(store)
    for run in children.values():
        steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "distance")]
        assert sorted(steps) == [10, 20, 30]
        assert len(client.get_metric_history(run.info.run_id, "objective")) == 1


# --- a store that fails ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db", "nonsense://x"]
)
def test_store_that_is_never_there_holds_nobody_up(
    uri: str, quick: None, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start = time.monotonic()
    recorder = MlflowRecorder(uri, "ganray")
    play(recorder)
    assert time.monotonic() - start < 1.0
    recorder.close()
    assert time.monotonic() - start < 20.0
    assert not [thread for thread in threading.enumerate() if thread.name == "ganray-mlflow"]
    assert "did not reach it; the study has them" in caplog.text


def test_store_that_is_away_is_told_without_its_password(
    quick: None, here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mlflow_recorder, "GRACE_SECONDS", 0.1)
    recorder = MlflowRecorder("http://me:secret@127.0.0.1:9", "ganray")
    recorder.start_sweep(SWEEP)
    recorder.close()
    assert "the tracking store is away" in caplog.text
    assert "secret" not in caplog.text


def test_closing_does_not_wait_for_every_record_of_a_store_that_hangs(
    quick: None, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(uri: str) -> None:
        time.sleep(0.2)
        raise ConnectionError("timed out")

    monkeypatch.setattr(mlflow_recorder, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(mlflow_writer, "open_client", hang)
    recorder = MlflowRecorder("http://far.away", "ganray")
    play(recorder, trials=4)  # 26 records
    start = time.monotonic()
    recorder.close()
    assert time.monotonic() - start < 5.0  # the grace, and a few tries: all would take 5.2 s


@contextmanager
def silent_server() -> Iterator[str]:
    """The address of a server that takes every connection and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_closing_waits_for_a_server_that_never_answers_no_longer_than_the_grace_and_one_request(
    quick: None, here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mlflow_recorder, "GRACE_SECONDS", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with silent_server() as uri:
        recorder = MlflowRecorder(uri, "ganray")
        play(recorder)
        time.sleep(0.2)
        start = time.monotonic()
        recorder.close()
    assert 1.0 < time.monotonic() - start < 0.5 + 2.0 + 10.0
    assert "did not reach it; the study has them" in caplog.text


@pytest.mark.parametrize("late", [False, True], ids=["before it closes", "while it closes"])
def test_recorder_in_a_hurry_waits_for_no_request(
    late: bool, here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with silent_server() as uri:  # a request takes 20 s
        recorder = MlflowRecorder(uri, "ganray")
        play(recorder)
        time.sleep(0.2)
        start = time.monotonic()
        if late:
            threading.Timer(0.3, recorder.hurry, [0.5]).start()
        else:
            recorder.hurry(0.5)
        recorder.close()
        assert 0.4 < time.monotonic() - start < 6.0
    assert not recorder.complete
    assert "bring them there with `ganray sync small`" in caplog.text


def test_recorder_in_a_hurry_delivers_what_it_is_told_later(quick: None, store: str) -> None:
    recorder = MlflowRecorder(store, "ganray")
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    while recorder._waiting:  # MLflow is loaded, and its tables are made
        time.sleep(0.05)
    recorder.hurry(2.0)
    time.sleep(2.2)  # in which running trials are stopped
    recorder.end_trial(ending(0, Outcome.CANCELLED))
    recorder.close()
    assert recorder.complete


def test_recorder_in_a_hurry_leaves_what_it_has_no_time_for(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(name: str) -> None:
        time.sleep(0.2)

    recorder = connect(monkeypatch, store, slow)
    play(recorder, trials=8)  # more than 100 calls
    recorder.hurry(1.0)
    start = time.monotonic()
    recorder.close()
    assert time.monotonic() - start < 6.0
    assert recorder.lost > 10


def test_queue_of_a_store_that_stays_away_is_let_go_until_the_sweep_is_told_again(
    quick: None, store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mlflow_recorder, "LIMIT", 100)
    recorder, away = connect_to_away(monkeypatch, store)
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    first = signals_at(10, distance=0.1, modes=1e-300, js=0.1 + 0.2)  # as `play` tells it
    for _ in range(500):
        recorder.report(0, first, HEALTHY, STARTED)
    assert recorder._queue.qsize() == 0
    assert recorder.lost > 300
    assert not recorder.wants(0, None)
    away.clear()
    while recorder._waiting:  # the store is back, and hears nothing of what was let go
        time.sleep(0.02)
    recorder.report(0, signals_at(501), HEALTHY, STARTED)
    play(recorder)
    assert recorder.complete
    recorder.close()
    assert_whole(store)
    assert caplog.text.count("its record is given up for now") == 1
    assert "did not reach it" not in caplog.text


def test_the_past_is_not_told_to_a_store_that_stays_away(
    quick: None, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_recorder, "PATIENCE_SECONDS", 0.3)
    recorder = MlflowRecorder("http://127.0.0.1:9", "ganray")
    recorder.start_sweep(SWEEP)
    start = time.monotonic()
    assert not recorder.wants(0, Outcome.COMPLETED)
    assert 0.2 < time.monotonic() - start < 10.0
    assert not recorder.complete
    recorder.close()


def test_when_no_trial_runs_any_more_the_past_waits_for_the_store(
    quick: None, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_recorder, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(mlflow_recorder, "GRACE_SECONDS", 60.0)
    back = time.monotonic() + 2.0
    recorder = connect(
        monkeypatch,
        store,
        lambda name: ConnectionError("refused") if time.monotonic() < back else None,
    )
    recorder.start_sweep(SWEEP)
    assert not recorder.wants(0, Outcome.COMPLETED)
    recorder.rest()
    recorder.start_sweep(SWEEP)
    assert recorder.wants(0, Outcome.COMPLETED)
    assert time.monotonic() > back
    recorder.close()
    assert recorder.complete


def test_trial_whose_past_was_not_told_is_told_as_a_whole_later(
    quick: None, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_recorder, "PATIENCE_SECONDS", 0.3)
    recorder, away = connect_to_away(monkeypatch, store)
    recorder.start_sweep(SWEEP)
    assert not recorder.wants(0, None)  # it made reports before, and goes on now
    away.clear()
    for number in (0, 1):
        recorder.start_trial(trial(number))
        recorder.report(number, signals_at(30), HEALTHY, STARTED)
        recorder.end_trial(ending(number))
    while recorder._waiting:
        time.sleep(0.02)
    assert list(runs(store)[1]) == [1]
    assert not recorder.complete  # so that the driver, or a later one, tells it all again
    recorder.start_sweep(SWEEP)
    assert recorder.wants(0, Outcome.COMPLETED)
    recorder.close()


def test_telling_the_past_waits_for_the_store(
    quick: None, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_recorder, "CHUNK", 10)

    def slow(name: str) -> None:
        time.sleep(0.05)

    recorder = connect(monkeypatch, store, slow)
    recorder.start_sweep(SWEEP)
    most = 0
    for number in range(30):
        assert recorder.wants(number, None)
        recorder.start_trial(trial(number))
        recorder.report(number, signals_at(10), HEALTHY, STARTED)
        most = max(most, recorder._waiting)
    recorder.close()
    assert recorder.complete
    assert most < 20
    assert len(runs(store)[1]) == 30


def test_store_that_comes_back_receives_everything_in_order(
    quick: None, store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    order: list[str] = []

    def slow(name: str) -> None:
        order.append(name)
        time.sleep(0.03)  # all takes longer than the grace, which is for a store that is away

    recorder, away = connect_to_away(monkeypatch, store, slow)
    play(recorder)
    time.sleep(0.3)
    assert order == []
    away.clear()
    recorder.close()
    assert_whole(store)
    assert order.index("log_text") < order.index("log_artifact") < order.index("set_terminated")
    assert "the tracking store is away; the sweep goes on: refused" in caplog.text
    assert "did not reach it" not in caplog.text


@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
def test_call_that_fails_is_repeated_without_doubling_anything(
    after: bool, quick: None, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_recorder, "GRACE_SECONDS", 20.0)
    failed: set[str] = set()  # every kind of call fails the first time

    def fails(name: str) -> Exception | None:
        if name in failed:
            return None
        failed.add(name)
        return ConnectionError(f"{name}: reset by peer")

    recorder = connect(monkeypatch, store, fails, after=after)
    play(recorder)
    recorder.close()
    assert_whole(store)
    assert {"create_run", "log_batch", "log_artifact", "log_image", "set_terminated"} <= failed


def test_answer_lost_when_a_trial_started_makes_no_second_run(
    quick: None, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([None, ConnectionError("reset by peer")])  # the sweep's run, the first trial's
    calls: list[str] = []

    def fails(name: str) -> Exception | None:
        calls.append(name)
        return next(answers, None) if name == "create_run" else None

    recorder = connect(monkeypatch, store, fails, after=True)
    play(recorder)
    recorder.close()
    assert_whole(store)
    assert (calls.count("create_run"), calls.count("delete_run")) == (3, 0)


def test_values_that_mlflow_refuses_do_not_stop_the_rest(
    recorder: MlflowRecorder, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.start_sweep(replace(SWEEP, params={"no such key!?\n": 1}))
    recorder.start_trial(replace(trial(0), params={**asdict(CONFIG), "bad\nkey": 1}))
    recorder.start_trial(trial(1))
    for number in (0, 1):
        recorder.report(number, signals_at(10, distance=0.5), HEALTHY, STARTED)
        recorder.end_trial(ending(number))
    recorder.end_sweep({0: Outcome.COMPLETED, 1: Outcome.COMPLETED}, cancelled=False)
    recorder.close()
    parent, children = runs(store)
    assert parent.info.status == "FINISHED"
    assert [run.data.tags["ganray.outcome"] for run in children.values()] == ["completed"] * 2
    assert [report["trial"] for report in fetch_history("small", store)] == [0, 1]
    assert caplog.text.count("MLflow refused a record: MlflowException: ") == 2


def test_trial_that_mlflow_refuses_does_not_stop_the_next_one(
    quick: None, store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = MlflowException("no", error_code=1000)  # INVALID_PARAMETER_VALUE
    assert refusal.error_code == "INVALID_PARAMETER_VALUE"
    calls = iter([None, refusal])  # the sweep's run, the first trial's
    recorder = connect(
        monkeypatch, store, lambda name: next(calls, None) if name == "create_run" else None
    )
    play(recorder)
    recorder.close()
    found = in_mlflow(store)
    assert list(found) == [1]
    assert found[1].outcome == "collapsed"
    assert len(found[1].history) == 3
    assert runs(store)[0].info.status == "FINISHED"
    assert "the tracking store is away" not in caplog.text


def test_run_that_somebody_deletes_does_not_stop_the_others(
    recorder: MlflowRecorder, store: str
) -> None:
    recorder.start_sweep(SWEEP)
    for number in (0, 1):
        recorder.start_trial(trial(number))
        recorder.report(number, signals_at(10, distance=0.5), HEALTHY, STARTED)
    deadline = time.monotonic() + 5
    while len(list(_reports(store))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    client = MlflowClient(store)
    client.delete_run(runs(store)[1][0].info.run_id)
    for number in (0, 1):
        recorder.report(number, signals_at(20, distance=0.25), HEALTHY, STARTED)
        recorder.end_trial(ending(number))
    recorder.end_sweep({0: Outcome.COMPLETED, 1: Outcome.COMPLETED}, cancelled=False)
    recorder.close()
    parent, children = runs(store)
    assert children[1].data.tags.get("ganray.outcome") == "completed"
    assert [report["update"] for report in _reports(store)] == [10, 20]
    assert parent.info.status == "FINISHED"


def _reports(uri: str) -> Iterator[dict[str, Any]]:
    try:
        yield from fetch_history("small", uri)
    except Exception:  # not written yet
        return


def test_evidence_that_is_lost_does_not_stop_the_rest(
    recorder: MlflowRecorder, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    pictures = {"best.png": unreadable, "stop.png": png}
    recorder.evidence(0, Evidence(pictures=pictures, best_checkpoint="there"))
    recorder.close()
    (one,) = in_mlflow(store).values()
    assert (list(one.kept), one.best_checkpoint) == (["stop.png"], "there")
    assert "best.png of trial 0 is lost: Invalid: expected 100 bytes" in caplog.text


def unreadable() -> bytes:
    raise ValueError("Invalid: expected 100 bytes")


@pytest.mark.parametrize(
    "load",
    [lambda: b"no picture", lambda: png(200)[:300], unreadable],
    ids=["not a picture", "cut off", "unreadable"],
)
def test_picture_that_is_lost_does_not_stop_the_rest(
    load: Callable[[], bytes],
    recorder: MlflowRecorder,
    store: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(0))
    recorder.picture(0, 10, load)
    recorder.report(0, signals_at(10, distance=0.5), HEALTHY, STARTED)
    recorder.end_trial(ending(0))
    recorder.close()
    assert in_mlflow(store)[0].outcome == "completed"
    assert "the picture of trial 0 at update 10 is lost" in caplog.text
    assert "away" not in caplog.text


def test_nothing_is_said_where_nothing_is_wrong(
    recorder: MlflowRecorder, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        play(recorder)
        recorder.close()
    assert caplog.messages == []


def test_memory_recorder_remembers_verdicts_and_the_end() -> None:
    recorder = MemoryRecorder()
    play(recorder)
    assert recorder.sweep is SWEEP
    assert recorder.verdicts[0] == [HEALTHY] * 3
    assert recorder.outcomes == {0: Outcome.COMPLETED, 1: Outcome.COLLAPSED}
    assert not recorder.cancelled
    assert not recorder.closed
    recorder.close()
    assert recorder.closed

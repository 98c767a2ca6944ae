"""A sweep comes back from MLflow with the types that it had, or a message says why not."""

import gc
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.store.entities import PagedList
from PIL import Image

from ganray.errors import TrackingError, UnknownSweepError
from ganray.tracking import mlflow_recorder
from ganray.tracking import store as tracking_store
from ganray.tracking.reader import (
    add_files,
    fetch_artifacts,
    fetch_heads,
    fetch_history,
    fetch_reports,
    fetch_sweep,
    fetch_sweep_file,
    list_milestones,
)
from ganray.tracking.store import tracking_uri
from ganray.trial import TrialConfig
from tests.conftest import RECORDED, STARTED, signals_at
from tests.unit.tracking.playing import play


def test_sweep_comes_back_with_what_it_searched(recorded: str) -> None:
    sweep = fetch_sweep("recorded", recorded)
    assert (sweep.name, sweep.objective, sweep.direction) == ("recorded", "distance", "min")
    assert sweep.searched == ("loss", "d_steps", "weight_clip", "d_grad_clip", "d_lr")
    assert sweep.status == "RUNNING"
    assert sweep.params == {"data.name": "ring", "budget.updates": 20, "prune.risk": 0.02}
    assert (sweep.description, sweep.ended) == ("", None)
    assert sweep.started is not None
    assert sweep.started.timestamp() == STARTED / 1000
    empty = fetch_sweep("empty", recorded)
    assert (empty.status, empty.run_id != sweep.run_id) == ("FINISHED", True)
    assert empty.ended is not None


def test_trials_come_in_the_order_of_their_numbers(recorded: str) -> None:
    assert [trial.number for trial in fetch_sweep("recorded", recorded).trials] == [0, 1, 2, 3, 4]


def test_trial_has_its_whole_configuration_with_its_types(recorded: str) -> None:
    for trial in fetch_sweep("recorded", recorded).trials:
        settings, _, _ = RECORDED[trial.number]
        assert TrialConfig(**trial.params) == TrialConfig(**settings)


def test_trial_has_its_outcome_with_the_reason(recorded: str) -> None:
    for trial in fetch_sweep("recorded", recorded).trials:
        _, _, outcome = RECORDED[trial.number]
        assert trial.outcome == (outcome.value if outcome else None)
        assert trial.reason == (f"because {outcome}" if outcome else None)
        assert trial.rule == ("few_modes" if trial.number == 1 else None)
        assert trial.audited is (trial.number == 3)
        assert trial.phase == "search"
        assert trial.ending == {0: "bad", 3: "healthy"}.get(trial.number)
        would_be = {"outcome": "stalled", "rule": "separable", "reason": "JS saturated"}
        assert trial.would_be == (would_be if trial.number == 3 else {})


def test_trial_has_the_last_and_the_best_of_each_signal(recorded: str) -> None:
    first = fetch_sweep("recorded", recorded).trials[0]
    assert (first.metrics["distance"], first.metrics["modes"]) == (1 / 3, 2.0)
    assert (first.best["distance"], first.best["modes"]) == (1 / 3, 7.5)
    assert first.metrics["js"] == 0.1  # where it was last defined
    assert not set(first.best) & {"d_updates", "auc", "objective"}


def test_trial_has_the_times_of_its_start_and_end(recorded: str) -> None:
    trials = fetch_sweep("recorded", recorded).trials
    for trial in trials:
        assert trial.started is not None
        assert trial.started.timestamp() == STARTED / 1000
        assert trial.started.utcoffset().total_seconds() == 0
        if trial.outcome is not None:
            assert trial.ended is not None
            assert trial.ended >= trial.started
    assert trials[4].ended is None


def test_history_has_every_report_with_what_it_measured(recorded: str) -> None:
    expected = [
        {"trial": number} | signals_at(10 * (index + 1), **values).to_dict()
        for number, (_, reports, _) in RECORDED.items()
        for index, values in enumerate(reports)
    ]
    assert list(fetch_history("recorded", recorded)) == expected


@pytest.fixture
def older(store: str) -> str:
    """A store with a trial that an older version began, and this one went on with."""
    client = MlflowClient(store)
    experiment = client.create_experiment("ganray")
    tags = {"ganray.kind": "sweep", "ganray.sweep": "old", "ganray.objective": "min distance"}
    parent = client.create_run(experiment, tags=tags).info.run_id
    for key, count in (("trials_cancelled", 1), ("trials/cancelled", 0), ("trials/completed", 1)):
        client.log_metric(parent, key, count)
    tags = {"ganray.kind": "trial", "ganray.sweep": "old", "ganray.trial": "0"}
    trial = client.create_run(experiment, tags={**tags, "mlflow.parentRunId": parent}).info.run_id
    for key, values in {
        "distance": [0.5, 0.25],
        "d_loss": [1.0],
        "stopped_at": [0.5],
        "losses/d_loss": [1.0, 2.0],
        "cost/stopped_at": [1.0],
        "cost/gpu_hours": [3.0],
        "velocity": [0.125],
        "best/distance": [0.25],
    }.items():
        for index, value in enumerate(values):
            client.log_metric(trial, key, value, step=10 * (index + 1))
    client.set_terminated(parent)
    return store


def test_record_that_an_older_version_began_is_read_as_one(older: str) -> None:
    (trial,) = fetch_sweep("old", older).trials
    assert trial.metrics == {
        "distance": 0.25,
        "d_loss": 2.0,
        "stopped_at": 1.0,
        "gpu_hours": 3.0,
        "velocity": 0.125,
    }
    assert trial.best == {"distance": 0.25}
    assert list(fetch_history("old", older)) == [
        {"trial": 0, "update": 10, "distance": 0.5, "d_loss": 1.0, "velocity": 0.125},
        {"trial": 0, "update": 20, "distance": 0.25, "d_loss": 2.0},
    ]
    (head,) = fetch_heads(older)
    assert head.outcomes == {"completed": 1}


def test_sweep_without_trials_has_neither_rows_nor_history(recorded: str) -> None:
    assert fetch_sweep("empty", recorded).trials == ()
    assert list(fetch_history("empty", recorded)) == []


def test_sweep_of_many_trials_is_read_page_by_page(
    recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_store, "PAGE", 2)
    assert [trial.number for trial in fetch_sweep("recorded", recorded).trials] == [0, 1, 2, 3, 4]


def test_sweep_is_found_among_many_experiments_of_others(
    recorded: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(recorded.removeprefix("sqlite:///"), here / "copy.db")
    uri = f"sqlite:///{here / 'copy.db'}"
    for name in ("theirs", "others", "more"):  # the latest come first
        MlflowClient(uri).create_experiment(name)
    search = MlflowClient.search_experiments

    def two_at_a_time(client: MlflowClient, **options: Any) -> PagedList[Any]:
        return search(client, **{**options, "max_results": 2})

    monkeypatch.setattr(MlflowClient, "search_experiments", two_at_a_time)
    assert len(fetch_sweep("recorded", uri).trials) == 5


def test_reading_a_page_leaves_the_garbage_collector_as_it_was() -> None:
    collecting: list[bool] = []

    class Client:
        def search_runs(self, *_: object, **__: object) -> PagedList[str]:
            collecting.append(gc.isenabled())
            if len(collecting) == 3:
                raise OSError("away")
            return PagedList(["run"], token="more" if len(collecting) == 1 else None)

    client: Any = Client()
    runs = tracking_store.search_runs(client, ["0"], "")
    assert next(runs) == "run"
    assert gc.isenabled()  # whatever the reader does with it
    assert list(runs) == ["run"]
    with pytest.raises(OSError, match="away"):
        next(tracking_store.search_runs(client, ["0"], ""))
    assert gc.isenabled()
    assert collecting == [False, False, False]


def test_store_is_the_given_one_else_that_of_the_environment_else_a_file_here(
    recorded: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracking_uri() == f"sqlite:///{here}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", recorded)
    assert tracking_uri() == recorded
    assert len(fetch_sweep("recorded").trials) == 5
    assert tracking_uri("http://given") == "http://given"


def test_program_that_changes_its_folder_keeps_its_store(
    store: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tracking_uri()
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert tracking_uri() == before == store
    with pytest.raises(UnknownSweepError, match=re.escape(store)):
        fetch_sweep("nope")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("name", ["recorde", "recorded2", "it's", "100%", "RECORDED"])
def test_unknown_sweep_is_told_with_the_store(name: str, recorded: str) -> None:
    with pytest.raises(UnknownSweepError) as error:
        fetch_sweep(name, recorded)
    assert str(error.value).startswith(f"no sweep named '{name}' is recorded in {recorded}; ")
    with pytest.raises(UnknownSweepError, match="is recorded in"):
        list(fetch_history(name, recorded))


def test_run_that_was_deleted_is_no_trial_any_more(recorded: str, here: Path) -> None:
    shutil.copy(recorded.removeprefix("sqlite:///"), here / "copy.db")
    uri = f"sqlite:///{here / 'copy.db'}"
    MlflowClient(uri).delete_run(fetch_sweep("recorded", uri).trials[1].run_id)
    assert [trial.number for trial in fetch_sweep("recorded", uri).trials] == [0, 2, 3, 4]


def test_runs_of_others_in_the_same_store_are_left_alone(recorded: str, here: Path) -> None:
    shutil.copy(recorded.removeprefix("sqlite:///"), here / "copy.db")
    uri = f"sqlite:///{here / 'copy.db'}"
    client = MlflowClient(uri)
    client.create_run(client.create_experiment("theirs"), tags={"model": "forest"})
    assert len(fetch_sweep("recorded", uri).trials) == 5


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db", "nonsense://x"]
)
def test_store_that_cannot_be_read_is_told(uri: str, here: Path) -> None:
    with pytest.raises(TrackingError, match=r"the tracking store .*cannot be read"):
        fetch_sweep("recorded", uri)


def test_store_that_cannot_be_read_is_told_without_its_password(here: Path) -> None:
    with pytest.raises(TrackingError) as error:
        fetch_sweep("recorded", "http://me:secret@127.0.0.1:9")
    assert "secret" not in str(error.value)
    assert error.value.__suppress_context__  # MLflow's own error tells the whole URL


def test_reading_makes_no_store(here: Path) -> None:
    with pytest.raises((UnknownSweepError, TrackingError), match=r"none\.db"):
        fetch_sweep("recorded", f"sqlite:///{here}/none.db")
    assert list(here.iterdir()) == []


def test_file_of_a_sweep_comes_back_as_it_was_recorded(recorded: str, here: Path) -> None:
    path = fetch_sweep_file("recorded", here, recorded)
    assert path.parent == here
    assert path.read_text() == "name: recorded\n"
    with pytest.raises(UnknownSweepError, match=r"^no sweep named 'nope' is recorded in sqlite:"):
        fetch_sweep_file("nope", here, recorded)


def test_reports_are_those_of_the_trials_and_values_asked_for(recorded: str) -> None:
    trials = fetch_sweep("recorded", recorded).trials
    found = list(fetch_reports([trials[3], trials[0]], ("modes", "fid"), recorded))
    assert found == [
        {"trial": 3, "update": 10, "modes": 8.0},
        {"trial": 3, "update": 20, "modes": 8.0},
        {"trial": 0, "update": 10, "modes": 7.5},
        {"trial": 0, "update": 20, "modes": 2.0},
    ]


@pytest.fixture
def played(store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a store with the sweep `small`, of two trials with pictures."""
    monkeypatch.setattr(mlflow_recorder, "FLUSH_SECONDS", 0.02)
    recorder = mlflow_recorder.MlflowRecorder(store, "ganray")
    play(recorder)
    recorder.close()
    return store


def test_pictures_come_back_by_their_names(played: str) -> None:
    sweep = fetch_sweep("small", played)
    names = ("real.png", "sweep.yaml", "nothing.png", "images/nothing.png")
    files = fetch_artifacts(sweep.run_id, names, played)
    assert list(files) == ["real.png", "sweep.yaml"]
    assert Image.open(io.BytesIO(files["real.png"])).size == (48, 48)
    trial = sweep.trials[1].run_id
    milestones = list_milestones(trial, played)
    assert list(milestones) == [30]  # without its thumbnail
    found = fetch_artifacts(trial, ("best.png", *milestones.values()), played)
    assert [Image.open(io.BytesIO(content)).size for content in found.values()] == [
        (24, 24),
        (16, 16),
    ]


def test_run_without_pictures_has_none(recorded: str) -> None:
    run_id = fetch_sweep("recorded", recorded).trials[0].run_id
    assert list_milestones(run_id, recorded) == {}
    assert fetch_artifacts(run_id, ("best.png",), recorded) == {}


def test_files_are_added_to_the_sweep_itself(store: str, here: Path) -> None:
    client = MlflowClient(store)
    tags = {"ganray.kind": "sweep", "ganray.sweep": "mine"}
    run_id = client.create_run(client.create_experiment("ganray"), tags=tags).info.run_id
    client.set_terminated(run_id)
    for name in ("a.png", "b.csv"):
        (here / name).write_text(name)
    add_files("mine", [here / "a.png", here / "b.csv"], store)
    assert [file.path for file in client.list_artifacts(run_id)] == ["a.png", "b.csv"]
    assert client.get_run(run_id).info.status == "FINISHED"
    with pytest.raises(UnknownSweepError, match=r"^no sweep named 'nope' is recorded in sqlite:"):
        add_files("nope", [], store)

"""The test that defines the product: everybody agrees on how each trial ended."""

import json
from pathlib import Path

import optuna
import pandas as pd
import pytest
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from ganray.spec.models import SweepSpec
from ganray.summary import summarize
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import MemoryRecorder
from ganray.trial import Outcome
from ganray.tuning.driver import SweepResult, run_sweep
from ganray.tuning.places import study_location
from tests.integration.conftest import make_spec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

# Settings whose end is sure, by what they do to the game, not by a trick in the code.
RIGGED = {
    # D takes giant steps, G tiny ones: all latents are driven to the same mode
    Outcome.COLLAPSED: {"optimizer": "rmsprop", "d_lr": 1e-2, "g_lr": 6e-5},
    # G does not move, so D wins and the bound pins at log 2
    Outcome.STALLED: {"d_lr": 1e-3, "g_lr": 1e-9},
    # squares of logits that grow without bound
    Outcome.DIVERGED: {"loss": "lsgan", "d_lr": 30.0, "g_lr": 30.0},
    # more memory than there is
    Outcome.CRASHED: {"latent_dim": 10**11},
    Outcome.COMPLETED: {"loss": "lsgan", "g_steps": 2, "d_lr": 5e-3, "g_lr": 1e-3},
}
NUMBERS = {outcome: number for number, outcome in enumerate(RIGGED)}


@pytest.fixture(scope="module")
def sweep(
    tmp_path_factory: pytest.TempPathFactory, local_ray: None
) -> tuple[SweepSpec, SweepResult, MemoryRecorder]:
    folder = tmp_path_factory.mktemp("rigged")
    space = {"loss": ["non_saturating", "lsgan"], "d_lr": {"low": 1e-4, "high": 50.0, "log": True}}
    first = [{"loss": "non_saturating", "d_lr": 1e-3} | point for point in RIGGED.values()]
    spec = make_spec(
        folder,
        "rigged",
        search={"trials": len(first), "concurrency": 2, "first": first, "space": space},
        budget={"updates": 4_000, "reports": 40},
        prune={"risk": 0.02, "then": "none"},
    )
    memory = MemoryRecorder()
    result = run_sweep(spec, [memory, MlflowRecorder(spec.tracking.uri or "", "ganray")])
    return spec, result, memory


def test_each_rigged_trial_ends_as_rigged(sweep) -> None:
    _, result, memory = sweep
    assert result.outcomes == {number: outcome for outcome, number in NUMBERS.items()}
    assert {n: ending.outcome for n, ending in memory.endings.items()} == result.outcomes
    assert not result.cancelled


def test_optuna_has_each_outcome_with_state_and_constraint(sweep) -> None:
    spec, _, _ = sweep
    storage = JournalStorage(JournalFileBackend(study_location(spec)))
    trials = optuna.load_study(study_name="rigged", storage=storage).trials
    states = {
        Outcome.COLLAPSED: TrialState.PRUNED,
        Outcome.STALLED: TrialState.PRUNED,
        Outcome.DIVERGED: TrialState.PRUNED,
        Outcome.CRASHED: TrialState.FAIL,
        Outcome.COMPLETED: TrialState.COMPLETE,
    }
    for outcome, number in NUMBERS.items():
        trial = trials[number]
        assert trial.state is states[outcome], outcome
        assert trial.user_attrs["outcome"] == outcome
        assert set(trial.constraints) == {"dead"}
        infeasible = outcome in {Outcome.COLLAPSED, Outcome.DIVERGED}
        assert (trial.constraints["dead"] > 0) == infeasible


def test_mlflow_has_each_outcome_with_status_and_reason(sweep) -> None:
    spec, _, memory = sweep
    client = MlflowClient(spec.tracking.uri)
    experiment = client.get_experiment_by_name("ganray")
    runs = client.search_runs([experiment.experiment_id], "tags.`ganray.kind` = 'trial'")
    statuses = {Outcome.COMPLETED: "FINISHED", Outcome.CRASHED: "FAILED"}
    assert len(runs) == len(RIGGED)
    for run in runs:
        number = int(run.data.tags["ganray.trial"])
        ending = memory.endings[number]
        assert run.data.tags["ganray.outcome"] == ending.outcome
        assert run.data.tags["ganray.reason"] == ending.reason
        assert run.info.status == statuses.get(ending.outcome, "KILLED")


def test_ray_tune_has_each_trial_ended(sweep) -> None:
    spec, _, _ = sweep
    folder = Path(spec.storage.results or "") / "rigged" / "attempt-1"
    (state_file,) = folder.glob("experiment_state-*.json")
    for text, _ in json.loads(state_file.read_text())["trial_data"]:
        trial = json.loads(text)
        crashed = trial["config"]["number"] == NUMBERS[Outcome.CRASHED]
        assert trial["status"] == ("ERROR" if crashed else "TERMINATED")


def test_summary_has_each_outcome_and_the_reported_values(sweep) -> None:
    spec, _, memory = sweep
    frame = summarize("rigged", spec.tracking.uri).set_index("trial")
    for outcome, number in NUMBERS.items():
        row, ending = frame.loc[number], memory.endings[number]
        assert row["outcome"] == outcome
        assert row["reason"] == ending.reason
        if ending.objective is not None:
            assert row["objective"] == ending.objective
        if ending.history:
            assert row["stopped_at"] == ending.history[-1].update / 4_000
            modes = ending.history[-1].modes
            assert pd.isna(row["modes"]) if modes is None else row["modes"] == modes


def test_reasons_tell_the_numbers_or_the_error(sweep) -> None:
    _, _, memory = sweep
    for outcome in (Outcome.COLLAPSED, Outcome.STALLED):
        assert "JS" in memory.endings[NUMBERS[outcome]].reason
        assert "modes" in memory.endings[NUMBERS[outcome]].reason
    assert "not finite" in memory.endings[NUMBERS[Outcome.DIVERGED]].reason
    crash = memory.endings[NUMBERS[Outcome.CRASHED]].reason
    assert crash.startswith("RuntimeError: ")
    assert "allocate" in crash


def test_dead_trials_stop_before_their_budget_and_the_healthy_one_covers_all_modes(sweep) -> None:
    _, _, memory = sweep
    for outcome in (Outcome.COLLAPSED, Outcome.STALLED, Outcome.DIVERGED):
        assert memory.endings[NUMBERS[outcome]].history[-1].update < 4_000
    healthy = memory.endings[NUMBERS[Outcome.COMPLETED]].history
    assert healthy[-1].update == 4_000
    assert healthy[-1].modes_covered == 8


def test_pictures_are_recorded_for_trials_that_reported(sweep) -> None:
    _, _, memory = sweep
    pictures = memory.pictures[NUMBERS[Outcome.COMPLETED]]
    assert 4_000 in pictures
    assert 4 <= len(pictures) <= 8
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())

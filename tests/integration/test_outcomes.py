"""The test that defines the product: everybody agrees on how each trial ended."""

import json
from itertools import count
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.pruners import BasePruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ganray.cli.sampling import draw_samples, recorded_checkpoint
from ganray.gan.checkpoint import load
from ganray.spec.models import Prune, SweepSpec
from ganray.summary import audit, ledger, summarize
from ganray.tracking.ledger import AMOUNT_COLUMNS, Audit
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import MemoryRecorder
from ganray.trial import Outcome, derive_seed
from ganray.tuning import study
from ganray.tuning.driver import run_sweep
from ganray.tuning.places import study_location
from ganray.tuning.pruner import HealthPruner, make_pruner
from ganray.tuning.result import SweepResult
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
    # healthy, but ranked below its peers
    Outcome.OUTRANKED: {"loss": "lsgan", "g_steps": 2, "d_lr": 5e-3, "g_lr": 1e-3},
}
NUMBERS = {outcome: number for number, outcome in enumerate(RIGGED)}
AUDITED = len(RIGGED)  # as the stalled one, but it belongs to the share that runs on
OUTCOMES = {**{number: outcome for outcome, number in NUMBERS.items()}, AUDITED: Outcome.COMPLETED}
STOPPED = [Outcome.COLLAPSED, Outcome.STALLED, Outcome.DIVERGED, Outcome.OUTRANKED]


class RanksOne(BasePruner):
    """A stock pruner that finds one trial worse than its peers, at half of its budget."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return trial.number == NUMBERS[Outcome.OUTRANKED] and trial.last_step >= 2_000


def ranking(prune: Prune, budget: int) -> HealthPruner:
    return HealthPruner(make_pruner(prune, budget).rules, RanksOne())


def seed_that_audits(number: int, share: float) -> int:
    """A seed of the sweep by which this trial alone is audited."""

    def audited(seed: int) -> list[int]:
        return [n for n in OUTCOMES if derive_seed(seed, n, "audit") < share * 2**31]

    return next(seed for seed in count() if audited(seed) == [number])


@pytest.fixture(scope="module")
def sweep(
    tmp_path_factory: pytest.TempPathFactory, local_ray: None
) -> tuple[SweepSpec, SweepResult, MemoryRecorder]:
    folder = tmp_path_factory.mktemp("rigged")
    space = {"loss": ["non_saturating", "lsgan"], "d_lr": {"low": 1e-4, "high": 50.0, "log": True}}
    points = [*RIGGED.values(), RIGGED[Outcome.STALLED]]
    first = [{"loss": "non_saturating", "d_lr": 1e-3} | point for point in points]
    seed = seed_that_audits(AUDITED, 0.1)
    spec = make_spec(
        folder,
        "rigged",
        search={
            "trials": len(first),
            "concurrency": 2,
            "seed": seed,
            "first": first,
            "space": space,
        },
        budget={"updates": 4_000, "reports": 40},
        prune={"risk": 0.02, "audit": 0.1, "then": "none"},
    )
    memory = MemoryRecorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "make_pruner", ranking)  # in the driver alone
        result = run_sweep(spec, [memory, MlflowRecorder(spec.tracking.uri or "", "ganray")])
    return spec, result, memory


def test_each_rigged_trial_ends_as_rigged(sweep) -> None:
    _, result, memory = sweep
    assert result.outcomes == OUTCOMES
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
        Outcome.OUTRANKED: TrialState.PRUNED,
    }
    for outcome, number in NUMBERS.items():
        trial = trials[number]
        assert trial.state is states[outcome], outcome
        assert trial.user_attrs["outcome"] == outcome
        assert set(trial.constraints) == {"dead"}
        infeasible = outcome in {Outcome.COLLAPSED, Outcome.DIVERGED}
        assert (trial.constraints["dead"] > 0) == infeasible


def runs_of(spec: SweepSpec) -> dict[int, Run]:
    client = MlflowClient(spec.tracking.uri)
    experiment = client.get_experiment_by_name("ganray")
    runs = client.search_runs([experiment.experiment_id], "tags.`ganray.kind` = 'trial'")
    return {int(run.data.tags["ganray.trial"]): run for run in runs}


def artifacts_of(spec: SweepSpec, run: Run) -> dict[str, Path]:
    client = MlflowClient(spec.tracking.uri)
    return {
        file.path: Path(client.download_artifacts(run.info.run_id, file.path))
        for file in client.list_artifacts(run.info.run_id)
        if not file.is_dir
    }


def test_mlflow_has_each_outcome_with_status_and_reason(sweep) -> None:
    spec, _, memory = sweep
    statuses = {Outcome.COMPLETED: "FINISHED", Outcome.CRASHED: "FAILED"}
    runs = runs_of(spec)
    assert set(runs) == set(OUTCOMES)
    for number, run in runs.items():
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
        assert "mode" in memory.endings[NUMBERS[outcome]].reason
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


# --- the grounds of every stop --------------------------------------------------------------------


@pytest.mark.parametrize("outcome", STOPPED)
def test_stopped_trial_has_its_grounds_in_mlflow(outcome: Outcome, sweep) -> None:
    spec, _, memory = sweep
    number = NUMBERS[outcome]
    run, ending = runs_of(spec)[number], memory.endings[number]
    found = artifacts_of(spec, run)
    best = {"best.png"} if ending.objective is not None else set()  # never defined, if it blew up
    assert set(found) == {"stop.png", "stop.json", *best}
    assert bool(best) is (outcome is not Outcome.DIVERGED)
    grounds = json.loads(found["stop.json"].read_text())
    last = ending.history[-1]
    assert (grounds["update"], grounds["outcome"]) == (last.update, outcome)
    assert grounds["reason"] == ending.reason == run.data.tags["ganray.reason"]
    assert grounds["rule"] == run.data.tags["ganray.rule"] != ""
    assert grounds["signals"] == last.to_dict()
    assert {"thresholds", "recovery"} < set(grounds)


KEEPING = [Outcome.COLLAPSED, Outcome.STALLED, Outcome.OUTRANKED, Outcome.COMPLETED]


@pytest.mark.parametrize("outcome", KEEPING)
def test_trial_keeps_its_best_checkpoint_and_one_that_completed_its_last(
    outcome: Outcome, sweep
) -> None:
    spec, _, memory = sweep
    number = NUMBERS[outcome]
    run, history = runs_of(spec)[number], memory.endings[number].history
    folder = Path(run.data.tags["ganray.files"])
    kept = sorted(path.name for path in folder.glob("*.pt"))
    completed = outcome is Outcome.COMPLETED
    assert kept == (["best.pt", "checkpoint.pt"] if completed else ["best.pt"])
    best = folder / "best.pt"
    assert run.data.tags["ganray.best_checkpoint"] == str(best)
    defined = [signals for signals in history if signals.distance is not None]
    expected = min(defined, key=lambda signals: signals.distance or 0.0).update
    assert load(best.read_bytes())["state"]["update"] == expected
    if completed:
        last = load((folder / "checkpoint.pt").read_bytes())["state"]["update"]
        assert last == history[-1].update


def test_samples_may_be_drawn_from_either_checkpoint(sweep) -> None:
    spec, _, _ = sweep
    number = NUMBERS[Outcome.COMPLETED]
    folder = Path(runs_of(spec)[number].data.tags["ganray.files"])
    for at, name in (("last", "checkpoint.pt"), ("best", "best.pt")):
        content = recorded_checkpoint("rigged", str(number), at, spec.tracking.uri)
        assert content == (folder / name).read_bytes()
        assert draw_samples(content, 64, 0, None).shape == (64, 2)


def test_audited_trial_ran_on_and_says_what_would_have_stopped_it(sweep) -> None:
    spec, _, memory = sweep
    run, ending = runs_of(spec)[AUDITED], memory.endings[AUDITED]
    assert ending.audited
    assert ending.history[-1].update == 4_000
    assert run.data.tags["ganray.would_be_outcome"] == "stalled"
    assert run.data.tags["ganray.ending"] == "bad"
    assert "ganray.rule" not in run.data.tags
    found = artifacts_of(spec, run)
    assert set(found) == {"best.png", "stop.png", "would_be.json"}
    frame = summarize("rigged", spec.tracking.uri)
    row = frame.set_index("trial").loc[AUDITED]
    assert (row["would_be_outcome"], row["ending"]) == ("stalled", "bad")
    update = json.loads(found["would_be.json"].read_text())["update"]
    assert row["would_be_stopped_at"] == update / 4_000 < 1.0
    assert audit(frame) == Audit(stops=4, ran_on=1, healthy=0)


def test_ledger_is_the_same_in_mlflow_and_in_the_summary(sweep) -> None:
    spec, _, memory = sweep
    client = MlflowClient(spec.tracking.uri)
    experiment = client.get_experiment_by_name("ganray")
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`ganray.kind` = 'sweep'")
    frame = ledger(summarize("rigged", spec.tracking.uri)).set_index("rule")
    total = frame.loc["total"]
    for name in AMOUNT_COLUMNS:
        assert parent.data.metrics[f"ledger/{name}"] == pytest.approx(total[name])
    ends = [ending.history[-1].update for ending in memory.endings.values() if ending.history]
    assert total["used_updates"] == sum(ends)
    stopped = [memory.endings[NUMBERS[outcome]].history[-1].update for outcome in STOPPED]
    assert total["saved_updates"] == pytest.approx(sum(4_000 - update for update in stopped))
    assert total["surely_saved_updates"] < total["saved_updates"]
    assert frame.loc["RanksOne", "surely_saved_updates"] == 0.0


def test_best_generator_is_a_model_that_draws_as_its_checkpoint(sweep) -> None:
    spec, _, _ = sweep
    client = MlflowClient(spec.tracking.uri)
    experiment = client.get_experiment_by_name("ganray")
    assert experiment is not None
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert (model.status, model.tags["ganray.sweep"]) == ("READY", "rigged")
    content = recorded_checkpoint("rigged", "best", "last", spec.tracking.uri)
    size = load(content)["config"]["latent_dim"]
    noise = torch.randn(8, size, generator=torch.Generator().manual_seed(3))
    drawn = mlflow.pyfunc.load_model(model.artifact_location).predict(noise.double().numpy())
    np.testing.assert_allclose(drawn, draw_samples(content, 8, 3, None), rtol=1e-4, atol=1e-5)

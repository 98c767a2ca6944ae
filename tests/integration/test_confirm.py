"""The best of a search run again with fresh seeds, and everybody agrees on what came of it."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient

from ganray import confirmation, summarize
from ganray.spec.models import SweepSpec
from ganray.summary import best_trial, rows
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import MemoryRecorder
from ganray.trial import Outcome, Signals, Verdict
from ganray.tuning import sweep as running
from ganray.tuning.confirm import find_config
from ganray.tuning.driver import run_sweep
from ganray.tuning.result import SweepResult
from ganray.tuning.roster import SweepLimits
from ganray.tuning.storage import open_storage
from tests.integration.conftest import make_spec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

SEARCHED, CONFIRMING = range(3), range(3, 7)
Sweep = tuple[SweepSpec, SweepResult, MemoryRecorder]


def small(folder: Path, name: str, **parts: Any) -> SweepSpec:
    space = {"loss": ["hinge", "lsgan"], "d_lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    search = {"sampler": "random", "trials": 3, "concurrency": 2, "space": space}
    confirm = {"top": 2, "seeds": 2}
    budget = {"updates": 100, "reports": 2}
    return make_spec(
        folder, name, **{"search": search, "confirm": confirm, "budget": budget, **parts}
    )


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Sweep:
    spec = small(tmp_path_factory.mktemp("confirmed"), "confirmed")
    memory = MemoryRecorder()
    recorders = [memory, MlflowRecorder(spec.tracking.uri or "", "ganray")]
    return spec, run_sweep(spec, recorders), memory


def test_all_trials_of_both_phases_ran_to_their_end(sweep: Sweep) -> None:
    _, result, memory = sweep
    assert result.outcomes == dict.fromkeys([*SEARCHED, *CONFIRMING], Outcome.COMPLETED)
    assert (result.cancelled, result.reason) == (False, None)
    assert memory.outcomes == result.outcomes
    assert memory.sweep is not None
    assert (memory.sweep.trials, memory.sweep.confirming, memory.confirming) == (3, 4, 4)
    assert all(memory.reports[number][-1].update == 100 for number in CONFIRMING)


def test_best_two_were_confirmed_with_seeds_of_their_own(sweep: Sweep) -> None:
    _, _, memory = sweep
    best = sorted(SEARCHED, key=lambda number: memory.endings[number].objective)[:2]
    assert [memory.trials[number].confirms for number in CONFIRMING] == best * 2
    for number in CONFIRMING:
        again, first = (memory.trials[n].params for n in (number, memory.trials[number].confirms))
        assert {k for k in again if again[k] != first[k]} == {"seed"}
    assert len({trial.params["seed"] for trial in memory.trials.values()}) == 7
    assert len({ending.objective for ending in memory.endings.values()}) == 7


def test_optuna_mlflow_tune_and_summary_agree(sweep: Sweep) -> None:
    spec, result, memory = sweep
    study = optuna.load_study(
        study_name="confirmed.confirm", storage=open_storage(spec, create=False)
    )
    frame = summarize("confirmed", spec.tracking.uri).set_index("trial")
    assert {number: Outcome(o) for number, o in frame["outcome"].items()} == result.outcomes
    assert list(frame["phase"]) == ["search"] * 3 + ["confirm"] * 4
    client = MlflowClient(spec.tracking.uri)
    for number, trial in zip(CONFIRMING, study.trials, strict=True):
        row, ending, record = frame.loc[number], memory.endings[number], memory.trials[number]
        tags = client.get_run(row["run_id"]).data.tags
        assert trial.user_attrs["outcome"] == tags["ganray.outcome"] == ending.outcome
        assert trial.value == row["objective"] == ending.objective
        assert trial.user_attrs["confirms"] == row["confirms"] == record.confirms
        assert row["ending"] == tags["ganray.ending"] == ending.ended
        assert find_config(spec, number)[1].seed == record.params["seed"]
        assert (Path(tags["ganray.files"]) / "checkpoint.pt").exists()
    folder = Path(spec.storage.results or "") / "confirmed" / "confirm-1"
    (state_file,) = folder.glob("experiment_state-*.json")
    trials = [json.loads(text) for text, _ in json.loads(state_file.read_text())["trial_data"]]
    ended = {trial["config"]["number"]: trial["status"] for trial in trials}
    assert ended == dict.fromkeys(CONFIRMING, "TERMINATED")


def test_confirmation_tells_each_configuration_over_its_seeds(sweep: Sweep) -> None:
    spec, _, memory = sweep
    frame = confirmation("confirmed", spec.tracking.uri)
    assert len(frame) == 2
    for row in rows(frame):
        seeds = [n for n in CONFIRMING if memory.trials[n].confirms == row["trial"]]
        values = sorted(memory.endings[n].objective or 0.0 for n in seeds)
        assert (row["seeds"], row["best"], row["worst"]) == (2, values[0], values[1])
        assert row["median"] == sum(values) / 2
        assert row["bad"] == sum(memory.endings[n].ended == "bad" for n in seeds) / 2
        assert row["objective"] == memory.endings[row["trial"]].objective
        assert row["loss"] == memory.trials[row["trial"]].params["loss"]
    best = best_trial(summarize("confirmed", spec.tracking.uri))
    assert best is not None
    assert best["trial"] in SEARCHED


class Interrupting(MemoryRecorder):
    """Does something at the first report of a trial."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        super().__init__()
        self._number, self._act = number, act

    def report(self, number: int, signals: Signals, verdict: Verdict, at: int) -> None:
        super().report(number, signals, verdict, at)
        if number == self._number and len(self.reports[number]) == 1:
            self._act()


def run_interrupted(spec: SweepSpec, number: int, act: Callable[[], object]) -> Sweep:
    memory = Interrupting(number, act)
    recorders = [memory, MlflowRecorder(spec.tracking.uri or "", "ganray")]
    result = run_sweep(spec, recorders)
    frame = summarize(spec.name, spec.tracking.uri)
    assert result.outcomes == {row["trial"]: row["outcome"] for row in rows(frame)}
    assert result.outcomes == {n: ending.outcome for n, ending in memory.endings.items()}
    assert frame.attrs["status"] == "KILLED"
    assert result.cancelled
    return spec, result, memory


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def one_by_one(folder: Path, name: str) -> SweepSpec:
    search = {"sampler": "random", "trials": 2, "concurrency": 1, "space": {"loss": ["hinge"]}}
    return small(folder, name, search=search, confirm={"top": 1, "seeds": 3})


def test_hours_that_end_during_the_confirmation_end_the_sweep_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = SweepLimits(None, 5)
    monkeypatch.setattr(running, "SweepLimits", lambda *given: limits)

    def be_over() -> None:
        limits._ends = 0.0

    spec, result, _ = run_interrupted(one_by_one(tmp_path, "hours"), 3, be_over)
    ended = [Outcome.COMPLETED] * 3 + [Outcome.CANCELLED]
    assert list(result.outcomes.values()) == ended
    assert result.reason == "the sweep's hours are over"
    (row,) = rows(confirmation("hours", spec.tracking.uri))
    assert row["seeds"] == 1  # what was cancelled tells nothing


def test_ctrl_c_during_the_confirmation_cancels_what_runs(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    _, result, _ = run_interrupted(one_by_one(tmp_path, "interrupted"), 3, press_ctrl_c)
    assert [result.outcomes[n] for n in (0, 1, 2)] == [Outcome.COMPLETED] * 3
    assert set(list(result.outcomes.values())[3:]) == {Outcome.CANCELLED}
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_during_the_search_leaves_nothing_to_confirm(tmp_path: Path) -> None:
    _, result, memory = run_interrupted(one_by_one(tmp_path, "early"), 1, press_ctrl_c)
    assert result.outcomes[0] is Outcome.COMPLETED
    assert memory.confirming is None

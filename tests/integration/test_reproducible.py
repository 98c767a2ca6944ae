"""The same seed gives the same trials with the same results."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ganray.cli.training import train_one
from ganray.tracking.recorder import MemoryRecorder
from ganray.trial import Outcome, Signals
from ganray.tuning.driver import run_sweep
from tests.integration.conftest import make_spec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

NOTHING: Mapping[str, Any] = {}
SPACE = {
    "loss": ["hinge", "lsgan", "wgan"],
    "d_steps": [1, 2],
    "d_lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "weight_clip": {"low": 0.01, "high": 1.0, "log": True, "when": {"loss": ["wgan"]}},
}


def untimed(signals: Signals) -> Signals:
    """Without what a clock measured."""
    return replace(signals, seconds=0.0, updates_per_second=None, measure_seconds=None)


def run(
    folder: Path, name: str, resources: Mapping[str, Any] = NOTHING, **search: Any
) -> MemoryRecorder:
    memory = MemoryRecorder()
    spec = make_spec(folder, name, search={"space": SPACE, **search}, resources=dict(resources))
    run_sweep(spec, [memory])
    return memory


def results(memory: MemoryRecorder) -> dict[int, Any]:
    return {
        number: (trial.params, [untimed(s) for s in memory.reports[number]])
        for number, trial in memory.trials.items()
    }


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_trials_do_not_depend_on_the_order_they_ran_in(tmp_path: Path, sampler: str) -> None:
    search = {"sampler": sampler, "trials": 4, "seed": 3}
    side_by_side = run(tmp_path, f"{sampler}-2", concurrency=2, **search)
    one_by_one = run(tmp_path, f"{sampler}-1", concurrency=1, **search)
    assert results(side_by_side) == results(one_by_one)


@pytest.mark.parametrize("slots", [2, "auto"])
def test_trials_do_not_depend_on_what_they_share_a_process_with(
    tmp_path: Path, slots: object
) -> None:
    search = {"sampler": "random", "trials": 5, "seed": 3, "concurrency": "auto"}
    in_slots = run(tmp_path, "slots", {"slots_per_gpu": slots}, **search)
    assert results(in_slots) == results(run(tmp_path, "processes", **search))


def test_trials_that_step_together_end_as_in_processes_of_their_own(tmp_path: Path) -> None:
    """The same outcomes, the same best trial; those that cannot step with others, bit for bit."""
    alone = {"penalty": ["none", "r1"]}
    space = {**SPACE, **alone, "g_lr": [1e-3, 1e30]}  # with which a trial diverges
    search = {"sampler": "random", "trials": 8, "seed": 3, "concurrency": "auto", "space": space}
    together = {"cpu": 2, "slots_per_gpu": 3, "fused": True}
    fused = run(tmp_path, "fused", together, **search)
    expected = run(tmp_path, "each", {"cpu": 2}, **search)  # with as many threads
    outcomes = fused.outcomes or {}
    assert set(outcomes.values()) == {Outcome.COMPLETED, Outcome.DIVERGED}
    assert outcomes == expected.outcomes
    assert best(fused) == best(expected)
    for number in (n for n, outcome in outcomes.items() if outcome is Outcome.COMPLETED):
        mine, its = results(fused)[number], results(expected)[number]
        assert (mine == its) == (its[0]["penalty"] == "r1")
        for one, other in zip(mine[1], its[1], strict=True):
            assert one.d_loss == pytest.approx(other.d_loss, rel=0.05)


def best(memory: MemoryRecorder) -> int | None:
    return None if memory.best is None else memory.best.number


def test_grid_trials_do_not_depend_on_the_order_they_ran_in(tmp_path: Path) -> None:
    space = {"loss": ["hinge", "lsgan"], "d_steps": [1, 2]}
    search = {"sampler": "grid", "trials": 9, "seed": 3, "space": space}
    side_by_side = run(tmp_path, "grid-2", concurrency=2, **search)
    assert results(side_by_side) == results(run(tmp_path, "grid-1", concurrency=1, **search))
    assert len(side_by_side.trials) == 4


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_samplers_that_learn_repeat_themselves_one_trial_at_a_time(
    tmp_path: Path, sampler: str
) -> None:
    search = {"sampler": sampler, "trials": 12, "seed": 3, "concurrency": 1}
    again = [run(tmp_path, f"{sampler}-{index}", **search) for index in (1, 2)]
    assert results(again[0]) == results(again[1])


def test_another_seed_gives_other_trials(tmp_path: Path) -> None:
    one, other = (run(tmp_path, f"s{s}", sampler="random", trials=2, seed=s) for s in (1, 2))
    assert results(one) != results(other)


def test_train_repeats_a_recorded_trial_exactly(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, "repeat")
    memory = MemoryRecorder()
    run_sweep(spec, [memory])
    assert untimed(train_one(spec, 2)) == untimed(memory.reports[2][-1])

"""Importance against planted truth: trials whose fate is made up from their parameters."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganray.spec.models import SweepSpec
from ganray.tuning.importance import Importance, importances
from tests.conftest import small_spec

SPACE: dict[str, Any] = {
    "loss": ["hinge", "lsgan", "minimax", "non_saturating"],
    "d_steps": [1, 2, 5],
    "d_grad_clip": [None, 1.0],
    "g_lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "d_lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "batch_size": {"low": 16, "high": 256},
}


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    return small_spec(tmp_path, search={"space": SPACE})


def draw(count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "loss": rng.choice(SPACE["loss"]),
            "d_steps": rng.choice(SPACE["d_steps"]),
            "d_grad_clip": rng.choice(SPACE["d_grad_clip"]),
            "g_lr": 10 ** rng.uniform(-4, -2),
            "d_lr": 10 ** rng.uniform(-4, -2),
            "batch_size": rng.randint(16, 256),
        }
        for _ in range(count)
    ]


DECIDERS: dict[str, Any] = {
    "loss": lambda trial: trial["loss"] == "minimax",
    "d_steps": lambda trial: trial["d_steps"] == 5,
    "d_grad_clip": lambda trial: trial["d_grad_clip"] is None,
    "g_lr": lambda trial: trial["g_lr"] > 2e-3,
    "batch_size": lambda trial: 60 < trial["batch_size"] < 140,
}


@pytest.mark.parametrize("parameter", DECIDERS)
def test_the_one_parameter_that_decides_comes_first_by_far(parameter: str, spec: SweepSpec) -> None:
    trials = draw(60)
    first, *rest = importances(spec, trials, [DECIDERS[parameter](trial) for trial in trials])
    assert first.parameter == parameter
    assert first.share > 0.7
    assert first.low > 0.5
    assert first.low <= first.share <= first.high <= 1.0
    assert all(other.share < 0.1 for other in rest)
    assert {other.parameter for other in rest} == set(SPACE) - {parameter}


def test_a_choice_explains_as_much_as_its_groups_differ(spec: SweepSpec) -> None:
    trials = [{"loss": loss} for loss in ("hinge", "lsgan") for _ in range(200)]
    hits = [index % 10 < (8 if index < 200 else 2) for index in range(400)]  # 80 % against 20 %
    found = importances(spec, trials, hits, resamples=5)[0]
    assert found.parameter == "loss"
    assert found.share == pytest.approx(0.36, abs=0.01)  # 0.3² / 0.25, less what chance gives


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_rare_and_frequent_hits_are_told_alike(share: float, spec: SweepSpec) -> None:
    trials = draw(300)
    cut = np.quantile([trial["d_lr"] for trial in trials], share)
    first = importances(spec, trials, [t["d_lr"] <= cut for t in trials], resamples=5)[0]
    assert first.parameter == "d_lr"
    assert 0.5 < first.share <= 1.0


def test_where_nothing_decides_no_interval_leaves_zero(spec: SweepSpec) -> None:
    leaving = 0
    for seed in range(5):
        rng = random.Random(seed)
        rows = importances(spec, draw(40, seed), [rng.random() < 0.4 for _ in range(40)])
        leaving += sum(row.low > 0.0 for row in rows)
        assert all(row.share < 0.35 for row in rows)
    assert leaving <= 4  # of 30, by 90 % intervals


WHEN = {"low": 0.001, "high": 1.0, "log": True, "when": {"loss": ["wgan"]}}


@pytest.fixture
def conditional(tmp_path: Path) -> SweepSpec:
    space = {"loss": ["wgan", "hinge"], "weight_clip": WHEN, "g_steps": [1, 2]}
    return small_spec(tmp_path, search={"space": space})


def clipped(count: int) -> list[dict[str, Any]]:
    rng = random.Random(1)
    return [
        {
            "loss": rng.choice(["wgan", "hinge"]),
            "weight_clip": 10 ** rng.uniform(-3, 0),
            "g_steps": rng.choice([1, 2]),
        }
        for _ in range(count)
    ]


def test_a_parameter_that_does_not_apply_gets_no_credit_for_what_it_depends_on(
    conditional: SweepSpec,
) -> None:
    trials = clipped(100)
    for trial in trials:
        if trial["loss"] != "wgan":
            trial["weight_clip"] = None
    by_name = shares(importances(conditional, trials, [t["loss"] == "wgan" for t in trials]))
    assert by_name["loss"] > 0.9
    assert by_name["weight_clip"] == 0.0


def test_the_default_of_a_parameter_that_does_not_apply_is_left_aside(
    conditional: SweepSpec,
) -> None:
    trials = clipped(100)
    for trial in trials:
        if trial["loss"] != "wgan":
            trial["weight_clip"] = 0.5  # as the record of a trial has what it did not use
    by_name = shares(importances(conditional, trials, [t["loss"] == "wgan" for t in trials]))
    assert by_name["weight_clip"] == 0.0


def test_a_conditional_parameter_is_important_among_the_trials_that_have_it(
    conditional: SweepSpec,
) -> None:
    trials = clipped(100)
    hits = [t["loss"] == "wgan" and t["weight_clip"] > 0.03 for t in trials]
    by_name = shares(importances(conditional, trials, hits))
    assert by_name["weight_clip"] > 0.2
    assert by_name["loss"] > 0.2
    assert by_name["g_steps"] < 0.05


def shares(rows: list[Importance]) -> dict[str, float]:
    return {row.parameter: row.share for row in rows}


def test_a_parameter_that_no_trial_has_is_listed_with_nothing(conditional: SweepSpec) -> None:
    trials = [{"loss": "hinge", "g_steps": 1 + index % 2} for index in range(20)]
    rows = importances(conditional, trials, [index % 2 == 0 for index in range(20)])
    assert Importance("weight_clip", 0.0, 0.0, 0.0) in rows


def test_the_same_seed_gives_the_same_numbers(spec: SweepSpec) -> None:
    trials = draw(30)
    hits = [trial["d_lr"] > 1e-3 for trial in trials]
    found = importances(spec, trials, hits, resamples=3, seed=4)
    assert importances(spec, trials, hits, resamples=3, seed=4) == found
    assert importances(spec, trials, hits, resamples=3, seed=5) != found


def test_what_cannot_be_answered_is_refused(spec: SweepSpec) -> None:
    with pytest.raises(ValueError, match=r"some of 3 hits must be true and some false"):
        importances(spec, draw(3), [True] * 3)
    with pytest.raises(ValueError, match=r"must be as many; got 3 and 2"):
        importances(spec, draw(3), [True, False])

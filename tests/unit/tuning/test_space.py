"""From the sweep file to points: ranges are kept exactly, conditions hold, numbers decide."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ganray.spec.models import SweepSpec
from ganray.trial import Outcome
from ganray.tuning.space import (
    _at,
    applicable,
    distributions,
    fixed_point,
    grid_points,
    make_sampler,
    suggest,
    trial_count,
)
from ganray.tuning.study import SweepStudy
from tests.conftest import signals_at, small_spec

Point = dict[str, Any]

RATES = {
    "d_lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "g_lr": {"low": 1e-5, "high": 1e-1, "log": True},
}
MIXED = {
    "loss": ["minimax", "hinge", "lsgan", "wgan"],
    "d_steps": {"low": 1, "high": 5},
    "d_lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "beta1": {"low": 0.0, "high": 0.9},
    "d_grad_clip": [None, 1.0],
    "weight_clip": {"low": 0.001, "high": 1.0, "log": True, "when": {"loss": ["wgan"]}},
}
STEPS = {
    "loss": ["hinge", "lsgan", "wgan"],
    "d_steps": {"low": 1, "high": 5, "step": 2},
    "beta1": {"low": 0.0, "high": 0.5, "step": 0.25},
}
BY_NUMBER = ["random", "qmc", "grid"]  # a point depends on the trial's number alone
BY_RESULTS = ["tpe", "gp", "cmaes"]


def sweep(space: Point, sampler: str = "random", **search: Any) -> SweepSpec:
    search = {"space": space, "sampler": sampler, "trials": 100, **search}
    return small_spec(Path(), search=search, trainer={"penalty": "lecam"})  # keeps WGAN's D bounded


def draw(spec: SweepSpec, trials: int) -> list[Point]:
    """The points of the first trials, none of which has ended."""
    study = optuna.create_study()
    points = []
    for number in range(trials):
        point = fixed_point(spec, number)
        if point is not None:
            study.enqueue_trial(point)
        study.sampler = make_sampler(spec, number)
        points.append(suggest(study.ask(), spec))
    return points


def objective(point: Point) -> float:
    """Best at rates of 1e-3 and 1e-4."""
    return abs(math.log10(point["d_lr"]) + 3.0) + abs(math.log10(point["g_lr"]) + 4.0)


def go_on(study: SweepStudy, trials: int, sign: float = 1.0) -> Iterator[Point]:
    """Run trials one after another, each with one report."""
    for _ in range(trials):
        asked = study.ask()
        assert asked is not None
        yield asked.searched
        study.report(asked.number, signals_at(100, distance=sign * objective(asked.searched)))
        study.finish(asked.number, Outcome.COMPLETED)


def in_memory(spec: SweepSpec) -> SweepStudy:
    return SweepStudy(spec, optuna.create_study())


# --- ranges ---------------------------------------------------------------------------------------


@given(st.floats(1e-12, 1e12), st.floats(1e-12, 1e12), st.booleans())
def test_range_of_fractions_is_kept_exactly(a: float, b: float, log: bool) -> None:
    low, high = sorted((a, b))
    spec = sweep({"d_lr": {"low": low, "high": high, "log": log}})
    found = distributions(spec)["d_lr"]
    assert found == FloatDistribution(low, high, log=log)
    assert found._contains(low)
    assert found._contains(high)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.booleans())
def test_range_of_whole_numbers_is_kept_exactly(a: int, b: int, log: bool) -> None:
    low, high = sorted((a, b))
    spec = sweep({"latent_dim": {"low": low, "high": high, "log": log}})
    assert distributions(spec)["latent_dim"] == IntDistribution(low, high, log=log)


@given(st.integers(1, 100), st.integers(1, 50), st.integers(0, 30))
def test_range_of_whole_steps_keeps_its_upper_end(low: int, step: int, steps: int) -> None:
    high = low + step * steps
    spec = sweep({"d_steps": {"low": low, "high": high, "step": step}}, "grid")
    assert distributions(spec)["d_steps"] == IntDistribution(low, high, step=step)
    values = sorted(point["d_steps"] for point in grid_points(spec))
    assert values == list(range(low, high + 1, step))


@given(st.integers(1, 80), st.integers(1, 9), st.integers(1, 9))
def test_range_of_decimal_steps_ends_at_the_given_numbers(low: int, step: int, steps: int) -> None:
    ends = {"low": low / 100, "high": (low + step * steps) / 100, "step": step / 100}
    spec = sweep({"d_lr": ends}, "grid")
    values = sorted(point["d_lr"] for point in grid_points(spec))
    assert distributions(spec)["d_lr"] == FloatDistribution(**ends)
    assert distributions(spec)["d_lr"].high == ends["high"]  # Optuna lowers an end off its steps
    assert (values[0], values[-1]) == (ends["low"], ends["high"])
    assert len(values) == steps + 1


def test_choices_are_kept_in_their_order() -> None:
    found = distributions(sweep({"loss": ["wgan", "hinge"], "d_grad_clip": [None, 1.0, 0.1]}))
    assert found["loss"] == CategoricalDistribution(["wgan", "hinge"])
    assert found["d_grad_clip"] == CategoricalDistribution([None, 1.0, 0.1])


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
def test_both_ends_of_every_countable_range_are_tried(sampler: str) -> None:
    whole = {"low": 1, "high": 4}
    space = {"d_steps": whole, "g_steps": {**whole, "log": True}, "beta1": STEPS["beta1"]}
    points = draw(sweep(space, sampler), 64)
    assert {point["d_steps"] for point in points} == {1, 2, 3, 4}
    assert {point["g_steps"] for point in points} == {1, 2, 3, 4}
    assert {point["beta1"] for point in points} == {0.0, 0.25, 0.5}


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
def test_continuous_range_is_filled_and_never_left(sampler: str) -> None:
    points = draw(sweep(RATES, sampler), 64)
    for name in RATES:
        exponents = [math.log10(point[name]) for point in points]
        assert -5.0 <= min(exponents) < -4.6
        assert -1.4 < max(exponents) <= -1.0
        assert np.median(exponents) == pytest.approx(-3.0, abs=0.6)  # even on the log scale


@pytest.mark.parametrize(
    "distribution",
    [
        IntDistribution(1, 9, log=True),
        IntDistribution(2, 8, log=True),
        IntDistribution(3, 7),
        FloatDistribution(0.1, 0.7),
        FloatDistribution(1e-5, 1e-2, log=True),
        FloatDistribution(0.0, 0.9, step=0.1),
        CategoricalDistribution(["a", "b", "c"]),
    ],
    ids=str,
)
def test_quasi_random_points_reach_the_ends_but_go_no_further(
    distribution: IntDistribution | FloatDistribution | CategoricalDistribution,
) -> None:
    first, last = _at(distribution, 0.0), _at(distribution, 1.0 - 2.0**-53)
    if isinstance(distribution, CategoricalDistribution):
        assert (first, last) == ("a", "c")
        return
    assert first == distribution.low
    assert distribution.low <= last <= distribution.high
    assert last == pytest.approx(distribution.high, rel=1e-12)


@pytest.mark.parametrize("sampler", [*BY_NUMBER, "tpe"])
def test_values_have_the_types_of_the_configuration(sampler: str) -> None:
    space = STEPS | {"d_grad_clip": [None, 1.0]}
    for point in draw(sweep(space, sampler), 20):
        assert type(point["loss"]) is str
        assert type(point["d_steps"]) is int
        assert type(point["beta1"]) is float
        assert type(point["d_grad_clip"]) in (float, type(None))


# --- conditions -----------------------------------------------------------------------------------

CHAIN = {
    "loss": ["hinge", "wgan"],
    "g_steps": [1, 2],
    "weight_clip": {"choices": [0.1, 0.2], "when": {"loss": ["wgan"]}},
    "d_steps": {"choices": [1, 3], "when": {"weight_clip": [0.1]}},
    "g_grad_clip": {"choices": [None, 1.0], "when": {"loss": ["wgan"], "g_steps": [2]}},
    "d_grad_clip": {"choices": [None, 1.0], "when": {"optimizer": ["rmsprop"]}},
    "beta2": {"choices": [0.9, 0.99], "when": {"optimizer": ["adam"]}},
}


@settings(max_examples=5)
@given(st.sampled_from([*BY_NUMBER, "tpe"]), st.sampled_from(["adam", "rmsprop"]), st.integers(0))
def test_parameter_is_there_if_and_only_if_its_condition_holds(
    sampler: str, optimizer: str, seed: int
) -> None:
    parts = {"space": CHAIN, "sampler": sampler, "trials": 100, "seed": seed % 2**31}
    spec = small_spec(Path(), search=parts, trainer={"optimizer": optimizer})
    points = draw(spec, min(40, trial_count(spec)))
    for point in points:
        assert ("weight_clip" in point) == (point["loss"] == "wgan")
        # a parent that does not apply has no value: what depends on it does not apply either
        assert ("d_steps" in point) == (point.get("weight_clip") == 0.1)
        assert ("g_grad_clip" in point) == (point["loss"] == "wgan" and point["g_steps"] == 2)
        assert ("d_grad_clip" in point) == (optimizer == "rmsprop")
        assert ("beta2" in point) == (optimizer == "adam")
    assert {"d_steps" in point for point in points} == {True, False}
    assert {"g_grad_clip" in point for point in points} == {True, False}


def test_condition_on_off_holds_where_the_parameter_is_off() -> None:
    clip = {"choices": [0.1], "when": {"d_grad_clip": [None]}}
    points = draw(sweep({"d_grad_clip": [None, 1.0], "weight_clip": clip}), 20)
    assert all(("weight_clip" in p) == (p["d_grad_clip"] is None) for p in points)
    assert {"weight_clip" in point for point in points} == {True, False}


def test_fixed_value_does_not_stand_in_for_a_searched_parent() -> None:
    clip = {"choices": [0.1, 0.2], "when": {"loss": ["wgan"]}}
    steps = {"choices": [1, 3], "when": {"weight_clip": [0.1]}}
    space = {"loss": ["hinge", "wgan"], "weight_clip": clip, "d_steps": steps}
    spec = small_spec(Path(), search={"space": space}, trainer={"weight_clip": 0.1})
    points = [point for point in draw(spec, 20) if point["loss"] == "hinge"]
    assert points
    assert all(set(point) == {"loss"} for point in points)


def test_parent_is_decided_before_what_depends_on_it() -> None:
    # `loss` comes before `optimizer` in a configuration, and after it here
    space = {"loss": {"choices": ["wgan"], "when": {"optimizer": ["rmsprop"]}}}
    spec = sweep(space | {"optimizer": ["adam", "rmsprop"]})
    assert list(distributions(spec)) == ["optimizer", "loss"]
    assert all(("loss" in p) == (p["optimizer"] == "rmsprop") for p in draw(spec, 10))


# --- points by number -----------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", BY_NUMBER)
def test_point_of_a_trial_does_not_depend_on_how_others_ended(sampler: str) -> None:
    spec = sweep(STEPS if sampler == "grid" else MIXED, sampler)
    orders: list[Sequence[int]] = [range(4), [3, 1, 0, 2], []]
    found = []
    for order in orders:
        study = in_memory(spec)
        batches = []
        for start in range(0, 12, 4):
            batches += [study.ask() for _ in range(4)]
            for offset in order:
                number = start + offset
                study.report(number, signals_at(100, distance=1.0 / (number + 1)))
                outcome = Outcome.COMPLETED if number % 3 else Outcome.COLLAPSED
                study.finish(number, outcome)
        found.append([(a.number, a.config) for a in batches if a is not None])
    assert len(found[0]) == 12
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("sampler", BY_NUMBER)
def test_other_seed_gives_other_points(sampler: str) -> None:
    space = STEPS if sampler == "grid" else MIXED
    assert draw(sweep(space, sampler, seed=1), 8) != draw(sweep(space, sampler, seed=2), 8)


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_no_point_comes_twice(sampler: str) -> None:
    points = draw(sweep(RATES, sampler), 50)
    assert len({tuple(point.values()) for point in points}) == 50


def test_grid_visits_every_point_once_and_ends() -> None:
    clip = {"choices": [0.1, 0.2], "when": {"loss": ["wgan"]}}
    names = ("loss", "d_steps", "beta1", "weight_clip")
    study = in_memory(sweep(STEPS | {"weight_clip": clip}, "grid"))
    points = []
    while (asked := study.ask()) is not None:
        points.append(tuple(asked.searched.get(name) for name in names))
    steps, betas = (1, 3, 5), (0.0, 0.25, 0.5)
    expected = [*product(["hinge", "lsgan"], steps, betas, [None])]
    expected += product(["wgan"], steps, betas, [0.1, 0.2])
    assert Counter(points) == Counter(expected)
    assert study.ask() is None


def test_grid_search_mixes_its_order_so_that_a_part_of_it_says_something() -> None:
    points = draw(sweep(STEPS, "grid"), 9)
    assert all(len({point[name] for point in points}) == 3 for name in STEPS)


@pytest.mark.parametrize(("trials", "first", "expected"), [(100, 0, 27), (100, 2, 29), (5, 2, 5)])
def test_grid_search_has_as_many_trials_as_points(trials: int, first: int, expected: int) -> None:
    points: list[Point] = [{"loss": "hinge"}] * first
    assert trial_count(sweep(STEPS, "grid", trials=trials, first=points)) == expected


def test_other_searches_have_as_many_trials_as_asked_for() -> None:
    assert [trial_count(sweep(STEPS, s, trials=41)) for s in ("tpe", "random", "qmc")] == [41] * 3


@pytest.mark.parametrize("first", [0, 1, 5])
def test_quasi_random_search_covers_choices_evenly(first: int) -> None:
    space = {
        "loss": ["minimax", "hinge", "lsgan", "wgan"],
        "d_steps": [1, 2, 3, 5],
        "g_steps": [1, 2],
        "optimizer": ["adam", "rmsprop"],
        "d_lr": RATES["d_lr"],
    }
    points = draw(sweep(space, "qmc", first=[{}] * first), first + 16)[first:]
    for name, times in {"loss": 4, "d_steps": 4, "g_steps": 8, "optimizer": 8}.items():
        assert set(Counter(point[name] for point in points).values()) == {times}, name
    eighths = Counter(int((math.log10(point["d_lr"]) + 5.0) * 2) for point in points)
    assert eighths == dict.fromkeys(range(8), 2)


# --- points by results ----------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", BY_RESULTS)
def test_points_follow_from_the_results_and_nothing_else(sampler: str) -> None:
    spec = sweep(RATES, sampler)
    same, again = (list(go_on(in_memory(spec), 12)) for _ in range(2))
    other = list(go_on(in_memory(spec), 12, sign=-1.0))
    assert same == again
    assert same[0] == other[0]
    assert same[-1] != other[-1]


@pytest.mark.parametrize("sampler", ["random", "qmc", "grid", "tpe", "cmaes"])
def test_study_that_is_opened_again_goes_on_as_if_it_had_never_been_closed(
    sampler: str, tmp_path: Path
) -> None:
    grid = {name: {"choices": [1e-4, 1e-3, 1e-2, 1e-1]} for name in RATES}
    space = grid if sampler == "grid" else RATES
    spec = small_spec(tmp_path, search={"space": space, "sampler": sampler, "trials": 14})
    whole = list(go_on(in_memory(spec), 14))
    parts = list(go_on(SweepStudy.create(spec), 6))
    parts += list(go_on(SweepStudy.load(spec), 8))
    assert parts == whole
    assert len({tuple(point.values()) for point in parts}) == 14


# --- first points ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [*BY_NUMBER, *BY_RESULTS])
def test_first_points_come_first_and_are_completed(sampler: str) -> None:
    given = [{"loss": "wgan", "d_steps": 5}, {"beta1": 0.25}, {}]
    points = draw(sweep(STEPS, sampler, first=given), 5)
    for point, expected in zip(points, given, strict=False):
        assert set(point) == set(STEPS)
        assert {name: point[name] for name in expected} == expected
    assert points[3] != points[4]


def test_first_point_may_set_what_is_not_searched() -> None:
    study = in_memory(sweep(STEPS, first=[{"loss": "wgan", "latent_dim": 3}]))
    asked = [study.ask(), study.ask()]
    assert [a.config.latent_dim for a in asked if a is not None] == [3, 16]
    assert [set(a.searched) for a in asked if a is not None] == [set(STEPS)] * 2


def test_points_of_the_sequence_follow_the_first_ones() -> None:
    first: list[Point] = [{"loss": "wgan"}] * 3
    plain, shifted = sweep(STEPS, "grid"), sweep(STEPS, "grid", first=first)
    assert [fixed_point(shifted, n) for n in range(3)] == first
    after = [fixed_point(shifted, n + 3) for n in range(27)]
    assert after == [fixed_point(plain, n) for n in range(27)] == grid_points(plain)


def test_samplers_that_learn_choose_by_themselves_after_the_first_points() -> None:
    spec = sweep(RATES, "tpe", first=[{"d_lr": 1e-3}])
    assert next(n for n in count() if fixed_point(spec, n) is None) == 1


def test_what_applied_to_a_trial_is_told_from_its_record(tmp_path: Path) -> None:
    space = {
        "loss": ["wgan", "hinge"],
        "weight_clip": {"low": 0.001, "high": 1.0, "when": {"loss": ["wgan"]}},
        "d_grad_clip": [None, 1.0],
    }
    spec = small_spec(tmp_path, search={"space": space})
    whole = {"loss": "wgan", "weight_clip": 0.5, "d_grad_clip": None, "beta1": 0.5}
    assert applicable(spec, whole) == {"loss": "wgan", "weight_clip": 0.5, "d_grad_clip": None}
    unused = {**whole, "loss": "hinge"}
    assert applicable(spec, unused) == {"loss": "hinge", "d_grad_clip": None}
    outside = {**whole, "weight_clip": 2.0, "d_grad_clip": 3.0}
    assert applicable(spec, outside) == {"loss": "wgan"}
    assert applicable(spec, {**whole, "weight_clip": None}) == {"loss": "wgan", "d_grad_clip": None}

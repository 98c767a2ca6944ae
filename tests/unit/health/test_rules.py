"""Thresholds: what a risk means for waiting, and which thresholds are refused."""

import math
from itertools import pairwise

import pytest

from ganray.health.rules import HealthRules

RISKS = [0.001, 0.01, 0.011, 0.02, 0.03, 0.05, 0.08, 0.1, 0.3, 0.5, 0.999]


def test_a_larger_risk_never_judges_later_nor_waits_longer():
    rules = [HealthRules.for_risk(risk, budget=1000) for risk in RISKS]
    for careful, bold in pairwise(rules):
        assert bold.earliest <= careful.earliest
        assert bold.patience <= careful.patience
    assert rules[0].earliest > rules[-1].earliest
    assert rules[0].patience > rules[-1].patience


@pytest.mark.parametrize("risk", RISKS)
def test_even_the_boldest_rules_warm_up_first_and_have_patience(risk):
    rules = HealthRules.for_risk(risk, budget=1000)
    assert rules.warm_up < rules.earliest < 1.0
    assert 0.1 <= rules.patience <= rules.earliest


@pytest.mark.parametrize(
    ("risk", "earliest", "patience"),
    [
        (0.01, 0.7, 0.35),
        (0.011, 0.6, 0.3),
        (0.02, 0.6, 0.3),
        (0.021, 0.45, 0.25),
        (0.05, 0.45, 0.25),
        (0.051, 0.35, 0.2),
        (0.1, 0.35, 0.2),
        (0.11, 0.25, 0.15),
        (0.99, 0.25, 0.15),
    ],
)
def test_a_risk_takes_the_step_that_it_does_not_exceed(risk, earliest, patience):
    rules = HealthRules.for_risk(risk, budget=1000)
    assert (rules.earliest, rules.patience, rules.budget) == (earliest, patience, 1000)


def test_the_defaults_are_those_of_a_risk_of_2_percent():
    assert HealthRules(budget=1000) == HealthRules.for_risk(0.02, budget=1000)


SHARES = ("warm_up", "earliest", "patience", "few_modes", "enough_modes")


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_times_and_mode_ratios_are_shares(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be within 0 and 1; got {value}"):
        HealthRules(budget=10, **{name: value})


@pytest.mark.parametrize("name", ["counted_quality", "saturated", "separable", "progress"])
def test_quality_saturation_and_progress_are_shares_too(name):
    for value in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=rf"{name} .*{value}"):
            HealthRules(budget=10, **{name: value})


@pytest.mark.parametrize("name", ["narrow", "frozen", "still_far", "exploded"])
def test_ratios_to_real_data_are_not_negative(name):
    for value in (-0.1, math.nan):
        with pytest.raises(ValueError, match=rf"{name} .*{value}"):
            HealthRules(budget=10, **{name: value})


@pytest.mark.parametrize("budget", [0, -5])
def test_a_budget_is_at_least_one_update(budget):
    with pytest.raises(ValueError, match=f"budget must be at least 1 update; got {budget}"):
        HealthRules(budget=budget)


def test_the_exit_level_of_modes_is_not_below_the_entry():
    with pytest.raises(ValueError, match=r"few_modes 0\.7 must not be above enough_modes 0\.6"):
        HealthRules(budget=10, few_modes=0.7)
    HealthRules(budget=10, few_modes=0.6, enough_modes=0.6)


def test_the_exit_level_of_saturation_is_not_above_the_entry():
    with pytest.raises(ValueError, match=r"separable 0\.95 .*saturated 0\.85"):
        HealthRules(budget=10, separable=0.95)
    HealthRules(budget=10, separable=0.85)


@pytest.mark.parametrize("name", SHARES)
def test_the_ends_of_a_share_are_allowed(name):
    HealthRules(budget=1, **{"few_modes": 0.0, "enough_modes": 1.0, name: 0.0})
    HealthRules(budget=1, **{"few_modes": 0.0, "enough_modes": 1.0, name: 1.0})

"""Thresholds: what a risk means, and which thresholds are refused."""

import math
from itertools import pairwise

import pytest

from ganray.health.recovery import fitted
from ganray.health.rules import DOUBTED, TRUSTED, HealthRules

RISKS = [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9, 0.999]


def test_a_larger_risk_takes_more_trials_for_hopeless():
    rules = [HealthRules.for_risk(risk, budget=1000) for risk in RISKS]
    for careful, bold in pairwise(rules):
        assert bold.hopeless >= careful.hopeless
        assert bold.doubted >= careful.doubted
        assert bold.trusted >= careful.trusted
    assert rules[-1].hopeless > rules[0].hopeless


@pytest.mark.parametrize("risk", RISKS)
def test_hopeless_is_the_level_below_which_that_share_of_healthy_trials_falls(risk):
    rules = HealthRules.for_risk(risk, budget=1000)
    calibration = fitted().calibration
    below = sum(lowest < rules.hopeless for lowest in calibration)
    assert below / len(calibration) <= risk
    assert rules.hopeless <= rules.doubted <= rules.trusted


def test_suspicion_does_not_depend_on_a_small_risk():
    for risk in (0.001, 0.02, 0.1):
        rules = HealthRules.for_risk(risk, budget=1000)
        assert rules.doubted == fitted().hopeless(DOUBTED)
        assert rules.trusted == fitted().hopeless(TRUSTED)


def test_the_defaults_are_those_of_a_risk_of_2_percent():
    assert HealthRules(budget=1000) == HealthRules.for_risk(0.02, budget=1000)


@pytest.mark.parametrize("risk", [0.0, 1.0, -0.1, math.nan])
def test_a_risk_is_above_0_and_below_1(risk):
    with pytest.raises(ValueError, match=f"risk must be above 0 and below 1; got {risk}"):
        HealthRules.for_risk(risk, budget=1000)


SHARES = ("warm_up", "patience", "few_modes", "counted_quality")


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_times_modes_and_quality_are_shares(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be within 0 and 1; got {value}"):
        HealthRules(budget=10, **{name: value})


@pytest.mark.parametrize("name", SHARES)
def test_the_ends_of_a_share_are_allowed(name):
    assert getattr(HealthRules(budget=1, **{name: 0.0}), name) == 0.0
    assert getattr(HealthRules(budget=1, **{name: 1.0}), name) == 1.0


@pytest.mark.parametrize("name", ["narrow", "frozen", "exploded"])
@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_ratios_to_real_data_are_not_negative(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be at least 0; got {value}"):
        HealthRules(budget=10, **{name: value})


@pytest.mark.parametrize("budget", [0, -5])
def test_a_budget_is_at_least_one_update(budget):
    with pytest.raises(ValueError, match=f"budget must be at least 1 update; got {budget}"):
        HealthRules(budget=budget)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({"hopeless": 1.0, "doubted": 0.5, "trusted": 2.0}, "hopeless 1.0 must not be above doubt"),
        ({"hopeless": 0.0, "doubted": 2.5, "trusted": 2.0}, "doubted 2.5 must not be above trust"),
        ({"hopeless": math.nan, "doubted": 0.5, "trusted": 2.0}, "hopeless nan must not be"),
    ],
)
def test_levels_rise_from_hopeless_to_trusted(levels, message):
    with pytest.raises(ValueError, match=message):
        HealthRules(budget=10, **levels)


def test_levels_may_be_equal():
    HealthRules(budget=10, hopeless=0.5, doubted=0.5, trusted=0.5)

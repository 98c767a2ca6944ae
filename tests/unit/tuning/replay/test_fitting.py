"""Fitting the estimate of recovery on histories whose rule is known."""

from dataclasses import replace

import numpy as np
import pytest

from ganray.health.judge import judge
from ganray.health.recovery import FEATURES
from ganray.health.rules import HealthRules
from ganray.trial import LOG_2, Signals
from ganray.tuning.replay.fitting import BAD, BETWEEN, HEALTHY, Example, fit
from tests.conftest import signals_at

BUDGET = 1_000


def trial(rng: np.random.Generator, target: float, late: bool = False) -> list[Signals]:
    """A healthy trial finds its modes after a while; a bad one does not; the rest is noise."""
    starts = rng.uniform(0.5, 0.7) if late else rng.uniform(0.1, 0.4)
    reports = []
    for update in range(50, BUDGET + 1, 50):
        arrived = target == HEALTHY and update > starts * BUDGET
        modes = rng.uniform(0.8, 1.0) if arrived else rng.uniform(0.0, 0.3)
        values = {"mode_ratio": modes, "distance": 0.1 if arrived else 1.0}
        values |= {"high_quality": rng.uniform(), "velocity": 0.1, "js": rng.uniform(0.0, LOG_2)}
        reports.append(signals_at(update, **values))
    return reports


def examples(count: int, seed: int = 0) -> list[Example]:
    rng = np.random.default_rng(seed)
    return [
        Example(trial(rng, target), BUDGET, f"setting {index}", target)
        for index in range(count)
        for target in (HEALTHY, BAD)
    ]


def test_the_fit_finds_what_tells_healthy_trials_from_bad_ones():
    model = fit(examples(30))
    healthy, bad = examples(1, seed=1)
    assert model.log_odds(healthy.reports, BUDGET) > 2.0
    assert model.log_odds(bad.reports, BUDGET) < -2.0
    noise = max(model.late["quality"], model.late["overlap"], model.late["motion"])
    assert model.late["modes"] + model.late["nearness"] > 4 * noise


def test_no_weight_is_negative_even_where_the_data_would_have_it():
    backwards = [replace(e, target=1.0 - e.target) for e in examples(20)]
    model = fit(backwards)
    assert all(weight >= 0.0 for side in (model.early, model.late) for weight in side.values())
    assert set(model.early) == set(model.late) == set(FEATURES)


def test_every_healthy_trial_is_calibrated_once_and_no_other():
    found = examples(20)
    found += [replace(found[0], setting=f"more {n}", target=BETWEEN) for n in range(5)]
    model = fit(found)
    assert len(model.calibration) == 20
    assert list(model.calibration) == sorted(model.calibration)


def test_the_same_examples_give_the_same_weights():
    assert fit(examples(10)) == fit(examples(10))


@pytest.mark.parametrize("risk", [0.05, 0.2])
def test_no_more_fresh_healthy_trials_are_stopped_than_the_risk_says(risk):
    model = fit(examples(60))
    rules = HealthRules.for_risk(risk, BUDGET, model)
    fresh = [e for e in examples(100, seed=2) if e.target == HEALTHY]
    stopped = sum(
        any(judge(e.reports[:n], rules).state.is_dead for n in range(1, len(e.reports) + 1))
        for e in fresh
    )
    assert stopped / len(fresh) <= risk + 2.5 * np.sqrt(risk * (1 - risk) / len(fresh))


def test_seeds_of_one_setting_are_never_on_both_sides_of_a_calibration():
    """A setting whose seeds are told by a mark of their own must not vouch for each other."""
    rng = np.random.default_rng(3)
    found = examples(20)
    late = [Example(trial(rng, HEALTHY, late=True), BUDGET, "late", HEALTHY) for _ in range(10)]
    alone = fit([*found, *(replace(e, setting=f"late {n}") for n, e in enumerate(late))])
    together = fit([*found, *late])
    assert min(together.calibration) < min(alone.calibration)

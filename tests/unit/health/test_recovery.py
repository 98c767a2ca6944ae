"""The estimate of recovery: features, log odds, and the level that a risk stands for."""

import json
import math
from dataclasses import replace

import pytest

from ganray.health.recovery import FEATURES, RecoveryModel, features, fitted
from ganray.trial import LOG_2
from tests.conftest import signals_at

BUDGET = 1_000
WEIGHTS = dict.fromkeys(FEATURES, 1.0)
MODEL = RecoveryModel(
    early=WEIGHTS,
    late=dict.fromkeys(FEATURES, 2.0),
    bias=(-1.0, -3.0),
    calibration=(-4.0, -2.0, 0.0, 1.0),
)
GOOD = {
    "mode_ratio": 0.8,
    "distance": 0.01,
    "high_quality": 0.64,
    "js": 0.25 * LOG_2,
    "velocity": 0.1,
}
FOUND = {"modes": 0.8, "nearness": 2.0, "quality": 0.8, "overlap": 0.75, "motion": -1.0}
BEST = {
    "modes": 1.0,
    "nearness": -math.log10(0.003),
    "quality": 1.0,
    "overlap": 1.0,
    "motion": math.log10(3.0),
}
WORST = {"modes": 0.0, "nearness": -1.0, "quality": 0.0, "overlap": 0.0, "motion": -2.0}


def found(*reports: dict[str, object], every: int = 100) -> dict[str, float]:
    history = [signals_at(every * n, **values) for n, values in enumerate(reports, start=1)]
    return dict(zip(FEATURES, features(history, BUDGET), strict=True))


def test_features_of_one_report():
    assert found(GOOD) == pytest.approx(FOUND)


@pytest.mark.parametrize("missing", [None, math.nan])
def test_what_a_report_lacks_counts_as_worst(missing):
    assert found(GOOD, dict.fromkeys(GOOD, missing)) == WORST


@pytest.mark.parametrize("missing", [None, math.nan])
def test_what_no_report_has_speaks_against_nobody(missing):
    assert found(dict.fromkeys(GOOD, missing)) == pytest.approx(BEST)
    modes_unknown = {**GOOD, "mode_ratio": missing}
    assert found(modes_unknown, modes_unknown) == pytest.approx({**FOUND, "modes": 1.0})


@pytest.mark.parametrize(
    ("signal", "feature", "value", "expected"),
    [
        ("mode_ratio", "modes", 1.2, 1.0),
        ("distance", "nearness", -0.01, -math.log10(0.003)),
        ("distance", "nearness", 1e9, -1.0),
        ("distance", "nearness", math.inf, -1.0),
        ("high_quality", "quality", 1.0, 1.0),
        ("js", "overlap", LOG_2, 0.0),
        ("velocity", "motion", 1e9, math.log10(3.0)),
        ("velocity", "motion", 0.0, -2.0),
    ],
)
def test_features_are_bounded(signal, feature, value, expected):
    assert found({**GOOD, signal: value})[feature] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"js": 0.2, "joint_js": 0.5, "probe_js": 0.6}, 0.2),
        ({"js": None, "joint_js": 0.5, "probe_js": 0.6}, 0.5),
        ({"js": None, "probe_js": 0.6}, 0.6),
    ],
)
def test_overlap_is_by_the_first_bound_that_is_defined(bounds, expected):
    assert found({**GOOD, **bounds})["overlap"] == pytest.approx(1.0 - expected / LOG_2)


def test_features_are_means_over_the_last_tenth_of_the_budget():
    reports = [{**GOOD, "mode_ratio": n / 10} for n in range(1, 9)]
    assert found(*reports, every=25)["modes"] == pytest.approx((5 + 6 + 7 + 8) / 40)
    assert found(*reports, every=100)["modes"] == pytest.approx(0.8)


def test_log_odds_go_from_the_early_weights_to_the_late_ones():
    worth = sum(FOUND.values())
    for update, odds in ((0, worth - 1.0), (1_000, 2 * worth - 3.0), (500, 1.5 * worth - 2.0)):
        assert MODEL.log_odds([signals_at(update, **GOOD)], BUDGET) == pytest.approx(odds)


def test_beyond_its_budget_a_trial_is_as_at_its_end():
    late = [signals_at(5_000, **GOOD)]
    assert MODEL.log_odds(late, BUDGET) == MODEL.log_odds([signals_at(1_000, **GOOD)], BUDGET)


@pytest.mark.parametrize(
    ("risk", "level"),
    [(0.2, -4.0), (0.39, -4.0), (0.4, -2.0), (0.6, 0.0), (0.8, 1.0), (0.99, 1.0)],
)
def test_a_risk_stands_for_the_rank_that_conformal_prediction_gives_it(risk, level):
    assert MODEL.hopeless(risk) == level


def test_a_risk_beyond_what_the_calibration_can_tell_lowers_the_odds_in_proportion():
    assert MODEL.hopeless(0.1) == pytest.approx(-4.0 + math.log(0.5))
    assert MODEL.hopeless(0.02) == pytest.approx(-4.0 + math.log(0.1))


def test_weights_read_back_equal(tmp_path):
    MODEL.save(tmp_path / "model.json")
    assert RecoveryModel.load(tmp_path / "model.json") == MODEL


def test_weights_of_other_features_are_refused(tmp_path):
    path = tmp_path / "model.json"
    replace(MODEL, late={"modes": 1.0}).save(path)
    with pytest.raises(ValueError, match=r"model\.json: weights must be of modes, nearness"):
        RecoveryModel.load(path)


def test_the_weights_that_ship_are_fit_to_judge_by():
    model = fitted()
    assert all(weight >= 0.0 for side in (model.early, model.late) for weight in side.values())
    assert list(model.calibration) == sorted(model.calibration)
    assert len(model.calibration) >= 30
    assert all(map(math.isfinite, (*model.calibration, *model.bias)))


def test_the_file_of_weights_is_strict_json(tmp_path):
    MODEL.save(tmp_path / "model.json")
    text = (tmp_path / "model.json").read_text()
    assert json.loads(text)["bias"] == [-1.0, -3.0]

"""How a trial ended is read off its last tenth, and what is missing there counts as worst."""

import pytest

from ganray.health.endings import ended, ended_with
from ganray.trial import Outcome, Signals
from tests.conftest import signals_at

GOOD = {"mode_ratio": 1.0, "distance": 0.01}
BAD = {"mode_ratio": 0.125, "distance": 0.9}


def reports(*values: dict[str, object]) -> list[Signals]:
    return [signals_at(10 * (index + 1), **one) for index, one in enumerate(values)]


@pytest.mark.parametrize(
    ("mode_ratio", "distance", "expected"),
    [
        (0.9, 0.1, "healthy"),
        (1.05, -0.01, "healthy"),
        (0.899, 0.1, "between"),
        (0.9, 0.101, "between"),
        (0.5, 0.4, "between"),
        (0.499, 0.01, "bad"),
        (1.0, 0.401, "bad"),
        (None, 0.01, "bad"),
        (1.0, None, "bad"),
        (float("nan"), 0.01, "bad"),
        (1.0, float("nan"), "bad"),
    ],
)
def test_ending_needs_both_many_modes_and_a_small_distance(mode_ratio, distance, expected):
    assert ended(reports({"mode_ratio": mode_ratio, "distance": distance})) == expected


@pytest.mark.parametrize(("count", "last"), [(1, 1), (10, 1), (14, 1), (20, 2), (40, 4)])
def test_only_the_last_tenth_of_the_reports_counts(count, last):
    assert ended(reports(*[BAD] * (count - last), *[GOOD] * last)) == "healthy"
    assert ended(reports(*[GOOD] * (count - last), *[BAD] * last)) == "bad"


def test_one_odd_report_of_the_last_tenth_changes_nothing():
    assert ended(reports(*[GOOD] * 29, BAD)) == "healthy"
    assert ended(reports(*[GOOD] * 29, {})) == "healthy"
    assert ended(reports(*[GOOD] * 28, {}, {})) == "bad"


def test_trial_that_was_not_finite_or_never_reported_ended_badly():
    assert ended(reports(*[GOOD] * 9, GOOD | {"nonfinite": "loss of D"})) == "bad"
    assert ended([]) == "bad"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.COMPLETED, "healthy"),
        (Outcome.DIVERGED, "bad"),
        (Outcome.CRASHED, "bad"),
        (Outcome.COLLAPSED, None),
        (Outcome.STALLED, None),
        (Outcome.OUTRANKED, None),
        (Outcome.CANCELLED, None),
    ],
)
def test_nobody_knows_how_a_trial_that_was_stopped_would_have_ended(outcome, expected):
    assert ended_with(outcome, reports(GOOD)) == expected

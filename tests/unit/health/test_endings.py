"""How a trial ended: what every rule of pruning is judged by."""

import math
from typing import Any

import pytest

from ganray.health.endings import ended
from ganray.trial import Signals
from tests.conftest import signals_at

HEALTHY = {"mode_ratio": 0.95, "distance": 0.05}
BAD = {"mode_ratio": 0.2, "distance": 0.05}


def history(*reports: dict[str, Any]) -> list[Signals]:
    return [signals_at(10 * (i + 1), **values) for i, values in enumerate(reports)]


@pytest.mark.parametrize(
    ("modes", "distance", "end"),
    [
        (0.9, 0.1, "healthy"),
        (1.0, -0.01, "healthy"),
        (0.89, 0.1, "between"),
        (0.9, 0.11, "between"),
        (0.5, 0.4, "between"),
        (0.49, 0.1, "bad"),
        (0.9, 0.41, "bad"),
        (None, 0.1, "bad"),
        (0.9, None, "bad"),
        (math.nan, 0.1, "bad"),
        (0.9, math.inf, "bad"),
    ],
)
def test_ending_is_told_by_modes_and_distance(
    modes: float | None, distance: float | None, end: str
) -> None:
    assert ended(history({"mode_ratio": modes, "distance": distance})) == end


@pytest.mark.parametrize("kind", ["loss of D", "samples"])
def test_what_is_not_finite_ended_bad(kind: str) -> None:
    assert ended(history(*[HEALTHY] * 39, {"nonfinite": kind})) == "bad"


@pytest.mark.parametrize(
    ("last", "end"),
    [
        ([HEALTHY] * 4, "healthy"),
        ([HEALTHY, BAD, HEALTHY, HEALTHY], "healthy"),  # one odd report decides nothing
        ([HEALTHY, BAD, BAD, BAD], "bad"),
        ([HEALTHY, {}, {}, HEALTHY], "bad"),  # half of them undefined
    ],
)
def test_final_value_is_the_median_of_the_last_tenth(last: list[dict[str, Any]], end: str) -> None:
    assert ended(history(*[BAD] * 36, *last)) == end


def test_few_reports_are_judged_by_the_last() -> None:
    assert ended(history(*[BAD] * 27, *[HEALTHY] * 3)) == "healthy"
    assert ended(history(BAD, BAD, HEALTHY)) == "healthy"
    assert ended(history(HEALTHY, HEALTHY, BAD)) == "bad"


def test_trial_without_a_report_has_no_ending() -> None:
    with pytest.raises(ValueError, match="without a report"):
        ended([])

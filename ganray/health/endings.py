"""How good a trial was in the end, whatever the judge said on the way: the truth about verdicts."""

import math
import statistics
from collections.abc import Sequence

from ganray.trial import Ended, Outcome, Signals

BAD_MODES = 0.5  # mode ratio below which a trial ended badly
BAD_DISTANCE = 0.4  # distance above which it did
HEALTHY_MODES = 0.9  # mode ratio from which it ended well, if its distance says so, too
HEALTHY_DISTANCE = 0.1
FINAL = 0.1  # share of the reports, from the last backwards, whose median counts


def ended(reports: Sequence[Signals]) -> Ended:
    """What the last tenth of a trial's reports says, at least one of them.

    Args:
        reports: of the whole trial, oldest first.

    Returns:
        `bad` also of a trial that was not finite or never reported. What is not defined at a report
        counts there as the worst value.
    """
    if not reports or any(s.nonfinite is not None for s in reports):
        return "bad"
    last = reports[-max(1, round(FINAL * len(reports))) :]
    modes, distance = _medians(last)
    if modes < BAD_MODES or distance > BAD_DISTANCE:
        return "bad"
    return "healthy" if is_healthy(last) else "between"


def is_healthy(reports: Sequence[Signals]) -> bool:
    """Whether a trial was healthy over these reports, by their medians."""
    modes, distance = _medians(reports)
    return modes >= HEALTHY_MODES and distance <= HEALTHY_DISTANCE


def ended_with(outcome: Outcome, reports: Sequence[Signals]) -> Ended | None:
    """How a trial with this outcome ended; None if it was stopped, so that nobody knows."""
    match outcome:
        case Outcome.DIVERGED | Outcome.CRASHED:
            return "bad"
        case Outcome.COMPLETED:
            return ended(reports)
    return None


def _medians(reports: Sequence[Signals]) -> tuple[float, float]:
    """Of `mode_ratio` and of `distance`."""
    modes = statistics.median(_or(s.mode_ratio, 0.0) for s in reports)
    return modes, statistics.median(_or(s.distance, math.inf) for s in reports)


def _or(value: float | None, worst: float) -> float:
    return worst if value is None or math.isnan(value) else value

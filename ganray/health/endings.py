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
    modes = statistics.median(0.0 if s.mode_ratio is None else s.mode_ratio for s in last)
    distance = statistics.median(math.inf if s.distance is None else s.distance for s in last)
    if modes < BAD_MODES or distance > BAD_DISTANCE:
        return "bad"
    return "healthy" if modes >= HEALTHY_MODES and distance <= HEALTHY_DISTANCE else "between"


def ended_with(outcome: Outcome, reports: Sequence[Signals]) -> Ended | None:
    """How a trial with this outcome ended; None if it was stopped, so that nobody knows."""
    match outcome:
        case Outcome.DIVERGED | Outcome.CRASHED:
            return "bad"
        case Outcome.COMPLETED:
            return ended(reports)
    return None

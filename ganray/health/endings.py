"""How a trial that was let run ended, in the words that pruning is judged by.

A rule that stopped a trial which would have ended healthy made a mistake; one that stopped a trial
which would have ended bad saved its compute.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Literal

from ganray.trial import Signals

End = Literal["bad", "healthy", "between"]

LAST_SHARE = 0.1  # of the reports, whose median is the final value
BAD_MODES = 0.5  # mode_ratio below which a trial ended bad
BAD_DISTANCE = 0.4  # distance above which it did
HEALTHY_MODES = 0.9  # mode_ratio from which it ended healthy, if its distance is small, too
HEALTHY_DISTANCE = 0.1


def ended(reports: Sequence[Signals]) -> End:
    """How a trial ended, by the medians of `mode_ratio` and `distance` over its last tenth.

    Args:
        reports: all of a trial that used its whole budget, or stopped being finite; oldest first.

    Returns:
        What is not finite is bad; a signal that is not defined counts as the worst there is.

    Raises:
        ValueError: there is no report.
    """
    if not reports:
        raise ValueError("a trial without a report has no ending")
    if reports[-1].nonfinite is not None:
        return "bad"
    last = reports[-max(1, round(LAST_SHARE * len(reports))) :]
    modes = _median(last, lambda signals: signals.mode_ratio, worst=0.0)
    distance = _median(last, lambda signals: signals.distance, worst=math.inf)
    if modes < BAD_MODES or distance > BAD_DISTANCE:
        return "bad"
    healthy = modes >= HEALTHY_MODES and distance <= HEALTHY_DISTANCE
    return "healthy" if healthy else "between"


def _median(
    reports: Sequence[Signals], signal: Callable[[Signals], float | None], worst: float
) -> float:
    values = (signal(report) for report in reports)
    return statistics.median(
        value if value is not None and math.isfinite(value) else worst for value in values
    )

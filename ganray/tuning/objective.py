"""What a trial is worth to the sampler, from its reports."""

import math
import statistics
from collections.abc import Sequence

from ganray.trial import Signals

_LAST_REPORTS = 3  # the objective is their median


def final_objective(reports: Sequence[Signals], metric: str) -> float | None:
    """The median of a signal's finite values in the last three reports; None if there are none."""
    last = [getattr(signals, metric) for signals in reports[-_LAST_REPORTS:]]
    finite = [value for value in last if value is not None and math.isfinite(value)]
    return statistics.median(finite) if finite else None

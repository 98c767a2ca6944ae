"""What became of a trial: the protocol, declared before any policy is looked at.

1. A final value is the median over the last tenth of the reports (at least one); where `mode_ratio`
   or `distance` is undefined it counts as worst. A trial that was cut short is `unknown`.
2. bad: ended not finite, or covers under half the modes, or is still far (distance above 0.4).
3. healthy: not bad, at least 90 % of the modes, distance at most 0.1. between: the rest.
4. top: in the best quarter of its data set by the objective, and not bad.
5. peaked: healthy by the same test over any tenth of its reports in a row: at its best checkpoint.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ganray.errors import DataError
from ganray.health.endings import (
    BAD_DISTANCE,
    BAD_MODES,
    HEALTHY_DISTANCE,
    HEALTHY_MODES,
    LAST_SHARE,
)
from ganray.trial import Signals
from ganray.tuning.objective import final_objective
from ganray.tuning.replay.histories import History

TOP = 0.25  # share of a data set's trials


class Kind(StrEnum):
    """How a trial turned out."""

    BAD = "bad"
    HEALTHY = "healthy"
    BETWEEN = "between"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of one trial in hindsight."""

    kind: Kind
    top: bool
    peaked: bool  # healthy at its best checkpoint
    best_report: int | None  # index of the report with the best objective, if any is defined


def label(histories: Sequence[History]) -> list[Truth]:
    """The truth of each history, in order.

    Raises:
        DataError: the modes of a data set were never counted, so that nothing can be called bad.
    """
    _refuse_uncounted(histories)
    top = _top(histories)
    return [
        Truth(kind_of(history), index in top, has_peaked(history), best_report(history))
        for index, history in enumerate(histories)
    ]


def kind_of(history: History) -> Kind:
    """How one trial turned out."""
    if not history.is_full:
        return Kind.UNKNOWN
    modes, distance = _medians(history.reports[-_window(history) :])
    if history.ended_nonfinite or modes < BAD_MODES or distance > BAD_DISTANCE:
        return Kind.BAD
    return Kind.HEALTHY if _is_healthy(modes, distance) else Kind.BETWEEN


def has_peaked(history: History) -> bool:
    """Whether a trial was healthy over any window: what its best checkpoint would have saved."""
    width = _window(history)
    starts = range(len(history.reports) - width + 1)
    return any(_is_healthy(*_medians(history.reports[i : i + width])) for i in starts)


def best_report(history: History) -> int | None:
    """The index of the report with the best objective; the first of equals."""
    sign = 1.0 if history.direction == "min" else -1.0
    values = [getattr(signals, history.metric) for signals in history.reports]
    found = [(sign * v, i) for i, v in enumerate(values) if v is not None and math.isfinite(v)]
    return min(found)[1] if found else None


def _top(histories: Sequence[History]) -> set[int]:
    """Indices of the best quarter of each data set, without the bad ones."""
    ranked: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for index, history in enumerate(histories):
        value = final_objective(history.reports, history.metric)
        if history.is_full:
            sign = 1.0 if history.direction == "min" else -1.0
            entry = (math.inf if value is None else sign * value, index)
            ranked.setdefault((history.data, history.metric), []).append(entry)
    best = [i for group in ranked.values() for _, i in sorted(group)[: _quarter(len(group))]]
    return {index for index in best if kind_of(histories[index]) is not Kind.BAD}


def _quarter(count: int) -> int:
    return math.ceil(TOP * count)


def _window(history: History) -> int:
    """In reports; of a trial that ended early, as if it had gone on."""
    full = len(history.reports) * history.budget / history.cost
    return max(1, round(LAST_SHARE * full))


def _medians(reports: Sequence[Signals]) -> tuple[float, float]:
    """Of `mode_ratio` and of `distance`."""
    modes = [_or(signals.mode_ratio, 0.0) for signals in reports]
    distances = [_or(signals.distance, math.inf) for signals in reports]
    return statistics.median(modes), statistics.median(distances)


def _or(value: float | None, worst: float) -> float:
    return worst if value is None or math.isnan(value) else value


def _is_healthy(modes: float, distance: float) -> bool:
    return modes >= HEALTHY_MODES and distance <= HEALTHY_DISTANCE


def _refuse_uncounted(histories: Sequence[History]) -> None:
    names = {history.data for history in histories}
    counted = {
        history.data
        for history in histories
        if any(signals.mode_ratio is not None for signals in history.reports)
    }
    if names - counted:
        raise DataError(
            f"no history of {', '.join(sorted(names - counted))} has a mode_ratio: where modes "
            "were never counted, no trial can be called bad or healthy"
        )

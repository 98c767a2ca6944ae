"""How likely a trial is to end healthy, given its reports so far: the estimate behind every stop.

A logistic regression on where a trial stands, how it got there and how much of its budget is left.
Its weights are fitted on unpruned histories (`ganray.tuning.replay.fitting`) and lie beside this
file; here they are only applied, so that judging needs nothing but the standard library.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

from ganray.trial import LOG_2, Signals

FITTED = Path(__file__).with_name("recovery.json")
NEAREST, FARTHEST = 0.003, 10.0  # distances beyond which nothing more is to be told
SLOWEST, FASTEST = 0.01, 3.0  # the same of velocities
BEYOND = 100.0  # extent of samples that are nowhere near the data
LATELY = 0.1  # share of the budget over which features are averaged


class Measure(NamedTuple):
    """One thing that a report says of a trial, and its value as a feature."""

    read: Callable[[Signals], float | None]
    worst: float  # the raw value of a report that lacks it
    best: float  # the raw value of a trial whose reports all lack it: nothing speaks against it
    feature: Callable[[float], float]

    def known(self, signals: Signals) -> float | None:
        """The raw value, or None."""
        value = self.read(signals)
        return None if value is None or math.isnan(value) else value


def _clipped(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _distance(signals: Signals) -> float | None:
    """Samples beyond all measure have no distance; that is not for want of measuring."""
    if signals.distance is None and signals.extent is not None and signals.extent > BEYOND:
        return FARTHEST
    return signals.distance


def _js(signals: Signals) -> float | None:
    """By D, or by a probe where D has no say of single samples."""
    bounds = (signals.js, signals.joint_js, signals.probe_js)
    return next((bound for bound in bounds if bound is not None), None)


_MEASURES: Mapping[str, Measure] = {
    "modes": Measure(lambda s: s.mode_ratio, 0.0, 1.0, lambda v: _clipped(v, 0.0, 1.0)),
    # powers of ten by which the samples are nearer than an untrained generator's
    "nearness": Measure(
        _distance,
        FARTHEST,
        NEAREST,
        lambda v: -math.log10(_clipped(v, NEAREST, FARTHEST)),
    ),
    "quality": Measure(
        lambda s: s.high_quality, 0.0, 1.0, lambda v: math.sqrt(_clipped(v, 0.0, 1.0))
    ),
    "overlap": Measure(_js, LOG_2, 0.0, lambda v: 1.0 - _clipped(v / LOG_2, 0.0, 1.0)),
    # powers of ten of the samples' motion: a generator that wanders may still arrive
    "motion": Measure(
        lambda s: s.velocity,
        SLOWEST,
        FASTEST,
        lambda v: math.log10(_clipped(v, SLOWEST, FASTEST)),
    ),
}
FEATURES = tuple(_MEASURES)


def features(history: Sequence[Signals], budget: int) -> tuple[float, ...]:
    """Where a trial stands, averaged over the last tenth of its budget, in the order of `FEATURES`.

    Each is larger for a trial with more hope, and never falls with more modes or a smaller distance
    at the last report, so that a better report never lowers the estimate. What one report lacks
    counts as worst; what none of them has, as best.

    Args:
        history: the reports so far, oldest first; at least one.
        budget: updates of a full trial.
    """
    start = history[-1].update - LATELY * budget
    return tuple(_lately(measure, history, start) for measure in _MEASURES.values())


def _lately(measure: Measure, history: Sequence[Signals], start: float) -> float:
    known = [measure.known(s) for s in history if s.update > start]
    if None in known:
        is_measured = any(measure.known(s) is not None for s in history)
        missing = measure.worst if is_measured else measure.best
        known = [missing if value is None else value for value in known]
    found = [measure.feature(value) for value in known if value is not None]
    return sum(found) / len(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryModel:
    """Weights of the estimate, at the start of a trial and at its end, and in between linearly.

    Args:
        early: a weight for each of `FEATURES`, none negative.
        late: the same at the full budget.
        bias: the log odds of a trial with all features 0, at the start and at the end.
        calibration: for every healthy trial that the weights were not fitted on, the least log odds
            that it ever had, in ascending order.
    """

    early: Mapping[str, float]
    late: Mapping[str, float]
    bias: tuple[float, float]
    calibration: tuple[float, ...]

    @classmethod
    def load(cls, path: Path = FITTED) -> Self:
        """The weights that a fit wrote.

        Raises:
            ValueError: they are not those of `FEATURES`.
        """
        found = json.loads(path.read_text())
        if set(found["early"]) != set(FEATURES) or set(found["late"]) != set(FEATURES):
            raise ValueError(f"{path}: weights must be of {', '.join(FEATURES)}")
        return cls(
            early=found["early"],
            late=found["late"],
            bias=(found["bias"][0], found["bias"][1]),
            calibration=tuple(found["calibration"]),
        )

    def save(self, path: Path = FITTED) -> None:
        """Write the weights; `load` reads them back equal."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def log_odds(self, history: Sequence[Signals], budget: int) -> float:
        """Log odds that the trial ends healthy, by its reports so far."""
        late = min(history[-1].update / budget, 1.0)
        found = (1.0 - late) * self.bias[0] + late * self.bias[1]
        for name, value in zip(FEATURES, features(history, budget), strict=True):
            found += ((1.0 - late) * self.early[name] + late * self.late[name]) * value
        return found

    def hopeless(self, risk: float) -> float:
        """The log odds below which no more than a share `risk` of healthy trials ever falls.

        The k-th smallest of n calibration values, with k = risk (n + 1) rounded down: a healthy
        trial that is exchangeable with them falls below it with a probability of about k/(n + 1).
        It would be at most that for one model; the values come from one a fold (cross-conformal),
        and seeds of one setting count as if they were independent. A risk below 1/(n + 1) is beyond
        what n trials can tell; there the odds are lowered in proportion.

        Source: Vovk 2015, Cross-conformal predictors (Ann. Math. Artif. Intell. 74).
        """
        n = len(self.calibration)
        rank = risk * (n + 1)
        if rank >= 1.0:
            return self.calibration[min(int(rank), n) - 1]
        return self.calibration[0] + math.log(rank)


@cache
def fitted() -> RecoveryModel:
    """The model that ganray ships."""
    return RecoveryModel.load()

"""What the confirming trials of a sweep say of each configuration: arithmetic on recorded rows."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from ganray.tracking import schema
from ganray.tracking.reader import TrialRow
from ganray.trial import Outcome


@dataclass(frozen=True, slots=True)
class Confirmed:
    """One configuration over fresh seeds; None where the value is that of a lost seed."""

    trial: int  # of the search
    seeds: int  # that ended by themselves
    median: float | None  # of the objective, as is all until `bad`
    worst: float | None
    best: float | None
    bad: float  # share of the seeds that ended badly
    healthy: float


def confirmed(trials: Iterable[TrialRow], direction: str) -> list[Confirmed]:
    """One row for each configuration with a confirming trial that ended, the best median first.

    A seed that diverged or crashed has no objective: it ranks behind every other. Cancelled trials
    and those that still run are left out.

    Args:
        trials: of a sweep; those of its search are passed over.
        direction: `min` or `max`.
    """
    seeds: dict[int, list[TrialRow]] = {}
    for trial in trials:
        if trial.confirms is not None and trial.outcome not in (None, Outcome.CANCELLED):
            seeds.setdefault(trial.confirms, []).append(trial)
    sign = 1.0 if direction == "min" else -1.0
    rows = [_confirmed(number, found, sign) for number, found in seeds.items()]
    return sorted(rows, key=lambda row: (_cost(row.median, sign), row.bad, row.trial))


def _confirmed(number: int, seeds: list[TrialRow], sign: float) -> Confirmed:
    costs = sorted(_cost(_objective(seed), sign) for seed in seeds)
    endings = [seed.ending for seed in seeds]
    return Confirmed(
        trial=number,
        seeds=len(seeds),
        median=_value(statistics.median(costs), sign),
        worst=_value(costs[-1], sign),
        best=_value(costs[0], sign),
        bad=endings.count("bad") / len(seeds),
        healthy=endings.count("healthy") / len(seeds),
    )


def _objective(seed: TrialRow) -> float | None:
    return seed.metrics.get(schema.OBJECTIVE) if seed.outcome == Outcome.COMPLETED else None


def _cost(objective: float | None, sign: float) -> float:
    """Smaller is better; infinite where there is none."""
    return math.inf if objective is None else sign * objective


def _value(cost: float, sign: float) -> float | None:
    return sign * cost if math.isfinite(cost) else None

"""How long trials look dead before they recover, if they do: Kaplan–Meier curves."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import CensoredData, ecdf

from ganray.health.endings import ended
from ganray.health.rules import WARM_UP
from ganray.trial import Signals
from ganray.tuning.replay.histories import History
from ganray.tuning.replay.intervals import Interval, wilson
from ganray.tuning.replay.truth import Kind, Truth

ALIVE_FOR = 2  # reports in a row that end a spell
LOOKS = (1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 5 / 6)  # of the budget


@dataclass(frozen=True, slots=True)
class Spell:
    """A trial's first time of looking dead, in shares of its budget."""

    start: float
    length: float
    recovered: bool  # else it lasted to the end of the trial


@dataclass(frozen=True, slots=True)
class Curve:
    """Of all spells, the share that have ended after so long; of some losses or all."""

    spells: int
    recovered: int
    lengths: tuple[float, ...]  # shares of the budget, ascending
    shares: tuple[float, ...]  # recovered by then, censoring allowed for
    low: tuple[float, ...]  # of a 95 % interval
    high: tuple[float, ...]

    def within(self, length: float) -> float:
        """The share of spells that end within `length`."""
        return self._at(self.shares, length)

    def interval(self, length: float) -> Interval:
        """95 % of that share; seeds of one setting count as if they were independent."""
        return self._at(self.low, length), self._at(self.high, length)

    def _at(self, values: Sequence[float], length: float) -> float:
        reached = [v for at, v in zip(self.lengths, values, strict=True) if at <= length]
        return reached[-1] if reached else 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """Of the trials that look dead at one time, how many end healthy."""

    at: float  # share of the budget
    dead: int
    healthy: int
    interval: Interval | None  # of the share, 95 %


def looks_dead(signals: Signals) -> bool:
    """Whether a trial that ended with this report would have ended bad."""
    return ended([signals]) == "bad"


def first_spell(history: History) -> Spell | None:
    """The first spell of looking dead after the warm-up; None if there is none."""
    judged = [s for s in history.reports if s.update >= WARM_UP * history.budget]
    start = next((i for i, s in enumerate(judged) if looks_dead(s)), None)
    if start is None:
        return None
    alive = 0
    for index in range(start, len(judged)):
        alive = 0 if looks_dead(judged[index]) else alive + 1
        if alive == ALIVE_FOR:
            end = judged[index - ALIVE_FOR + 1].update
            return _spell(judged[start].update, end, history.budget, recovered=True)
    # what is not finite would have stayed dead to the end of its budget
    end = history.budget if history.ended_nonfinite else judged[-1].update
    return _spell(judged[start].update, end, history.budget, recovered=False)


def _spell(start: int, end: int, budget: int, *, recovered: bool) -> Spell:
    return Spell(start / budget, (end - start) / budget, recovered)


def curve(spells: Sequence[Spell]) -> Curve:
    """The Kaplan–Meier estimate.

    Args:
        spells: at least one that recovered.

    Source: Kaplan and Meier 1958 (J. Am. Stat. Assoc. 53); intervals by Greenwood's formula on
    log(-log) scale, as SciPy has them.
    """
    over = [spell.length for spell in spells if spell.recovered]
    lasting = [spell.length for spell in spells if not spell.recovered]
    survival = ecdf(CensoredData(uncensored=over, right=lasting)).sf
    bounds = survival.confidence_interval(method="log-log")
    return Curve(
        spells=len(spells),
        recovered=len(over),
        lengths=tuple(map(float, survival.quantiles)),
        shares=tuple(1.0 - float(p) for p in survival.probabilities),
        low=tuple(1.0 - float(p) for p in bounds.high.probabilities),
        high=tuple(1.0 - float(p) for p in bounds.low.probabilities),
    )


def look(histories: Sequence[History], truths: Sequence[Truth], at: float) -> Look:
    """What became of the trials that look dead when `at` of their budget is used."""
    dead = [
        truth.kind is Kind.HEALTHY
        for history, truth in zip(histories, truths, strict=True)
        if truth.kind is not Kind.UNKNOWN and _looks_dead_at(history, at)
    ]
    return Look(at, len(dead), sum(dead), wilson(sum(dead), len(dead)))


def _looks_dead_at(history: History, at: float) -> bool:
    """By the report at that time, or the last before it; a trial that is over is not there."""
    if history.reports[-1].update < at * history.budget:
        return False
    until = [s for s in history.reports if s.update <= at * history.budget]
    return bool(until) and looks_dead(until[-1])

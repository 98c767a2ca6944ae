"""What to change next, where a sweep's trials say so: each rule with the numbers that support it.

A rule says nothing unless chance alone would hardly have made its finding. Trials of a sampler that
learns are no independent draws, though: what it once liked it tries again. So this is advice for
another sweep, not evidence for a paper.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ganray.report import words
from ganray.report.curves import ranked
from ganray.report.fates import told_trials
from ganray.spec.models import SweepSpec
from ganray.spec.parameters import Trainer
from ganray.spec.space import Choices, Range
from ganray.summary import Frame, audit, rows
from ganray.tracking.ledger import Audit, wilson
from ganray.trial import Cause
from ganray.tuning.space import applicable

CHANCE = 0.05  # that trials without any pattern are taken to have one, over all that is looked at
TOP_SHARE = 0.25  # of the completed trials are called best
FEWEST_TOP = 5  # fewer say nothing, whatever they have in common
EDGE = 0.1  # of a range, at either end
NEARLY_ALL = 0.8  # of a choice's trials failed, from which it may be dropped
FEWEST_FAILED = 5  # trials of a choice
STILL_FALLING = 2.0  # standard errors: by noise alone one trial in forty falls so far
LATE = 0.25  # of the search, its last part
LEARNERS = {"tpe", "gp", "cmaes"}  # samplers whose later trials should be better

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Advice:
    """What to change, and why."""

    do: str
    because: str


def advise(frame: Frame, spec: SweepSpec, confirmed: Sequence[Row]) -> list[Advice]:
    """All that the trials of a sweep say of the next one.

    Args:
        frame: of `summarize`.
        spec: the sweep.
        confirmed: the rows of `confirmation`.
    """
    trials = [row for row in rows(frame) if row["phase"] != "confirm"]
    best = find_top(trials, frame.attrs["direction"])
    told = [(applicable(spec, row), fate.is_failure) for row, fate in told_trials(frame)]
    return [
        *widen(spec, [applicable(spec, row) for row in best]),
        *drop(spec, told),
        *train_longer(best, spec.budget.updates),
        *search_longer(spec, best, len(trials)),
        *confirm_more(confirmed, frame.attrs["objective"]),
        *stop_less(audit(frame), frame.attrs["risk"]),
        *spare_memory(trials),
    ]


def find_top(trials: Sequence[Row], direction: str) -> list[Row]:
    """The best quarter of the completed trials, at least five; none of fewer than ten.

    Of nine trials the best five are most of them, and what most trials have in common is a matter
    of what was tried, not of what is good.

    Args:
        trials: of the search.
        direction: `min` or `max`.
    """
    order = ranked(trials, direction)
    if len(order) < 2 * FEWEST_TOP:
        return []
    found = {row["trial"]: row for row in trials}
    return [found[n] for n in order[: max(FEWEST_TOP, round(TOP_SHARE * len(order)))]]


def widen(spec: SweepSpec, best: Sequence[Row]) -> list[Advice]:
    """Ranges at whose end most of the best trials lie.

    An end is a tenth of the range, on the scale on which it was searched, or the last of choices
    that are numbers. It counts where more than half of the best lie there, and values that are
    spread evenly would do so with a probability below 5 % over all ends. A parameter beyond whose
    end there is no legal value has no such end.

    Args:
        spec: the sweep, for its search space.
        best: the searched parameters that applied to each of the best trials.
    """
    ends = [
        (name, end)
        for name, entry in spec.search.space.entries.items()
        for end in _ends(name, entry)
    ]
    found = []
    for name, end in ends:
        values = [row[name] for row in best if row.get(name) is not None]
        near = sum(end.holds(value) for value in values)
        if _is_remarkable(near, len(values), end.share, len(ends)):
            where = "below" if end.is_low else "above"
            do = f"Widen {name} {where} {words.setting(end.value)}"
            because = f"{near} of the {len(values)} best trials that have it lie at that end."
            found.append(Advice(do, because))
    return found


def drop(spec: SweepSpec, told: Sequence[tuple[Row, bool]]) -> list[Advice]:
    """Choices that nearly always fail where others do not.

    At least five trials had it and at least four fifths of these failed; and the 95 % interval
    (Wilson's) of the share that did not fail ends below where that of all other trials begins.

    Args:
        spec: the sweep, for its search space.
        told: of each trial that came to an end the searched parameters that applied to it, and
            whether it failed.
    """
    return [
        advice
        for name, entry in spec.search.space.entries.items()
        if isinstance(entry, Choices)
        for value in entry.choices
        for advice in _drop(name, value, [(row[name], bad) for row, bad in told if name in row])
    ]


def train_longer(best: Sequence[Row], updates: int) -> list[Advice]:
    """A larger budget, where most of the best trials still came nearer to real data at their end.

    `progress` tells by how many standard errors the distance fell over the last tenth of a trial.

    Args:
        best: of the trials.
        updates: the budget of each.
    """
    values = [row["progress"] for row in best if row["progress"] is not None]
    falling = sum(value > STILL_FALLING for value in values)
    if len(values) < FEWEST_TOP or 2 * falling <= len(values):
        return []
    because = (
        f"{falling} of the {len(values)} best trials still came nearer to real data over their "
        f"last tenth, by more than {STILL_FALLING:g} standard errors."
    )
    return [Advice(f"Give trials more than {updates:,} updates", because)]


def search_longer(spec: SweepSpec, best: Sequence[Row], trials: int) -> list[Advice]:
    """More trials, where most of the best ones came late to a sampler that learns.

    In no order at all, a quarter of them would be among the last quarter; it counts if so many are
    with a probability below 5 %.

    Args:
        spec: the sweep.
        best: of the trials.
        trials: how many there are.
    """
    late = sum(row["trial"] >= (1.0 - LATE) * trials for row in best)
    if spec.search.sampler not in LEARNERS or not _is_remarkable(late, len(best), LATE, 1):
        return []
    because = (
        f"{late} of the {len(best)} best are among the last quarter: {spec.search.sampler} still "
        "found better ones."
    )
    return [Advice(f"Give the search more than {trials} trials", because)]


def confirm_more(confirmed: Sequence[Row], objective: str) -> list[Advice]:
    """More seeds, where those of the two best configurations do not tell them apart.

    Each one's median then lies within the range of the other's seeds: a seed alone changes more
    than the configuration does. Where one has lost a seed, that tells them apart.

    Args:
        confirmed: the rows of `confirmation`, the best median first.
        objective: the signal.
    """
    if len(confirmed) < 2 or min(row["seeds"] for row in confirmed[:2]) < 2:
        return []
    first, second = confirmed[:2]
    if any(row[name] is None for row in (first, second) for name in ("median", "worst", "best")):
        return []
    if not (_within(first["median"], second) and _within(second["median"], first)):
        return []
    do = f"Confirm trials {first['trial']} and {second['trial']} with more seeds"
    because = (
        f"Their medians of {objective}, {words.number(first['median'])} and "
        f"{words.number(second['median'])}, lie within the range of each other's "
        f"{first['seeds']} and {second['seeds']} seeds."
    )
    return [Advice(do, because)]


def stop_less(found: Audit, risk: float | None) -> list[Advice]:
    """A smaller risk, where audited stops were wrong more often than that.

    The 95 % interval of the share of wrong ones begins above it.
    """
    low, _ = found.interval
    if risk is None or not found.ran_on or low <= risk:
        return []
    because = (
        f"{found.healthy} of the {found.ran_on} stops that ran on as audit ended healthy: at least "
        f"{words.share(low)}, where {words.share(risk)} was asked for."
    )
    return [Advice(f"Set prune.risk below {risk:g}", because)]


def spare_memory(trials: Iterable[Row]) -> list[Advice]:
    """More memory a trial, where one ran out of it; each had a second try."""
    count = sum(row["cause"] == Cause.OUT_OF_MEMORY for row in trials)
    if not count:
        return []
    because = f"{words.counted(count, 'trial')} ran out of memory, twice each."
    return [Advice("Give trials more memory, or smaller batches", because)]


# --- ends of what was searched --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _End:
    """One end of what a parameter may be."""

    value: float
    inner: float  # where it begins
    share: float  # of all values
    is_low: bool

    def holds(self, value: float) -> bool:
        """Whether a value lies there."""
        return value <= self.inner if self.is_low else value >= self.inner


def _ends(name: str, entry: Choices | Range) -> list[_End]:
    """Those beyond which the parameter has legal values."""
    found = _ends_of_choices(entry) if isinstance(entry, Choices) else _ends_of_range(entry)
    return [end for end in found if _is_legal(name, _beyond(end))]


def _ends_of_choices(entry: Choices) -> list[_End]:
    """Of numbers, without the choice of none; a single one has no ends, nor have names."""
    values = [value for value in entry.choices if value is not None]
    if len(values) < 2 or any(isinstance(v, bool | str) for v in values):
        return []
    low, high = min(values), max(values)
    share = 1.0 / len(values)
    return [_End(low, low, share, is_low=True), _End(high, high, share, is_low=False)]


def _ends_of_range(entry: Range) -> list[_End]:
    if entry.low == entry.high:
        return []
    share = EDGE
    if entry.is_countable:  # one of few values is more than a tenth of them
        steps = round((entry.high - entry.low) / (entry.step or 1))
        share = (math.floor(EDGE * steps) + 1) / (steps + 1)
    return [
        _End(entry.low, _between(entry, EDGE), share, is_low=True),
        _End(entry.high, _between(entry, 1.0 - EDGE), share, is_low=False),
    ]


def _between(entry: Range, share: float) -> float:
    if entry.log:
        return float(entry.low * (entry.high / entry.low) ** share)
    return float(entry.low + share * (entry.high - entry.low))


def _beyond(end: _End) -> float:
    """A value a little outside: a whole one next to a whole one, else a tenth more or less."""
    if isinstance(end.value, int):
        return end.value - 1 if end.is_low else end.value + 1
    outward = -1.0 if end.is_low else 1.0
    return end.value + outward * (0.1 * abs(end.value) or 0.1)


def _is_legal(name: str, value: float) -> bool:
    try:
        Trainer.model_validate({name: value})
    except ValidationError:
        return False
    return True


# --- what is more than chance ---------------------------------------------------------------------


def _is_remarkable(hits: int, total: int, share: float, looks: int) -> bool:
    """Whether most of at least five are hits, and chance hardly makes so many of a share.

    Args:
        hits: of them.
        total: how many there are.
        share: that is expected where there is no pattern.
        looks: how many such questions are asked of the same trials.
    """
    if total < FEWEST_TOP or 2 * hits <= total:
        return False
    tail = sum(
        math.comb(total, k) * share**k * (1.0 - share) ** (total - k)
        for k in range(hits, total + 1)
    )
    return tail * looks < CHANCE


def _drop(name: str, value: Any, told: Sequence[tuple[Any, bool]]) -> list[Advice]:
    mine = [failed for choice, failed in told if choice == value]
    others = [failed for choice, failed in told if choice != value]
    if len(mine) < FEWEST_FAILED or not others or sum(mine) < NEARLY_ALL * len(mine):
        return []
    most = wilson(len(mine) - sum(mine), len(mine))[1]
    least = wilson(len(others) - sum(others), len(others))[0]
    if most >= least:
        return []
    because = (
        f"{sum(mine)} of its {len(mine)} trials failed, against {sum(others)} of {len(others)} "
        "with other values."
    )
    return [Advice(f"Drop {name} {words.setting(value)}", because)]


def _within(value: float, row: Row) -> bool:
    """Whether a value lies within the range of a configuration's seeds, whichever end is better."""
    ends = (row["worst"], row["best"])
    return bool(min(ends) <= value <= max(ends))

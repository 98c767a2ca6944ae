"""What a policy's decisions would have been worth, against what became of the trials."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganray.trial import Outcome
from ganray.tuning.replay.histories import History
from ganray.tuning.replay.intervals import Interval, bootstrap_ratio, cluster_weights, wilson
from ganray.tuning.replay.policies import Policy, Stopped
from ganray.tuning.replay.truth import Kind, Truth

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one kind of trials, how many a policy stops."""

    total: int
    stopped: int
    before_best: int  # stopped before the report with their best objective
    wilson: Interval | None  # of the share stopped, 95 %, as if all trials were independent
    bootstrap: Interval | None  # the same by drawing settings: seeds of one setting hang together

    @property
    def share(self) -> float | None:
        """Stopped of all; None where there are none."""
        return self.stopped / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Saving:
    """The share of the compute that a policy saves."""

    gross: float  # of training alone
    net: float  # after what measuring up to the stop or the end took; may be negative
    bootstrap: Interval | None  # of `net`, 95 %, by drawing settings


@dataclass(frozen=True, slots=True)
class StoppedTrial:
    """One trial that a policy stops."""

    sweep: str
    trial: int
    kind: Kind
    top: bool
    update: int
    share: float  # of the budget
    outcome: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One policy on all histories."""

    policy: str
    tallies: dict[str, Tally]  # bad, healthy, between, unknown; top; peaked
    savings: dict[str, Saving | None]  # bad_updates, bad_seconds, all_updates, all_seconds
    median_stop: float | None  # share of the budget at which bad trials are stopped
    decisions: list[StoppedTrial]

    @property
    def lost(self) -> list[StoppedTrial]:
        """The healthy trials that are stopped."""
        return [decision for decision in self.decisions if decision.kind is Kind.HEALTHY]


def evaluate(
    policy: Policy,
    histories: Sequence[History],
    truths: Sequence[Truth],
    stops: Sequence[Stopped | None],
) -> Evaluation:
    """Set a policy's decisions against the truth.

    Args:
        policy: that made them.
        histories: all of them.
        truths: of each history.
        stops: of each history, the decision.
    """
    weights = cluster_weights([history.cluster for history in histories])
    members = _groups(truths)
    rows = (_decision(*row) for row in zip(histories, truths, stops, strict=True))
    decisions = [decision for decision in rows if decision is not None]
    at = [decision.share for decision in decisions if decision.kind is Kind.BAD]
    return Evaluation(
        policy=policy.name,
        tallies={name: _tally(group, truths, stops, weights) for name, group in members.items()},
        savings=_savings(histories, truths, stops, weights, measures=policy.measures),
        median_stop=statistics.median(at) if at else None,
        decisions=decisions,
    )


def bounds_note(histories: Sequence[History]) -> str | None:
    """What cannot be known because histories were cut short, or None."""
    cut = [history for history in histories if not history.is_full]
    if not cut:
        return None
    broken = sum(h.outcome in (Outcome.CRASHED, Outcome.CANCELLED) for h in cut)
    by = [
        f"{len(cut) - broken} by the pruner of their own sweep" if len(cut) > broken else "",
        f"{broken} crashed or cancelled" if broken else "",
    ]
    return (
        f"{len(cut)} of {len(histories)} histories were cut short "
        f"({', '.join(filter(None, by))}): what became of them is unknown, and what a later "
        "policy would have caught or saved there cannot be seen. The counts of trials stopped and "
        "the compute saved are lower bounds. All shares, and the regret, are of the "
        f"{len(histories) - len(cut)} histories that came to their end; the worst trials are "
        "missing from them, so they are no fair sample."
    )


def truth_counts(truths: Sequence[Truth]) -> dict[str, int]:
    """How many histories there are of each kind."""
    return {name: len(group) for name, group in _groups(truths).items()}


def _groups(truths: Sequence[Truth]) -> dict[str, list[int]]:
    groups = {kind.value: [i for i, t in enumerate(truths) if t.kind is kind] for kind in Kind}
    groups["top"] = [i for i, t in enumerate(truths) if t.top]
    ended = [i for i, t in enumerate(truths) if t.kind not in (Kind.HEALTHY, Kind.UNKNOWN)]
    return groups | {"peaked": [i for i in ended if truths[i].peaked]}


def _decision(history: History, truth: Truth, stop: Stopped | None) -> StoppedTrial | None:
    if stop is None:
        return None
    update = history.reports[stop.report].update
    return StoppedTrial(
        sweep=history.source,
        trial=history.number,
        kind=truth.kind,
        top=truth.top,
        update=update,
        share=update / history.budget,
        outcome=stop.outcome,
        rule=stop.rule,
        reason=stop.reason,
    )


def _tally(
    group: Sequence[int], truths: Sequence[Truth], stops: Sequence[Stopped | None], weights: Array
) -> Tally:
    counts: Counter[str] = Counter()
    hit, member = np.zeros(len(truths)), np.zeros(len(truths))
    for index in group:
        stop, best = stops[index], truths[index].best_report
        member[index] = 1.0
        if stop is not None:
            hit[index] = 1.0
            counts["stopped"] += 1
            counts["before_best"] += best is not None and stop.report < best
    return Tally(
        total=len(group),
        stopped=counts["stopped"],
        before_best=counts["before_best"],
        wilson=wilson(counts["stopped"], len(group)),
        bootstrap=bootstrap_ratio(weights, hit, member),
    )


def _savings(
    histories: Sequence[History],
    truths: Sequence[Truth],
    stops: Sequence[Stopped | None],
    weights: Array,
    *,
    measures: bool,
) -> dict[str, Saving | None]:
    """Of the trials whose end is known, all and the bad ones."""
    chosen = {
        "bad": np.array([t.kind is Kind.BAD for t in truths], dtype=np.float64),
        "all": np.array([t.kind is not Kind.UNKNOWN for t in truths], dtype=np.float64),
    }
    rows = [_costs(h, s, measures=measures) for h, s in zip(histories, stops, strict=True)]
    savings = {}
    for unit, column in (("updates", 0), ("seconds", 1)):
        total, saved, measuring = (np.array([row[k][column] for row in rows]) for k in range(3))
        for name, member in chosen.items():
            parts = (member * total, member * saved, member * measuring)
            savings[f"{name}_{unit}"] = _saving(*parts, weights)
    return savings


def _saving(total: Array, saved: Array, measuring: Array, weights: Array) -> Saving | None:
    if not total.sum() > 0:
        return None
    net = saved - measuring
    return Saving(
        gross=float(saved.sum() / total.sum()),
        net=float(net.sum() / total.sum()),
        bootstrap=bootstrap_ratio(weights, net, total),
    )


def _costs(
    history: History, stop: Stopped | None, *, measures: bool
) -> tuple[tuple[float, float], ...]:
    """(updates, seconds) of the whole trial, saved by the stop, and spent on measuring until then.

    Measuring has no updates: its seconds count as the updates that could be made in them.
    """
    last = history.reports[-1]
    end = history.reports[stop.report] if stop is not None else last
    until = [signals for signals in history.reports if signals.update <= end.update]
    measuring = sum(s.measure_seconds or 0.0 for s in until) if measures else 0.0
    rate = last.update / last.seconds if last.seconds > 0 else 0.0
    return (
        (last.update, last.seconds),
        (last.update - end.update, last.seconds - end.seconds),
        (measuring * rate, measuring),
    )

"""What pruning used and saved, and how often it was wrong: arithmetic on the summary's rows.

Rows are plain: a mapping a trial, under the names of the summary's columns, None where undefined.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Any, Final

from ganray.trial import NOT_FINITE, Outcome

Row = Mapping[str, Any]

PRUNED: Final = {outcome for outcome in Outcome if outcome.is_pruned}
NO_RULE: Final = "none"  # stopped these trials: they ran to their ends, crashed or were cancelled
NOT_STOPPED: Final = "not stopped"  # what a reader is told instead
CONFIRMING: Final = "confirming"  # trials, which no rule may stop
MEASURING: Final = "measuring"
TOTAL: Final = "total"
_MEANINGS: Final = {
    "few_modes": "its good samples cover few modes",
    "narrow": "all its samples are nearly one",
    "stalled": "its samples stay far from the data, or come near but too few are good",
    "exploded": "its samples lie far outside the data",
    NOT_FINITE: "a loss, gradient or sample was not a finite number",
}  # of the judge's rules
ENOUGH_AUDITED: Final = 10  # for their share of false prunes to be worth more than what was asked
Z_95: Final = 1.959963984540054  # of the standard normal, two-sided


def meanings(entries: Iterable[Row]) -> dict[str, str]:
    """What each rule saw in the trials that it stopped, of the rules that the ledger has."""
    other = {NO_RULE, CONFIRMING, MEASURING, TOTAL}
    outranked = "healthy, but worse than its peers"
    rules = [entry["rule"] for entry in entries if entry["rule"] not in other]
    return {rule: _MEANINGS.get(rule, outranked) for rule in rules}


def shown_rule(rule: str) -> str:
    """The first column of an entry, as a table shows it."""
    return NOT_STOPPED if rule == NO_RULE else rule


# --- audit ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of the trials that would have been stopped and were let run."""

    stops: int  # trials that pruning stopped or would have; what is not finite had to stop
    ran_on: int  # those that ran to their end as audit
    healthy: int  # those of them that ended healthy: false prunes

    @property
    def share(self) -> float | None:
        """Of false prunes among those that ran on; None where none did."""
        return self.healthy / self.ran_on if self.ran_on else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of that share; (0, 1) where none ran on."""
        return wilson(self.healthy, self.ran_on)


def audit(rows: Iterable[Row], *, ranked: bool = True) -> Audit:
    """Count the trials that were, or would have been, stopped.

    Args:
        rows: of all trials; confirming ones, which are never pruned, do not count.
        ranked: whether those count, too, that were healthy but worse than their peers.
    """
    chosen = [row for row in rows if ranked or _stopping(row) != Outcome.OUTRANKED]
    ran_on = [row for row in chosen if _ran_on(row)]
    return Audit(
        stops=sum(_is_pruned(row) for row in chosen) + len(ran_on),
        ran_on=len(ran_on),
        healthy=sum(row["ending"] == "healthy" for row in ran_on),
    )


def wilson(successes: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if not count:
        return 0.0, 1.0
    share, z2 = successes / count, Z_95**2
    centre = share + z2 / (2 * count)
    reach = Z_95 * math.sqrt(share * (1.0 - share) / count + z2 / (4 * count**2))
    low, high = ((centre + sign * reach) / (1.0 + z2 / count) for sign in (-1, 1))
    # at no or all successes an end is exactly 0 or 1, but for rounding
    return low if successes else 0.0, high if successes < count else 1.0


def _stopping(row: Row) -> str | None:
    """The outcome that pruning gave a trial, or would have given."""
    outcome: str | None = row["would_be_outcome"] if row["audited"] else row["outcome"]
    return outcome


def _ran_on(row: Row) -> bool:
    """Whether an audited trial shows how it would have ended; a crash does not."""
    shows = row["ending"] is not None and row["outcome"] != Outcome.CRASHED
    return bool(row["audited"]) and shows


def _is_stopped(row: Row) -> bool:
    """Whether a rule stopped a trial of the search before its budget was used up."""
    return row["phase"] != "confirm" and row["outcome"] in PRUNED


def _is_pruned(row: Row) -> bool:
    """Whether pruning stopped the trial, which could have gone on."""
    return not row["audited"] and _is_stopped(row) and row["rule"] != NOT_FINITE


# --- ledger ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compute:
    """An amount of computing, in three units."""

    updates: float = 0.0
    seconds: float = 0.0
    gpu_hours: float = 0.0

    def __add__(self, other: "Compute") -> "Compute":
        return Compute(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, factor: float) -> "Compute":
        return Compute(*(factor * value for value in astuple(self)))


NOTHING: Final = Compute()


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the ledger."""

    rule: str  # or `none`, `confirming`, `measuring`, `total`
    trials: int = 0
    used: Compute = NOTHING
    saved: Compute = NOTHING  # estimated
    surely_saved: Compute = NOTHING

    def __add__(self, other: "Entry") -> "Entry":
        return Entry(
            self.rule,
            self.trials + other.trials,
            self.used + other.used,
            self.saved + other.saved,
            self.surely_saved + other.surely_saved,
        )

    def flat(self) -> dict[str, Any]:
        """Plain values by name: those of `COLUMNS`."""
        amounts = (self.used, self.saved, self.surely_saved)
        values = [value for amount in amounts for value in astuple(amount)]
        return dict(zip(COLUMNS, [self.rule, self.trials, *values], strict=True))


UNITS: Final = tuple(f.name for f in fields(Compute))
AMOUNTS: Final = ("used", "saved", "surely_saved")
AMOUNT_COLUMNS: Final = tuple(f"{name}_{unit}" for name in AMOUNTS for unit in UNITS)
COLUMNS: Final = ("rule", "trials", *AMOUNT_COLUMNS)


def ledger(rows: Sequence[Row], risk: float | None) -> list[Entry]:
    """What the trials of a sweep used, and what stopping them saved.

    Used are the updates, the seconds of training and measuring, and the GPU-hours. Saved, by
    estimate, is all that stopped trials had left of their budgets, each at its own speed. Surely
    saved is the part that is beyond doubt: what health rules stopped, without the trials that were
    not finite and had to stop, and without the outranked, which were healthy; times the share of
    those stops that were right, by the cautious end of what is known of it, which is 1 - the upper
    end of the 95 % interval of audited false prunes where at least 10 such trials ran on, else
    1 - `risk`; less the measuring of all trials of the search, which is the price of stopping by
    health. Confirming trials only use: none of them could have been stopped.

    Args:
        rows: of all trials.
        risk: that the sweep asked for; None where nobody knows, and nothing is sure.

    Returns:
        An entry for each rule, those that saved most first; `none`, for trials of the search that
        no rule stopped; `confirming`; `measuring`; and `total`, their sum. In updates, measuring
        counts as those that could have been made meanwhile.
    """
    right = 1.0 - _doubt(rows, risk)
    entries: dict[str, Entry] = {}
    measuring = Entry(MEASURING)
    for row in rows:
        rule = _rule(row)
        training, measured = _used(row)
        left = training * _left(row)
        sure = left * (right if _is_sick(row) else 0.0)
        entry = Entry(rule, 1, training, left, sure)
        entries[rule] = entries.get(rule, Entry(rule)) + entry
        spent = replace(measured, updates=0.0)
        price = NOTHING if rule == CONFIRMING else measured * -1.0
        measuring += Entry(MEASURING, 0, spent, NOTHING, price)
    last = {NO_RULE: 1, CONFIRMING: 2}
    by_rule = sorted(
        entries.values(), key=lambda e: (last.get(e.rule, 0), -e.saved.updates, e.rule)
    )
    return [*by_rule, measuring, sum([*by_rule, measuring], Entry(TOTAL))]


def _doubt(rows: Sequence[Row], risk: float | None) -> float:
    """An upper bound on the share of stops for ill health that were mistakes."""
    audited = audit(rows, ranked=False)
    if audited.ran_on >= ENOUGH_AUDITED:
        return audited.interval[1]
    return 1.0 if risk is None else risk


def _rule(row: Row) -> str:
    if row["phase"] == "confirm":
        return CONFIRMING
    if not _is_stopped(row):
        return NO_RULE
    rule: str = row["rule"] or row["outcome"]  # an old record may not tell it
    return rule


def _is_sick(row: Row) -> bool:
    """Whether health rules stopped the trial, which could have gone on."""
    return _is_pruned(row) and row["outcome"] != Outcome.OUTRANKED


def _used(row: Row) -> tuple[Compute, Compute]:
    """Of training, and of measuring, as far as the trial came."""
    updates = (row["d_updates"] or 0) + (row["g_updates"] or 0)
    training, measuring = row["seconds"] or 0.0, row["measured_seconds"] or 0.0
    share = measuring / training if training else 0.0
    gpu_hours = (row["gpu_hours"] or 0.0) / (1.0 + share)  # of one run, split as its seconds are
    used = Compute(updates, training, gpu_hours)
    return used, used * share


def _left(row: Row) -> float:
    """What a stopped trial had left of its budget, over what it had used."""
    at = row["stopped_at"]
    return (1.0 - at) / at if at and _is_stopped(row) else 0.0

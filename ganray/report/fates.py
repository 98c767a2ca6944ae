"""What became of each trial, pruned or not: the one word that the figures are about."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from ganray.health.rules import HealthRules
from ganray.summary import Frame, rows
from ganray.trial import Outcome

_RULES = HealthRules(budget=1)  # of which only levels that hold at any time are used


class Fate(StrEnum):
    """How a trial came out, from good to bad."""

    TRAINED = "trained"
    UNCLEAR = "unclear"  # stopped while healthy, or it ended neither well nor badly
    STALLED = "stalled"
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"

    @property
    def is_failure(self) -> bool:
        """Whether the trial failed."""
        return self in {Fate.STALLED, Fate.COLLAPSED, Fate.DIVERGED}


def told_trials(frame: Frame) -> list[tuple[dict[str, Any], Fate]]:
    """The searched trials that came to an end of their own, as plain rows with their fate.

    Args:
        frame: of `summarize`. Running, crashed and cancelled trials say nothing about settings, and
            those that confirm the best would count these twice: both are left out.
    """
    found = ((row, fate_of(row)) for row in rows(frame) if row["phase"] != "confirm")
    return [(row, fate) for row, fate in found if fate is not None]


def fate_of(row: Mapping[str, Any]) -> Fate | None:
    """The fate of one trial of a summary; None if it has none of its own.

    A trial that was stopped has the fate for which it was stopped. One that ran to the end may have
    failed all the same, where nothing stops trials: its ending tells.
    """
    outcome = row["outcome"]
    if outcome in {None, Outcome.CRASHED, Outcome.CANCELLED}:
        return None
    if outcome == Outcome.OUTRANKED:
        return Fate.UNCLEAR
    if outcome != Outcome.COMPLETED:
        return Fate(outcome)
    match row["ending"]:
        case "bad":
            return _failure(row)
        case "between":
            return Fate.UNCLEAR
    return Fate.TRAINED


def _failure(row: Mapping[str, Any]) -> Fate:
    """Which of the three a bad end is, by the levels of the judge."""
    if _above(row["extent"], _RULES.exploded):
        return Fate.DIVERGED
    good = row["high_quality"] is not None and row["high_quality"] >= _RULES.counted_quality
    few = good and _below(row["mode_ratio"], _RULES.few_modes)
    return Fate.COLLAPSED if few or _below(row["diversity"], _RULES.narrow) else Fate.STALLED


def _below(value: float | None, level: float) -> bool:
    return value is not None and value < level


def _above(value: float | None, level: float) -> bool:
    return value is not None and value > level

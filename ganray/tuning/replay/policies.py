"""What a policy is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ganray.tuning.replay.histories import History


@dataclass(frozen=True, slots=True)
class Stopped:
    """That a policy would have stopped a trial, after which report, and why."""

    report: int  # index
    outcome: str
    reason: str
    rule: str


class Policy(Protocol):
    """Turns the trials of one sweep, in order, into which of them are stopped, and when.

    A trial that ends not finite ends by itself: no policy stops it at that report.
    """

    name: str
    alone: bool  # whether what becomes of a trial depends on no other trial, and on no seed
    measures: bool  # whether it has to measure, which costs time

    def decide(self, histories: Iterable[History], seed: int = 0) -> Iterator[Stopped | None]:
        """The decision on each trial, each before the next trial is looked at.

        Args:
            histories: of one sweep, in the order in which the trials ran.
            seed: of what the policy draws at random, if it does.
        """

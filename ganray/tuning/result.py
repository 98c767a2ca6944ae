"""How a sweep ended, as whoever ran it is told."""

from collections.abc import Mapping
from dataclasses import dataclass

from ganray.trial import Outcome


@dataclass(frozen=True, slots=True)
class SweepResult:
    """How a sweep ended."""

    name: str
    outcomes: Mapping[int, Outcome]
    cancelled: bool
    reason: str | None = None  # why it ended before its last trial, if it did

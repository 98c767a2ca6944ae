"""Which faults of a trial end it, and after which it goes on from its last checkpoint.

What the machines did is not the trial's fault: it goes on, on another node if need be. What its own
code did would happen again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ganray.trial import Cause

# How often a trial may fail for one cause without a new report in between. Nodes come and go; that
# a hundred of them were lost under one trial is no chance. A process that dies may have been killed
# for the memory that it takes, by the kernel. The last try of a trial that has had others beside it
# is one without them: see `Roster`.
RETRIES: Final[dict[Cause, int]] = {
    Cause.NODE_LOST: 100,
    Cause.PROCESS_DIED: 3,
    Cause.OUT_OF_MEMORY: 1,
    Cause.SILENT: 0,
    Cause.EXCEPTION: 0,
}


class TrialLostError(Exception):
    """An engine has no such trial: it died since, and began anew, or had the trial leave."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One error of a trial."""

    cause: Cause
    reason: str  # in one line
    update: int = 0  # of the last report before it
    at: int = 0  # ms since 1970

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Fault":
        """The inverse of `dataclasses.asdict`, through JSON, too."""
        return cls(**{**values, "cause": Cause(values["cause"])})


def tries_left(faults: Sequence[Fault]) -> int:
    """How often a trial may be tried again after the last of its faults."""
    last = faults[-1]
    alike = [f for f in faults if f.cause is last.cause and f.update == last.update]
    return max(0, RETRIES[last.cause] + 1 - len(alike))

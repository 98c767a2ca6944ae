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
# for the memory that it takes, by the kernel. Who ran out of memory beside others on a GPU is tried
# once more with one for itself: see `Roster`.
RETRIES: Final[dict[Cause, int]] = {
    Cause.NODE_LOST: 100,
    Cause.PROCESS_DIED: 3,
    Cause.OUT_OF_MEMORY: 1,
    Cause.SILENT: 0,
    Cause.EXCEPTION: 0,
}


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


def may_go_on(faults: Sequence[Fault]) -> bool:
    """Whether a trial is tried again after the last of its faults."""
    last = faults[-1]
    alike = [f for f in faults if f.cause is last.cause and f.update == last.update]
    return len(alike) <= RETRIES[last.cause]

"""Why a trial ended in an error, and whether it may go on from its last checkpoint.

What the machines did is not the trial's fault: it goes on, on another node if need be. What its own
code did would happen again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

from ganray.secrets import redact
from ganray.trial import Cause

# How often a trial may fail for one cause without a new report in between; None: any number of
# times. A process that dies may have been killed for the memory that it takes, by the kernel.
RETRIES: Final[dict[Cause, int | None]] = {
    Cause.NODE_LOST: None,
    Cause.PROCESS_DIED: 3,
    Cause.OUT_OF_MEMORY: 1,
    Cause.SILENT: 0,
    Cause.EXCEPTION: 0,
}
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "low on memory")
_NODE_LOST = ("its node has died", "its node was lost", "node is dead", "preempted")


@dataclass(frozen=True, slots=True)
class Fault:
    """One error of a trial."""

    cause: Cause
    reason: str  # in one line
    update: int = 0  # of the last report before it
    at: int = 0  # ms since 1970

    @classmethod
    def of(cls, error: BaseException, update: int, at: int) -> "Fault":
        """What an error that Tune got from a trial's actor says."""
        return cls(_cause(error), redact(_one_line(error)), update, at)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Fault":
        """The inverse of `dataclasses.asdict`, through JSON, too."""
        return cls(**{**values, "cause": Cause(values["cause"])})


def may_go_on(faults: Sequence[Fault]) -> bool:
    """Whether a trial is tried again after the last of its faults."""
    last = faults[-1]
    allowed = RETRIES[last.cause]
    alike = [f for f in faults if f.cause is last.cause and f.update == last.update]
    return allowed is None or len(alike) <= allowed


def _cause(error: BaseException) -> Cause:
    text = str(error).lower()
    if isinstance(error, RayTaskError):
        return _cause_of_exception(error.cause or error, text)
    if isinstance(error, ActorDiedError | ActorUnavailableError | RayActorError):
        if getattr(error, "actor_init_failed", False):
            return _cause_of_exception(error, text)
        if getattr(error, "preempted", False) or isinstance(error, ActorUnavailableError):
            return Cause.NODE_LOST
        if any(words in text for words in _NODE_LOST):
            return Cause.NODE_LOST
        # Ray's own monitor says so; what the kernel killed is told as "may have been"
        return Cause.OUT_OF_MEMORY if "low on memory" in text else Cause.PROCESS_DIED
    if isinstance(error, OutOfMemoryError):
        return Cause.OUT_OF_MEMORY
    # objects that were lost, owners that died: the cluster's business
    return Cause.NODE_LOST if isinstance(error, RayError) else _cause_of_exception(error, text)


def _cause_of_exception(error: BaseException, text: str) -> Cause:
    full = isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)
    return Cause.OUT_OF_MEMORY if full else Cause.EXCEPTION


def _one_line(error: BaseException) -> str:
    """The exception that ended the trial; its traceback is in the folder of its Tune trial."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1 if 'Traceback' in lines[0] else 0] if lines else ''}"

"""What an error that Ray gives for a trial's actor means."""

from ray.exceptions import (
    ActorUnavailableError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

from ganray.secrets import redact
from ganray.trial import Cause
from ganray.tuning.faults import TrialLostError

_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "low on memory")
_NODE_LOST = ("its node has died", "its node was lost", "node is dead", "preempted")


def diagnose(error: BaseException) -> tuple[Cause, str]:
    """The cause of a trial's error, and the error in one line."""
    return _cause(error), redact(_one_line(error))


def _cause(error: BaseException) -> Cause:
    text = str(error).lower()
    if isinstance(error, RayTaskError):
        if isinstance(error.cause, RayActorError):  # of the engine that the trial was in
            return _cause(error.cause)
        if isinstance(error.cause, TrialLostError):
            return Cause.PROCESS_DIED
        return _cause_of_exception(error.cause or error, text)
    if isinstance(error, RayActorError):
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
    cause = _cause_of_exception(error, text)
    if isinstance(error, RayError) and cause is Cause.EXCEPTION:
        return Cause.NODE_LOST  # objects that were lost, owners that died: the cluster's business
    return cause


def _cause_of_exception(error: BaseException, text: str) -> Cause:
    full = isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)
    return Cause.OUT_OF_MEMORY if full else Cause.EXCEPTION


def _one_line(error: BaseException) -> str:
    """The exception that ended the trial; its traceback is in the folder of its Tune trial."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1 if 'Traceback' in lines[0] else 0] if lines else ''}"

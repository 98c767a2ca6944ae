"""Which error of Ray means what."""

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ObjectLostError,
    OutOfMemoryError,
    OwnerDiedError,
    RayActorError,
    RayTaskError,
)

from ganray.trial import Cause
from ganray.tuning.diagnosis import diagnose
from ganray.tuning.faults import TrialLostError


def raised(cause: Exception) -> RayTaskError:
    return RayTaskError("step", f"Traceback …\n{type(cause).__name__}: {cause}", cause)


def died(text: str, *, preempted: bool = False) -> RayActorError:
    """As Ray builds it from what its control plane says of an actor."""
    error = ActorDiedError()
    error.error_msg = f"The actor died unexpectedly before finishing this task.\n{text}"
    error._preempted = preempted
    return error


KILLED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker "
    "exit detail: Worker unexpectedly exits with a connection error code 2. End of file. There are "
    "some potential root causes. (1) The process is killed by SIGKILL by OOM killer due to high "
    "memory usage. (2) ray stop --force is called. (3) The worker is crashed unexpectedly due to "
    "SIGSEGV or other unexpected errors."
)
ERRORS = [
    (raised(ValueError("batch of 9")), Cause.EXCEPTION),
    (raised(MemoryError()), Cause.OUT_OF_MEMORY),
    (raised(TrialLostError("trial 3 is not in this engine")), Cause.PROCESS_DIED),
    (raised(died(KILLED)), Cause.PROCESS_DIED),  # the engine that the trial was in
    (raised(died("The actor died because its node has died.")), Cause.NODE_LOST),
    (raised(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")), Cause.OUT_OF_MEMORY),
    (raised(RuntimeError("DefaultCPUAllocator: not enough memory")), Cause.OUT_OF_MEMORY),
    (ActorDiedError(raised(ValueError("in setup"))), Cause.EXCEPTION),
    (died(KILLED), Cause.PROCESS_DIED),
    (died("Task was killed due to the node running low on memory."), Cause.OUT_OF_MEMORY),
    (died("The actor died because its node has died. Node Id: 12"), Cause.NODE_LOST),
    (died("", preempted=True), Cause.NODE_LOST),
    (ActorUnavailableError("rpc", b"\0" * 16), Cause.NODE_LOST),
    (ObjectLostError("ab", None, ""), Cause.NODE_LOST),
    (OwnerDiedError("ab", None, ""), Cause.NODE_LOST),
    (OutOfMemoryError("worker killed"), Cause.OUT_OF_MEMORY),
    (RuntimeError("unknown"), Cause.EXCEPTION),
]


@pytest.mark.parametrize(("error", "cause"), ERRORS)
def test_cause_of_an_error(error: BaseException, cause: Cause) -> None:
    assert diagnose(error)[0] is cause


def test_reason_is_one_line_of_the_trials_own_error() -> None:
    assert diagnose(raised(ValueError("batch of 9\nis too large")))[1] == "ValueError: batch of 9"


def test_reason_tells_no_secret() -> None:
    error = raised(ValueError("no answer from https://me:planted@host"))
    assert diagnose(error)[1] == "ValueError: no answer from https://***@host"

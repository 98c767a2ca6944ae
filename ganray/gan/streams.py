"""Streams of a GPU: work on one of them runs beside that on the others."""

import os
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

Stream = torch.cuda.Stream | None  # None: there is no GPU

# held while a graph is recorded, or all of the GPU is waited for, which would break the recording
UNDISTURBED = threading.Lock()


def keep_workspaces_small() -> None:
    """Have cuBLAS take 128 KiB of the GPU for each thread and stream that it is used by.

    By itself it takes 8 to 32 MiB, for good: of many trials side by side, more than all they need.
    To be called before the GPU is used.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":16:8")


def check_gpu() -> None:
    """Raise what the GPU has to say; after some errors nothing runs there in this process."""
    if torch.cuda.is_available():
        with UNDISTURBED:
            torch.cuda.synchronize()


def new_stream() -> Stream:
    """One for a trial of its own; what was put on the GPU before is there for it."""
    if not torch.cuda.is_available():
        return None
    check_gpu()
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def on_stream(stream: Stream) -> AbstractContextManager[Any]:
    """What is launched by this thread meanwhile goes there."""
    return nullcontext() if stream is None else torch.cuda.stream(stream)


def current_stream() -> Stream:
    """Where this thread's work goes."""
    return torch.cuda.current_stream() if torch.cuda.is_available() else None


def wait(waiting: Stream, awaited: Stream) -> None:
    """Have all that comes to one stream from now on wait for what is on the other by now."""
    if waiting is not None and awaited is not None:
        waiting.wait_stream(awaited)

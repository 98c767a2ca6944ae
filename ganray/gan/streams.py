"""Streams of a GPU: work on one of them runs beside that on the others."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

Stream = torch.cuda.Stream | None  # None: there is no GPU


def new_stream() -> Stream:
    """One for a trial of its own; what was put on the GPU before is there for it."""
    if not torch.cuda.is_available():
        return None
    torch.cuda.synchronize()
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def on_stream(stream: Stream) -> AbstractContextManager[Any]:
    """What is launched by this thread meanwhile goes there."""
    return nullcontext() if stream is None else torch.cuda.stream(stream)

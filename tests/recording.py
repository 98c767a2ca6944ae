"""A recorder for the CPU, which keeps of operations what a CUDA graph keeps.

It logs each operation that torch is told, with its arguments as they were, and its results at
their addresses. A replay runs the same operations on the same tensors: what Python decided, and
each number that it passed, is what it was while the update was recorded. Streams, and copies from
the host, are beyond it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganray.gan import fgan, graphs
from ganray.gan.graphs import WARM_UPS, Update

READS_A_VALUE = torch.ops.aten._local_scalar_dense.default


class Operation(NamedTuple):
    """One call, and what it made."""

    function: Any
    positional: tuple[Any, ...]
    named: Mapping[str, Any]
    made: list[Any]  # none, where it writes or looks at tensors that are there

    def again(self) -> None:
        """What it makes goes to where it was made first."""
        found = self.function(*self.positional, **self.named)
        results = tree_leaves(found) if self.made else []
        for place, result in zip(self.made, results, strict=True):
            if isinstance(place, Tensor):
                place.copy_(result)


class OperationRecorder(TorchDispatchMode):
    """See above; a `graphs.Recorder`.

    Args:
        draws: not needed: operations keep the generator that they draw from, not its numbers.
    """

    def __init__(self, draws: torch.Generator | None = None) -> None:
        super().__init__()
        self.log: list[Operation] = []

    def __call__(self, update: Update) -> Update:
        for _ in range(WARM_UPS):
            update()
        with self:
            update()
        log, self.log = self.log, []
        return lambda: _replay(log)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is READS_A_VALUE:
            raise RuntimeError("an update that reads a value cannot be recorded")
        named = dict(kwargs or {})
        found = func(*args, **named)
        is_new = all(of.alias_info is None for of in func._schema.returns)
        self.log.append(Operation(func, args, named, tree_leaves(found) if is_new else []))
        return found


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return torch.zeros(len(labels), classes, dtype=labels.dtype).scatter_(1, labels[:, None], 1)


@torch.no_grad()
def _replay(log: list[Operation]) -> None:
    for operation in log:
        operation.again()


@contextmanager
def recording_on_the_cpu(recorder: Callable[..., Any] = OperationRecorder) -> Iterator[None]:
    """Trainers on the CPU that want graphs are recorded.

    What is there for CUDA devices alone is there for the CPU, and what looks at values on the CPU
    alone does not: saved work of f-GANs, and torch's check of classes.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(graphs.RECORDERS, "cpu", recorder)
        patch.setattr(fgan, "_can_look", lambda values: False)
        patch.setattr(F, "one_hot", _one_hot)
        rmsprop = import_module("torch.optim.rmsprop")
        patch.setattr(rmsprop, "_get_capturable_supported_devices", lambda: ["cpu"])
        yield

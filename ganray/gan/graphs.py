"""Updates recorded as CUDA graphs: all that an update launches goes to the GPU in one call.

A graph does again what the GPU was told while it was recorded, at the same addresses. What Python
decided then stays decided, and numbers that it passed stay as they were: one that changes between
updates must be a tensor, see `renewed`. Random numbers go on as without a graph.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from ganray.gan.real import RealData
from ganray.gan.streams import UNDISTURBED
from ganray.secrets import redacted_log
from ganray.trial import TrialConfig

WARM_UPS = 3  # updates before a recording, in which libraries find their workspaces and kernels

Update = Callable[[], None]
Number = float | Tensor

_log = redacted_log("ganray.gan")


class Recorder(Protocol):
    """Makes an update a few times, and gives back what makes it again, without its Python."""

    def __call__(self, update: Update) -> Update:
        """See the class. Whatever the update changes must be put back by the caller."""


class CudaRecorder:
    """Records on a GPU. Graphs of one recorder share memory, so only one may run at a time.

    Args:
        draws: the generator that the updates draw from, on that GPU.
    """

    def __init__(self, draws: torch.Generator) -> None:
        self._draws = draws
        # torch gives out the same few streams again and again, and whatever comes to this one while
        # it records is recorded: so it is of another priority, and thus another pool, than trials'
        self._stream = torch.cuda.Stream(draws.device, priority=-1)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, update: Update) -> Update:
        """See `Recorder`."""
        with UNDISTURBED, torch.cuda.device(self._draws.device):
            self._stream.wait_stream(torch.cuda.current_stream())
            try:
                with torch.cuda.stream(self._stream):
                    return self._recorded(update)
            finally:
                torch.cuda.synchronize()  # whatever is put back after this is put back last

    def _recorded(self, update: Update) -> Update:
        for _ in range(WARM_UPS):
            update()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._draws)
        # other threads may use the GPU meanwhile: they do not touch this stream
        with _own_workspaces(), torch.cuda.graph(graph, self._pool, self._stream, "thread_local"):
            update()
        return graph.replay


@contextmanager
def _own_workspaces() -> Iterator[None]:
    """Have cuBLAS take workspaces anew, which stay with the graph that is recorded meanwhile.

    It keeps one for each thread and stream. Graphs that were recorded on the same stream would
    write to the same one, also when they are replayed side by side.
    """
    clear = torch._C._cuda_clearCublasWorkspaces
    clear()
    try:
        yield
    finally:
        clear()


# By the type of the device that trains; each makes one from the generator of the trainer's draws.
RECORDERS: Mapping[str, Callable[[torch.Generator], Recorder]] = {"cuda": CudaRecorder}


def are_wanted(config: TrialConfig, networks: Mapping[str, object], data: RealData) -> bool:
    """Whether a trial's updates are to be recorded; if that is asked for in vain, the log says why.

    Args:
        config: the trial's parameters.
        networks: options of `build_networks`.
        data: what it trains on.
    """
    has_device = data.device.type in RECORDERS
    if config.graphs == "off" or (config.graphs == "auto" and not has_device):
        return False
    reason = _obstacle(config, networks, data) if has_device else "there is no CUDA device"
    if reason is not None:
        tell_why_not(config, reason)
    return reason is None


def tell_why_not(config: TrialConfig, reason: str) -> None:
    """Log that a trial trains without graphs: a warning for whoever insisted on them."""
    level = logging.WARNING if config.graphs == "on" else logging.INFO
    _log.log(level, "trains without CUDA graphs (graphs: %s): %s", config.graphs, reason)


def tell_failure(config: TrialConfig, error: Exception) -> None:
    """Log that a trial trains without graphs, as a recording came to this."""
    cause = (str(error) or type(error).__name__).splitlines()[0]
    tell_why_not(config, f"recording failed: {cause}")


def renewed(number: Number, value: float) -> Number:
    """The value in place of the number: in a tensor, where recorded updates read it, or by itself.

    Args:
        number: as it was, a float or a tensor of one.
        value: what it is now.
    """
    return number.fill_(value) if isinstance(number, Tensor) else value


def on_device(number: Number, device: torch.device) -> Tensor:
    """The number as a tensor that `renewed` can write; float32, as fused optimisers want it."""
    return torch.as_tensor(number, device=device)


def _obstacle(config: TrialConfig, networks: Mapping[str, object], data: RealData) -> str | None:
    """Why the updates of a trial on a GPU cannot be recorded; None if they can."""
    obstacles = {
        f"{config.model} is not recorded, GANs alone are": config.model != "gan",
        "compile has graphs of its own": config.compile,
        "simultaneous updates share their gradients": config.simultaneous,
        "networks of your own may change what a graph keeps": networks["name"] == "custom",
        "the data do not fit on the GPU": data.samples.device.type != data.device.type,
    }
    return next((reason for reason, holds in obstacles.items() if holds), None)

"""Trials of `tests.benchmarks.gpu` in one process: what they are, and how they share it.

Needs torch and numpy alone.
"""

import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ganray.data.gaussians import ring
from ganray.gan.fusing import refusal
from ganray.gan.real import RealData
from ganray.gan.shared_cohort import SharedCohort
from ganray.gan.streams import Stream, keep_workspaces_small, new_stream, on_stream
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig

IMAGES = 4_096
WARM_UPS = 4  # updates that no cell counts, in which libraries load what this workload needs
MIB = 2**20


# --- what is trained ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workload:
    """Trials of one kind.

    Args:
        networks: options of `build_networks`.
        configs: of the first trials; those after them have the same ones again, and other seeds.
        samples: makes what they train on, [N, ...].
        updates: of both networks, of a whole trial.
    """

    networks: Mapping[str, object]
    configs: Sequence[TrialConfig]
    samples: Callable[[], Tensor]
    updates: int

    def trial(self, number: int, *, graphs: bool) -> TrialConfig:
        """The parameters of a trial."""
        config = self.configs[number % len(self.configs)]
        return replace(config, seed=number, graphs="on" if graphs else "off")

    @property
    def is_fusable(self) -> bool:
        """Whether its trials can step together."""
        return not any(refusal(config, self.networks) for config in self.configs)


def _points() -> Tensor:
    return torch.as_tensor(ring().train)


def _images(channels: int, side: int) -> Tensor:
    """Noise in bytes: what an update costs does not depend on what is drawn."""
    draws = torch.Generator().manual_seed(0)
    size = (IMAGES, channels, side, side)
    return torch.randint(256, size, generator=draws, dtype=torch.uint8)


MLP = {"name": "mlp", "width": 128, "depth": 2}  # of sweeps/ring.yaml
DCGAN = {"name": "dcgan", "width": 16}  # of sweeps/mnist.yaml
OF_IMAGES = TrialConfig(batch_size=64, latent_dim=64)
MIXED = (
    TrialConfig(loss="wgan", weight_clip=0.1),
    TrialConfig(loss="lsgan"),
    TrialConfig(loss="hinge"),
    TrialConfig(d_steps=5),
)
PENALISED = TrialConfig(loss="wgan", penalty="wgan_gp")

WORKLOADS: Mapping[str, Workload] = {
    "2-D MLP": Workload(MLP, (TrialConfig(),), _points, 2_000),
    "2-D MLP, mixed": Workload(MLP, MIXED, _points, 2_000),
    "2-D MLP, wgan_gp": Workload(MLP, (PENALISED,), _points, 2_000),
    "DCGAN-28": Workload(DCGAN, (OF_IMAGES,), partial(_images, 1, 28), 500),
    "DCGAN-32": Workload(DCGAN, (OF_IMAGES,), partial(_images, 3, 32), 500),
}


# --- how ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """How trials share a GPU.

    Args:
        processes: each trial in one of its own; else all in one.
        slots: each in a thread, and on a stream, of its own, as in an engine; else in turns.
        fused: those in slots step together.
        graphs: updates are recorded, and replayed.
        records_at_once: all in the same moment; else a trial after the other.
    """

    processes: bool = False
    slots: bool = False
    fused: bool = False
    graphs: bool = False
    records_at_once: bool = False

    @property
    def shares(self) -> bool:
        """Whether several trials may be under way."""
        return self.processes or self.slots


IN_TURNS = "in turns"
WAYS: Mapping[str, Way] = {
    IN_TURNS: Way(),
    "in turns, graphs": Way(graphs=True),
    "processes": Way(processes=True),
    "slots": Way(slots=True),
    "slots, graphs": Way(slots=True, graphs=True),
    "slots, graphs at once": Way(slots=True, graphs=True, records_at_once=True),
    "fused": Way(slots=True, fused=True),
    "fused, graphs": Way(slots=True, fused=True, graphs=True),
}


class Cell(NamedTuple):
    """What is measured: by name a workload and a way, and how many trials are under way."""

    workload: str
    way: str
    size: int

    @property
    def processes(self) -> int:
        """How many it takes."""
        return self.size if WAYS[self.way].processes else 1

    def hands(self, place: int) -> list[list[int]]:
        """Numbers of trials: of those that one process makes, whose turns come in each thread.

        A set of different trials is there as a whole, however few are under way at a time.

        Args:
            place: of the process among those of the cell.
        """
        trials = range(max(self.size, len(WORKLOADS[self.workload].configs)))
        dealt = [list(trials[first :: self.size]) for first in range(self.size)]
        return [dealt[place]] if WAYS[self.way].processes else dealt


class Made(NamedTuple):
    """What trials did: updates of both networks, and real images that D was shown."""

    updates: int
    images: int


class Hand(NamedTuple):
    """Trials whose turns come in one thread."""

    stream: Stream
    trainers: list[GanTrainer]

    def train(self, updates: int) -> None:
        """So many updates of each."""
        with on_stream(self.stream):
            for trainer in self.trainers:
                trainer.advance(updates)


class Host:
    """Trains the trials of one cell after the other, or one process' share of them.

    Args:
        device: `cuda` or `cpu`.
        place: of this process among those of each cell.
    """

    def __init__(self, device: str, place: int = 0) -> None:
        torch.set_num_threads(1)
        keep_workspaces_small()
        self._device = device
        self._place = place
        self._data: dict[str, RealData] = {}
        self._hands: list[Hand] = []
        self._cohort: SharedCohort | None = None
        self._before: list[Tensor] = []  # weights, as measuring began
        self._wait()

    @property
    def name(self) -> str:
        """Of the device."""
        return torch.cuda.get_device_name() if self._has_gpu else "CPU"

    def begin(self, cell: Cell) -> float:
        """Have the trials of a cell under way.

        Returns:
            Seconds from the first one's being built until each has made an update.

        Raises:
            RuntimeError: they cannot be trained in this way, or recorded.
        """
        self.clear()
        self._prepare(cell.workload)
        began = time.perf_counter()
        with _told() as told:
            self._start(cell)
        seconds = time.perf_counter() - began
        updaters = self._trainers if self._cohort is None else [self._cohort]
        recorded = [updater.is_recorded for updater in updaters]
        if WAYS[cell.way].graphs and not all(recorded):
            raise RuntimeError(f"{sum(recorded)} of {len(recorded)} are recorded; {told[-1]}")
        self._before = [_weights(trainer) for trainer in self._trainers]
        return seconds

    def advance(self, updates: int) -> Made:
        """Make so many updates of each trial, and wait for the device."""
        before = self._made()
        with ThreadPoolExecutor(len(self._hands)) as threads:
            list(threads.map(partial(Hand.train, updates=updates), self._hands))
        self._wait()
        made = self._made()
        return Made(made.updates - before.updates, made.images - before.images)

    def end(self) -> float:
        """Look at what was trained, and let it go.

        Returns:
            MiB of the GPU that are taken, by whomever, at most; 0 without one.

        Raises:
            RuntimeError: a trial did not train.
        """
        for trainer, before in zip(self._trainers, self._before, strict=True):
            _check(trainer, before)
        memory = self._memory()
        self.clear()
        return memory

    def clear(self) -> None:
        """Give back what the trials took."""
        self._hands, self._cohort, self._before = [], None, []
        gc.collect()
        self._wait()
        if self._has_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    @property
    def _has_gpu(self) -> bool:
        return self._device == "cuda"

    @property
    def _trainers(self) -> list[GanTrainer]:
        return [trainer for hand in self._hands for trainer in hand.trainers]

    def _prepare(self, name: str) -> None:
        """When a workload comes first: its data, and trials on them that do not count."""
        if name in self._data:
            return
        workload = WORKLOADS[name]
        self._data[name] = RealData(workload.samples(), device=self._device)
        for number in range(len(workload.configs)):
            config = workload.trial(number, graphs=False)
            GanTrainer(config, workload.networks, self._data[name]).advance(WARM_UPS)

    def _start(self, cell: Cell) -> None:
        """Build the trials of a cell, and make an update of each."""
        way = WAYS[cell.way]
        self._hands = [self._hand(cell, numbers) for numbers in cell.hands(self._place)]
        if way.fused:
            self._fuse(cell)
        if way.records_at_once or way.fused or not way.graphs:
            self.advance(1)
            return
        for hand in self._hands:
            hand.train(1)
        self._wait()

    def _hand(self, cell: Cell, numbers: Iterable[int]) -> Hand:
        way, workload, data = WAYS[cell.way], WORKLOADS[cell.workload], self._data[cell.workload]
        stream = new_stream() if way.slots and self._has_gpu else None
        configs = [workload.trial(number, graphs=way.graphs) for number in numbers]
        with on_stream(stream):
            return Hand(stream, [GanTrainer(c, workload.networks, data) for c in configs])

    def _fuse(self, cell: Cell) -> None:
        networks, first = WORKLOADS[cell.workload].networks, self._trainers[0]
        self._cohort = SharedCohort(len(self._trainers), first.config, networks, first.data)
        for hand in self._hands:
            with on_stream(hand.stream):
                for trainer in hand.trainers:
                    self._cohort.join(trainer)

    def _made(self) -> Made:
        trainers = self._trainers
        updates = sum(trainer.update for trainer in trainers)
        return Made(updates, sum(t.d_updates * t.config.batch_size for t in trainers))

    def _memory(self) -> float:
        if not self._has_gpu:
            return 0.0
        free, total = torch.cuda.mem_get_info()
        given_back = torch.cuda.max_memory_reserved() - torch.cuda.memory_reserved()
        return (total - free + given_back) / MIB

    def _wait(self) -> None:
        if self._has_gpu:
            torch.cuda.synchronize()


def _weights(trainer: GanTrainer) -> Tensor:
    """All of both networks, [N]; a copy."""
    players = trainer.players.values()
    return torch.cat([p.detach().flatten() for player in players for p in player.parameters])


def _check(trainer: GanTrainer, before: Tensor) -> None:
    now = _weights(trainer)
    if trainer.nonfinite is not None or not now.isfinite().all():
        raise RuntimeError(f"a trial is not finite: {trainer.nonfinite or 'weights'}")
    if torch.equal(now, before):
        raise RuntimeError("a trial's weights do not move")


@contextmanager
def _told() -> Iterator[list[str]]:
    """What trainers log meanwhile: why they are not recorded."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("ganray.gan")
    log.addHandler(handler)
    try:
        yield found
    finally:
        log.removeHandler(handler)

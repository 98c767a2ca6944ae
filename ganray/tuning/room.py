"""How many trials of a sweep fit on a GPU, or gain there, from some that were trained there."""

import gc
import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import optuna
import torch
from optuna.samplers import RandomSampler

from ganray.data.dataset import Dataset
from ganray.errors import ResourceError
from ganray.gan.shared_cohort import CohortError
from ganray.gan.streams import Stream, keep_workspaces_small, new_stream, on_stream
from ganray.spec.models import Budget, SweepSpec
from ganray.spec.space import Choices
from ganray.trial import TrialConfig
from ganray.tuning.cohorts import Cohorts
from ganray.tuning.session import Session, Workbench
from ganray.tuning.space import suggest

TRIED = 8  # points of the search space, at least: losses and penalties differ in what they keep
UPDATES = 8  # of each: what a trial takes does not grow after that
GROW = ("batch_size", "pack", "latent_dim")  # tried at their largest
USABLE = 0.95  # of a GPU's memory: allocators leave gaps
PACED = 64  # updates of each trial whose pace is measured, after as many that are not
GAIN = 1.1  # times as much that twice as many slots must get done
MOST = 64  # slots
SPARE = 8  # slots for which one more trial waits, ready to take the next one that is free


@dataclass(frozen=True, slots=True)
class Room:
    """What a trial takes of a GPU.

    Args:
        device: the GPU's name.
        memory: of the GPU, bytes.
        trial: bytes that the largest trial took in a process of its own, its context included.
    """

    device: str
    memory: int
    trial: int

    @property
    def fits(self) -> int:
        """How many trials the memory is enough for."""
        return int(USABLE * self.memory // self.trial)


def measure_room(spec: SweepSpec, dataset: Dataset) -> Room:
    """Train a few updates of some trials on this machine's GPU, and measure them once.

    Memory that other processes take there counts as the trial's, so the answer errs on the safe
    side.

    Args:
        spec: the sweep; of its trials those that are tried have the largest batches and latents.
        dataset: its data.

    Raises:
        ResourceError: a trial takes more than the GPU has left.
    """
    budget = Budget(updates=UPDATES, reports=1)
    small = spec.model_copy(update={"budget": budget, "prune": None})
    workbench = Workbench(small, dataset, "cuda")
    most = 0
    for config in candidates(small):
        torch.cuda.reset_peak_memory_stats()
        try:
            Session(workbench, config).next_report()
        except torch.OutOfMemoryError as error:
            raise ResourceError(f"a trial does not fit on this GPU: {error}") from None
        most = max(most, torch.cuda.max_memory_reserved())
        gc.collect()
        torch.cuda.empty_cache()
    free, memory = torch.cuda.mem_get_info()
    context = memory - free - torch.cuda.memory_reserved()
    return Room(torch.cuda.get_device_name(), memory, context + most)


def measure_slots(spec: SweepSpec, dataset: Dataset) -> int:
    """How many trials to train side by side in one process here: a power of two.

    Twice as many are tried as long as they get a tenth more done, and their memory is there, with
    that of trials that wait.

    Args:
        spec: the sweep.
        dataset: its data.
    """
    keep_workspaces_small()
    budget = Budget(updates=2 * PACED, reports=2)
    small = spec.model_copy(update={"budget": budget, "prune": None})
    workbench = Workbench(small, dataset)
    configs = itertools.cycle(candidates(small))
    slots, pace = 1, 0.0
    for tried in (2**power for power in range(MOST.bit_length())):
        try:
            found = _pace(workbench, list(itertools.islice(configs, seats_of(tried))), tried)
        except torch.OutOfMemoryError:
            break
        except CohortError as error:
            if not isinstance(error.__cause__, torch.OutOfMemoryError):
                raise
            break
        if found < GAIN * pace:
            break
        slots, pace = tried, found
    return slots


def seats_of(slots: int) -> int:
    """How many trials are there for so many slots: so many more that none waits for the driver."""
    return slots + -(-slots // SPARE)


def _pace(workbench: Workbench, configs: Sequence[TrialConfig], slots: int) -> float:
    """Updates a second of as many trials as there are slots, measuring included; others wait."""
    there = [Session(workbench, config) for config in configs]
    sessions, streams = there[:slots], [new_stream() for _ in range(slots)]
    if workbench.spec.resources.fused:
        cohorts = Cohorts(slots, workbench.networks)
        for session in sessions:
            cohorts.join(session.trainer)

    def train(session: Session, stream: Stream) -> None:
        with on_stream(stream):
            session.next_report()

    with ThreadPoolExecutor(slots) as threads:
        list(threads.map(train, sessions, streams))  # what is loaded and compiled at first
        began = time.perf_counter()
        list(threads.map(train, sessions, streams))
        return slots * PACED / (time.perf_counter() - began)


def candidates(spec: SweepSpec) -> Iterator[TrialConfig]:
    """Trials as the search may ask for them, at their largest; every choice once or more."""
    entries = spec.search.space.entries
    largest: dict[str, Any] = {name: entries[name].largest for name in GROW if name in entries}
    choices = {n: e.choices for n, e in entries.items() if isinstance(e, Choices)}
    study = optuna.create_study(sampler=RandomSampler(spec.search.seed))
    for number in range(max(TRIED, *map(len, choices.values()), 0)):
        study.enqueue_trial({name: of[number % len(of)] for name, of in choices.items()})
        yield spec.trial_config(number, {**suggest(study.ask(), spec), **largest})

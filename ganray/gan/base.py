"""What every trainer is, seen from outside: it is advanced, looked at, saved and loaded.

A trainer knows no listener, no clock but its own, and no random numbers but its own: two trainers
that take turns in one process train exactly as each would alone.
"""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganray.gan.networks.layers import evaluating
from ganray.gan.player import Player, Side
from ganray.gan.real import RealData
from ganray.trial import TrialConfig, derive_seed

CHUNK = 240  # samples evaluated at a time, whole packs: activations must fit in memory

Evaluate = Callable[[Tensor, Tensor | None], Tensor]  # inputs [B, ...], conditions -> outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A trial between two updates, as the measuring side may see it.

    The functions run in evaluation mode without gradients and draw nothing from the trainer's
    generators, so that measuring never changes training. Those that a model does not have are None.
    Conditions [B, K] are those of the samples, None where training uses none.
    """

    update: int
    d_updates: int
    g_updates: int
    images: int
    seconds: float
    updates_per_second: float | None
    nonfinite: str | None
    d: Side
    g: Side
    generate: Evaluate  # latents [B, latent_dim], conditions -> samples [B, ...]
    generate_average: Evaluate | None = None  # the same by the average of G's weights
    # samples -> logits [B]; None, too, if D has batch norm: in evaluation it is not what trains
    discriminate: Evaluate | None = None
    is_conditional: bool = False  # G is told what to draw
    is_joint: bool = False  # D judges packs, or samples with their conditions: not samples alone
    classify: Evaluate | None = None  # samples, None -> class logits [B, K]
    reconstruct: Evaluate | None = None  # samples -> samples


class Trainer(ABC):
    """Trains one trial.

    Args:
        config: the trial's parameters.
        data: real samples; at least as many as a batch.
        budget: updates of the whole trial, which schedules go by; None where there are none.

    Raises:
        ValueError: the batch is larger than the data, or a schedule has no budget to go by.
    """

    def __init__(self, config: TrialConfig, data: RealData, budget: int | None) -> None:
        if config.batch_size > len(data):
            raise ValueError(
                f"batch_size {config.batch_size} is more than the {len(data)} training samples"
            )
        if budget is None and is_scheduled(config):
            raise ValueError("a schedule or instance noise needs the budget of the trial")
        self.config = config
        self.data = data
        self.update = 0
        self.d_updates = 0
        self.seconds = 0.0
        self._budget = budget
        self._scheduled = is_scheduled(config)
        self._rng = torch.Generator(data.device).manual_seed(derive_seed(config.seed, "draws"))
        self._nonfinite: str | None = None
        self._last: tuple[int, float] = (0, 0.0)
        self.updater: Callable[[int], None] | None = None  # who else makes `advance`'s updates

    @property
    @abstractmethod
    def players(self) -> Mapping[str, Player]:
        """The networks that take steps, by the name of their side."""

    @abstractmethod
    def _next_update(self) -> None:
        """Make one update of one network."""

    @abstractmethod
    def _functions(self) -> dict[str, Any]:
        """Of a `Snapshot`: how to generate, and whatever else this kind of trainer can do."""

    def _set_progress(self, progress: float) -> None:
        """Set what changes with the share of the budget that is used up, in [0, 1]."""
        for player in self.players.values():
            player.set_progress(progress)

    @property
    def progress(self) -> float:
        """The share of the budget that is used up, 0 without a budget."""
        return self.update / self._budget if self._budget else 0.0

    @property
    def rng(self) -> torch.Generator:
        """The only source of this trainer's random numbers."""
        return self._rng

    @property
    def nonfinite(self) -> str | None:
        """What is not finite any more; such a trainer makes no more updates."""
        return self._nonfinite

    def advance(self, updates: int) -> None:
        """Make that many updates. A trainer that stopped being finite makes no more.

        Args:
            updates: optimiser steps of either network; with `simultaneous` an even number.
        """
        if self.config.simultaneous and updates % 2:
            raise ValueError(f"simultaneous updates come in pairs; got {updates}")
        if self._nonfinite is not None:
            return
        with self.stretch(updates):
            (self.updater or self._make_updates)(updates)

    def _make_updates(self, updates: int) -> None:
        for _ in range(updates):
            self.follow_schedules()
            self._next_update()
            self.update += 1

    def follow_schedules(self) -> None:
        """Set what the next update needs and the share of the budget that is used up changes."""
        if self._scheduled:
            self._set_progress(self.progress)

    @contextlib.contextmanager
    def stretch(self, updates: int) -> Iterator[None]:
        """Around that many updates, whoever makes them: averages them, and tells what diverged.

        Args:
            updates: of either network.
        """
        for player in self.players.values():
            player.restart_averages()
        start = time.perf_counter()
        yield
        found = (player.nonfinite() for player in self.players.values())  # waits for the device
        self._nonfinite = next((what for what in found if what is not None), None)
        elapsed = time.perf_counter() - start
        self.seconds += elapsed
        self._last = (updates, elapsed)

    def snapshot(self) -> Snapshot:
        """The state between two updates; free of side effects."""
        updates, elapsed = self._last
        sides = {name: player.averages() for name, player in self.players.items()}
        return Snapshot(
            update=self.update,
            d_updates=self.d_updates,
            g_updates=self.update - self.d_updates,
            images=self._images(),
            seconds=self.seconds,
            updates_per_second=updates / elapsed if elapsed else None,
            nonfinite=self._nonfinite,
            d=sides.get("d", Side()),
            g=sides["g"],
            **self._functions(),
        )

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on bit for bit, on the same kind of device.

        Plain types and tensors, which `torch.load(weights_only=True)` reads. As everywhere in
        torch, tensors are the live ones: save or copy the state before going on.
        """
        return {
            "update": self.update,
            "d_updates": self.d_updates,
            "seconds": self.seconds,
            "last": self._last,
            "nonfinite": self._nonfinite,
            "rng": self._rng.get_state(),
            "players": {name: player.state_dict() for name, player in self.players.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that a trainer of the same configuration gave."""
        self.update = state["update"]
        self.d_updates = state["d_updates"]
        self.seconds = state["seconds"]
        self._last = tuple(state["last"])
        self._nonfinite = state["nonfinite"]
        self._rng.set_state(state["rng"].cpu())
        for name, player in self.players.items():
            player.load_state_dict(state["players"][name])

    def _images(self) -> int:
        """How many real samples D, or the encoder, was shown."""
        return self.d_updates * self.config.batch_size * self.config.pack

    def _autocast(self) -> AbstractContextManager[object]:
        """The precision of the networks; losses and penalties stay in fp32."""
        if self.config.dtype == "bf16":
            return torch.autocast(self.data.device.type, torch.bfloat16)
        return contextlib.nullcontext()


def is_scheduled(config: TrialConfig) -> bool:
    """Whether anything in a trial depends on the share of its budget that is used up."""
    penalised = config.penalty != "none" and config.penalty_schedule != "constant"
    return config.lr_schedule != "constant" or penalised or config.instance_noise > 0.0


def evaluated(network: nn.Module, call: Evaluate, group: int = 1) -> Evaluate:
    """`call` in evaluation mode and without gradients, on so many samples at a time as fit.

    Args:
        network: whose modes are changed, and set back.
        call: inputs [B, ...] and conditions [B, K] -> outputs, the same number for each chunk.
        group: inputs that belong together; those left over at the end are left out.
    """

    @torch.no_grad()
    def evaluate(inputs: Tensor, conditions: Tensor | None = None) -> Tensor:
        device = next(network.parameters()).device
        whole = len(inputs) - len(inputs) % group
        chunks = torch.split(inputs[:whole], CHUNK)
        told: Sequence[Tensor | None] = [None] * len(chunks)
        if conditions is not None:
            told = torch.split(conditions[:whole], CHUNK)
        with evaluating(network):
            parts = [
                call(chunk.to(device), None if condition is None else condition.to(device))
                for chunk, condition in zip(chunks, told, strict=True)
            ]
        return torch.cat(parts)

    return evaluate

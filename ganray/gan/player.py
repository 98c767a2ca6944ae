"""One network of a trainer, with its optimiser, its clipping and its averages."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganray.gan.clipping import clip_gradients, clip_weights, clippable
from ganray.gan.graphs import renewed
from ganray.gan.optimizers import make_optimizer
from ganray.gan.schedules import factor
from ganray.trial import TrialConfig

SideName = Literal["d", "g"]
_NAMES: Mapping[SideName, str] = {"d": "D", "g": "G"}
_SUMS = ("loss", "penalty", "grad_norm", "clipped")
NORM_EVERY = 8  # updates; a norm that clips nothing costs 5 % of a small network's update


@dataclass(frozen=True, slots=True)
class Side:
    """What one network's updates were like, averaged since the last `advance` began.

    All None if it had no update there.
    """

    loss: float | None = None
    penalty: float | None = None  # weighted; None without one
    grad_norm: float | None = None  # L2, before clipping; of every eighth update if none is
    clipped: float | None = None  # share of updates whose gradient was clipped


def compiled(network: nn.Module, config: TrialConfig) -> Callable[..., Any]:
    """The network's forward pass, compiled if the trial says so."""
    return torch.compile(network) if config.compile else network


class Player:
    """A network that takes optimiser steps.

    `step`, `backward` and `move` do nothing but tell the device, so that they can be recorded.
    After each step, `count` is to be called, which keeps what Python keeps.

    Args:
        network: on its device.
        config: the trial's parameters.
        side: which of them are this network's.
    """

    def __init__(self, network: nn.Module, config: TrialConfig, side: SideName) -> None:
        if config.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network
        self.forward = compiled(network, config)
        self.side = side
        self.parameters = list(network.parameters())
        self.grad_clip: float | None = getattr(config, f"{side}_grad_clip")
        self.weight_clip = config.weight_clip if side == "d" else config.g_weight_clip
        self.clippable = clippable(network, config.weight_clip_scope)
        self.optimizer = make_optimizer(config, self.parameters, side)
        self._lr: float = getattr(config, f"{side}_lr")
        self._lr_schedule = (config.lr_schedule, config.lr_final)
        self.sums = {name: torch.zeros((), device=self.device) for name in _SUMS}
        self.restart_averages()

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.parameters[0].device

    @property
    def is_measured(self) -> bool:
        """Whether the norm of the next step's gradient is taken."""
        return self.grad_clip is not None or self.steps % NORM_EVERY == 0

    def set_progress(self, progress: float) -> None:
        """Set the learning rate for a share of the budget in [0, 1]."""
        name, final = self._lr_schedule
        self.optimizer.lr = renewed(self.optimizer.lr, self._lr * factor(name, progress, final))

    def prepare_recording(self) -> None:
        """Have on the device what changes from step to step."""
        self.optimizer.prepare_recording(lr_changes=self._lr_schedule[0] != "constant")

    def restart_averages(self) -> None:
        """Begin a new stretch of updates."""
        self.steps = 0
        self.norms = 0  # how many of them were measured
        self.has_penalty = False
        for total in self.sums.values():
            total.zero_()  # in place, as what was recorded adds to these very tensors

    def step(self, loss: Tensor, penalty: Tensor | None = None) -> None:
        """Take the gradient of `loss` plus `penalty`, and move along it."""
        self.backward(loss, penalty)
        self.move()

    def backward(
        self, loss: Tensor, penalty: Tensor | None = None, *, keep_graph: bool = False
    ) -> None:
        """Take the gradient by this network's weights alone, in place of the last one."""
        for parameter in self.parameters:  # zero_grad does the same, through slow hooks
            parameter.grad = None
        total = loss if penalty is None else loss + penalty
        torch.autograd.backward(total, inputs=self.parameters, retain_graph=keep_graph)
        self.sums["loss"] += loss.detach()  # sums stay on the device: no waiting inside the loop
        if penalty is not None:
            self.sums["penalty"] += penalty.detach()

    def move(self) -> None:
        """Clip the gradient, take the optimiser's step, clip the weights."""
        if self.grad_clip is not None:
            norm = clip_gradients(self.parameters, self.grad_clip)
            self.sums["grad_norm"] += norm
            self.sums["clipped"] += norm > self.grad_clip
        self.optimizer.step()
        if self.weight_clip is not None:
            clip_weights(self.clippable, self.weight_clip)

    def count(self, *, penalised: bool) -> None:
        """Count the step just made; the norm of a gradient that is not clipped is measured here.

        Args:
            penalised: whether it had a penalty.
        """
        if self.grad_clip is None and self.is_measured:
            self.sums["grad_norm"] += clip_gradients(self.parameters, None)
        self.has_penalty = penalised
        self.count_step()

    def count_step(self) -> None:
        """Count a step whose sums are taken elsewhere."""
        self.norms += self.is_measured
        self.steps += 1

    def nonfinite(self) -> str | None:
        """What is not finite any more: a sum is not if one of its terms was not."""
        checks = {
            "loss": self.sums["loss"].isfinite(),
            "penalty": self.sums["penalty"].isfinite(),
            "gradient norm": self.sums["grad_norm"].isfinite(),
            "weights": torch.stack([torch.isfinite(p).all() for p in self.parameters]).all(),
        }
        name = _NAMES[self.side]
        return next((f"{what} of {name}" for what, ok in checks.items() if not ok), None)

    def averages(self) -> Side:
        """The means over the stretch so far."""
        if not self.steps:
            return Side()
        sums = torch.stack([self.sums[name] for name in _SUMS]).tolist()
        loss, penalty, norm, clipped = (
            _finite(value / count)
            for value, count in zip(
                sums, (self.steps, self.steps, self.norms, self.norms), strict=True
            )
        )
        return Side(
            loss=loss,
            penalty=penalty if self.has_penalty else None,
            grad_norm=norm,
            clipped=clipped if self.grad_clip is not None else None,
        )

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors only."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averages": {
                "steps": self.steps,
                "norms": self.norms,
                "has_penalty": self.has_penalty,
                **self.sums,
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a player of the same kind."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        averages = state["averages"]
        self.steps, self.norms = averages["steps"], averages["norms"]
        self.has_penalty = averages["has_penalty"]
        for name, total in self.sums.items():
            total.copy_(averages[name])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

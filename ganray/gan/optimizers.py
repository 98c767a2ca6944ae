"""Optimisers by name, with the parameters of a trial.

They are torch's functional optimisers, which move weights exactly as the classes of `torch.optim`
do. Those classes import torch's whole compiler at their first step, which takes each process of a
sweep a second, and a third of a small network's step of Adam goes into their hooks.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from ganray.gan.graphs import Number, on_device
from ganray.trial import TrialConfig

EPS = 1e-8  # as torch has it
RMSPROP_DECAY = 0.99  # of its average of squares; torch calls it alpha

Tensors = list[Tensor]


class Optimizer(ABC):
    """Moves weights along their gradients; those that have none stay where they are.

    Args:
        config: the trial's parameters.
        parameters: to be moved.
        lr: the learning rate, which may be set between two steps.

    Attributes:
        lr: as it is now.
        SLOTS: what is remembered of each parameter, tensors of its shape.
    """

    SLOTS: ClassVar[Sequence[str]] = ()
    COUNTS_ON_DEVICE = True  # where a fused step wants its count

    def __init__(self, config: TrialConfig, parameters: Sequence[Parameter], lr: float) -> None:
        self.lr: Number = lr
        self._is_recorded = False
        self._config = config
        self._parameters = list(parameters)
        self._slots = {name: [torch.zeros_like(p) for p in parameters] for name in self.SLOTS}
        self._counts = [
            torch.zeros((), device=p.device if self.COUNTS_ON_DEVICE else None) for p in parameters
        ]

    def prepare_recording(self, *, lr_changes: bool) -> None:
        """Have on the device what a step counts, and the learning rate if it is going to change."""
        device = self._parameters[0].device
        self._is_recorded = True
        self._counts = [count.to(device) for count in self._counts]
        if lr_changes:
            self.lr = on_device(self.lr, device)

    @torch.no_grad()
    def step(self) -> None:
        """Move all weights that have a gradient."""
        rows = zip(self._parameters, self._counts, *self._slots.values(), strict=True)
        moving = [(row[0], row[0].grad, *row[1:]) for row in rows if row[0].grad is not None]
        if moving:
            columns: Any = zip(*moving, strict=True)
            self._move(*map(list, columns))

    @abstractmethod
    def _move(self, weights: Tensors, gradients: Tensors, counts: Tensors, *slots: Tensors) -> None:
        """Move these weights, in place."""

    def state_dict(self) -> dict[str, Tensors]:
        """Tensors only, the live ones."""
        return {"count": self._counts, **self._slots}

    def load_state_dict(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """Go on from a state of the same optimiser for parameters of the same shapes."""
        for name, own in self.state_dict().items():
            for tensor, saved in zip(own, state[name], strict=True):
                tensor.copy_(saved)


class Adam(Optimizer):
    """Weight decay as an L2 term. Source: Kingma & Ba 2015 (arXiv 1412.6980)."""

    SLOTS = ("mean", "square")
    DECOUPLED = False

    def _move(self, weights: Tensors, gradients: Tensors, counts: Tensors, *slots: Tensors) -> None:
        means, squares = slots
        adam(
            weights,
            gradients,
            means,
            squares,
            [],
            counts,
            fused=True,
            amsgrad=False,
            beta1=self._config.beta1,
            beta2=self._config.beta2,
            lr=self.lr,
            weight_decay=self._config.weight_decay,
            decoupled_weight_decay=self.DECOUPLED,
            eps=EPS,
            maximize=False,
        )


class AdamW(Adam):
    """Adam, weight decay decoupled. Source: Loshchilov & Hutter 2019 (arXiv 1711.05101)."""

    DECOUPLED = True


class RMSprop(Optimizer):
    """Weight decay as an L2 term; torch has no fused form of it."""

    SLOTS = ("square", "motion")
    COUNTS_ON_DEVICE = False

    def _move(self, weights: Tensors, gradients: Tensors, counts: Tensors, *slots: Tensors) -> None:
        squares, motions = slots
        rmsprop(
            weights,
            gradients,
            squares,
            [],
            motions,
            counts,
            lr=self.lr,  # type: ignore[arg-type]  # torch takes a tensor, too
            alpha=RMSPROP_DECAY,
            eps=EPS,
            weight_decay=self._config.weight_decay,
            momentum=self._config.momentum,
            centered=False,
            foreach=self._is_recorded or None,  # None: as torch thinks best
            capturable=self._is_recorded,
        )


class Sgd(Optimizer):
    """Stochastic gradient descent, weight decay as an L2 term."""

    SLOTS = ("motion",)

    def _move(self, weights: Tensors, gradients: Tensors, counts: Tensors, *slots: Tensors) -> None:
        (motions,) = slots
        sgd(
            weights,
            gradients,
            list[Tensor | None](motions),
            fused=True,
            weight_decay=self._config.weight_decay,
            momentum=self._config.momentum,
            lr=self.lr,  # type: ignore[arg-type]  # torch takes a tensor, too
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )


OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "sgd": Sgd,
}


def make_optimizer(
    config: TrialConfig, parameters: Sequence[Parameter], side: Literal["d", "g"]
) -> Optimizer:
    """The optimiser of one side: its own, if the trial names one, with its own learning rate.

    Args:
        config: the trial's parameters.
        parameters: those to optimise.
        side: whose they are.
    """
    name = (config.d_optimizer if side == "d" else config.g_optimizer) or config.optimizer
    lr = config.d_lr if side == "d" else config.g_lr
    return OPTIMIZERS[name](config, parameters, lr)

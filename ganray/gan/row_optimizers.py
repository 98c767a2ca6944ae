"""The optimisers of `ganray.gan.optimizers` over rows, each row with settings of its own.

They are pure functions: whoever calls them writes their results into the rows that are to move.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ganray.gan.optimizers import EPS, RMSPROP_DECAY
from ganray.gan.row_settings import Settings

Slots = tuple[Tensor, ...]  # [K, P] each, in the order of `Optimizer.SLOTS`
Moved = tuple[Tensor, Slots]  # weights [K, P], slots


class RowOptimizer(NamedTuple):
    """One kind of optimiser: `(weights [K, P], gradient [K, P], slots, settings) -> Moved`."""

    move: Callable[[Tensor, Tensor, Slots, Settings[Tensor]], Moved]
    counts: bool = True  # whether torch's own keeps count of its steps


def adam(weights: Tensor, gradient: Tensor, slots: Slots, of: Settings[Tensor]) -> Moved:
    """See `optimizers.Adam`."""
    return _adam(weights, gradient + of.weight_decay * weights, slots, of)


def adamw(weights: Tensor, gradient: Tensor, slots: Slots, of: Settings[Tensor]) -> Moved:
    """See `optimizers.AdamW`."""
    return _adam(weights * (1.0 - of.lr * of.weight_decay), gradient, slots, of)


def _adam(weights: Tensor, gradient: Tensor, slots: Slots, of: Settings[Tensor]) -> Moved:
    mean, square = slots
    mean = torch.lerp(mean, gradient, of.rest1)
    square = of.beta2 * square + of.rest2 * gradient.square()
    step = mean / (square.sqrt() / of.root2 + EPS)
    return weights - of.lr / of.bias1 * step, (mean, square)


def rmsprop(weights: Tensor, gradient: Tensor, slots: Slots, of: Settings[Tensor]) -> Moved:
    """See `optimizers.RMSprop`."""
    square, motion = slots
    gradient = gradient + of.weight_decay * weights
    square = RMSPROP_DECAY * square + (1.0 - RMSPROP_DECAY) * gradient.square()
    step = of.momentum * motion + gradient / (square.sqrt() + EPS)
    return weights - of.lr * step, (square, _with_momentum(step, motion, of))


def sgd(weights: Tensor, gradient: Tensor, slots: Slots, of: Settings[Tensor]) -> Moved:
    """See `optimizers.Sgd`."""
    (motion,) = slots
    step = of.momentum * motion + gradient + of.weight_decay * weights
    return weights - of.lr * step, (_with_momentum(step, motion, of),)


def _with_momentum(step: Tensor, motion: Tensor, of: Settings[Tensor]) -> Tensor:
    """What is remembered of a step: without momentum nothing, as in torch."""
    return torch.where(of.momentum > 0.0, step, motion)


ROW_OPTIMIZERS: Mapping[str, RowOptimizer] = {
    "adam": RowOptimizer(adam),
    "adamw": RowOptimizer(adamw),
    "rmsprop": RowOptimizer(rmsprop),
    "sgd": RowOptimizer(sgd, counts=False),
}

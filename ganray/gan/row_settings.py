"""What an update is told of each row: whether it moves at all, and everything that rows differ in.

The numbers of all rows go to the device in one copy, to the same place at every update.
"""

import math
from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from ganray.gan.player import Player
from ganray.gan.trainer import GanTrainer

T = TypeVar("T")


class Settings(NamedTuple, Generic[T]):
    """Of one row as numbers, or of all as tensors [K, 1]."""

    moves: T  # 1, or 0: the row stays as it is, whatever else is said here
    lr: T
    weight_decay: T
    momentum: T
    rest1: T  # 1 - beta1, which would lose digits in float32
    beta2: T
    rest2: T  # 1 - beta2
    bias1: T  # 1 - beta1^n, at the n-th update
    root2: T  # sqrt(1 - beta2^n)
    grad_clip: T  # infinite without one
    is_measured: T  # 1: this update's gradient norm goes into the averages
    noise_std: T  # of instance noise
    average: T  # how far G's average goes towards the weights; 0 without one


STILL = Settings(*[0.0] * len(Settings._fields))


def settings_of(trainer: GanTrainer, player: Player) -> Settings[float]:
    """Of a trainer's next update.

    Args:
        trainer: whose schedules have come to that update.
        player: who makes it.
    """
    config = trainer.config
    average = trainer.parts.average if player.side == "g" else None
    updates = trainer.d_updates if player.side == "d" else trainer.update - trainer.d_updates
    return Settings(
        moves=1.0,
        lr=float(player.optimizer.lr),
        weight_decay=config.weight_decay,
        momentum=config.momentum,
        rest1=1.0 - config.beta1,
        beta2=config.beta2,
        rest2=1.0 - config.beta2,
        bias1=1.0 - config.beta1 ** (updates + 1),
        root2=math.sqrt(1.0 - config.beta2 ** (updates + 1)),
        grad_clip=math.inf if player.grad_clip is None else player.grad_clip,
        is_measured=float(player.is_measured),
        noise_std=float(trainer.parts.noise),
        average=0.0 if average is None else 1.0 - average.next_decay,
    )


class SettingsTable:
    """The settings of K rows on their device.

    Args:
        like: weights, of whose kind the settings are: [K, ...].
    """

    def __init__(self, like: Tensor) -> None:
        self._table = like.new_zeros(len(Settings._fields), len(like), 1)
        self.rows: Settings[Tensor] = Settings(*self._table)

    def set(self, moving: Mapping[int, Settings[float]]) -> None:
        """The rows that move, by number; all others stay as they are."""
        rows = [moving.get(row, STILL) for row in range(self._table.shape[1])]
        columns = list(zip(*rows, strict=True))
        values = torch.tensor(columns, dtype=self._table.dtype).unsqueeze(-1)
        self._table.copy_(values, non_blocking=True)  # CUDA takes them before it returns

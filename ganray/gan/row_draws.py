"""What the rows of a cohort draw: each from its own trainer's generator, as that would alone."""

import torch
from torch import Tensor

from ganray.gan.real import RealData
from ganray.gan.schedules import Turn
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig

REAL, FAKE = 0, 1


class RowDraws:
    """The draws of one update of K rows. Rows that draw nothing keep what they drew before.

    Args:
        size: K.
        config: with the sizes that all rows have in common.
        data: that all of them train on.
        like: of whose dtype and device the draws are.

    Attributes:
        latents: [K, B, latent_dim].
    """

    def __init__(self, size: int, config: TrialConfig, data: RealData, like: Tensor) -> None:
        batch, length = config.batch_size, torch.Size(data.shape).numel()
        self._data = data
        self._picked = like.new_zeros(size, batch, dtype=torch.int64)
        self.latents = like.new_zeros(size, batch, config.latent_dim)
        self._noise = like.new_zeros(2, size, batch, length)  # on `REAL` samples, on `FAKE` ones

    def draw(self, turn: Turn, row: int, trainer: GanTrainer) -> None:
        """What an update of that side needs, in the order in which the trainer draws it."""
        if turn == "d":
            self._for_d(row, trainer)
        else:
            self._for_g(row, trainer)

    def real(self) -> Tensor:
        """The samples that were picked, as vectors: [K, B, features]."""
        picked = self._picked.to(self._data.samples.device)
        return self._data.samples_at(picked).flatten(2)

    def noised(self, samples: Tensor, of: int, std: Tensor) -> Tensor:
        """Samples with instance noise.

        Args:
            samples: [K, B, features].
            of: `REAL` or `FAKE`.
            std: in units of the samples, [K, 1]; 0 in rows that have none.
        """
        return samples + std.unsqueeze(2) * self._noise[of]

    def _for_d(self, row: int, trainer: GanTrainer) -> None:
        self._pick(row, trainer)
        self._draw_noise(REAL, row, trainer)
        self._draw_latents(row, trainer)
        self._draw_noise(FAKE, row, trainer)

    def _for_g(self, row: int, trainer: GanTrainer) -> None:
        compares = trainer.parts.loss.generator_uses_real
        if compares:
            self._pick(row, trainer)
        self._draw_latents(row, trainer)
        self._draw_noise(FAKE, row, trainer)
        if compares:
            self._draw_noise(REAL, row, trainer)

    def _pick(self, row: int, trainer: GanTrainer) -> None:
        self._picked[row].random_(0, len(self._data), generator=trainer.rng)

    def _draw_latents(self, row: int, trainer: GanTrainer) -> None:
        self.latents[row].normal_(generator=trainer.rng)

    def _draw_noise(self, of: int, row: int, trainer: GanTrainer) -> None:
        if trainer.config.instance_noise:
            self._noise[of, row].normal_(generator=trainer.rng)

"""f-GAN's own experiment: one Gaussian, learned as a GAN, against a mixture on the line.

DOCSTRING
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ganray.data.gaussians import mixture_1d
from ganray.gan.losses import make_loss
from ganray.gan.real import RealData
from ganray.gan.trainer import make_trainer
from ganray.metrics.divergences import (
    DIVERGENCES,
    FDivergence,
    alpha_divergence,
    f_divergence,
)
from ganray.metrics.mixtures import Mixture1d, gaussian
from ganray.spec.names import FganName
from ganray.trial import TrialConfig

OVERLAPPING = Mixture1d((-2.0, 2.0), (1.5, 1.0), (0.2, 0.8))
SEPARATED = Mixture1d((-4.0, 4.0), (1.0, 1.0), (0.4, 0.6))

NETWORKS = {"name": "mlp", "depth": 0, "d_depth": 2, "d_width": 64}
TRAIN_SIZE = 200_000
UPDATES = 10_000
POINTS = 10_000  # quantiles that stand for a distribution


class Row(NamedTuple):
    """A divergence, as a loss of the trainer and as an integral."""

    loss: FganName
    alpha: float = 0.5  # read by fgan_alpha alone

    @property
    def divergence(self) -> FDivergence:
        """Whose integral is what the game bounds."""
        return alpha_divergence(self.alpha) if self.loss == "fgan_alpha" else DIVERGENCES[self.loss]


ROWS: Mapping[str, Row] = {
    "KL": Row("fgan_kl"),
    "reverse KL": Row("fgan_reverse_kl"),
    "Pearson": Row("fgan_pearson"),
    "Neyman": Row("fgan_neyman"),
    "Hellinger": Row("fgan_hellinger"),
    "Jeffrey": Row("fgan_jeffrey"),
    "JS": Row("fgan_js"),
    "GAN": Row("fgan_gan"),
    "total variation": Row("fgan_tv"),
    "alpha -0.5": Row("fgan_alpha", -0.5),
    "alpha 1.5": Row("fgan_alpha", 1.5),
}


@dataclass(frozen=True)
class Learned:
    """The Gaussian that a trial ended with."""

    mean: float
    std: float
    value: float  # its divergence from the mixture, by quadrature
    bound: float  # what the trained D says of that; never more, but for the quantiles


def learn(
    mixture: Mixture1d,
    row: Row,
    seed: int,
    *,
    updates: int = UPDATES,
    generator: str = "saturating",
    **options,
) -> Learned:
    config = TrialConfig(
        **{
            **dict(
                loss=row.loss,
                alpha=row.alpha,
                fgan_generator=generator,
                latent_dim=1,
                batch_size=512,
                d_lr=3e-3,
                g_lr=3e-3,
                lr_schedule="cosine",
                ema=0.99,
                seed=seed,
            ),
            **options,
        }
    )
    made = mixture_1d(
        means=mixture.means,
        stds=mixture.stds,
        weights=mixture.weights,
        train_size=TRAIN_SIZE,
        seed=seed,
    )
    trainer = make_trainer(config, NETWORKS, RealData(torch.from_numpy(made.train)), updates)
    trainer.advance(updates)
    snapshot = trainer.snapshot()
    if snapshot.nonfinite:
        return Learned(*[math.nan] * 4)
    centre, one = snapshot.generate_average(torch.tensor([[0.0], [1.0]]), None).flatten().tolist()
    q = gaussian(centre, abs(one - centre))
    real, fake = (snapshot.discriminate(_quantiles(d), None) for d in (mixture, q))
    loss = make_loss(row.loss, alpha=row.alpha)
    return Learned(
        q.mean,
        q.std,
        f_divergence(mixture, q, row.divergence),
        -float(loss.discriminator(real, fake)),
    )


def _quantiles(p):
    levels = (np.arange(POINTS) + 0.5) / POINTS
    return torch.from_numpy(p.quantile(levels)[:, None].astype(np.float32))

"""f-GAN's own experiment: one Gaussian, learned as a GAN, against a mixture on the line.

G is affine, x = mean + std z with z ~ N(0, 1), and D an MLP with two hidden layers of 64. They play
the saddle point itself (`fgan_generator: saturating`), once for each divergence, and where they end
is compared with the Gaussian that minimises that divergence by quadrature. The paper's D has tanh
units, takes its steps together with G's, and both with one rate; here it is the trainer as it is.

Two mixtures, of our own choice:

- OVERLAPPING, for all rows. Its wide component is the smaller one, so that the rows differ most in
  how much of it they cover: std 2.1 (Pearson), 1.95 (KL), 1.6 (JS), 1.2 (reverse KL), 1.1 (Neyman).
  Each row has one minimum and is finite around it, but Pearson is infinite below std 1.06 and
  alpha 1.5 below 0.87 (p²/q and the like need q's tails), Neyman above 2.12 and alpha -0.5 above
  2.60 (q²/p needs p's): trials start in the infinite region of the first two, which D, on samples,
  does not see. Alpha ½ would be Hellinger's row again, so that alpha is -0.5 and 1.5. GAN's row is
  JS's but for its constant, -log 4.
- SEPARATED, for KL, JS and reverse KL. KL has one minimum and covers both modes. The others have
  one at each mode and one across both, of which the heavier mode's is the least. Trials start with
  a mean and a std below 1, nearer to that mode; those that started half-way between two modes
  ended in any of the three minima of reverse KL, as a descent would.

One setting serves all rows. It, the number of updates and the place of SEPARATED were chosen by
training KL and reverse KL alone, at seeds from 100 on, OVERLAPPING by the best Gaussians alone,
before any training. The table's seeds are 0, 1, 2.

What came out: on OVERLAPPING, KL, reverse KL, Pearson, Hellinger, JS, GAN and alpha 1.5 end within
about 0.001 of their least divergence; on SEPARATED, KL and JS do, and reverse KL within 0.004.
Jeffrey ends 0.004 above its own, too wide by 0.07 each time; Neyman and alpha -0.5, which weigh
most where P has the fewest samples, up to 0.05 and 0.01 above. Total variation does not train: at
the end D's bound is 0, where the divergence is 0.3 and more.

Source: Nowozin et al. 2016, "Univariate Mixture of Gaussians" (arXiv 1606.00709).
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ganray.data.gaussians import mixture_1d
from ganray.gan.base import Snapshot
from ganray.gan.losses import make_loss
from ganray.gan.real import RealData
from ganray.gan.trainer import make_trainer
from ganray.metrics.divergences import (
    DIVERGENCES,
    FDivergence,
    Fit,
    alpha_divergence,
    f_divergence,
    fit_gaussian,
)
from ganray.metrics.mixtures import Mixture1d, gaussian
from ganray.spec.names import FganName
from ganray.trial import TrialConfig

OVERLAPPING = Mixture1d((-2.0, 2.0), (1.5, 1.0), (0.2, 0.8))
SEPARATED = Mixture1d((-6.0, 2.0), (1.0, 1.0), (0.4, 0.6))

NETWORKS = {"name": "mlp", "depth": 0, "d_depth": 2, "d_width": 64}
SETTING = TrialConfig(
    fgan_generator="saturating",
    latent_dim=1,
    batch_size=512,
    d_lr=3e-3,
    g_lr=3e-2,
    lr_schedule="cosine",
    ema=0.99,
)
UPDATES = 6_000  # of D and G together
TRAIN_SIZE = 200_000
POINTS = 10_000  # quantiles that stand for a distribution where D's bound is taken


class Row(NamedTuple):
    """A divergence, as a loss of the trainer and as an integral."""

    loss: FganName
    alpha: float = 0.5  # read by fgan_alpha alone

    @property
    def divergence(self) -> FDivergence:
        """What the game bounds."""
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
SEEKING = ("KL", "JS", "reverse KL")


@dataclass(frozen=True)
class Learned:
    """One trial, beside the best that it could do. All NaN if it stopped being finite."""

    row: str
    seed: int
    best: Fit  # by quadrature
    fit: Fit  # as learned, its value by quadrature, too
    bound: float  # on that value, by the trained D; exceeds it by the quantiles' error alone

    @property
    def gap(self) -> float:
        """What is left to gain."""
        return self.fit.value - self.best.value


def experiment(
    mixture: Mixture1d, rows: Iterable[str], seeds: Iterable[int], updates: int = UPDATES
) -> Iterator[Learned]:
    """Train each row with each seed, one after the other.

    Args:
        mixture: what is to be matched.
        rows: names of `ROWS`.
        seeds: of data and trial.
        updates: of each trial.
    """
    seeds = list(seeds)
    for name in rows:
        best = fit_gaussian(mixture, ROWS[name].divergence)
        for seed in seeds:
            yield Learned(name, seed, best, *_learn(mixture, ROWS[name], seed, updates))


def _learn(mixture: Mixture1d, row: Row, seed: int, updates: int) -> tuple[Fit, float]:
    """The Gaussian that a trial ends with, by the average of G's weights, and D's bound."""
    config = replace(SETTING, loss=row.loss, alpha=row.alpha, seed=seed)
    made = mixture_1d(
        means=mixture.means,
        stds=mixture.stds,
        weights=mixture.weights,
        train_size=TRAIN_SIZE,
        seed=seed,
    )
    trainer = make_trainer(config, NETWORKS, RealData(torch.from_numpy(made.train)), updates)
    trainer.advance(updates)
    return _result(trainer.snapshot(), mixture, row)


def _result(snapshot: Snapshot, mixture: Mixture1d, row: Row) -> tuple[Fit, float]:
    if snapshot.nonfinite is not None:
        return Fit(math.nan, math.nan, math.nan), math.nan
    assert snapshot.generate_average is not None, "the setting averages"
    assert snapshot.discriminate is not None, "a GAN has a D"
    ends = snapshot.generate_average(torch.tensor([[0.0], [1.0]]), None).flatten().tolist()
    q = gaussian(ends[0], abs(ends[1] - ends[0]))
    real, fake = (snapshot.discriminate(_quantiles(side), None) for side in (mixture, q))
    bound = -float(make_loss(row.loss, alpha=row.alpha).discriminator(real, fake))
    return Fit(q.mean, q.std, f_divergence(mixture, q, row.divergence)), bound


def _quantiles(p: Mixture1d) -> Tensor:
    levels = (np.arange(POINTS) + 0.5) / POINTS
    return torch.from_numpy(p.quantile(levels)[:, None].astype(np.float32))


# --- on the screen --------------------------------------------------------------------------------

COLUMNS: Mapping[str, Callable[[Learned], float]] = {
    "learned mean": lambda trial: trial.fit.mean,
    "std": lambda trial: trial.fit.std,
    "D_f": lambda trial: trial.fit.value,
    "gap": lambda trial: trial.gap,
    "D's bound": lambda trial: trial.bound,
}


WIDTH = 180  # columns; each number stands beside its range


def fgan(runs: int, updates: int = UPDATES) -> None:
    """Both mixtures' tables: the best Gaussian, and the learned one's median (least … most)."""
    start = time.perf_counter()
    for title, mixture, rows in (
        ("two that overlap", OVERLAPPING, ROWS),
        ("two far apart", SEPARATED, SEEKING),
    ):
        Console(width=WIDTH).print(_table(f"{title}: {mixture}", mixture, rows, runs, updates))
    seconds = time.perf_counter() - start
    print(f"{updates:,} updates, seeds 0 to {runs - 1}; {seconds:.0f} s in all, one thread")


def _table(title: str, mixture: Mixture1d, rows: Iterable[str], runs: int, updates: int) -> Table:
    table = Table(title=title, box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.add_column("", header_style="dim")
    for column in ("best mean", "std", "D_f", *COLUMNS):
        table.add_column(column, header_style="dim", justify="right")
    for name in rows:
        trials = list(experiment(mixture, [name], range(runs), updates))
        best = (f"{value:.3f}" for value in trials[0].best)
        table.add_row(name, *best, *(_spread(map(get, trials)) for get in COLUMNS.values()))
    return table


def _spread(values: Iterable[float]) -> str:
    """The median, and where there are more than one, the range; those not finite are counted."""
    known = list(values)
    finite = [value for value in known if math.isfinite(value)]
    if not finite:
        return "not finite"
    text = f"{statistics.median(finite):.3f}"
    if len(known) > 1:
        text += f" ({min(finite):.3f} … {max(finite):.3f})"
    return text if len(finite) == len(known) else f"{text}, {len(finite)} of {len(known)}"

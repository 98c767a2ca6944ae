"""Mixtures of Gaussians, whose modes are known exactly.

Published rings and grids of the same name differ: `variant` chooses one by who published it. Rings
whose angles are `linspace(0, 2π, 8)`, as in some published code, are not offered: the end point
repeats the first mode, so that they have seven places, one of them twice as likely, and an
evaluator with the same centres reports eight modes for them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganray.data.dataset import Classified, Dataset, Labels, Samples

HELDOUT = 5_000
GOOD_STDS = 3.0  # the usual cut; keeps 99.7 % of a perfect generator in 1-D, 98.9 % in 2-D
TRAIN_SIZE = 50_000

Draw = Callable[[np.random.Generator, int], Labels]  # the modes of so many samples


@dataclass(frozen=True)
class Ring:
    """Equal Gaussians on a circle."""

    modes: int = 8
    std: float = 0.02
    radius: float = 1.0
    train_size: int = TRAIN_SIZE


@dataclass(frozen=True)
class Grid:
    """Equal Gaussians on a square grid."""

    modes: int = 25
    std: float = 0.05
    spacing: float = 2.0
    train_size: int = TRAIN_SIZE
    even: bool = False  # as many training samples of each mode, instead of modes at random


# Where training samples were drawn anew at every step, `TRAIN_SIZE` of them are drawn once here.
RING_VARIANTS: Mapping[str, Ring] = {
    # Lin et al. 2018 (PacGAN, arXiv 1712.04086), the code of the 2-D ring
    "pacgan": Ring(8, 0.01, 1.0, 100_000),
    # Gulrajani et al. 2017 (WGAN-GP, arXiv 1704.00028), the code of the toy data
    "wgan-gp": Ring(8, 0.02 / 1.414, 2.0 / 1.414),
    # Nguyen et al. 2017 (D2GAN, arXiv 1709.03831), the code of the 2-D data
    "d2gan": Ring(8, 0.02, 2.0),
    # Dieng et al. 2019 (PresGAN, arXiv 1910.04302), the code's defaults
    "presgan": Ring(10, 0.05, 3.0),
}
GRID_VARIANTS: Mapping[str, Grid] = {
    # as above, the code of the 2-D grid
    "pacgan": Grid(25, 0.05, 2.0, 100_000),
    # as above; all is divided by the data's standard deviation
    "wgan-gp": Grid(25, 0.05 / 2.828, 2.0 / 2.828),
    # Xiao et al. 2018 (BourGAN, arXiv 1805.07674), covariance .01 and 50 points a mode
    "bourgan": Grid(25, 0.1, 2.0, 1_250, even=True),
}


@dataclass(frozen=True)
class GaussianModes:
    """A sample is of the nearest mode, and good within three standard deviations of it.

    Modes of unequal width are compared in units of their own.

    Source: Srivastava et al. 2017, section 4.1 (VEEGAN, arXiv 1705.07761).
    """

    centres: Samples  # [K, D]
    std: float | Samples  # of all modes, or of each, [K]

    @property
    def modes(self) -> int:
        """How many centres there are."""
        return len(self.centres)

    def classify(self, samples: Samples) -> Classified:
        """The nearest centre of each sample [N, D]."""
        offsets = samples[:, None, :].astype(np.float64) - self.centres[None]
        squared = (offsets**2).sum(-1) / np.square(self.std, dtype=np.float64)
        mode = squared.argmin(1)
        nearest = np.take_along_axis(squared, mode[:, None], 1)[:, 0]
        return Classified(mode, nearest <= GOOD_STDS**2)


def gaussian_1d(
    *, mean: float = 4.0, std: float = 1.25, train_size: int = TRAIN_SIZE, seed: int = 0
) -> Dataset:
    """One normal distribution on the line, samples [N, 1]."""
    counter = GaussianModes(np.array([[mean]], dtype=np.float32), std)
    name = f"gaussian-1d-mean{mean:.12g}-std{std:.12g}-v1"
    return _dataset(name, counter, train_size, seed, _uniform(1), _uniform(1))


def mixture_1d(
    *,
    means: Sequence[float] = (-4.0, 0.0, 4.0),
    stds: Sequence[float] = (0.5, 0.25, 1.0),
    weights: Sequence[float] = (0.3, 0.3, 0.4),
    train_size: int = TRAIN_SIZE,
    seed: int = 0,
) -> Dataset:
    """Gaussians on the line, samples [N, 1]. The defaults are well separated, and no one's.

    Args:
        means: of each component.
        stds: of each component.
        weights: how likely each component is, relative to the others.
        train_size: how many samples are trained on.
        seed: of the samples.
    """
    if not len(means) == len(stds) == len(weights) > 0:
        lengths = f"{len(means)}, {len(stds)} and {len(weights)}"
        raise ValueError(f"means, stds and weights must be as many; got {lengths}")
    if min(*stds, *weights) <= 0.0:
        raise ValueError(f"stds and weights must be positive; got {stds} and {weights}")
    counter = GaussianModes(
        np.array(means, dtype=np.float32)[:, None], np.array(stds, dtype=np.float32)
    )
    draw = _weighted(np.array(weights, dtype=np.float64) / sum(weights))
    name = f"mixture-1d-means{_joined(means)}-stds{_joined(stds)}-weights{_joined(weights)}-v1"
    return _dataset(name, counter, train_size, seed, draw, draw)


def ring(
    *,
    modes: int = Ring.modes,
    std: float = Ring.std,
    radius: float = Ring.radius,
    train_size: int = Ring.train_size,
    seed: int = 0,
    variant: str | None = None,
) -> Dataset:
    """Equal Gaussians at angles 2πi/modes, samples [N, 2].

    Args:
        modes: how many.
        std: of each, in each direction.
        radius: of the circle.
        train_size: how many samples are trained on.
        seed: of the samples.
        variant: one of `RING_VARIANTS`, in place of all of the above but the seed.
    """
    made = Ring(modes, std, radius, train_size)
    if variant is not None:
        _check_variant(variant, RING_VARIANTS, made == Ring())
        made = RING_VARIANTS[variant]
    # no end point: it would repeat the first mode
    angles = 2.0 * np.pi * np.arange(made.modes) / made.modes
    centres = (made.radius * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32)
    name = f"ring-modes{made.modes}-std{made.std:.12g}-radius{made.radius:.12g}-v1"
    draw = _uniform(made.modes)
    return _dataset(name, GaussianModes(centres, made.std), made.train_size, seed, draw, draw)


def grid(
    *,
    modes: int = Grid.modes,
    std: float = Grid.std,
    spacing: float = Grid.spacing,
    train_size: int = Grid.train_size,
    seed: int = 0,
    variant: str | None = None,
) -> Dataset:
    """Equal Gaussians on a square grid around 0, samples [N, 2].

    The defaults are the grid of Lin et al. 2018 (PacGAN, arXiv 1712.04086), with fewer samples.

    Args:
        modes: how many; a square number.
        std: of each, in each direction.
        spacing: between neighbours.
        train_size: how many samples are trained on.
        seed: of the samples.
        variant: one of `GRID_VARIANTS`, in place of all of the above but the seed.
    """
    made = Grid(modes, std, spacing, train_size)
    if variant is not None:
        _check_variant(variant, GRID_VARIANTS, made == Grid())
        made = GRID_VARIANTS[variant]
    side = math.isqrt(made.modes)
    if side * side != made.modes:
        raise ValueError(f"modes must be a square number; got {made.modes}")
    axis = made.spacing * (np.arange(side) - (side - 1) / 2.0)
    centres = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    name = f"grid-modes{made.modes}-std{made.std:.12g}-spacing{made.spacing:.12g}"
    name += "-even-v1" if made.even else "-v1"
    counter = GaussianModes(centres.astype(np.float32), made.std)
    draw = _uniform(made.modes)
    train_draw = _even(made.modes) if made.even else draw
    return _dataset(name, counter, made.train_size, seed, train_draw, draw)


def _check_variant(variant: str, known: Mapping[str, object], alone: bool) -> None:
    if variant not in known:
        raise ValueError(f"unknown variant {variant!r}; known: {', '.join(sorted(known))}")
    if not alone:
        raise ValueError(f"variant {variant!r} sets every option but the seed; give one or others")


def _dataset(
    name: str, counter: GaussianModes, train_size: int, seed: int, draw: Draw, heldout: Draw
) -> Dataset:
    rng = np.random.default_rng(seed)
    train, labels = _samples(rng, counter, draw, train_size)
    held_out, heldout_labels = _samples(rng, counter, heldout, HELDOUT)
    return Dataset(
        f"{name}-n{train_size}-seed{seed}",
        train,
        held_out,
        counter,
        labels=labels,
        heldout_labels=heldout_labels,
        classes=counter.modes,
    )


def _samples(
    rng: np.random.Generator, counter: GaussianModes, draw: Draw, size: int
) -> tuple[Samples, Labels]:
    """Samples [size, D] and the mode that each was drawn from."""
    noise = rng.normal(size=(size, counter.centres.shape[1]))
    labels = draw(rng, size)
    std = np.broadcast_to(np.asarray(counter.std, dtype=np.float64), counter.modes)[labels]
    samples: Samples = (counter.centres[labels] + std[:, None] * noise).astype(np.float32)
    return samples, labels


def _uniform(modes: int) -> Draw:
    return lambda rng, size: rng.integers(modes, size=size)


def _weighted(shares: NDArray[np.float64]) -> Draw:
    return lambda rng, size: rng.choice(len(shares), size=size, p=shares)


def _even(modes: int) -> Draw:
    return lambda rng, size: rng.permutation(np.arange(size) % modes)


def _joined(values: Sequence[float]) -> str:
    return "_".join(f"{value:.12g}" for value in values)

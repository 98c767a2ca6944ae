"""Mixtures of Gaussians, whose modes are known exactly."""

import math
from dataclasses import dataclass

import numpy as np

from ganray.data.dataset import Classified, Dataset, Samples

HELDOUT = 5_000
GOOD_STDS = 3.0  # the usual cut; keeps 99.7 % of a perfect generator in 1-D, 98.9 % in 2-D


@dataclass(frozen=True)
class GaussianModes:
    """A sample is of the mode whose centre is nearest, and good within three standard deviations.

    Source: Srivastava et al. 2017, section 4.1 (VEEGAN, arXiv 1705.07761).
    """

    centres: Samples  # [K, D]
    std: float

    @property
    def modes(self) -> int:
        """How many centres there are."""
        return len(self.centres)

    def classify(self, samples: Samples) -> Classified:
        """The nearest centre of each sample [N, D]."""
        offsets = samples[:, None, :].astype(np.float64) - self.centres[None]
        squared = (offsets**2).sum(-1)
        mode = squared.argmin(1)
        nearest = np.take_along_axis(squared, mode[:, None], 1)[:, 0]
        return Classified(mode, nearest <= (GOOD_STDS * self.std) ** 2)


def gaussian_1d(
    *, mean: float = 4.0, std: float = 1.25, train_size: int = 50_000, seed: int = 0
) -> Dataset:
    """One normal distribution on the line, samples [N, 1]."""
    centres = np.array([[mean]], dtype=np.float32)
    return _mixture(f"gaussian-1d-mean{mean:.12g}-std{std:.12g}-v1", centres, std, train_size, seed)


def ring(
    *,
    modes: int = 8,
    std: float = 0.02,
    radius: float = 1.0,
    train_size: int = 50_000,
    seed: int = 0,
) -> Dataset:
    """Equal Gaussians at angles 2πi/modes, samples [N, 2]."""
    angles = 2.0 * np.pi * np.arange(modes) / modes  # no end point: it would repeat the first mode
    centres = (radius * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32)
    name = f"ring-modes{modes}-std{std:.12g}-radius{radius:.12g}-v1"
    return _mixture(name, centres, std, train_size, seed)


def grid(
    *,
    modes: int = 25,
    std: float = 0.05,
    spacing: float = 2.0,
    train_size: int = 50_000,
    seed: int = 0,
) -> Dataset:
    """Equal Gaussians on a square grid around 0, samples [N, 2].

    The defaults are the grid of Lin et al. 2018 (PacGAN, arXiv 1712.04086).
    """
    side = math.isqrt(modes)
    if side * side != modes:
        raise ValueError(f"modes must be a square number; got {modes}")
    axis = spacing * (np.arange(side) - (side - 1) / 2.0)
    centres = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    name = f"grid-modes{modes}-std{std:.12g}-spacing{spacing:.12g}-v1"
    return _mixture(name, centres.astype(np.float32), std, train_size, seed)


def _mixture(name: str, centres: Samples, std: float, train_size: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    train, heldout = (_draw(rng, centres, std, size) for size in (train_size, HELDOUT))
    counter = GaussianModes(centres, std)
    return Dataset(f"{name}-n{train_size}-seed{seed}", train, heldout, counter)


def _draw(rng: np.random.Generator, centres: Samples, std: float, size: int) -> Samples:
    noise = rng.normal(0.0, std, (size, centres.shape[1]))
    samples: Samples = (centres[rng.integers(len(centres), size=size)] + noise).astype(np.float32)
    return samples

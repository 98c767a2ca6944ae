"""What is done to samples before D judges them: augmentation, instance noise, packing.

All of it is differentiable, so that G learns through it, and draws from the generator that it is
given, which lives where the samples do.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Augmentation = Callable[[Tensor, torch.Generator], Tensor]

SHIFT = 1 / 8  # of a side, at most, each way
HOLE = 1 / 2  # of a side


def diffaugment(images: Tensor, policy: str, draws: torch.Generator) -> Tensor:
    """DiffAugment: each image is augmented by its own draws. Both real and fake ones must be.

    Args:
        images: [B, C, H, W], in [-1, 1]; colours may leave that range.
        policy: names of `POLICIES`, each at most once, with commas between them; in that order.
        draws: on the images' device.

    Returns:
        [B, C, H, W].

    Raises:
        ValueError: samples that are not images, or a policy that is not as above.

    Source: Zhao et al. 2020 and the authors' code (arXiv 2006.10738).
    """
    if images.ndim != 4:
        raise ValueError(f"diffaugment is for images [B, C, H, W]; got shape {list(images.shape)}")
    for name in parse_policy(policy):
        images = POLICIES[name](images, draws)
    return images


def parse_policy(policy: str) -> list[str]:
    """The names in a policy.

    Raises:
        ValueError: there is none, one is unknown, or one comes twice.
    """
    names = [name.strip() for name in policy.split(",")]
    if len(set(names)) < len(names) or not set(names) <= set(POLICIES):
        known = ", ".join(POLICIES)
        raise ValueError(f"policy must be names of {known} with commas, once each; got {policy!r}")
    return names


def color(images: Tensor, draws: torch.Generator) -> Tensor:
    """Brightness moved by U(-½, ½), saturation times U(0, 2), contrast times U(½, 3/2)."""
    images = images + (_uniform(images, draws) - 0.5)
    images = _stretch(images, images.mean(1, keepdim=True), 2.0 * _uniform(images, draws))
    mean = images.mean((1, 2, 3), keepdim=True)
    return _stretch(images, mean, _uniform(images, draws) + 0.5)


def translation(images: Tensor, draws: torch.Generator) -> Tensor:
    """Shifted by whole pixels, up to 1/8 of each side either way; what comes in is 0."""
    for dim in (2, 3):
        reach = _rounded(images.shape[dim] * SHIFT)
        images = _shifted(images, dim, _integers(images, -reach, reach + 1, draws))
    return images


def cutout(images: Tensor, draws: torch.Generator) -> Tensor:
    """A rectangle of half of each side is 0; its centre lies anywhere, so an edge may cut it."""
    rows, columns = (_cut(images, dim, draws) for dim in (2, 3))
    return images.masked_fill(rows & columns, 0.0)


POLICIES: Mapping[str, Augmentation] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}


def add_instance_noise(samples: Tensor, std: float | Tensor, draws: torch.Generator) -> Tensor:
    """Samples plus N(0, std²) in each coordinate; both real and fake ones must have it.

    Args:
        samples: [B, ...].
        std: in units of the samples.
        draws: on the samples' device.

    Source: Sønderby et al. 2017 (arXiv 1610.04490).
    """
    shape, device, dtype = samples.shape, samples.device, samples.dtype
    return samples + std * torch.randn(shape, generator=draws, device=device, dtype=dtype)


def pack(samples: Tensor, size: int) -> Tensor:
    """Join `size` samples that follow each other to one: features or channels side by side.

    Args:
        samples: [B * size, C, ...]: vectors or images.
        size: how many samples D judges together.

    Returns:
        [B, size * C, ...].

    Raises:
        ValueError: the samples cannot be divided so.

    Source: Lin et al. 2018 (arXiv 1712.04086).
    """
    if size < 1 or len(samples) % size:
        raise ValueError(f"{len(samples)} samples cannot be packed by {size}")
    channels, *rest = samples.shape[1:]
    return samples.reshape(len(samples) // size, size * channels, *rest)


def _stretch(images: Tensor, mean: Tensor, by: Tensor) -> Tensor:
    return (images - mean) * by + mean


def _shifted(images: Tensor, dim: int, by: Tensor) -> Tensor:
    """Pixel i of the result is pixel i + by of the image, or 0 where there is none."""
    source = _positions(images, dim) + by
    last = images.shape[dim] - 1
    inside = (source >= 0) & (source <= last)
    return images.take_along_dim(source.clamp(0, last), dim).where(inside, 0.0)


def _cut(images: Tensor, dim: int, draws: torch.Generator) -> Tensor:
    """Which rows (or columns) of each image are cut out, [B, 1, H, 1] (or [B, 1, 1, W])."""
    side = images.shape[dim]
    hole = _rounded(side * HOLE)
    centre = _integers(images, 0, side + 1 - hole % 2, draws)
    first = centre - hole // 2
    positions = _positions(images, dim)
    return (positions >= first) & (positions < first + hole)


def _positions(images: Tensor, dim: int) -> Tensor:
    """0, 1, 2, ... along that dimension, 1 long in the others."""
    shape = [1] * images.ndim
    shape[dim] = images.shape[dim]
    return torch.arange(images.shape[dim], device=images.device).view(shape)


def _uniform(images: Tensor, draws: torch.Generator) -> Tensor:
    """U(0, 1), [B, 1, 1, 1]."""
    shape = (len(images), 1, 1, 1)
    return torch.rand(shape, generator=draws, device=images.device, dtype=images.dtype)


def _integers(images: Tensor, low: int, high: int, draws: torch.Generator) -> Tensor:
    """Integers from low to high - 1, [B, 1, 1, 1]."""
    shape = (len(images), 1, 1, 1)
    return torch.randint(low, high, shape, generator=draws, device=images.device)


def _rounded(length: float) -> int:
    return int(length + 0.5)

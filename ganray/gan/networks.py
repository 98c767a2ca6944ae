"""Generators and discriminators.

A generator maps latents [B, latent_dim] to samples [B, *shape]; a discriminator maps samples to
logits [B]. Images are [C, H, W] with values in [-1, 1].
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


class Networks(NamedTuple):
    """The two players."""

    generator: nn.Module
    discriminator: nn.Module


def mlp(shape: Shape, latent_dim: int, *, width: int = 128, depth: int = 2) -> Networks:
    """Fully connected players: ReLU in G, leaky ReLU in D, for vectors and images alike.

    Args:
        shape: of one sample.
        latent_dim: of one latent.
        width: of each hidden layer.
        depth: number of hidden layers.
    """
    size = torch.Size(shape).numel()
    generator: list[nn.Module] = [
        *_hidden(latent_dim, width, depth, nn.ReLU),
        nn.Linear(width, size),
        nn.Unflatten(1, shape),
    ]
    if _is_image(shape):
        generator.append(nn.Tanh())
    discriminator = [
        nn.Flatten(),
        *_hidden(size, width, depth, _leaky),
        nn.Linear(width, 1),
        nn.Flatten(0),
    ]
    return Networks(nn.Sequential(*generator), nn.Sequential(*discriminator))


def conv(shape: Shape, latent_dim: int, *, width: int = 32) -> Networks:
    """A small DCGAN: two up-samplings in G, two strided convolutions in D, no batch norm in D.

    Args:
        shape: [C, H, W] of one image, H and W multiples of 4.
        latent_dim: of one latent.
        width: channels at full resolution.

    Source: after Radford et al. 2016 (arXiv 1511.06434), made small.
    """
    if not _is_image(shape) or shape[1] % 4 or shape[2] % 4:
        raise ValueError(f"conv needs images [C, H, W] with sides in multiples of 4; got {shape}")
    channels, height, columns = shape
    small = (4 * width, height // 4, columns // 4)
    generator = nn.Sequential(
        nn.Linear(latent_dim, torch.Size(small).numel(), bias=False),
        nn.Unflatten(1, small),
        nn.BatchNorm2d(4 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, channels, 3, 1, 1),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(channels, width, 3, 1, 1),
        _leaky(),
        nn.Conv2d(width, 2 * width, 4, 2, 1),
        _leaky(),
        nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
        _leaky(),
        nn.Flatten(),
        nn.Linear(torch.Size(small).numel(), 1),
        nn.Flatten(0),
    )
    return Networks(generator, discriminator)


NETWORKS: Mapping[str, Callable[..., Networks]] = {"mlp": mlp, "conv": conv}


def build_networks(
    options: Mapping[str, object], shape: Shape, latent_dim: int, seed: int
) -> Networks:
    """Build a pair whose initial weights depend on `seed` alone.

    Args:
        options: `name` of the networks and their own options, as in a sweep file.
        shape: of one sample.
        latent_dim: of one latent.
        seed: of the initial weights; torch's global generator is left as it was.
    """
    own = {key: value for key, value in options.items() if key != "name"}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # of the CPU, where networks are built
        return NETWORKS[str(options["name"])](shape, latent_dim, **own)


def latents(count: int, latent_dim: int, generator: torch.Generator) -> Tensor:
    """Standard normal latents, shape [count, latent_dim], on the generator's device."""
    return torch.randn(count, latent_dim, generator=generator, device=generator.device)


def _hidden(
    inputs: int, width: int, depth: int, activation: Callable[[], nn.Module]
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [nn.Linear(width if index else inputs, width), activation()]
    return layers


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)


def _is_image(shape: Shape) -> bool:
    return len(shape) == 3

"""SNGAN's residual networks for images of 32 pixels a side.

Their spectral norm is the trial parameter `spectral_norm`, not part of this. Up-sampling repeats
pixels and activations do not work in place, as in the authors' code; of its well-known ports,
mimicry interpolates, with as many parameters.

Source: Miyato et al. 2018, table 4 (arXiv 1802.05957), github.com/pfnet-research/sngan_projection.
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from ganray.gan.networks.layers import (
    Architecture,
    Residual,
    Shape,
    Trunk,
    need_images,
    weighted,
    zero_bias,
)

SIDE = 32
BOTTOM = 4  # where G begins


@dataclass(frozen=True)
class SnganOptions:
    """Sizes of `sngan-resnet`."""

    g_width: int = 256  # channels of G
    d_width: int = 128  # channels of D


class SumPool(nn.Module):
    """Sum over all pixels: [B, C, H, W] -> [B, C]."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x.sum((2, 3))


def generator(shape: Shape, latent_dim: int, options: SnganOptions) -> nn.Module:
    """Three blocks that double the sides, with batch norm and ReLU; tanh."""
    need_images("sngan-resnet", shape, (SIDE,))
    width = options.g_width
    return nn.Sequential(
        nn.Linear(latent_dim, width * BOTTOM**2),
        nn.Unflatten(1, (width, BOTTOM, BOTTOM)),
        *[_doubling(width) for _ in range(3)],
        nn.BatchNorm2d(width),
        nn.ReLU(),
        _conv3(width, shape[0]),
        nn.Tanh(),
    )


def trunk(shape: Shape, options: SnganOptions) -> Trunk:
    """Four blocks, of which two halve the sides, ReLU and a sum over pixels; no norm."""
    need_images("sngan-resnet", shape, (SIDE,))
    width = options.d_width
    return Trunk(
        _first(shape[0], width),
        _halving(width),
        _same(width),
        _same(width),
        nn.ReLU(),
        SumPool(),
        features=width,
    )


def initialise(network: nn.Module, _options: SnganOptions) -> None:
    """Glorot's uniform weights, scaled by √2 in residual branches; biases 0."""
    blocks = [module for module in network.modules() if isinstance(module, Residual)]
    branches = {layer for block in blocks for layer in weighted(block.branch)}
    for layer in weighted(network):
        gain = math.sqrt(2.0) if layer in branches else 1.0
        nn.init.xavier_uniform_(layer.weight, gain)
        zero_bias(layer)


def _doubling(width: int) -> nn.Module:
    branch = nn.Sequential(
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        _conv3(width, width),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        _conv3(width, width),
    )
    return Residual(branch, nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 1)))


def _first(channels: int, width: int) -> nn.Module:
    """Halves the sides; no activation before the first convolution, which sees the image."""
    branch = nn.Sequential(
        _conv3(channels, width), nn.ReLU(), _conv3(width, width), nn.AvgPool2d(2)
    )
    return Residual(branch, nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, width, 1)))


def _halving(width: int) -> nn.Module:
    shortcut = nn.Sequential(nn.Conv2d(width, width, 1), nn.AvgPool2d(2))
    return Residual(nn.Sequential(*_two(width), nn.AvgPool2d(2)), shortcut)


def _same(width: int) -> nn.Module:
    return Residual(nn.Sequential(*_two(width)))


def _two(width: int) -> list[nn.Module]:
    return [nn.ReLU(), _conv3(width, width), nn.ReLU(), _conv3(width, width)]


def _conv3(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


SNGAN = Architecture(SnganOptions, generator, trunk, initialise)

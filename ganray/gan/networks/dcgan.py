"""DCGAN: strided 5×5 convolutions, for images of 28, 32 or 64 pixels a side.

At 28 pixels G begins at 7×7, as in InfoGAN's nets for MNIST, which large comparisons of GANs were
made with; at 32 and 64 it begins at 4×4. (From 2×2, as in the nets of most Stacked MNIST tables,
narrow generators lose sight of their latents in the first updates.)

Source: Radford et al. 2016 (arXiv 1511.06434); for 28 pixels the sizes of Chen et al. 2016
(InfoGAN, arXiv 1606.03657).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from ganray.gan.networks.layers import Architecture, Shape, Trunk, leaky, need_images, need_known
from ganray.gan.networks.layers import normal as draw_normal

HALVINGS = {28: 2, 32: 3, 64: 4}  # of the sides, in D
NORMS = ("none", "batch")
INIT_STD = 0.02


@dataclass(frozen=True)
class DcganOptions:
    """Sizes and norms of `dcgan`."""

    width: int = 64  # channels of the feature maps next to the image, doubled at each halving
    g_norm: str = "batch"  # or none
    d_norm: str = "none"  # or batch, the paper's, with which D judges batches, not samples


def generator(shape: Shape, latent_dim: int, options: DcganOptions) -> nn.Module:
    """A projection, then transposed convolutions that double the sides, with ReLU; tanh."""
    need_known("networks", "g_norm", options.g_norm, NORMS)
    side, widths = _plan(shape, options)
    widths = widths[::-1]
    small = (widths[0], side, side)
    bias = options.g_norm == "none"
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, torch.Size(small).numel(), bias=bias),
        nn.Unflatten(1, small),
        *_norm(options.g_norm, widths[0]),
        nn.ReLU(),
    ]
    for inputs, outputs in pairwise(widths):
        layers += [_doubling(inputs, outputs, bias), *_norm(options.g_norm, outputs), nn.ReLU()]
    return nn.Sequential(*layers, _doubling(widths[-1], shape[0], True), nn.Tanh())


def trunk(shape: Shape, options: DcganOptions) -> Trunk:
    """Convolutions that halve the sides, with leaky ReLU; the first has no norm."""
    need_known("networks", "d_norm", options.d_norm, NORMS)
    side, widths = _plan(shape, options)
    layers: list[nn.Module] = [nn.Conv2d(shape[0], widths[0], 5, 2, 2), leaky()]
    for inputs, outputs in pairwise(widths):
        layers += [
            nn.Conv2d(inputs, outputs, 5, 2, 2, bias=options.d_norm == "none"),
            *_norm(options.d_norm, outputs),
            leaky(),
        ]
    return Trunk(*layers, nn.Flatten(), features=widths[-1] * side**2)


def initialise(network: nn.Module, _options: DcganOptions) -> None:
    """From N(0, 0.02²), as in the paper."""
    draw_normal(network, INIT_STD)


def _plan(shape: Shape, options: DcganOptions) -> tuple[int, list[int]]:
    """The smallest side, and the channels of all but the image, from the image inwards."""
    need_images("dcgan", shape, HALVINGS)
    halvings = HALVINGS[shape[1]]
    return shape[1] // 2**halvings, [options.width * 2**i for i in range(halvings)]


def _doubling(inputs: int, outputs: int, bias: bool) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, output_padding=1, bias=bias)


def _norm(norm: str, channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels)] if norm == "batch" else []


DCGAN = Architecture(DcganOptions, generator, trunk, initialise)

"""A small residual network without any normalisation, for images of 28 or 32 pixels a side.

In the spirit of R3GAN's: leaky ReLU, resampling apart from convolutions, branches that begin at
zero so that depth does not blow up signals. The size of the "small ResNet" of its Stacked MNIST
table is not published: this one's is our own choice.

Source: after Huang et al. 2024 (arXiv 2501.05441); initialisation by Zhang et al. 2019, section 3
(arXiv 1901.09321).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from ganray.gan.networks.layers import (
    Architecture,
    Residual,
    Shape,
    Trunk,
    leaky,
    need_images,
    weighted,
    zero_bias,
)

SIDES = (28, 32)
HALVINGS = 2  # of the sides
SLOPE = 0.2  # of the leaky ReLU


@dataclass(frozen=True)
class ResnetOptions:
    """Sizes of `resnet`."""

    width: int = 64  # channels at full resolution, doubled at each halving
    depth: int = 1  # blocks at each resolution


def generator(shape: Shape, latent_dim: int, options: ResnetOptions) -> nn.Module:
    """A projection to a quarter of the sides, blocks, doubled twice, blocks; tanh."""
    side, widths = _plan(shape, options)
    small = (widths[-1], side, side)
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, torch.Size(small).numel()),
        nn.Unflatten(1, small),
    ]
    for inputs, outputs in pairwise(widths[::-1]):
        layers += [
            *_blocks(inputs, options.depth),
            nn.Conv2d(inputs, outputs, 1),
            nn.Upsample(scale_factor=2),
        ]
    last = [*_blocks(widths[0], options.depth), leaky(), nn.Conv2d(widths[0], shape[0], 3, 1, 1)]
    return nn.Sequential(*layers, *last, nn.Tanh())


def trunk(shape: Shape, options: ResnetOptions) -> Trunk:
    """The mirror image; each channel ends as one weighted sum over its pixels."""
    side, widths = _plan(shape, options)
    layers: list[nn.Module] = [nn.Conv2d(shape[0], widths[0], 3, 1, 1)]
    for inputs, outputs in pairwise(widths):
        layers += [
            *_blocks(inputs, options.depth),
            nn.AvgPool2d(2),
            nn.Conv2d(inputs, outputs, 1),
        ]
    last = nn.Conv2d(widths[-1], widths[-1], side, groups=widths[-1])
    return Trunk(
        *layers,
        *_blocks(widths[-1], options.depth),
        leaky(),
        last,
        nn.Flatten(),
        features=widths[-1],
    )


def initialise(network: nn.Module, _options: ResnetOptions) -> None:
    """Weights that keep the variance; He's over √n in the n branches, whose last layers are 0."""
    for layer in weighted(network):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        zero_bias(layer)
    blocks = [module for module in network.modules() if isinstance(module, Residual)]
    for block in blocks:
        first, last = weighted(block.branch)
        nn.init.kaiming_normal_(first.weight, a=SLOPE)
        with torch.no_grad():
            first.weight.mul_(len(blocks) ** -0.5)
        nn.init.zeros_(last.weight)


def _plan(shape: Shape, options: ResnetOptions) -> tuple[int, list[int]]:
    """The smallest side, and the channels from the image inwards."""
    need_images("resnet", shape, SIDES)
    return shape[1] // 2**HALVINGS, [options.width * 2**i for i in range(HALVINGS + 1)]


def _blocks(width: int, count: int) -> list[nn.Module]:
    return [Residual(nn.Sequential(*_two(width))) for _ in range(count)]


def _two(width: int) -> list[nn.Module]:
    return [leaky(), nn.Conv2d(width, width, 3, 1, 1), leaky(), nn.Conv2d(width, width, 3, 1, 1)]


RESNET = Architecture(ResnetOptions, generator, trunk, initialise)

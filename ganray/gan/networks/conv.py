"""Small convolutional networks, for images whose sides are multiples of 4.

Two up-samplings in G, two strided convolutions in D, no batch norm in D.
Source: after Radford et al. 2016 (arXiv 1511.06434), made small.
"""

from dataclasses import dataclass

import torch
from torch import nn

from ganray.errors import NetworkError
from ganray.gan.networks.layers import Architecture, Shape, Trunk, is_image, leaky


@dataclass(frozen=True)
class ConvOptions:
    """Sizes of `conv`."""

    width: int = 32  # channels at full resolution


def generator(shape: Shape, latent_dim: int, options: ConvOptions) -> nn.Module:
    """A projection to a quarter of the sides, doubled twice, with batch norm and ReLU; tanh."""
    width, small = options.width, _small(shape, options)
    return nn.Sequential(
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
        nn.Conv2d(width, shape[0], 3, 1, 1),
        nn.Tanh(),
    )


def trunk(shape: Shape, options: ConvOptions) -> Trunk:
    """A convolution at full resolution and two that halve the sides, with leaky ReLU."""
    width, small = options.width, _small(shape, options)
    return Trunk(
        nn.Conv2d(shape[0], width, 3, 1, 1),
        leaky(),
        nn.Conv2d(width, 2 * width, 4, 2, 1),
        leaky(),
        nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
        leaky(),
        nn.Flatten(),
        features=torch.Size(small).numel(),
    )


def _small(shape: Shape, options: ConvOptions) -> Shape:
    if not is_image(shape) or shape[1] % 4 or shape[2] % 4:
        raise NetworkError(
            f"networks: conv needs images [C, H, W] with sides in multiples of 4; got {shape}"
        )
    return (4 * options.width, shape[1] // 4, shape[2] // 4)


CONV = Architecture(ConvOptions, generator, trunk)

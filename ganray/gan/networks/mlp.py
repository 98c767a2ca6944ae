"""Fully connected networks, for vectors and images alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganray.gan.networks.layers import (
    Architecture,
    Shape,
    Trunk,
    is_image,
    leaky,
    need_known,
    normal,
)


@dataclass(frozen=True)
class MlpOptions:
    """Sizes and layers of `mlp`.

    PacGAN's nets for vectors are width 400, depth 4, g_norm batch, d_width 200, d_depth 3,
    d_activation maxout, init_std 0.02, with 2 latents. As in its code, batch norm stands between
    each linear layer and its ReLU, none at G's output and none in D; G's linear layers have a bias
    at the output alone; D's output is linear. (Its running means decay by 0.95, these by 0.9.)
    Source: Lin et al. 2018 (arXiv 1712.04086), github.com/fjxmlzn/PacGAN, 2DRing_GAN&PacGAN.
    """

    width: int = 128  # of each hidden layer
    depth: int = 2  # hidden layers; 0 leaves a linear G and a linear D
    d_width: int | None = None  # of D and encoders; None: `width`
    d_depth: int | None = None  # of D and encoders; None: `depth`
    g_norm: str = "none"  # or batch
    d_norm: str = "none"  # or batch, with which D judges batches: no penalties on single samples
    d_activation: str = "leaky_relu"  # or maxout
    init_std: float | None = None  # weights from N(0, init_std²), biases 0; None: torch's own


class Maxout(nn.Module):
    """The largest of each group of `pieces` neighbours: [..., n * pieces] -> [..., n].

    Source: Goodfellow et al. 2013, section 2 (arXiv 1302.4389).
    """

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x.view(*x.shape[:-1], -1, self.pieces).amax(-1)


NORMS = ("none", "batch")
PIECES = 5  # of maxout, as in PacGAN

# How many linear outputs an activation takes for each of its own, and the activation.
ACTIVATIONS: Mapping[str, tuple[int, Callable[[], nn.Module]]] = {
    "leaky_relu": (1, leaky),
    "maxout": (PIECES, lambda: Maxout(PIECES)),
}


def generator(shape: Shape, latent_dim: int, options: MlpOptions) -> nn.Module:
    """Hidden layers with ReLU, a linear output, and tanh for images."""
    need_known("networks", "g_norm", options.g_norm, NORMS)
    sizes = [latent_dim, *[options.width] * options.depth]
    layers = [
        *_hidden(sizes, options.g_norm, 1, nn.ReLU),
        nn.Linear(sizes[-1], torch.Size(shape).numel()),
        *[nn.Unflatten(1, shape)] * (len(shape) > 1),
    ]
    return nn.Sequential(*layers, *[nn.Tanh()] * is_image(shape))


def trunk(shape: Shape, options: MlpOptions) -> Trunk:
    """Hidden layers with leaky ReLU, or maxout."""
    need_known("networks", "d_norm", options.d_norm, NORMS)
    need_known("networks", "d_activation", options.d_activation, ACTIVATIONS)
    width = options.width if options.d_width is None else options.d_width
    depth = options.depth if options.d_depth is None else options.d_depth
    sizes = [torch.Size(shape).numel(), *[width] * depth]
    hidden = _hidden(sizes, options.d_norm, *ACTIVATIONS[options.d_activation])
    return Trunk(*[nn.Flatten()] * (len(shape) > 1), *hidden, features=sizes[-1])


def initialise(network: nn.Module, options: MlpOptions) -> None:
    """From N(0, init_std²), if that is given."""
    if options.init_std is not None:
        normal(network, options.init_std)


def _hidden(
    sizes: list[int], norm: str, pieces: int, activation: Callable[[], nn.Module]
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers.append(nn.Linear(inputs, pieces * outputs, bias=norm == "none"))
        if norm == "batch":  # which has a bias of its own
            layers.append(nn.BatchNorm1d(pieces * outputs))
        layers.append(activation())
    return layers


MLP = Architecture(MlpOptions, generator, trunk, initialise)

"""Several networks of one shape, side by side: the weights of each are a row of one tensor.

Rows are padded so that each weight begins where a tensor of its own might, at an address from which
kernels load whole vectors.
"""

import itertools
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

ALIGNMENT = 64  # numbers


class Layout:
    """Where in a row the parameters of a network lie.

    Args:
        shapes: of the parameters, in their order.

    Attributes:
        width: of a row.
    """

    def __init__(self, shapes: Iterable[torch.Size]) -> None:
        self.shapes = list(shapes)
        sizes = [_padded(shape.numel()) for shape in self.shapes]
        *self._starts, self.width = itertools.accumulate(sizes, initial=0)

    def split(self, flat: Tensor) -> list[Tensor]:
        """Views of the parameters in rows: [..., width] -> [..., *shape] each."""
        rows = flat.shape[:-1]
        return [
            flat[..., start : start + shape.numel()].view(*rows, *shape)
            for start, shape in zip(self._starts, self.shapes, strict=True)
        ]


class RowNetwork:
    """K fully connected networks of the same layers.

    Args:
        size: K.
        network: one like them, on their device; layers one after the other, see `layers_of`.

    Attributes:
        weights: [K, width], laid out as `layout` says.
    """

    def __init__(self, size: int, network: nn.Module) -> None:
        parameters = list(network.parameters())
        self.layout = Layout(p.shape for p in parameters)
        self.weights = parameters[0].new_zeros(size, self.layout.width)
        self._layers = layers_of(network)
        self._leaves = [part.detach().requires_grad_() for part in self.layout.split(self.weights)]
        self._gradient = torch.zeros_like(self.weights)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Each row's inputs through its own network: [K, B, inputs] -> [K, B, outputs]."""
        leaves = iter(self._leaves)
        x = inputs
        for layer in self._layers:
            if isinstance(layer, nn.Linear):
                weight, bias = next(leaves), next(leaves)
                x = torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
            else:
                x = layer(x)
        return x

    def gradient(self, outputs: Tensor, slopes: Tensor) -> Tensor:
        """Of whatever has these slopes by the outputs, by the weights: [K, width].

        Args:
            outputs: that these networks had a part in.
            slopes: of the same shape.
        """
        found = torch.autograd.grad(outputs, self._leaves, slopes)
        torch._foreach_copy_(self.layout.split(self._gradient), list(found))
        return self._gradient


def layers_of(network: nn.Module) -> list[nn.Module]:
    """The layers of a fully connected network, in order; between them all samples are vectors."""
    parts = [part for part in network.modules() if not list(part.children())]
    return [part for part in parts if not isinstance(part, nn.Flatten | nn.Unflatten)]


def move_in(places: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Make each tensor a view of its place, with the values that it has.

    Args:
        places: each tensor, and where it goes.

    Raises:
        ValueError: a place has another shape; nothing was moved.
    """
    pairs = list(places)
    for own, place in pairs:
        if own.shape != place.shape:
            raise ValueError(f"{list(own.shape)} does not fit in {list(place.shape)}")
    for own, place in pairs:
        place.copy_(own.detach())
        own.data = place


def move_out(tensors: Iterable[Tensor]) -> None:
    """Give each tensor memory of its own again."""
    for own in tensors:
        own.data = own.data.clone()


def _padded(count: int) -> int:
    return math.ceil(count / ALIGNMENT) * ALIGNMENT

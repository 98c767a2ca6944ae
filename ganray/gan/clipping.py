"""Clipping of gradients and of weights: two different things."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import Parameter

# An embedding is a linear layer of a one-hot vector.
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LINEAR = (nn.Linear, nn.Bilinear, nn.Embedding, *_CONVOLUTIONS, *_TRANSPOSED)
_WEIGHT_NAMES = ("weight", "parametrizations.weight.original")  # the second: spectrally normalised


def clip_gradients(parameters: Sequence[Parameter], max_norm: float | None) -> Tensor:
    """Scale all gradients together so that their L2 norm is at most `max_norm`.

    Args:
        parameters: those whose gradients count.
        max_norm: the bound; None leaves the gradients as they are.

    Returns:
        Scalar, the norm before clipping.

    Source: Pascanu et al. 2013, algorithm 1 (arXiv 1211.5063).
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    # get_total_norm without its sorting by device and dtype, which costs more than the norms
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if max_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


@torch.no_grad()
def clip_weights(parameters: Sequence[Parameter], bound: float) -> None:
    """Clamp each of these parameters to [-bound, bound].

    Source: Arjovsky et al. 2017, algorithm 1 and the authors' code (arXiv 1701.07875).
    """
    for parameter in parameters:
        parameter.clamp_(-bound, bound)


def all_parameters(module: nn.Module) -> list[Parameter]:
    """Every parameter, with biases and the gains of norms, as the authors' code of WGAN clips."""
    return list(module.parameters())


def linear_weights(module: nn.Module) -> list[Parameter]:
    """The weights of linear, convolution and embedding layers: no biases, nothing of norms.

    Of a weight under spectral norm, the one that is trained.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _LINEAR)]
    named = [pair for layer in layers for pair in layer.named_parameters()]
    return list(dict.fromkeys(weight for name, weight in named if name in _WEIGHT_NAMES))


CLIP_SCOPES: Mapping[str, Callable[[nn.Module], list[Parameter]]] = {
    "all": all_parameters,
    "weights": linear_weights,
}


def clippable(module: nn.Module, scope: str) -> list[Parameter]:
    """The parameters that `clip_weights` is to clamp, by the name of a scope in `CLIP_SCOPES`."""
    return CLIP_SCOPES[scope](module)

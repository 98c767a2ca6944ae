"""Clipping of gradients and of weights: two different things."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter


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
    norm = torch.nn.utils.get_total_norm(gradients)
    if max_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


@torch.no_grad()
def clip_weights(parameters: Sequence[Parameter], bound: float) -> None:
    """Clamp every parameter, biases included, to [-bound, bound].

    Source: Arjovsky et al. 2017, algorithm 1 and the authors' code (arXiv 1701.07875).
    """
    for parameter in parameters:
        parameter.clamp_(-bound, bound)

"""Adversarial losses: pure functions of logits, one pair for each loss, all to be minimised.

Throughout, a logit is the discriminator's raw output and a larger logit means more real. Both
players are handed both logits, so that losses which compare the two fit the same shape.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

LossFunction = Callable[[Tensor, Tensor], Tensor]


class GanLoss(NamedTuple):
    """The two sides of a loss: `(real logits [B], fake logits [B]) -> scalar`."""

    discriminator: LossFunction
    generator: LossFunction
    generator_uses_real: bool = False  # else G's side is called with its own logits twice


def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))), D's side of minimax and non-saturating alike.

    Args:
        real: logits of real samples, shape [B].
        fake: logits of generated samples, shape [B].

    Returns:
        Scalar mean over the batch, in nats; 2 log 2 where D cannot tell.

    Source: Goodfellow et al. 2014, equation 1 (arXiv 1406.2661).
    """
    _check(real, fake)
    return F.softplus(-real).mean() + F.softplus(fake).mean()  # -log sigmoid(r) = softplus(-r)


def minimax_generator(real: Tensor, fake: Tensor) -> Tensor:
    """E log(1 - D(G(z))), which saturates: its gradient vanishes while D wins.

    Args:
        real: unused.
        fake: logits of generated samples, shape [B].

    Returns:
        Scalar mean over the batch, in nats.

    Source: Goodfellow et al. 2014, equation 1 (arXiv 1406.2661).
    """
    _check(real, fake)
    return -F.softplus(fake).mean()  # log(1 - sigmoid(f)) = -softplus(f)


def non_saturating_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(G(z)), the generator loss that keeps its gradient while D wins.

    Args:
        real: unused.
        fake: logits of generated samples, shape [B].

    Returns:
        Scalar mean over the batch, in nats.

    Source: Goodfellow et al. 2014, section 3 (arXiv 1406.2661).
    """
    _check(real, fake)
    return F.softplus(-fake).mean()


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """½ E (D(x) - 1)² + ½ E D(G(z))², on the linear output.

    Args:
        real: logits of real samples, shape [B].
        fake: logits of generated samples, shape [B].

    Returns:
        Scalar mean over the batch.

    Source: Mao et al. 2017, equation 9 (arXiv 1611.04076).
    """
    _check(real, fake)
    return 0.5 * ((real - 1.0).square().mean() + fake.square().mean())


def least_squares_generator(real: Tensor, fake: Tensor) -> Tensor:
    """½ E (D(G(z)) - 1)².

    Args:
        real: unused.
        fake: logits of generated samples, shape [B].

    Returns:
        Scalar mean over the batch.

    Source: Mao et al. 2017, equation 9 (arXiv 1611.04076).
    """
    _check(real, fake)
    return 0.5 * (fake - 1.0).square().mean()


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E D(G(z)) - E D(x): minus the dual estimate of Wasserstein-1, if D is 1-Lipschitz.

    Args:
        real: critic values of real samples, shape [B].
        fake: critic values of generated samples, shape [B].

    Returns:
        Scalar mean over the batch, in units of the data times D's Lipschitz constant.

    Source: Arjovsky et al. 2017, algorithm 1 (arXiv 1701.07875).
    """
    _check(real, fake)
    return fake.mean() - real.mean()


def mean_logit_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-E D(G(z)), G's side of the Wasserstein and the hinge loss.

    Args:
        real: unused.
        fake: critic values of generated samples, shape [B].

    Returns:
        Scalar mean over the batch.

    Source: Arjovsky et al. 2017, algorithm 1 (arXiv 1701.07875); Miyato et al. 2018, equation 17
    (arXiv 1802.05957).
    """
    _check(real, fake)
    return -fake.mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))).

    Args:
        real: logits of real samples, shape [B].
        fake: logits of generated samples, shape [B].

    Returns:
        Scalar mean over the batch.

    Source: Miyato et al. 2018, equation 16 (arXiv 1802.05957).
    """
    _check(real, fake)
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


LOSSES: Mapping[str, GanLoss] = {
    "minimax": GanLoss(logistic_discriminator, minimax_generator),
    "non_saturating": GanLoss(logistic_discriminator, non_saturating_generator),
    "lsgan": GanLoss(least_squares_discriminator, least_squares_generator),
    "wgan": GanLoss(wasserstein_discriminator, mean_logit_generator),
    "hinge": GanLoss(hinge_discriminator, mean_logit_generator),
}


def _check(real: Tensor, fake: Tensor) -> None:
    """[B] beside [B, 1] would broadcast to [B, B] in a loss that compares the two."""
    if real.ndim != 1 or real.shape != fake.shape:
        raise ValueError(
            f"logits must both have shape [B]; got real {list(real.shape)}, fake {list(fake.shape)}"
        )

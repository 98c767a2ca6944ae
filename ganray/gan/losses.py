"""Adversarial losses: pure functions of logits, one pair for each loss, all to be minimised.

Throughout, a logit is the discriminator's raw output and a larger logit means more real. Both
players are handed both logits, so that losses which compare the two fit the same shape.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ganray.gan.fgan import DIVERGENCES, Divergence

LossFunction = Callable[[Tensor, Tensor], Tensor]


class GanLoss(NamedTuple):
    """The two sides of a loss: `(real logits [B], fake logits [B]) -> scalar`.

    The threshold is the logit at which D holds real and fake for equally likely; None where the
    loss fixes no such level, as adding a constant to all logits leaves it as it was.
    """

    discriminator: LossFunction
    generator: LossFunction
    generator_uses_real: bool = False  # else G's side is called with its own logits twice
    threshold: float | None = 0.0


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


def relativistic_paired_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-E log sigmoid(D(x) - D(G(z))): that the real one of a pair looks more real.

    Args:
        real: logits of real samples, shape [B].
        fake: logits of generated samples, shape [B], paired with the real ones by position.

    Returns:
        Scalar mean over the pairs, in nats; log 2 where D cannot tell.

    Source: Jolicoeur-Martineau 2019, RSGAN (arXiv 1807.00734).
    """
    _check(real, fake)
    return F.softplus(fake - real).mean()


def relativistic_paired_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-E log sigmoid(D(G(z)) - D(x)): D's side with the roles exchanged, so non-saturating.

    Args:
        real: logits of real samples, shape [B].
        fake: logits of generated samples, shape [B], paired with the real ones by position.

    Returns:
        Scalar mean over the pairs, in nats; log 2 where D cannot tell.

    Source: Jolicoeur-Martineau 2019, RSGAN (arXiv 1807.00734).
    """
    _check(real, fake)
    return F.softplus(real - fake).mean()


def relativistic_average_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-½ E log s(D(x) - E D(G(z))) - ½ E log(1 - s(D(G(z)) - E D(x))), s the sigmoid.

    The paper's sum has no ½; with it the loss has the scale of the paired one.

    Args:
        real: logits of real samples, shape [B].
        fake: logits of generated samples, shape [B].

    Returns:
        Scalar mean over the batch, in nats; log 2 where D cannot tell.

    Source: Jolicoeur-Martineau 2019, RaSGAN (arXiv 1807.00734).
    """
    _check(real, fake)
    above_fake, above_real = real - fake.mean(), fake - real.mean()
    return 0.5 * (F.softplus(-above_fake).mean() + F.softplus(above_real).mean())


def relativistic_average_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-½ E log s(D(G(z)) - E D(x)) - ½ E log(1 - s(D(x) - E D(G(z)))): D's, roles exchanged.

    Args:
        real: logits of real samples, shape [B].
        fake: logits of generated samples, shape [B].

    Returns:
        Scalar mean over the batch, in nats; log 2 where D cannot tell.

    Source: Jolicoeur-Martineau 2019, RaSGAN (arXiv 1807.00734).
    """
    _check(real, fake)
    return relativistic_average_discriminator(fake, real)


LOSSES: Mapping[str, GanLoss] = {
    "minimax": GanLoss(logistic_discriminator, minimax_generator),
    "non_saturating": GanLoss(logistic_discriminator, non_saturating_generator),
    "lsgan": GanLoss(
        least_squares_discriminator,
        least_squares_generator,
        threshold=0.5,  # between the labels 0 and 1
    ),
    "wgan": GanLoss(wasserstein_discriminator, mean_logit_generator, threshold=None),
    "hinge": GanLoss(hinge_discriminator, mean_logit_generator),
    "relativistic_paired": GanLoss(
        relativistic_paired_discriminator,
        relativistic_paired_generator,
        generator_uses_real=True,
        threshold=None,
    ),
    "relativistic_average": GanLoss(
        relativistic_average_discriminator,
        relativistic_average_generator,
        generator_uses_real=True,
        threshold=None,
    ),
}

LOSS_NAMES: tuple[str, ...] = (*LOSSES, *DIVERGENCES)

FGAN_GENERATORS: tuple[str, ...] = ("heuristic", "saturating")


@lru_cache
def make_loss(name: str, *, fgan_generator: str = "heuristic", alpha: float = 0.5) -> GanLoss:
    """The loss of that name; for the same arguments, the same functions.

    Args:
        name: one of `LOSS_NAMES`.
        fgan_generator: G's side of the f-GAN losses, see `gan_loss`; the others have their own.
        alpha: of fgan_alpha, finite and neither 0 nor 1; no other loss reads it.

    Raises:
        ValueError: the name, or what the loss reads of the rest, is not one of those.
    """
    if name in LOSSES:
        return LOSSES[name]
    if name in DIVERGENCES:
        return gan_loss(DIVERGENCES[name](alpha), fgan_generator)
    raise ValueError(f"unknown loss {name!r}; known: {', '.join(LOSS_NAMES)}")


def gan_loss(divergence: Divergence, generator: str) -> GanLoss:
    """The game of a divergence: D raises its lower bound, G lowers the bound's fake half.

    With T = g_f(v) of the logit v, D's side is -E T(x) + E f*(T(G(z))), minus the bound. G's is
    "saturating", -E f*(T(G(z))), as in the bound, or "heuristic", -E T(G(z)), which has the same
    fixed point and a gradient that is larger while D wins.

    Raises:
        ValueError: there is no such side of G.

    Source: Nowozin et al. 2016 (arXiv 1606.00709).
    """
    if generator not in FGAN_GENERATORS:
        known = ", ".join(FGAN_GENERATORS)
        raise ValueError(f"unknown fgan_generator {generator!r}; known: {known}")
    saturating = generator == "saturating"
    rising = divergence.conjugate_of_activation if saturating else divergence.activation

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        _check(real, fake)
        bound = divergence.activation(real).mean() - divergence.conjugate_of_activation(fake).mean()
        return -bound

    def generator_side(real: Tensor, fake: Tensor) -> Tensor:
        _check(real, fake)
        return -rising(fake).mean()

    return GanLoss(discriminator, generator_side, threshold=divergence.threshold)


def _check(real: Tensor, fake: Tensor) -> None:
    """[B] beside [B, 1] would broadcast to [B, B] in a loss that compares the two."""
    if real.ndim != 1 or real.shape != fake.shape:
        raise ValueError(
            f"logits must both have shape [B]; got real {list(real.shape)}, fake {list(fake.shape)}"
        )

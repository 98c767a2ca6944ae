"""Penalties on the discriminator, added to its loss: each sees what D saw and may ask D for more.

Gradients are squared and summed in float32, or in float64 if they are such, whatever precision D
runs in: squares do not survive fewer digits. Those penalties assume that D judges each sample by
itself: no batch norm in D. Of packed samples the gradient is that of the whole pack.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]  # samples [B, ...] -> logits [B]

TINY = 1e-12  # beside a squared norm, so that its root has a gradient at 0
LECAM_DECAY = 0.99


class Judged(NamedTuple):
    """What D saw in one update, and what it said.

    For a penalty with `needs_real_gradient`, `real` requires grad and `real_logits` were computed
    from it; the same for `fake`. So R1 and R2 cost a backward pass, but no forward pass.
    """

    critic: Critic  # D as it is in this update, labels and the like already bound
    real: Tensor  # [B, ...]
    fake: Tensor  # [B, ...]
    real_logits: Tensor  # [B]
    fake_logits: Tensor  # [B]


PenaltyFunction = Callable[[Judged, torch.Generator], Tensor]


class Penalty(nn.Module):
    """`(Judged, generator) -> unweighted scalar`, with what it remembers, for one trainer.

    Move it to D's device, and save it with D. The generator, on that device too, is the only source
    of its random numbers.
    """

    default_weight: float
    needs_real_gradient = False
    needs_fake_gradient = False


class Memoryless(Penalty):
    """A penalty that is a function: it keeps nothing from one update to the next."""

    def __init__(
        self, function: PenaltyFunction, weight: float, *, real: bool = False, fake: bool = False
    ) -> None:
        super().__init__()
        self.function = function
        self.default_weight = weight
        self.needs_real_gradient = real
        self.needs_fake_gradient = fake

    def forward(self, judged: Judged, draws: torch.Generator) -> Tensor:
        """The unweighted penalty."""
        return self.function(judged, draws)


class LeCam(Penalty):
    """E (D(x) - a_F)² + E (D(G(z)) - a_R)², with a_R and a_F the running means of D's logits.

    The anchors take in the present means first, and carry no gradient, as in the authors' code;
    like its StyleGAN2 variant, they are divided by the weight gathered so far, so that the first
    update is not pulled to 0. That code also clips both differences at 0 from below, which this
    does not.

    Source: Tseng et al. 2021 and the authors' code (arXiv 2104.03310).
    """

    default_weight = 0.3
    memory: Tensor

    def __init__(self, decay: float = LECAM_DECAY) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("memory", torch.zeros(3))  # real, fake, and the weight of both

    def forward(self, judged: Judged, draws: torch.Generator) -> Tensor:
        """The unweighted penalty; takes the logits' means into the anchors."""
        real, fake = precise(judged.real_logits), precise(judged.fake_logits)
        real_anchor, fake_anchor = self._take_in(real, fake)
        return (real - fake_anchor).square().mean() + (fake - real_anchor).square().mean()

    @torch.no_grad()
    def _take_in(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        now = torch.stack([real.mean(), fake.mean(), torch.ones_like(real[0])])
        self.memory.lerp_(now.to(self.memory), 1.0 - self.decay)
        real_sum, fake_sum, weight = self.memory
        return real_sum / weight, fake_sum / weight


def wgan_gp(judged: Judged, draws: torch.Generator) -> Tensor:
    """E (‖∇D(x̂)‖ - 1)², x̂ = ε x + (1 - ε) G(z), with one ε ~ U(0, 1) for each pair.

    Raises:
        ValueError: real and fake samples differ in shape.

    Source: Gulrajani et al. 2017, equation 3 and algorithm 1 (arXiv 1704.00028).
    """
    real, fake = judged.real.detach(), judged.fake.detach()
    if real.shape != fake.shape:
        shapes = f"real {list(real.shape)}, fake {list(fake.shape)}"
        raise ValueError(f"wgan_gp pairs samples, so shapes must be equal; got {shapes}")
    between = torch.lerp(fake, real, _one_per_sample(real, draws))
    return _distance_from_unit_slope(judged.critic, between)


def dragan(judged: Judged, draws: torch.Generator) -> Tensor:
    """E (‖∇D(x + ε δ)‖ - 1)² near real samples, one ε ~ U(0, 1) for each sample.

    The noise is that of the authors' code: δ = ½ std(batch) U(0, 1) in each coordinate, so it
    points up only.

    Source: Kodali et al. 2017 and the authors' code (arXiv 1705.07215).
    """
    real = judged.real.detach()
    noise = torch.rand(real.shape, generator=draws, device=real.device, dtype=real.dtype)
    delta = 0.5 * real.std(correction=0) * noise
    return _distance_from_unit_slope(judged.critic, real + _one_per_sample(real, draws) * delta)


def r1(judged: Judged, _draws: torch.Generator) -> Tensor:
    """½ E ‖∇D(x)‖² on real samples, so that the weight is the papers' gamma.

    Source: Mescheder et al. 2018, equation 9 (arXiv 1801.04406).
    """
    return 0.5 * _squared_slopes(judged.real_logits, judged.real).mean()


def r2(judged: Judged, _draws: torch.Generator) -> Tensor:
    """½ E ‖∇D(G(z))‖² on generated samples, so that the weight is the papers' gamma.

    Source: Mescheder et al. 2018, equation 10 (arXiv 1801.04406).
    """
    return 0.5 * _squared_slopes(judged.fake_logits, judged.fake).mean()


def r1_r2(judged: Judged, draws: torch.Generator) -> Tensor:
    """R1 + R2, both with the same weight.

    Source: Huang et al. 2024 (arXiv 2501.05441).
    """
    return r1(judged, draws) + r2(judged, draws)


# Each entry makes one.
PENALTIES: Mapping[str, Callable[[], Penalty]] = {
    "wgan_gp": partial(Memoryless, wgan_gp, 10.0),
    "dragan": partial(Memoryless, dragan, 10.0),
    "r1": partial(Memoryless, r1, 10.0, real=True),
    "r2": partial(Memoryless, r2, 10.0, fake=True),
    "r1_r2": partial(Memoryless, r1_r2, 10.0, real=True, fake=True),
    "lecam": LeCam,
}


def _distance_from_unit_slope(critic: Critic, samples: Tensor) -> Tensor:
    samples = samples.requires_grad_()
    slopes = (_squared_slopes(critic(samples), samples) + TINY).sqrt()
    return (slopes - 1.0).square().mean()


def _squared_slopes(logits: Tensor, samples: Tensor) -> Tensor:
    """‖∇D(x)‖² of each sample, [B]: over all its coordinates, never over the batch."""
    (gradient,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return precise(gradient).flatten(1).square().sum(1)


def _one_per_sample(samples: Tensor, draws: torch.Generator) -> Tensor:
    """U(0, 1), [B, 1, ..., 1]."""
    shape = (len(samples), *[1] * (samples.ndim - 1))
    return torch.rand(shape, generator=draws, device=samples.device, dtype=samples.dtype)


def precise(values: Tensor) -> Tensor:
    """In float32, whatever precision the networks run in; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()

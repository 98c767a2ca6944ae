"""The f-GAN family: divergences between the data P and the generator's Q, as games of a logit.

D_f(P‖Q) = E_Q f(p/q) for a convex f. With T = g_f(v) a function of D's raw output v that stays in
the domain of the conjugate f*(t) = sup_{u>0} ut - f(u),

    D_f(P‖Q) ≥ E_P g_f(v) - E_Q f*(g_f(v)),   with equality where g_f(v) = f'(p/q).

Every g_f here rises with v and no f*∘g_f falls, so that a larger logit means more real. Tables in
circulation have rows that fall with v, or an f* that is wrong where no density ratio reaches; each
row here is tested against the supremum itself.

Half of the rows hold exp(v), which overflows. Where it would grow beyond exp(20), the logit itself
is bent, from v to 20 + log(1 + v - 20), before anything else: exp of it then goes on as its own
tangent, with no kink and no gradient that dies, as a clamp's would. Since g_f and f*∘g_f see the
same bent logit, the inequality above holds for all v.

Source: Nowozin et al. 2016, tables 1 and 2 (arXiv 1606.00709).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C._functorch import is_batchedtensor

_LIMIT = 20.0  # exp(20) is 5e8, of which float32 still holds squares and sums
_LOG2 = math.log(2.0)

Elementwise = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Divergence:
    """One row of the family; each function is elementwise, of a tensor of any shape.

    f: the convex function of the density ratio u = p/q ≥ 0.
    activation: g_f(v) of a logit v, rising, within the domain of `conjugate`.
    conjugate: f*(t); infinite outside its domain.
    conjugate_of_activation: f*(g_f(v)), in a form without overflow; never falling.
    threshold: the logit where g_f(v) = f'(1), at which D holds real and fake for equally likely.
    log_ratio: log(p/q) that the logit v claims, -inf where it claims that P has no samples; None
        for total variation, whose logit tells the sign alone.
    """

    f: Elementwise
    activation: Elementwise
    conjugate: Elementwise
    conjugate_of_activation: Elementwise
    threshold: float
    log_ratio: Elementwise | None


def wright_omega(x: Tensor) -> Tensor:
    """The w > 0 with w + log w = x; any shape, differentiable twice.

    Exact to a few units in the last place. Not W(exp(x)), which overflows.

    Source: Corless and Jeffrey 2002, The Wright ω function; the iteration is that of Fritsch,
    Shafer and Crowley 1973, of fourth order.
    """
    w: Tensor = _WrightOmega.apply(x)  # type: ignore[no-untyped-call]
    return w


class _WrightOmega(torch.autograd.Function):
    """w(x) with dw/dx = w / (1 + w), not differentiated through its iteration."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return _solve_wright_omega(x)

    @staticmethod
    def setup_context(ctx: Any, _inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        w: Tensor = ctx.saved_tensors[0]
        return gradient * w / (1.0 + w)


def _solve_wright_omega(x: Tensor) -> Tensor:
    inner = x.clamp(min=-60.0)  # below, w = exp(x) to the last digit
    w = _softplus(inner)  # within a factor of 1.4 of the root
    growth = torch.exp(-inner.clamp(max=0.0))
    for _ in range(2):  # errors of 6e-5, then of rounding
        # For x < 0 the difference x - log w would cancel; log(w exp(-x)) does not.
        residual = inner.clamp(min=0.0) - w - torch.log(w * growth)
        w = _fritsch_step(w, residual)
    return torch.where(x < -60.0, torch.exp(x), w)


def _fritsch_step(w: Tensor, residual: Tensor) -> Tensor:
    up = 1.0 + w
    q = up * (up + 2.0 / 3.0 * residual)
    return w * (1.0 + residual / up * (q - 0.5 * residual) / (q - residual))


def _softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=40.0)  # the default, 20, is off by 2e-9 in float64


def _capped(v: Tensor, limit: float = _LIMIT, scale: float = 1.0) -> Tensor:
    """v, bent above the limit so that exp(v / scale) continues as its tangent."""
    if _can_look(v) and v.detach().max().item() <= limit:
        return v
    excess = F.relu(v - limit)
    return v - excess + scale * torch.log1p(excess / scale)


def _floored(v: Tensor) -> Tensor:
    """v, bent below -20 so that exp(-v) continues as its tangent."""
    if _can_look(v) and v.detach().min().item() >= -_LIMIT:
        return v
    return -_capped(-v)


def _bent(v: Tensor) -> Tensor:
    """v, capped and floored."""
    return _floored(_capped(v))


def _expm1(x: Tensor) -> Tensor:
    """exp(x) - 1; torch's own takes its gradient from the result, so it dies where that is -1."""
    if _can_look(x) and x.detach().min().item() >= -1.0:
        return torch.expm1(x)
    return torch.where(x < -1.0, torch.exp(x) - 1.0, torch.expm1(x))


def _can_look(v: Tensor) -> bool:
    """Whether there are values that can be seen at once: a case that none is in is not computed.

    Those of many batches together, under `vmap`, cannot.
    """
    return v.device.type == "cpu" and v.numel() > 0 and not is_batchedtensor(v)


def _up_to(bound: float, conjugate: Elementwise) -> Elementwise:
    """The conjugate on t ≤ bound, infinite beyond."""
    return lambda t: torch.where(t <= bound, conjugate(t.clamp(max=bound)), math.inf)


# --- the rows -------------------------------------------------------------------------------------

KL = Divergence(
    f=lambda u: torch.xlogy(u, u),
    activation=_capped,
    conjugate=lambda t: torch.exp(t - 1.0),
    conjugate_of_activation=lambda v: torch.exp(_capped(v) - 1.0),
    threshold=1.0,
    log_ratio=lambda v: _capped(v) - 1.0,
)

REVERSE_KL = Divergence(
    f=lambda u: -torch.log(u),
    activation=lambda v: -torch.exp(-_floored(v)),
    conjugate=_up_to(0.0, lambda t: -1.0 - torch.log(-t)),
    conjugate_of_activation=lambda v: _floored(v) - 1.0,
    threshold=0.0,
    log_ratio=_floored,
)


def _pearson_conjugate(t: Tensor) -> Tensor:
    # t²/4 + t turns up again below t = -2, where the supremum stays at u = 0 and f* at -f(0)
    return F.relu(1.0 + 0.5 * t).square() - 1.0


PEARSON = Divergence(
    f=lambda u: (u - 1.0).square(),
    activation=lambda v: v,
    conjugate=_pearson_conjugate,
    conjugate_of_activation=_pearson_conjugate,
    threshold=0.0,
    log_ratio=lambda v: torch.log(F.relu(1.0 + 0.5 * v)),
)

# Here exp(x) - 1 is off by a rounding of 1 at most, which a mean over a batch has anyway; the exact
# form, with a gradient that lives, takes four times as many operations.
NEYMAN = Divergence(
    f=lambda u: (1.0 - u).square() / u,
    activation=lambda v: 1.0 - torch.exp(-_floored(v)),
    conjugate=_up_to(1.0, lambda t: 2.0 - 2.0 * torch.sqrt(1.0 - t)),
    conjugate_of_activation=lambda v: 2.0 - 2.0 * torch.exp(-0.5 * _floored(v)),
    threshold=0.0,
    log_ratio=lambda v: 0.5 * _floored(v),
)

HELLINGER = Divergence(
    f=lambda u: (torch.sqrt(u) - 1.0).square(),
    activation=lambda v: 1.0 - torch.exp(-_bent(v)),
    conjugate=_up_to(1.0, lambda t: t / (1.0 - t)),
    conjugate_of_activation=lambda v: torch.exp(_bent(v)) - 1.0,
    threshold=0.0,
    log_ratio=lambda v: 2.0 * _bent(v),
)


def _jeffrey_conjugate(t: Tensor) -> Tensor:
    w = wright_omega(1.0 - t)
    return 1.0 / w - torch.log(w) - 1.0  # w + 1/w + t - 2 without its cancellation


JEFFREY = Divergence(
    f=lambda u: (u - 1.0) * torch.log(u),
    activation=_capped,
    conjugate=_jeffrey_conjugate,
    conjugate_of_activation=lambda v: _jeffrey_conjugate(_capped(v)),
    threshold=0.0,
    log_ratio=lambda v: -torch.log(wright_omega(1.0 - _capped(v))),
)

# Twice the Jensen-Shannon divergence.
JENSEN_SHANNON = Divergence(
    f=lambda u: torch.xlogy(u, u) - (u + 1.0) * torch.log(0.5 * (u + 1.0)),
    activation=lambda v: _LOG2 - _softplus(-v),
    conjugate=_up_to(_LOG2, lambda t: -torch.log(2.0 - torch.exp(t))),
    conjugate_of_activation=lambda v: _softplus(v) - _LOG2,
    threshold=0.0,
    log_ratio=lambda v: v,
)

# Twice Jensen-Shannon less log 4: the value of the original game, and the same gradients.
GAN = Divergence(
    f=lambda u: torch.xlogy(u, u) - (u + 1.0) * torch.log(u + 1.0),
    activation=lambda v: -_softplus(-v),
    conjugate=_up_to(0.0, lambda t: -torch.log(-torch.expm1(t))),
    conjugate_of_activation=_softplus,
    threshold=0.0,
    log_ratio=lambda v: v,
)


def _half_tanh(v: Tensor) -> Tensor:
    # not torch.tanh, nor sigmoid: a gradient of 1 - tanh² rounds to zero from v = 9 on in float32
    return torch.exp(F.logsigmoid(2.0 * v)) - 0.5


TOTAL_VARIATION = Divergence(
    f=lambda u: 0.5 * (u - 1.0).abs(),
    activation=_half_tanh,
    conjugate=_up_to(0.5, lambda t: t.clamp(min=-0.5)),
    conjugate_of_activation=_half_tanh,  # f*(t) = t where |t| ≤ ½
    threshold=0.0,
    log_ratio=None,
)


def alpha_divergence(alpha: float) -> Divergence:
    """f(u) = (u^α - 1 - α(u - 1)) / (α(α - 1)): reverse KL as α → 0, KL as α → 1.

    α = ½ is twice the squared Hellinger distance, α = 2 half of Pearson's χ², α = -1 half of
    Neyman's. For α < 1 the threshold lies near -1/(1 - α), so that logits around 0 are far on one
    side of it: from about .8 to 1 values and gradients explode, and `fgan_kl` is what is wanted.

    Raises:
        ValueError: alpha is 0, 1 or not finite.
    """
    if not math.isfinite(alpha) or alpha in (0.0, 1.0):
        raise ValueError(f"alpha must be finite and neither 0 nor 1; got {alpha}")
    return _alpha_below_one(alpha) if alpha < 1.0 else _alpha_above_one(alpha)


def _alpha_f(alpha: float) -> Elementwise:
    return lambda u: (u**alpha - 1.0 - alpha * (u - 1.0)) / (alpha * (alpha - 1.0))


def _alpha_below_one(alpha: float) -> Divergence:
    bound = 1.0 / (1.0 - alpha)
    power = alpha / (alpha - 1.0)
    limit, scale = _alpha_cap(alpha)

    def slack(v: Tensor) -> Tensor:
        return _softplus(-_capped(v, limit, scale))  # bound - g_f(v)

    def log_base(v: Tensor) -> Tensor:
        return torch.log((1.0 - alpha) * slack(v))  # of t(α - 1) + 1 at t = g_f(v)

    return Divergence(
        f=_alpha_f(alpha),
        activation=lambda v: bound - slack(v),
        conjugate=_up_to(bound, lambda t: (((bound - t) / bound) ** power - 1.0) / alpha),
        conjugate_of_activation=lambda v: _expm1(power * log_base(v)) / alpha,
        threshold=_softplus_is(bound),
        log_ratio=lambda v: -bound * log_base(v),
    )


def _alpha_cap(alpha: float) -> tuple[float, float]:
    """Where f*∘g_f reaches about exp(20), and the e-folding length of its growth there."""
    if alpha <= 0.5:  # grows no faster than exp(v)
        return _LIMIT, 1.0
    scale = (1.0 - alpha) / alpha
    return _softplus_is(math.exp(-_LIMIT * scale) / (1.0 - alpha)), scale


def _softplus_is(x: float) -> float:
    """The v where softplus(-v) = x."""
    return -(x + math.log(-math.expm1(-x)))  # -log(exp(x) - 1)


def _alpha_above_one(alpha: float) -> Divergence:
    rest = alpha - 1.0
    edge = math.exp(_LIMIT * rest / alpha)  # v(α - 1) + 1 where f* reaches exp(20)

    def capped(v: Tensor) -> Tensor:
        return _capped(v, limit=(edge - 1.0) / rest, scale=edge / alpha)

    def conjugate(t: Tensor) -> Tensor:  # -f(0) below t = -1/(α - 1), where the power is undefined
        return _expm1(alpha / rest * _log1p_or_minus_inf(rest * t)) / alpha

    return Divergence(
        f=_alpha_f(alpha),
        activation=capped,
        conjugate=conjugate,
        conjugate_of_activation=lambda v: conjugate(capped(v)),
        threshold=0.0,
        log_ratio=lambda v: _log1p_or_minus_inf(rest * capped(v)) / rest,
    )


def _log1p_or_minus_inf(x: Tensor) -> Tensor:
    inside = x > -1.0
    return torch.where(inside, torch.log1p(torch.where(inside, x, 0.0)), -math.inf)


def _whatever_alpha(divergence: Divergence) -> Callable[[float], Divergence]:
    return lambda _alpha: divergence


# Each is called with alpha, which `fgan_alpha` alone reads.
DIVERGENCES: Mapping[str, Callable[[float], Divergence]] = {
    "fgan_kl": _whatever_alpha(KL),
    "fgan_reverse_kl": _whatever_alpha(REVERSE_KL),
    "fgan_pearson": _whatever_alpha(PEARSON),
    "fgan_neyman": _whatever_alpha(NEYMAN),
    "fgan_hellinger": _whatever_alpha(HELLINGER),
    "fgan_jeffrey": _whatever_alpha(JEFFREY),
    "fgan_js": _whatever_alpha(JENSEN_SHANNON),
    "fgan_gan": _whatever_alpha(GAN),
    "fgan_tv": _whatever_alpha(TOTAL_VARIATION),
    "fgan_alpha": alpha_divergence,
}

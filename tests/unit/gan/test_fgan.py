"""The f-GAN family against suprema, divergences in closed form and 40-digit arithmetic."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganray.gan.fgan import DIVERGENCES, Divergence, wright_omega
from ganray.gan.losses import gan_loss

LOG2 = math.log(2.0)
ALPHAS = (-3.0, -1.0, -0.2, 0.2, 0.5, 0.9, 0.99, 1.1, 1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class Row:
    """What the papers say of one divergence, with numpy and math alone."""

    f: Callable[[np.ndarray], np.ndarray]
    optimal: Callable[[float], float]  # the logit at which g_f(v) = f'(u)
    threshold: float
    bound: float = math.inf  # f* is finite below it
    gaussian: Callable[[float], float] | None = None  # D_f of N(0, 1) and N(d, 1)


def entropy_of_mixture(u: np.ndarray) -> np.ndarray:
    return u * np.log(u) - (u + 1) * np.log(u + 1)


def softplus_inverse(x: float) -> float:
    return x + math.log(-math.expm1(-x))


ROWS = {
    "fgan_kl": Row(
        lambda u: u * np.log(u), lambda u: 1 + math.log(u), 1.0, gaussian=lambda d: d**2 / 2
    ),
    "fgan_reverse_kl": Row(
        lambda u: -np.log(u), math.log, 0.0, bound=0.0, gaussian=lambda d: d**2 / 2
    ),
    "fgan_pearson": Row(
        lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1), 0.0, gaussian=lambda d: math.expm1(d**2)
    ),
    "fgan_neyman": Row(
        lambda u: (1 - u) ** 2 / u,
        lambda u: 2 * math.log(u),
        0.0,
        bound=1.0,
        gaussian=lambda d: math.expm1(d**2),
    ),
    "fgan_hellinger": Row(
        lambda u: (np.sqrt(u) - 1) ** 2,
        lambda u: math.log(u) / 2,
        0.0,
        bound=1.0,
        gaussian=lambda d: 2 - 2 * math.exp(-(d**2) / 8),
    ),
    "fgan_jeffrey": Row(
        lambda u: (u - 1) * np.log(u),
        lambda u: math.log(u) + 1 - 1 / u,
        0.0,
        gaussian=lambda d: d**2,
    ),
    "fgan_js": Row(
        lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2), math.log, 0.0, bound=LOG2
    ),
    "fgan_gan": Row(entropy_of_mixture, math.log, 0.0, bound=0.0),
    "fgan_tv": Row(
        lambda u: 0.5 * np.abs(u - 1),
        lambda u: math.copysign(50.0, u - 1),
        0.0,
        bound=0.5,
        gaussian=lambda d: math.erf(d / math.sqrt(8)),
    ),
}


def alpha_row(a: float) -> Row:
    def below_one(u: float) -> float:
        return -softplus_inverse(u ** (a - 1) / (1 - a))

    return Row(
        lambda u: (u**a - 1 - a * (u - 1)) / (a * (a - 1)),
        below_one if a < 1 else lambda u: (u ** (a - 1) - 1) / (a - 1),
        -softplus_inverse(1 / (1 - a)) if a < 1 else 0.0,
        bound=1 / (1 - a) if a < 1 else math.inf,
        gaussian=lambda d: math.expm1(a * (a - 1) * d**2 / 2) / (a * (a - 1)),
    )


CASES: dict[str, tuple[Divergence, Row]] = {
    **{name: (DIVERGENCES[name](0.5), row) for name, row in ROWS.items()},
    **{f"fgan_alpha {a}": (DIVERGENCES["fgan_alpha"](a), alpha_row(a)) for a in ALPHAS},
}

# Logits below which D has P without any samples, where f*(T) is the constant -f(0).
DEAD_BELOW = {"fgan_pearson": -2.0} | {f"fgan_alpha {a}": -1 / (a - 1) for a in ALPHAS if a > 1}

every_row = pytest.mark.parametrize(("divergence", "row"), CASES.values(), ids=CASES)
every_divergence = pytest.mark.parametrize("divergence", [c[0] for c in CASES.values()], ids=CASES)


def doubles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def value(function: Callable[[torch.Tensor], torch.Tensor], at: float) -> float:
    return function(doubles(at)).item()


def slopes(
    function: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    values = function(at)
    (gradient,) = torch.autograd.grad(values.sum(), at)
    return values.detach(), gradient


def grid(low: float, high: float, count: int, dtype=torch.float64) -> torch.Tensor:
    return torch.linspace(low, high, count, dtype=dtype, requires_grad=True)


def test_every_divergence_has_a_row_here():
    assert set(DIVERGENCES) == {*ROWS, "fgan_alpha"}


# --- each row -------------------------------------------------------------------------------------

RATIOS = (1e-3, 0.05, 0.4, 0.999, 1.0, 1.5, 4.0, 30.0)


@every_row
def test_f_is_the_papers(divergence, row):
    ratios = np.array(RATIOS)
    found = divergence.f(torch.from_numpy(ratios)).numpy()
    np.testing.assert_allclose(found, row.f(ratios), rtol=1e-12, atol=1e-12)


@every_row
def test_f_is_its_limit_where_p_is_zero(divergence, row):
    with np.errstate(over="ignore"):
        limit = row.f(np.array([1e-300]))[0]
    found = value(divergence.f, 0.0)
    assert found == pytest.approx(limit, rel=1e-6) if math.isfinite(found) else limit > 100


@every_row
def test_conjugate_is_the_supremum(divergence, row):
    """On the tangents of f at 1e-3 to 1e3: the supremum is there, well within the grid."""
    u = np.exp(np.linspace(math.log(1e-6), math.log(1e6), 40_001))
    f = row.f(u)
    for at in (1e-3, 0.02, 0.3, 0.99, 1.7, 12.0, 200.0):
        t = min(tangent(row.f, at), row.bound)
        supremum = np.max(u * t - f)
        assert value(divergence.conjugate, t) == pytest.approx(supremum, rel=1e-6, abs=1e-6)


def tangent(f: Callable[[np.ndarray], np.ndarray], u: float) -> float:
    step = 1e-6 * u
    up, down = f(np.array([u + step, u - step]))
    return (up - down) / (2 * step)


@pytest.mark.parametrize(
    ("name", "t", "expected"),
    [
        ("fgan_pearson", -2.0, -1.0),
        ("fgan_pearson", -3.0, -1.0),  # t²/4 + t would be -0.75
        ("fgan_alpha 1.5", -2.5, -1 / 1.5),
        ("fgan_alpha 2.0", -1.0, -0.5),
        ("fgan_alpha 2.0", -40.0, -0.5),
        ("fgan_alpha 3.0", -0.6, -1 / 3),
        ("fgan_tv", -3.0, -0.5),
    ],
)
def test_conjugate_stays_at_minus_f_of_zero_below_the_slope_that_f_has_there(name, t, expected):
    divergence, row = CASES[name]
    assert value(divergence.conjugate, t) == pytest.approx(expected, rel=1e-12)
    assert -row.f(np.array([1e-12]))[0] == pytest.approx(expected, rel=1e-6)


@every_row
def test_conjugate_is_infinite_beyond_its_domain_and_only_there(divergence, row):
    if row.bound == math.inf:
        assert math.isfinite(value(divergence.conjugate, 30.0))
    else:
        assert math.isfinite(value(divergence.conjugate, row.bound - 0.2))
        assert value(divergence.conjugate, row.bound + 1e-9) == math.inf


@given(
    ratios=st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=8),
    t=st.floats(-100.0, 20.0),
)
def test_product_never_exceeds_f_and_its_conjugate(ratios, t):
    u = doubles(*ratios)
    for name, (divergence, _) in CASES.items():
        total = divergence.f(u) + value(divergence.conjugate, t)
        assert (total >= u * t - 1e-9 * (1 + abs(u * t))).all(), name


@every_row
def test_activation_stays_within_the_domain_of_the_conjugate(divergence, row):
    for dtype in (torch.float32, torch.float64):
        activated = divergence.activation(torch.tensor([-1e4, -50, 0, 50, 1e4], dtype=dtype))
        assert activated.isfinite().all()
        assert (activated <= row.bound).all()
        if divergence is CASES["fgan_tv"][0]:
            assert (activated >= -0.5).all()


@every_divergence
def test_stable_form_is_the_conjugate_of_the_activation(divergence):
    """Also where the logit is bent, as far as the plain form can be computed: g_f(v) rounds to
    the end of its domain as v grows.
    """
    plain = grid(-30.0, 8.0, 400)
    expected = divergence.conjugate(divergence.activation(plain))
    found = divergence.conjugate_of_activation(plain)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@every_row
def test_activation_of_the_optimal_logit_is_the_slope_of_f(divergence, row):
    for u in (0.05, 0.4, 0.9, 1.2, 3.0, 20.0):
        expected = tangent(row.f, u)
        assert value(divergence.activation, row.optimal(u)) == pytest.approx(expected, rel=1e-6)


@every_row
def test_log_ratio_inverts_the_optimal_logit(divergence, row):
    if divergence.log_ratio is None:
        assert row is ROWS["fgan_tv"]
        return
    for u in (0.05, 0.4, 1.0, 1.2, 20.0):
        found = value(divergence.log_ratio, row.optimal(u))
        assert found == pytest.approx(math.log(u), abs=1e-9)


@every_divergence
def test_log_ratio_is_where_f_has_the_slope_that_the_activation_says(divergence):
    if divergence.log_ratio is None:
        return
    v = torch.linspace(-25.0, 25.0, 101, dtype=torch.float64)
    log_u = divergence.log_ratio(v)
    sane = log_u.abs() < 12.0  # beyond, f is lost to rounding
    u = log_u[sane].exp().requires_grad_()
    _, slope = slopes(divergence.f, u)
    assert len(u) > 10 or "alpha" in str(divergence)
    torch.testing.assert_close(slope, divergence.activation(v[sane]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [n for n, (d, _) in CASES.items() if d.log_ratio])
def test_log_ratio_is_the_one_that_weighs_real_and_fake_gradients_equally(name):
    """Everywhere, also where the logit is bent: df*(T)/dT is the ratio u at which T = f'(u)."""
    divergence, _ = CASES[name]
    v = grid(max(-60.0, DEAD_BELOW.get(name, -60.0) + 0.01), 60.0, 500)
    of_g, of_h = (
        slopes(f, v)[1] for f in (divergence.activation, divergence.conjugate_of_activation)
    )
    found = divergence.log_ratio(v)
    torch.testing.assert_close(found, torch.log(of_h / of_g), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("name", "edge"), [("fgan_pearson", -2.0), ("fgan_alpha 3.0", -0.5)])
def test_logit_that_claims_no_real_samples_has_the_log_ratio_minus_infinity(name, edge):
    log_ratio = CASES[name][0].log_ratio
    assert value(log_ratio, edge - 0.1) == -math.inf
    assert math.isfinite(value(log_ratio, edge + 0.1))


@every_row
def test_threshold_is_the_logit_of_equal_densities(divergence, row):
    assert divergence.threshold == pytest.approx(row.threshold, abs=1e-12)
    activated = value(divergence.activation, divergence.threshold)
    assert activated == pytest.approx(tangent(row.f, 1.0), abs=1e-6)
    if divergence.log_ratio is not None:
        assert value(divergence.log_ratio, divergence.threshold) == pytest.approx(0.0, abs=1e-9)


@every_row
def test_d_loses_nothing_at_the_threshold_but_f_of_one(divergence, row):
    level = doubles(divergence.threshold, divergence.threshold)
    loss = gan_loss(divergence, "heuristic").discriminator(level, level).item()
    expected = -row.f(np.array([1.0]))[0]
    assert loss == pytest.approx(expected, abs=1e-9)


# --- stability ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_at_logits_up_to_50_are_finite_and_keep_their_sign(name, dtype):
    divergence, _ = CASES[name]
    at = grid(-50.0, 50.0, 201, dtype)
    for function in (divergence.activation, divergence.conjugate_of_activation):
        values, gradient = slopes(function, at)
        assert values.isfinite().all()
        assert gradient.isfinite().all()
        assert (values.diff() >= 0).all()
        assert (gradient >= 0).all()
    activated, conjugate = (
        slopes(f, at)[1] for f in (divergence.activation, divergence.conjugate_of_activation)
    )
    alive = at > DEAD_BELOW.get(name, -math.inf)
    if name != "fgan_tv":  # its slope at 50, exp(-100), is denormal in float32
        assert (activated > 0).all()
        assert (conjugate[alive] > 0).all()
    assert (conjugate[~alive] == 0).all()


@pytest.mark.parametrize("at", [-1e4, 1e4])
@every_divergence
def test_logits_of_a_diverging_d_overflow_nothing(divergence, at):
    v = torch.tensor([at], requires_grad=True)
    for function in (divergence.activation, divergence.conjugate_of_activation):
        values, gradient = slopes(function, v)
        assert values.isfinite().all()
        assert gradient.isfinite().all()
        assert (gradient >= 0).all()


def test_gradient_of_total_variation_outlives_the_rounding_of_tanh():
    v = torch.tensor([-20.0, 20.0], requires_grad=True)
    _, gradient = slopes(CASES["fgan_tv"][0].activation, v)
    expected = 0.5 / math.cosh(20.0) ** 2
    assert gradient.tolist() == pytest.approx([expected, expected], rel=1e-5, abs=0.0)


@pytest.mark.parametrize(
    ("name", "side", "at", "expected"),
    [
        ("fgan_kl", "conjugate_of_activation", 21.0, math.exp(19)),
        ("fgan_kl", "conjugate_of_activation", 50.0, math.exp(19)),
        ("fgan_reverse_kl", "activation", -50.0, math.exp(20)),
        ("fgan_neyman", "activation", -50.0, math.exp(20)),
        ("fgan_hellinger", "activation", -50.0, math.exp(20)),
        ("fgan_hellinger", "conjugate_of_activation", 50.0, math.exp(20)),
    ],
)
def test_exponential_goes_on_as_its_tangent(name, side, at, expected):
    _, gradient = slopes(getattr(CASES[name][0], side), doubles(at))
    assert gradient.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_no_jump_and_no_kink_where_the_logit_is_bent(name):
    divergence, _ = CASES[name]
    low = DEAD_BELOW.get(name, -60.5) + 0.5
    at = grid(low, 60.0, 40_001)
    step = (60.0 - low) / 40_000
    for function in (divergence.activation, divergence.conjugate_of_activation):
        values, gradient = slopes(function, at)
        steepest = torch.maximum(gradient[1:], gradient[:-1])
        assert (gradient.diff().abs() <= 0.4 * steepest).all()
        rounding = 1e-12 * (1.0 + values[1:].abs())
        assert (values.diff() <= steepest * step * 1.1 + rounding).all()


@pytest.mark.parametrize("v", [-20.5, 20.5])
def test_js_is_exact_where_a_softplus_turns_linear(v):
    js = CASES["fgan_js"][0]
    rest = math.log1p(math.exp(-abs(v)))
    small, large = rest, abs(v) + rest
    activated, conjugate = (LOG2 - large, small - LOG2) if v < 0 else (LOG2 - small, large - LOG2)
    assert value(js.activation, v) == pytest.approx(activated, rel=1e-14)
    assert value(js.conjugate_of_activation, v) == pytest.approx(conjugate, rel=1e-14)


@pytest.mark.parametrize("v", [-1e4, -50.0, -3.0, 0.5, 20.0, 50.0])
def test_jeffrey_loses_nothing_to_cancellation_in_float32(v):
    function = CASES["fgan_jeffrey"][0].conjugate_of_activation
    expected, expected_slope = slopes(function, doubles(v))
    found, slope = slopes(function, torch.tensor([v], requires_grad=True))
    assert found.item() == pytest.approx(expected.item(), rel=3e-6)
    assert slope.item() == pytest.approx(expected_slope.item(), rel=3e-6)


@every_divergence
def test_second_derivatives_are_those_of_the_first(divergence):
    v = doubles(-6.0, -3.1, -0.7, 0.3, 1.9, 6.0)
    for function in (divergence.activation, divergence.conjugate_of_activation):
        assert torch.autograd.gradcheck(function, v, rtol=1e-4, atol=1e-6)
        assert torch.autograd.gradgradcheck(function, v, rtol=1e-3, atol=1e-5)


# --- the bound ------------------------------------------------------------------------------------

# Ten samples of each of two distributions over four places.
P, Q = (4, 3, 2, 1), (1, 2, 2, 5)


def bound(divergence: Divergence, logits: list[float]) -> float:
    real, fake = (torch.from_numpy(np.repeat(np.array(logits), counts)) for counts in (P, Q))
    return -gan_loss(divergence, "saturating").discriminator(real, fake).item()


def discrete(row: Row) -> float:
    p, q = np.array(P) / 10, np.array(Q) / 10
    return float(np.sum(q * row.f(p / q)))


@every_row
def test_best_d_attains_the_divergence(divergence, row):
    best = [row.optimal(p / q) for p, q in zip(P, Q, strict=True)]
    assert bound(divergence, best) == pytest.approx(discrete(row), rel=1e-9)


@every_row
def test_any_other_d_attains_less(divergence, row):
    best = [row.optimal(p / q) for p, q in zip(P, Q, strict=True)]
    informative = [i for i in range(4) if P[i] != Q[i] or row is not ROWS["fgan_tv"]]
    for place in informative:
        toward = -1.0 if best[place] > 0 else 1.0
        other = [v + (toward * 45.0 if abs(v) == 50.0 else 0.3) for v in best]
        changed = [other[i] if i == place else best[i] for i in range(4)]
        assert bound(divergence, changed) < discrete(row) - 1e-9 * abs(discrete(row))


EXACT = {name: discrete(row) for name, (_, row) in CASES.items()}


@given(logits=st.lists(st.floats(-60.0, 60.0), min_size=4, max_size=4))
def test_no_logits_exceed_the_divergence_even_where_they_are_bent(logits):
    for name, (divergence, _) in CASES.items():
        assert bound(divergence, logits) <= EXACT[name] + 1e-9 * (1.0 + abs(EXACT[name])), name


GAUSSIAN = [
    (name, distance)
    for name, (_, row) in CASES.items()
    for distance in (0.3, 1.0)
    # between distant ones, large alpha weighs ratios whose optimal logits are bent
    if row.gaussian and (distance < 1 or name not in ("fgan_alpha 3.0", "fgan_alpha 5.0"))
]


@pytest.mark.parametrize(("name", "distance"), GAUSSIAN)
def test_best_d_attains_the_closed_form_between_gaussians(name, distance):
    divergence, row = CASES[name]
    # midpoints of intervals that meet where the densities cross, at half the distance
    x = distance / 2 + 0.005 * (torch.arange(-2400, 2400, dtype=torch.float64) + 0.5)
    p, q = (torch.exp(-0.5 * (x - m) ** 2) / math.sqrt(2 * math.pi) for m in (0.0, distance))
    v = doubles(*(row.optimal(u) for u in (p / q).tolist()))
    integrand = p * divergence.activation(v) - q * divergence.conjugate_of_activation(v)
    found = 0.005 * integrand.sum().item()
    accuracy = 1e-5 if name == "fgan_tv" else 1e-8  # its integrand has a kink there
    assert found == pytest.approx(row.gaussian(distance), rel=accuracy)


# --- names and arguments --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "name", "factor"),
    [(0.5, "fgan_hellinger", 2.0), (2.0, "fgan_pearson", 0.5), (-1.0, "fgan_neyman", 0.5)],
)
def test_alpha_divergence_is_a_known_one_for_known_alpha(alpha, name, factor):
    ratios = doubles(*RATIOS)
    found = DIVERGENCES["fgan_alpha"](alpha).f(ratios)
    torch.testing.assert_close(found, factor * DIVERGENCES[name](alpha).f(ratios))


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan, math.inf, -math.inf])
def test_alpha_without_a_divergence_is_refused(alpha):
    with pytest.raises(ValueError, match=f"neither 0 nor 1; got {alpha}"):
        DIVERGENCES["fgan_alpha"](alpha)


@pytest.mark.parametrize("alpha", [-50.0, 1e-3, 0.999, 1.001, 1.01, 50.0])
def test_alpha_at_its_ends_is_finite(alpha):
    divergence = DIVERGENCES["fgan_alpha"](alpha)
    assert math.isfinite(divergence.threshold)
    v = (torch.linspace(-1.0, 1.0, 101) ** 3 * 1e4).requires_grad_()
    for function in (divergence.activation, divergence.conjugate_of_activation):
        values, gradient = slopes(function, v)
        assert values.isfinite().all()
        assert gradient.isfinite().all()
        assert (gradient >= 0).all()


def test_js_and_gan_differ_by_a_constant():
    v = grid(-50.0, 50.0, 201)
    js, gan = CASES["fgan_js"][0], CASES["fgan_gan"][0]
    for side, shift in (("activation", LOG2), ("conjugate_of_activation", -LOG2)):
        of_js, js_gradient = slopes(getattr(js, side), v)
        of_gan, gan_gradient = slopes(getattr(gan, side), v)
        torch.testing.assert_close(of_js, of_gan + shift, rtol=1e-14, atol=1e-14)
        assert torch.equal(js_gradient, gan_gradient)


# --- the Wright omega function --------------------------------------------------------------------


@pytest.mark.parametrize("x", [-60.0, -45.3, -33.3, -7.1, -1.0, -1e-9, 0.0, 0.9, 1.0, 7.7, 60.0])
def test_wright_omega_is_exact_to_the_last_places(x):
    w = value(wright_omega, x)
    with localcontext() as context:
        context.prec = 50
        residual = Decimal(x) - Decimal(w) - Decimal(w).ln()
        error = residual / (1 + Decimal(w))  # relative, by one step of Newton
    assert abs(error) < 4e-16


def test_wright_omega_is_that_of_scipy():
    x = torch.linspace(-200.0, 200.0, 20_001, dtype=torch.float64)
    expected = scipy.special.wrightomega(x.numpy())
    np.testing.assert_allclose(wright_omega(x).numpy(), expected, rtol=5e-15)
    assert value(wright_omega, 1.0) == 1.0


def test_wright_omega_in_float32_is_exact_to_its_last_places():
    x = torch.linspace(-60.0, 60.0, 20_001)
    expected = scipy.special.wrightomega(x.double().numpy())
    found = wright_omega(x)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=3e-7)


def test_wright_omega_has_the_derivative_w_over_one_plus_w():
    x = doubles(-60.0, -5.0, 0.0, 1.0, 60.0)
    _, gradient = slopes(wright_omega, x)
    w = scipy.special.wrightomega(x.detach().numpy())
    np.testing.assert_allclose(gradient.numpy(), w / (1 + w), rtol=1e-13)
    assert torch.autograd.gradcheck(wright_omega, doubles(-5.0, -1.0, 0.0, 1.0, 30.0))
    assert torch.autograd.gradgradcheck(wright_omega, doubles(-5.0, -1.0, 0.0, 1.0, 30.0))

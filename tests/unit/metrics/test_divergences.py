"""Divergences: closed forms against quadrature, quadrature against SciPy's, fits against a grid."""

import itertools
import math
from dataclasses import astuple
from typing import get_args

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import sqrtm

from ganray.metrics.divergences import (
    DIVERGENCES,
    FDivergence,
    alpha_divergence,
    f_divergence,
    fit_gaussian,
    gaussian_hellinger,
    gaussian_kl,
    gaussian_pearson,
    gaussian_w1,
    gaussian_w2,
    js,
    js_monte_carlo,
    kl,
    kl_monte_carlo,
    w1,
    w2,
)
from ganray.metrics.mixtures import Mixture, Mixture1d, gaussian
from ganray.spec.names import FganName

LOG_2 = math.log(2.0)
P, Q = gaussian(0.3, 1.1), gaussian(1.0, 0.9)
MIXTURE = Mixture1d((-2.0, 1.5), (0.5, 0.8), (0.4, 0.6))
OTHER = Mixture1d((-1.0, 0.0, 2.0), (0.9, 0.7, 1.0), (0.2, 0.3, 0.5))
FAR = Mixture1d((-5.0, 5.0), (0.5, 0.5), (0.3, 0.7))
every_divergence = pytest.mark.parametrize("name", get_args(FganName))


def split(p: Mixture1d) -> Mixture1d:
    """The same Gaussian as two equal halves, so that no closed form applies."""
    return Mixture1d(p.means * 2, p.stds * 2, (0.5, 0.5))


def moments(p: Mixture1d) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p.mean]), np.array([[p.std**2]])


def by_quad(integrand, low: float = -18.0, high: float = 18.0) -> float:
    # in pieces, so that no narrow mode is missed
    pieces = itertools.pairwise(np.linspace(low, high, 37))
    return sum(quad(integrand, a, b, epsabs=1e-13)[0] for a, b in pieces)


# --- Gaussians ------------------------------------------------------------------------------------


def test_kl_of_gaussians_on_the_line():
    by_hand = math.log(0.9 / 1.1) + (1.1**2 + 0.7**2) / (2 * 0.9**2) - 0.5
    assert gaussian_kl(*moments(P), *moments(Q)) == pytest.approx(by_hand, rel=1e-12)


def test_kl_of_gaussians_in_the_plane_adds_up_over_independent_axes():
    a, b = [gaussian(0.0, 1.0), gaussian(1.0, 2.0)], [gaussian(0.5, 2.0), gaussian(0.0, 1.5)]
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])  # both alike: changes nothing

    def plane(parts):
        mean = np.array([p.mean for p in parts])
        return turn @ mean, turn @ np.diag([p.std**2 for p in parts]) @ turn.T

    parts = list(zip(a, b, strict=True))
    assert gaussian_kl(*plane(a), *plane(b)) == pytest.approx(sum(kl(p, q) for p, q in parts))
    squared = sum(w2(p, q) ** 2 for p, q in parts)
    assert gaussian_w2(*plane(a), *plane(b)) == pytest.approx(math.sqrt(squared))
    overlaps = [1 - gaussian_hellinger(*moments(p), *moments(q)) / 2 for p, q in parts]
    found = gaussian_hellinger(*plane(a), *plane(b))
    assert found == pytest.approx(2 * (1 - overlaps[0] * overlaps[1]))


def test_w2_of_gaussians_is_bures_also_where_covariances_do_not_commute():
    rng = np.random.default_rng(0)
    a, b = (m @ m.T + np.eye(4) for m in rng.normal(size=(2, 4, 4)))
    means = rng.normal(size=(2, 4))
    root = sqrtm(a)
    bures = np.trace(a + b - 2 * sqrtm(root @ b @ root).real)
    expected = math.sqrt(((means[0] - means[1]) ** 2).sum() + bures)
    assert gaussian_w2(means[0], a, means[1], b) == pytest.approx(expected, rel=1e-10)


def test_w2_of_gaussians_allows_singular_covariances():
    flat, point = np.diag([4.0, 0.0]), np.zeros((2, 2))
    assert gaussian_w2(np.zeros(2), flat, np.zeros(2), point) == pytest.approx(2.0)
    spike = np.outer(np.arange(5.0), np.arange(5.0))  # some eigenvalues are rounded below 0
    assert min(np.linalg.eigvalsh(spike)) < 0.0
    assert gaussian_w2(np.zeros(5), spike, np.ones(5), spike) == pytest.approx(math.sqrt(5.0))


@pytest.mark.parametrize(("shift", "std"), [(0.0, 2.0), (1.5, 2.0), (-1.5, 1.0), (0.0, 1.0)])
def test_w1_of_gaussians_is_the_area_between_their_distribution_functions(shift, std):
    def below(x: float, mean: float, std: float) -> float:
        return 0.5 * math.erfc((mean - x) / (std * math.sqrt(2.0)))

    area = by_quad(lambda x: abs(below(x, 0.0, 1.0) - below(x, shift, std)))
    assert gaussian_w1(0.0, 1.0, shift, std) == pytest.approx(area, abs=1e-9)
    assert gaussian_w1(shift, std, 0.0, 1.0) == pytest.approx(area, abs=1e-9)


def test_pearson_of_gaussians_is_infinite_where_its_integral_diverges():
    assert gaussian_pearson(0.0, 1.5, 0.0, 1.0) == math.inf
    assert f_divergence(gaussian(0.0, 1.5), gaussian(0.0, 1.0), "fgan_pearson") == math.inf
    assert f_divergence(gaussian(0.0, 1.0), gaussian(0.0, 1.5), "fgan_neyman") == math.inf
    assert math.isfinite(gaussian_pearson(0.0, 1.4, 0.0, 1.0))


def test_an_integral_that_grows_with_its_limits_is_infinite():
    """With variances 2 and 1, p²/q is the same everywhere: nothing overflows."""
    assert f_divergence(gaussian(0.0, math.sqrt(2.0)), gaussian(0.0, 1.0), "fgan_pearson") == (
        math.inf
    )


# --- quadrature -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "q"), [(P, Q), (Q, P), (P, gaussian(30.0, 0.4))])
def test_quadrature_agrees_with_the_closed_forms(p, q):
    assert f_divergence(p, q, "fgan_kl") == pytest.approx(kl(p, q), rel=1e-10)
    assert f_divergence(p, q, "fgan_reverse_kl") == pytest.approx(kl(q, p), rel=1e-10)
    assert f_divergence(p, q, "fgan_jeffrey") == pytest.approx(kl(p, q) + kl(q, p), rel=1e-10)
    hellinger = gaussian_hellinger(*moments(p), *moments(q))
    assert f_divergence(p, q, "fgan_hellinger") == pytest.approx(hellinger, rel=1e-10)
    assert w1(split(p), q) == pytest.approx(w1(p, q), abs=1e-9)
    assert w2(split(p), q) == pytest.approx(w2(p, q), abs=1e-9)
    assert w2(q, split(p)) == pytest.approx(w2(p, q), abs=1e-9)


@pytest.mark.parametrize(("p", "q"), [(P, Q), (Q, P), (gaussian(0.0, 1.3), gaussian(0.5, 1.0))])
def test_chi_squares_agree_with_the_closed_form(p, q):
    expected = gaussian_pearson(p.mean, p.std, q.mean, q.std)
    assert f_divergence(p, q, "fgan_pearson") == pytest.approx(expected, rel=1e-10)
    assert f_divergence(q, p, "fgan_neyman") == pytest.approx(expected, rel=1e-10)


def test_kl_and_w2_of_single_gaussians_are_the_closed_forms():
    assert kl(P, Q) == gaussian_kl(*moments(P), *moments(Q))
    assert w2(P, Q) == math.hypot(0.7, 0.2)
    assert w1(P, Q) == gaussian_w1(0.3, 1.1, 1.0, 0.9)


@every_divergence
def test_divergence_of_mixtures_is_the_integral_of_q_f_of_the_ratio(name):
    f = DIVERGENCES[name].f

    def integrand(x: float) -> float:
        p, q = MIXTURE.pdf(x), OTHER.pdf(x)
        return float(q * f(p / q))

    assert f_divergence(MIXTURE, OTHER, name) == pytest.approx(by_quad(integrand), rel=1e-8)


@every_divergence
def test_both_ways_to_write_a_divergence_agree(name):
    divergence = DIVERGENCES[name]
    p, q = (np.array(v) for v in zip(*itertools.product((0.01, 0.4, 3.0), repeat=2), strict=True))
    assert divergence.integrand(np.log(p), np.log(q)) == pytest.approx(
        q * divergence.f(p / q), rel=1e-12, abs=1e-14
    )


# f at 1/2 and at 2, by hand
BY_HAND = {
    "fgan_kl": (-0.5 * LOG_2, 2 * LOG_2),
    "fgan_reverse_kl": (LOG_2, -LOG_2),
    "fgan_pearson": (0.25, 1.0),
    "fgan_neyman": (0.5, 0.5),
    "fgan_hellinger": (1.5 - math.sqrt(2.0), 3 - 2 * math.sqrt(2.0)),
    "fgan_jeffrey": (0.5 * LOG_2, LOG_2),
    "fgan_js": (-0.5 * LOG_2 - 1.5 * math.log(0.75), 2 * LOG_2 - 3 * math.log(1.5)),
    "fgan_gan": (-0.5 * LOG_2 - 1.5 * math.log(1.5), 2 * LOG_2 - 3 * math.log(3.0)),
    "fgan_tv": (0.25, 0.5),
    "fgan_alpha": (-4 * math.sqrt(0.5) + 3.0, -4 * math.sqrt(2.0) + 6.0),
}


@every_divergence
def test_f_is_that_of_the_paper(name):
    assert DIVERGENCES[name].f(np.array([0.5, 2.0])).tolist() == pytest.approx(BY_HAND[name])


def test_alpha_divergences_meet_pearson_and_the_two_kls():
    halved = 0.5 * f_divergence(P, Q, "fgan_pearson")
    assert f_divergence(P, Q, alpha_divergence(2.0)) == pytest.approx(halved, rel=1e-9)
    for alpha, limit in ((1.0 - 1e-6, kl(P, Q)), (1e-6, kl(Q, P))):
        assert f_divergence(P, Q, alpha_divergence(alpha)) == pytest.approx(limit, rel=1e-5)
    for alpha in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"neither 0 nor 1; got {alpha}"):
            alpha_divergence(alpha)


@every_divergence
def test_a_distribution_is_at_f_of_one_from_itself(name):
    nothing = -2.0 * LOG_2 if name == "fgan_gan" else 0.0
    assert f_divergence(MIXTURE, MIXTURE, name) == pytest.approx(nothing, abs=1e-12)


def test_tails_where_densities_are_no_numbers_any_more_still_count():
    far = gaussian(100.0, 1.0)
    assert f_divergence(gaussian(0.0, 1.0), far, "fgan_kl") == pytest.approx(5_000.0, rel=1e-10)
    assert f_divergence(gaussian(0.0, 1.0), far, "fgan_tv") == pytest.approx(1.0, abs=1e-12)


def test_js_is_within_zero_and_log_two_and_grows_with_the_distance():
    values = [js(gaussian(0.0, 1.0), gaussian(d, 1.0)) for d in (0.0, 1.0, 5.0, 1_000.0)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(0.0, abs=1e-12)
    assert values[2] / LOG_2 == pytest.approx(0.975, abs=1e-3)
    assert values[3] == pytest.approx(LOG_2, abs=1e-12)
    assert all(0.0 <= value <= LOG_2 for value in values)


def test_js_is_the_mean_kl_to_the_middle():
    middle = Mixture1d(
        MIXTURE.means + OTHER.means,
        MIXTURE.stds + OTHER.stds,
        tuple(w / 2 for w in MIXTURE.weights + OTHER.weights),
    )
    expected = 0.5 * kl(MIXTURE, middle) + 0.5 * kl(OTHER, middle)
    assert js(MIXTURE, OTHER) == pytest.approx(expected, rel=1e-9)
    assert js(OTHER, MIXTURE) == pytest.approx(expected, rel=1e-9)


def test_w1_and_w2_of_mixtures_are_those_of_many_quantiles():
    levels = (np.arange(20_000) + 0.5) / 20_000
    ways = MIXTURE.quantile(levels) - OTHER.quantile(levels)
    assert w1(MIXTURE, OTHER) == pytest.approx(np.abs(ways).mean(), abs=1e-4)
    assert w2(MIXTURE, OTHER) == pytest.approx(math.sqrt((ways**2).mean()), abs=1e-3)


def test_transport_carries_a_mode_s_surplus_all_the_way_to_the_other_mode():
    """Weights 0.3 and 0.7 against 0.5 and 0.5 at -5 and 5: a fifth of the mass goes 10 far."""
    even = Mixture1d(FAR.means, FAR.stds, (0.5, 0.5))
    assert w1(FAR, even) == pytest.approx(0.2 * 10.0, abs=1e-9)


def triangular(u):
    return (u - 1.0) ** 2 / (u + 1.0)


def test_a_divergence_of_one_s_own():
    own = FDivergence(
        triangular, lambda p, q: np.exp(np.logaddexp(p, q)) * np.tanh(0.5 * (p - q)) ** 2
    )
    expected = by_quad(lambda x: float(Q.pdf(x) * triangular(P.pdf(x) / Q.pdf(x))))
    assert f_divergence(P, Q, own) == pytest.approx(expected, rel=1e-9)


def test_an_integrand_that_divides_zero_by_zero_is_told():
    naive = FDivergence(
        triangular, lambda p, q: (np.exp(p) - np.exp(q)) ** 2 / (np.exp(p) + np.exp(q))
    )
    with pytest.raises(ValueError, match="not a number at -"):
        f_divergence(P, Q, naive)


# --- Monte Carlo ----------------------------------------------------------------------------------


def line(p: Mixture1d) -> Mixture:
    """The same mixture, in one of D dimensions."""
    means, stds, weights = (np.array(part) for part in astuple(p))
    return Mixture(means[:, None], (stds**2)[:, None, None], weights)


def test_monte_carlo_finds_the_integrals_within_its_error():
    p, q = line(MIXTURE), line(OTHER)
    for found, expected in (
        (kl_monte_carlo(p, q, samples=40_000), kl(MIXTURE, OTHER)),
        (js_monte_carlo(p, q, samples=40_000), js(MIXTURE, OTHER)),
    ):
        assert abs(found.value - expected) < 3.5 * found.error
        assert 0.0 < found.error < 0.02


def test_error_of_monte_carlo_is_the_spread_of_its_values():
    p, q = line(MIXTURE), line(OTHER)
    for estimate in (kl_monte_carlo, js_monte_carlo):
        found = [estimate(p, q, samples=400, seed=seed) for seed in range(200)]
        spread = np.std([each.value for each in found], ddof=1)
        assert np.mean([each.error for each in found]) == pytest.approx(spread, rel=0.2)


def test_monte_carlo_follows_its_seed():
    p, q = line(MIXTURE), line(OTHER)
    assert kl_monte_carlo(p, q, seed=1) == kl_monte_carlo(p, q, seed=1)
    assert kl_monte_carlo(p, q, seed=1) != kl_monte_carlo(p, q, seed=2)


def test_js_of_far_mixtures_in_many_dimensions_is_log_two():
    a, b = (Mixture(np.full((1, 20), m), np.eye(20)[None], np.ones(1)) for m in (0.0, 50.0))
    assert js_monte_carlo(a, b).value == pytest.approx(LOG_2, abs=1e-12)


# --- the best Gaussian ----------------------------------------------------------------------------


@pytest.mark.parametrize("p", [MIXTURE, OTHER, FAR])
def test_kl_fits_mean_and_variance(p):
    found = fit_gaussian(p, "fgan_kl")
    assert found.mean == pytest.approx(p.mean, abs=1e-5)
    assert found.std == pytest.approx(p.std, rel=1e-5)
    assert found.value == pytest.approx(kl(p, gaussian(p.mean, p.std)), rel=1e-10)


def test_reverse_kl_fits_the_heavier_mode_of_two_that_are_well_apart():
    found = fit_gaussian(FAR, "fgan_reverse_kl")
    assert found.mean == pytest.approx(5.0, abs=1e-4)
    assert found.std == pytest.approx(0.5, rel=1e-4)
    assert found.value == pytest.approx(-math.log(0.7), rel=1e-4)


@every_divergence
def test_fit_is_the_best_of_all_gaussians(name):
    found = fit_gaussian(MIXTURE, name)
    assert f_divergence(MIXTURE, gaussian(found.mean, found.std), name) == found.value
    others = itertools.product(np.linspace(-2.5, 2.5, 11), (0.4, 0.8, 1.2, 1.6, 2.0, 2.4))
    assert found.value <= min(f_divergence(MIXTURE, gaussian(*each), name) for each in others)
    for step in ((1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-3), (0.0, -1e-3)):
        near = gaussian(found.mean + step[0], found.std * math.exp(step[1]))
        assert f_divergence(MIXTURE, near, name) >= found.value


def test_fit_is_the_best_also_where_the_best_start_is_on_the_wrong_slope():
    crowd = Mixture1d(
        (1.03, 1.55, 3.14, 4.14), (1.19, 0.48, 0.25, 0.43), (0.051, 0.154, 0.725, 0.07)
    )
    others = itertools.product(np.arange(2.0, 4.0, 0.1), np.arange(0.2, 1.4, 0.1))
    best = min(f_divergence(crowd, gaussian(*each), "fgan_js") for each in others)
    assert fit_gaussian(crowd, "fgan_js").value <= best


def test_fits_go_from_covering_to_seeking():
    """The more a divergence punishes mass where there are no data, the narrower the Gaussian."""
    order = ["fgan_pearson", "fgan_kl", "fgan_js", "fgan_jeffrey", "fgan_reverse_kl", "fgan_neyman"]
    stds = [fit_gaussian(MIXTURE, name).std for name in order]
    assert stds == sorted(stds, reverse=True)


def test_fit_of_a_gaussian_is_itself():
    found = fit_gaussian(gaussian(2.0, 0.3), "fgan_js")
    assert found == pytest.approx((2.0, 0.3, 0.0), abs=1e-5)


def test_names_are_those_of_the_sweep_file():
    assert list(DIVERGENCES) == list(get_args(FganName))

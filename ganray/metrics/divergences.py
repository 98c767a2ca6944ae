"""Divergences between densities: closed forms of Gaussians, quadrature and Monte Carlo of mixtures.

Everything is in nats. D_f(P‖Q) = ∫ q f(p/q): P is what is to be matched, Q what matches it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np

from ganray.metrics.mixtures import Floats, Mixture, Mixture1d, gaussian
from ganray.spec.names import FganName
from ganray.trial import LOG_2

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(12)
TOLERANCE = 1e-13  # error of one interval that is let pass, relative to the whole integral
ROUNDS = 60  # of halving: an interval around a kink is then narrower than its digits
INNER = (-8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0)  # standard deviations
OUTER = tuple(8.0 * 2.0**k for k in range(1, 11))  # beyond all components, for p²/q and the like
REMAINDER = 1e-6  # share of an integral in the outermost interval, above which it is infinite
POLISHED = 4  # the starts of a fit that are worth a descent
HUGE = 1e300  # stands for infinity in a descent, whose differences must be numbers

Density = Callable[[Floats], Floats]
Perspective = Callable[[Floats, Floats], Floats]  # (log p, log q) -> q f(p/q)


# --- Gaussians, in closed form --------------------------------------------------------------------


def gaussian_kl(mean_p: Floats, cov_p: Floats, mean_q: Floats, cov_q: Floats) -> float:
    """KL(P‖Q) of Gaussians with means [D] and covariances [D, D].

    Source: Kullback 1959, Information Theory and Statistics, chapter 9.
    """
    offset = mean_q - mean_p
    trace = np.trace(np.linalg.solve(cov_q, cov_p))
    distance = offset @ np.linalg.solve(cov_q, offset)
    volumes = np.linalg.slogdet(cov_q)[1] - np.linalg.slogdet(cov_p)[1]
    return 0.5 * float(trace + distance - len(mean_p) + volumes)


def gaussian_w2(mean_p: Floats, cov_p: Floats, mean_q: Floats, cov_q: Floats) -> float:
    """The Wasserstein-2 distance of Gaussians with means [D] and covariances [D, D].

    W2² = ‖m_p - m_q‖² + tr(C_p + C_q - 2 (C_p^½ C_q C_p^½)^½); also the Fréchet distance.
    Covariances may be singular.

    Source: Dowson and Landau 1982 (J. Multivariate Anal. 12), equation 4.
    """
    values, vectors = np.linalg.eigh(cov_p)
    root = (vectors * np.sqrt(values.clip(0.0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_q @ root).clip(0.0)).sum()
    squared = ((mean_p - mean_q) ** 2).sum() + np.trace(cov_p) + np.trace(cov_q) - 2.0 * cross
    return math.sqrt(max(float(squared), 0.0))


def gaussian_hellinger(mean_p: Floats, cov_p: Floats, mean_q: Floats, cov_q: Floats) -> float:
    """∫ (√p - √q)², in [0, 2], of Gaussians with means [D] and covariances [D, D].

    Source: Bhattacharyya 1943 (Bull. Calcutta Math. Soc. 35).
    """
    middle = 0.5 * (cov_p + cov_q)
    offset = mean_p - mean_q
    volumes = [np.linalg.slogdet(cov)[1] for cov in (cov_p, cov_q, middle)]
    log_overlap = 0.25 * (volumes[0] + volumes[1]) - 0.5 * volumes[2]
    log_overlap -= offset @ np.linalg.solve(middle, offset) / 8.0
    return -2.0 * math.expm1(float(log_overlap))


def gaussian_w1(mean_p: float, std_p: float, mean_q: float, std_q: float) -> float:
    """The Wasserstein-1 distance of two Gaussians on the line: the mean of a folded normal.

    The optimal map is monotone, so W1 = E|Δm + Δs Z| with Z standard normal.
    """
    shift, stretch = mean_p - mean_q, abs(std_p - std_q)
    if stretch == 0.0:
        return abs(shift)
    ratio = shift / stretch
    tail = stretch * math.sqrt(2.0 / math.pi) * math.exp(-0.5 * ratio**2)
    return tail + shift * math.erf(ratio / math.sqrt(2.0))


def gaussian_pearson(mean_p: float, std_p: float, mean_q: float, std_q: float) -> float:
    """∫ (p - q)²/q of two Gaussians on the line; infinite from std_p = √2 std_q on."""
    spread = 2.0 * std_q**2 - std_p**2
    if spread <= 0.0:
        return math.inf
    log_scale = 2.0 * math.log(std_q) - math.log(std_p) - 0.5 * math.log(spread)
    return math.expm1(min(log_scale + (mean_p - mean_q) ** 2 / spread, 709.0))


# --- f-divergences --------------------------------------------------------------------------------


@dataclass(frozen=True)
class FDivergence:
    """A convex function f and q f(p/q), the integrand of its divergence.

    Args:
        f: of the ratio u = p/q > 0, as in Nowozin et al. 2016, table 1 (arXiv 1606.00709).
        integrand: of log p and log q, for the tails, where p and q are no numbers any more.
    """

    f: Callable[[Floats], Floats]
    integrand: Perspective


def _kl(log_p: Floats, log_q: Floats) -> Floats:
    return np.asarray(np.exp(log_p) * (log_p - log_q))


def _pearson(log_p: Floats, log_q: Floats) -> Floats:
    """(p - q)²/q without the difference of two large numbers."""
    ratio = log_p - log_q
    return np.asarray(np.exp(log_q + 2.0 * ratio.clip(0.0)) * np.expm1(-np.abs(ratio)) ** 2)


def _hellinger(log_p: Floats, log_q: Floats) -> Floats:
    return (np.exp(0.5 * log_p) - np.exp(0.5 * log_q)) ** 2


def _js(log_p: Floats, log_q: Floats) -> Floats:
    """p log(2p/(p + q)) + q log(2q/(p + q)): twice the integrand of JS."""
    middle = np.logaddexp(log_p, log_q) - LOG_2
    return np.exp(log_p) * (log_p - middle) + np.exp(log_q) * (log_q - middle)


def _gan(log_p: Floats, log_q: Floats) -> Floats:
    return _js(log_p, log_q) - 2.0 * LOG_2 * np.exp(np.logaddexp(log_p, log_q) - LOG_2)


def alpha_divergence(alpha: float) -> FDivergence:
    """f(u) = (u^α - 1 - α (u - 1)) / (α (α - 1)).

    Raises:
        ValueError: for α = 0 and α = 1, whose limits are the reverse KL and the KL.
    """
    if alpha in (0.0, 1.0):
        raise ValueError(f"alpha must be neither 0 nor 1; got {alpha}")
    scale = alpha * (alpha - 1.0)

    def integrand(log_p: Floats, log_q: Floats) -> Floats:
        mixed = np.exp(alpha * log_p + (1.0 - alpha) * log_q)
        return np.asarray((mixed - alpha * np.exp(log_p) - (1.0 - alpha) * np.exp(log_q)) / scale)

    return FDivergence(lambda u: (u**alpha - 1.0 - alpha * (u - 1.0)) / scale, integrand)


DIVERGENCES: Mapping[FganName, FDivergence] = {
    "fgan_kl": FDivergence(lambda u: u * np.log(u), _kl),
    "fgan_reverse_kl": FDivergence(lambda u: -np.log(u), lambda p, q: _kl(q, p)),
    "fgan_pearson": FDivergence(lambda u: (u - 1.0) ** 2, _pearson),
    "fgan_neyman": FDivergence(lambda u: (1.0 - u) ** 2 / u, lambda p, q: _pearson(q, p)),
    "fgan_hellinger": FDivergence(lambda u: (np.sqrt(u) - 1.0) ** 2, _hellinger),
    "fgan_jeffrey": FDivergence(
        lambda u: (u - 1.0) * np.log(u), lambda p, q: (np.exp(p) - np.exp(q)) * (p - q)
    ),
    "fgan_js": FDivergence(lambda u: u * np.log(u) - (u + 1.0) * np.log((1.0 + u) / 2.0), _js),
    "fgan_gan": FDivergence(lambda u: u * np.log(u) - (u + 1.0) * np.log(u + 1.0), _gan),
    "fgan_tv": FDivergence(
        lambda u: 0.5 * np.abs(u - 1.0), lambda p, q: 0.5 * np.abs(np.exp(p) - np.exp(q))
    ),
    "fgan_alpha": alpha_divergence(0.5),
}


def f_divergence(p: Mixture1d, q: Mixture1d, f: FDivergence | FganName) -> float:
    """D_f(P‖Q) = ∫ q f(p/q) by adaptive quadrature; infinity where the tails do not converge.

    Args:
        p: what is to be matched.
        q: what matches it.
        f: a name of `DIVERGENCES`, or a divergence of one's own.

    Raises:
        ValueError: the integrand is not a number somewhere, as 0/0 in the tails.
    """
    integrand = (DIVERGENCES[f] if isinstance(f, str) else f).integrand
    edges = _edges(p, q)
    reach = max(edges[-1] - edges[0], 0.0)
    scale = max(*p.stds, *q.stds)
    outward = np.asarray(OUTER) * (scale + reach / 16.0)
    edges = np.concatenate([edges[0] - outward[::-1], edges, edges[-1] + outward])
    return _integrate(lambda x: integrand(p.logpdf(x), q.logpdf(x)), edges, tails=True)


def kl(p: Mixture1d, q: Mixture1d) -> float:
    """KL(P‖Q); in closed form where both are single Gaussians."""
    if _single(p, q):
        return gaussian_kl(*_moments(p), *_moments(q))
    return max(f_divergence(p, q, "fgan_kl"), 0.0)


def js(p: Mixture1d, q: Mixture1d) -> float:
    """The Jensen–Shannon divergence, in [0, log 2].

    Source: Lin 1991, equation 3.1 (IEEE Trans. Inf. Theory 37), equal weights.
    """
    return min(max(0.5 * f_divergence(p, q, "fgan_js"), 0.0), LOG_2)


# --- transport on the line ------------------------------------------------------------------------


def w1(p: Mixture1d, q: Mixture1d) -> float:
    """Wasserstein-1, ∫ |F - G| dx; in closed form where both are single Gaussians.

    Source: Vallender 1974 (Theory Probab. Appl. 18).
    """
    if _single(p, q):
        return gaussian_w1(p.mean, p.std, q.mean, q.std)
    return _integrate(lambda x: np.abs(p.cdf(x) - q.cdf(x)), _edges(p, q))


def w2(p: Mixture1d, q: Mixture1d) -> float:
    """Wasserstein-2, from ∫ (F⁻¹(t) - G⁻¹(t))² dt; in closed form where both are single Gaussians.

    Written over x = F⁻¹(t), as the mean squared way of the monotone map G⁻¹(F(x)).
    """
    if _single(p, q):
        return math.hypot(p.mean - q.mean, p.std - q.std)
    tiny, top = np.finfo(np.float64).tiny, 1.0 - np.finfo(np.float64).eps

    def cost(x: Floats) -> Floats:
        image = q.quantile(p.cdf(x).clip(tiny, top))
        return np.asarray((image - x) ** 2 * p.pdf(x))

    return math.sqrt(_integrate(cost, _edges(p, p)))


def _single(p: Mixture1d, q: Mixture1d) -> bool:
    return len(p.means) == len(q.means) == 1


def _moments(p: Mixture1d) -> tuple[Floats, Floats]:
    return np.array([p.mean]), np.array([[p.std**2]])


def _edges(p: Mixture1d, q: Mixture1d) -> Floats:
    """Where to cut the line, up to 8 standard deviations about every component (1e-15 beyond)."""
    means, stds = np.array([*p.means, *q.means]), np.array([*p.stds, *q.stds])
    return np.unique(means[:, None] + stds[:, None] * np.asarray(INNER))


def _integrate(f: Density, edges: Floats, *, tails: bool = False) -> float:
    """The integral over [edges[0], edges[-1]]: Gauss–Legendre, halving intervals as needed.

    With `tails`, infinity where the two outermost intervals still carry weight.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        left, right = edges[:-1], edges[1:]
        whole = _panels(f, left, right)
        total = float(whole.sum())
        if not math.isfinite(total) or (tails and _remains(whole)):
            return math.inf
        done = 0.0
        for _ in range(ROUNDS):
            middle = 0.5 * (left + right)
            halves = np.stack([_panels(f, left, middle), _panels(f, middle, right)])
            total = done + float(halves.sum())
            rough = np.abs(halves.sum(0) - whole) > TOLERANCE * max(abs(total), 1e-3)
            done += float(halves[:, ~rough].sum())
            if not rough.any():
                break
            left, right = (
                np.concatenate([left[rough], middle[rough]]),
                np.concatenate([middle[rough], right[rough]]),
            )
            whole = halves[:, rough].reshape(-1)
    return total


def _remains(panels: Floats) -> bool:
    outermost = max(abs(float(panels[0])), abs(float(panels[-1])))
    return outermost > REMAINDER * float(np.abs(panels).sum())


def _panels(f: Density, left: Floats, right: Floats) -> Floats:
    """Gauss–Legendre on each interval, shape [intervals]."""
    half = 0.5 * (right - left)
    x = left[:, None] + half[:, None] * (1.0 + NODES)
    values = f(x)
    if np.isnan(values).any():
        raise ValueError(f"the integrand is not a number at {x[np.isnan(values)][0]:.6g}")
    return np.asarray(half * (values @ NODE_WEIGHTS))


# --- Monte Carlo ----------------------------------------------------------------------------------


class Estimate(NamedTuple):
    """A mean of independent draws."""

    value: float
    error: float  # the standard error of the value


def kl_monte_carlo(p: Mixture, q: Mixture, *, samples: int = 10_000, seed: int = 0) -> Estimate:
    """KL(P‖Q) of mixtures in D dimensions, as the mean of log p/q over draws from P."""
    return _mean_of(_log_ratio(p, q, p, samples, np.random.default_rng(seed)))


def js_monte_carlo(p: Mixture, q: Mixture, *, samples: int = 10_000, seed: int = 0) -> Estimate:
    """The Jensen–Shannon divergence of mixtures in D dimensions, from draws of both.

    Args:
        p: one.
        q: the other.
        samples: drawn from each.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    # p/m with m = (p + q)/2 is 2 σ(log p/q)
    sides = [
        _mean_of(LOG_2 - np.logaddexp(0.0, -_log_ratio(a, b, a, samples, rng)))
        for a, b in ((p, q), (q, p))
    ]
    value = 0.5 * (sides[0].value + sides[1].value)
    return Estimate(value, 0.5 * math.hypot(sides[0].error, sides[1].error))


def _log_ratio(
    p: Mixture, q: Mixture, source: Mixture, samples: int, rng: np.random.Generator
) -> Floats:
    x = source.sample(samples, rng)
    return p.logpdf(x) - q.logpdf(x)


def _mean_of(values: Floats) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)))


# --- the best Gaussian ----------------------------------------------------------------------------


class Fit(NamedTuple):
    """The Gaussian that minimises a divergence, and the divergence that is left."""

    mean: float
    std: float
    value: float


def fit_gaussian(p: Mixture1d, divergence: FDivergence | FganName) -> Fit:
    """The single Gaussian Q with the least D_f(P‖Q), as in Nowozin et al. 2016, section 2.5.

    Starts from the moments of every run of neighbouring components, one of them alone to all of
    them together, and descends from the best few: reverse KL and the like have a minimum at every
    mode, and at most of these runs.
    """
    from scipy.optimize import minimize

    def objective(point: Floats) -> float:
        q = gaussian(float(point[0]), math.exp(float(point[1])))
        return min(f_divergence(p, q, divergence), HUGE)

    starts = sorted((np.array([m, math.log(s)]) for m, s in _runs(p)), key=objective)
    options = {"xatol": 1e-7, "fatol": 1e-13, "maxiter": 400}
    found = [
        minimize(objective, start, method="Nelder-Mead", options=options)
        for start in starts[:POLISHED]
    ]
    best = min(found, key=lambda result: float(result.fun))
    return Fit(float(best.x[0]), math.exp(float(best.x[1])), float(best.fun))


def _runs(p: Mixture1d) -> list[tuple[float, float]]:
    """Mean and standard deviation of every run of components that are neighbours on the line."""
    order = np.argsort(p.means, kind="stable")
    means, stds, weights = (np.asarray(v)[order] for v in (p.means, p.stds, p.weights))
    found = []
    for first, last in combinations_with_replacement(range(len(order)), 2):
        run = slice(first, last + 1)
        share = weights[run] / weights[run].sum()
        part = Mixture1d(tuple(means[run]), tuple(stds[run]), tuple(share))
        found.append((part.mean, part.std))
    return found

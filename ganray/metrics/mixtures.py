"""Mixtures of Gaussians as densities: on the line, and in any number of dimensions."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
LOG_2_PI = math.log(2.0 * math.pi)
HALVINGS = 200  # of a quantile's bracket: more than a float has digits, so it ends on its own


@dataclass(frozen=True)
class Mixture1d:
    """A mixture of Gaussians on the line.

    Args:
        means: of the components.
        stds: of the components, positive.
        weights: of the components, positive, adding up to 1.

    Raises:
        ValueError: where an argument is not as said.
    """

    means: tuple[float, ...]
    stds: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.means) == len(self.stds) == len(self.weights) > 0:
            raise ValueError(
                "means, stds and weights must be equally many, at least one; got "
                f"{len(self.means)}, {len(self.stds)} and {len(self.weights)}"
            )
        if min(self.stds) <= 0:
            raise ValueError(f"stds must be positive; got {self.stds}")
        _check_weights(self.weights)

    @property
    def mean(self) -> float:
        """Of the whole mixture."""
        return float(np.dot(self.weights, self.means))

    @property
    def std(self) -> float:
        """Of the whole mixture."""
        second = np.square(self.stds) + np.square(np.subtract(self.means, self.mean))
        return math.sqrt(float(np.dot(self.weights, second)))

    def logpdf(self, x: ArrayLike) -> Floats:
        """The log density at `x`, any shape; never -inf where a double can hold it."""
        z = self._standardised(x)
        logs = -0.5 * (z**2 + LOG_2_PI) - np.log(self.stds) + np.log(self.weights)
        return _log_sum_exp(logs)

    def pdf(self, x: ArrayLike) -> Floats:
        """The density at `x`, any shape."""
        return np.exp(self.logpdf(x))

    def cdf(self, x: ArrayLike) -> Floats:
        """The probability of a value up to `x`, any shape."""
        from scipy.special import ndtr

        return np.asarray(ndtr(self._standardised(x)) @ np.asarray(self.weights))

    def quantile(self, level: ArrayLike) -> Floats:
        """The value that a draw stays below with probability `level`, any shape in [0, 1]."""
        from scipy.special import ndtri

        level = np.asarray(level, np.float64)
        parts = np.asarray(self.means) + np.asarray(self.stds) * ndtri(level)[..., None]
        low, high = parts.min(-1), parts.max(-1)  # between its components' quantiles lies its own
        for _ in range(HALVINGS if len(self.means) > 1 else 0):
            middle = 0.5 * (low + high)
            if np.all((middle <= low) | (middle >= high) | ~np.isfinite(middle)):
                break
            below = self.cdf(middle) < level
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(high)

    def _standardised(self, x: ArrayLike) -> Floats:
        """How many of its standard deviations `x` is from each component, shape [..., K]."""
        offsets = np.asarray(x, np.float64)[..., None] - np.asarray(self.means)
        return np.asarray(offsets / np.asarray(self.stds))


def gaussian(mean: float, std: float) -> Mixture1d:
    """One Gaussian, as a mixture of one."""
    return Mixture1d((mean,), (std,), (1.0,))


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of Gaussians in D dimensions.

    Args:
        means: of the components, shape [K, D].
        covariances: of the components, positive definite, shape [K, D, D].
        weights: of the components, positive, adding up to 1, shape [K].

    Raises:
        ValueError: where an argument is not as said.
    """

    means: Floats
    covariances: Floats
    weights: Floats

    def __post_init__(self) -> None:
        modes, dims = self.means.shape
        if self.covariances.shape != (modes, dims, dims) or self.weights.shape != (modes,):
            raise ValueError(
                f"with means [{modes}, {dims}], covariances must be [{modes}, {dims}, {dims}] and "
                f"weights [{modes}]; got {self.covariances.shape} and {self.weights.shape}"
            )
        _check_weights(self.weights.tolist())

    def logpdf(self, x: Floats) -> Floats:
        """The log density at points [N, D], shape [N]."""
        logs = [
            _log_gaussian(x, mean, covariance) + math.log(weight)
            for mean, covariance, weight in zip(
                self.means, self.covariances, self.weights, strict=True
            )
        ]
        return _log_sum_exp(np.stack(logs, -1))

    def sample(self, count: int, rng: np.random.Generator) -> Floats:
        """Independent draws, shape [count, D]."""
        modes = rng.choice(len(self.weights), size=count, p=self.weights)
        roots = np.linalg.cholesky(self.covariances)
        noise = rng.standard_normal((count, self.means.shape[1]))
        return np.asarray(self.means[modes] + np.einsum("nij,nj->ni", roots[modes], noise))


def _check_weights(weights: list[float] | tuple[float, ...]) -> None:
    if min(weights) <= 0 or not math.isclose(sum(weights), 1.0, rel_tol=1e-9):
        raise ValueError(f"weights must be positive and add up to 1; got {weights}")


def _log_gaussian(x: Floats, mean: Floats, covariance: Floats) -> Floats:
    """log N(x; mean, covariance) at points [N, D], shape [N]."""
    root = np.linalg.cholesky(covariance)
    z = np.linalg.solve(root, (x - mean).T)
    volume = 2.0 * np.log(np.diag(root)).sum() + len(mean) * LOG_2_PI
    return np.asarray(-0.5 * ((z**2).sum(0) + volume))


def _log_sum_exp(logs: Floats) -> Floats:
    """log Σ exp over the last axis."""
    top = logs.max(-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(logs - top).sum(-1)))

"""Densities of mixtures against SciPy's normal distribution."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from ganray.metrics.mixtures import Mixture, Mixture1d, gaussian

TWO = Mixture1d((-2.0, 1.5), (0.5, 0.8), (0.4, 0.6))
POINTS = np.array([-30.0, -2.7, -2.0, 0.0, 0.3, 1.5, 4.0])


def test_density_and_probability_are_the_weighted_sums_of_the_components():
    pdf = 0.4 * norm(-2.0, 0.5).pdf(POINTS) + 0.6 * norm(1.5, 0.8).pdf(POINTS)
    cdf = 0.4 * norm(-2.0, 0.5).cdf(POINTS) + 0.6 * norm(1.5, 0.8).cdf(POINTS)
    assert TWO.pdf(POINTS) == pytest.approx(pdf, rel=1e-12, abs=1e-300)
    assert TWO.cdf(POINTS) == pytest.approx(cdf, rel=1e-12, abs=1e-300)


def test_log_density_holds_where_the_density_is_zero():
    assert TWO.pdf(100.0) == 0.0
    nearest = math.log(0.6) - 0.5 * (98.5 / 0.8) ** 2 - math.log(0.8 * math.sqrt(2 * math.pi))
    assert float(TWO.logpdf(100.0)) == pytest.approx(nearest, rel=1e-12)


@pytest.mark.parametrize("level", [1e-12, 0.01, 0.399, 0.4, 0.401, 0.9, 1 - 1e-9])
def test_quantile_undoes_the_probability(level):
    assert float(TWO.cdf(TWO.quantile(level))) == pytest.approx(level, rel=1e-9)


def test_quantiles_of_one_gaussian_are_the_normal_ones_also_at_both_ends():
    levels = [0.0, 0.025, 0.5, 0.975, 1.0]
    assert gaussian(3.0, 2.0).quantile(levels).tolist() == pytest.approx(
        [-math.inf, 3 - 2 * 1.9599639845, 3.0, 3 + 2 * 1.9599639845, math.inf]
    )
    assert TWO.quantile([0.0, 1.0]).tolist() == [-math.inf, math.inf]


def test_shape_of_the_points_is_kept():
    assert TWO.pdf(np.zeros((2, 3))).shape == TWO.quantile(np.full((2, 3), 0.5)).shape == (2, 3)


def test_moments_are_those_of_the_whole():
    mean = 0.4 * -2.0 + 0.6 * 1.5
    second = 0.4 * (0.25 + 4.0) + 0.6 * (0.64 + 2.25)
    assert TWO.mean == pytest.approx(mean)
    assert TWO.std == pytest.approx(math.sqrt(second - mean**2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0.0,), (1.0, 1.0), (1.0,)), "equally many, at least one; got 1, 2 and 1"),
        (((), (), ()), "at least one; got 0, 0 and 0"),
        (((0.0,), (0.0,), (1.0,)), r"stds must be positive; got \(0.0,\)"),
        (((0.0, 1.0), (1.0, 1.0), (0.5, 0.6)), r"add up to 1; got \(0.5, 0.6\)"),
        (((0.0, 1.0), (1.0, 1.0), (1.5, -0.5)), "weights must be positive"),
    ],
)
def test_what_is_no_mixture_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        Mixture1d(*arguments)


COVARIANCES = np.array([[[1.0, 0.6], [0.6, 2.0]], [[0.5, -0.1], [-0.1, 0.3]]])
PLANE = Mixture(np.array([[0.0, 0.0], [3.0, -1.0]]), COVARIANCES, np.array([0.3, 0.7]))


def test_density_in_the_plane_is_the_weighted_sum_of_the_components():
    points = np.array([[0.0, 0.0], [3.0, -1.0], [1.0, 2.0]])
    parts = [
        multivariate_normal(m, c).pdf(points)
        for m, c in zip(PLANE.means, PLANE.covariances, strict=True)
    ]
    assert np.exp(PLANE.logpdf(points)) == pytest.approx(0.3 * parts[0] + 0.7 * parts[1])


def test_draws_have_the_moments_of_the_mixture():
    draws = PLANE.sample(200_000, np.random.default_rng(0))
    mean = 0.7 * PLANE.means[1]
    offsets = PLANE.means - mean
    covariance = np.einsum("k,kij->ij", PLANE.weights, COVARIANCES)
    covariance += np.einsum("k,ki,kj->ij", PLANE.weights, offsets, offsets)
    assert draws.mean(0) == pytest.approx(mean, abs=0.02)
    assert np.cov(draws.T) == pytest.approx(covariance, abs=0.03)


def test_mixture_in_the_plane_checks_its_shapes():
    with pytest.raises(ValueError, match=r"covariances must be \[2, 2, 2\]"):
        Mixture(np.zeros((2, 2)), np.eye(2), np.array([0.5, 0.5]))

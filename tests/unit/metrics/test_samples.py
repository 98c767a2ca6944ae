"""Metrics between sets of samples against values by hand, brute force and their expectations."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from ganray.data.dataset import Classified
from ganray.metrics.samples import (
    density_coverage,
    exact_wasserstein,
    frechet_distance,
    kid,
    median_distance,
    ndb,
    precision_recall,
    published_modes,
    vendi,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


# --- Fréchet distance -----------------------------------------------------------------------------


def bures(a: np.ndarray, b: np.ndarray) -> float:
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    root = sqrtm(covariances[0])
    cross = sqrtm(root @ covariances[1] @ root).real
    return float(
        ((a.mean(0) - b.mean(0)) ** 2).sum()
        + np.trace(covariances[0] + covariances[1] - 2.0 * cross)
    )


def test_frechet_distance_is_bures_of_the_moments():
    a, b = normal(0, 200, 5), normal(1, 300, 5) @ normal(2, 5, 5) + 1.0
    assert frechet_distance(a, b) == pytest.approx(bures(a, b), rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(bures(a, b), rel=1e-9)


def test_frechet_distance_approaches_that_of_the_gaussians():
    covariance = np.array([[2.0, 0.8], [0.8, 1.0]])
    a = normal(0, 100_000, 2)
    b = normal(1, 100_000, 2) @ np.linalg.cholesky(covariance).T + [3.0, 0.0]
    # against the unit covariance, Bures is the sum of (1 - root of an eigenvalue)²
    expected = 9.0 + ((1.0 - np.sqrt(np.linalg.eigvalsh(covariance))) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=0.01)


def test_frechet_distance_on_the_line_and_of_a_set_to_itself():
    a = column(0.0, 2.0)
    b = column(1.0, 5.0)  # standard deviations √2 and √8
    expected = 4.0 + (math.sqrt(2.0) - math.sqrt(8.0)) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected)
    images = normal(0, 50, 3, 2, 2)
    assert frechet_distance(images, images) == pytest.approx(0.0, abs=1e-6)


def test_frechet_distance_wants_more_samples_than_features():
    with pytest.raises(
        ValueError, match=r"of 8 features needs more .*; got 8 real and 9 generated"
    ):
        frechet_distance(normal(0, 8, 8), normal(1, 9, 8))
    assert frechet_distance(normal(0, 9, 8), normal(1, 9, 8)) > 0.0


def test_metrics_take_tensors_as_well_as_arrays():
    a, b = normal(0, 40, 3), normal(1, 40, 3)
    for metric in (frechet_distance, kid, precision_recall, density_coverage, exact_wasserstein):
        assert metric(torch.tensor(a, requires_grad=True), torch.tensor(b)) == metric(a, b)


def test_samples_that_are_not_finite_are_told():
    bad = normal(0, 40, 3)
    bad[3, 1] = math.nan
    bad[7, 0] = math.inf
    with pytest.raises(ValueError, match="2 of 40 samples are not finite"):
        frechet_distance(normal(1, 40, 3), bad)


# --- kernel distance ------------------------------------------------------------------------------


def test_kernel_distance_of_two_points_each_by_hand():
    """On the line k(x, y) = (xy + 1)³: within 1 and 8, across 1, 1, 2·2·2 and 3·3·3."""
    a, b = column(0.0, 1.0), column(1.0, 2.0)
    within = 1.0 + (1.0 * 2.0 + 1.0) ** 3
    across = (1.0 + 1.0 + 8.0 + 27.0) / 4.0
    assert kid(a, b) == pytest.approx(within - 2.0 * across)


def test_kernel_is_scaled_by_the_number_of_features():
    a, b = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 1.0], [3.0, 1.0]])
    kernel = lambda x, y: (x @ y / 2.0 + 1.0) ** 3  # noqa: E731
    across = np.mean([kernel(x, y) for x, y in itertools.product(a, b)])
    assert kid(a, b) == pytest.approx(kernel(*a) + kernel(*b) - 2.0 * across)


def test_kernel_distance_is_unbiased():
    found = [kid(normal(2 * i, 50, 2), normal(2 * i + 1, 50, 2)) for i in range(400)]
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found)) < 3.0 * error
    assert 0.2 < np.mean(np.array(found) < 0.0) < 0.8


def test_kernel_distance_of_subsets_is_about_that_of_all():
    a, b = normal(0, 400, 2), normal(1, 400, 2) + 1.0
    whole = kid(a, b)
    assert kid(a, b, subsets=200, size=100) == pytest.approx(whole, rel=0.05)
    assert kid(a, b, size=100, seed=1) != kid(a, b, size=100, seed=2)
    assert kid(a, b, size=100, seed=1) == kid(a, b, size=100, seed=1)
    assert whole > 20.0 * abs(kid(a, normal(2, 400, 2)))


def test_kernel_distance_needs_two_of_each():
    with pytest.raises(ValueError, match="two samples of each kind; got 1"):
        kid(normal(0, 5, 2), normal(1, 1, 2))


# --- neighbourhoods -------------------------------------------------------------------------------


REAL = column(0.0, 1.0, 3.0, 10.0)  # nearest other one at 1, 1, 2 and 7


def test_precision_and_recall_by_hand():
    fake = column(-1.0, 2.5, 5.5, 30.0)  # nearest other one at 3.5, 3, 3 and 24.5
    # 5.5 is within 7 of 10; 30 is in no ball; of the real, 10 lies only within 24.5 of 30
    assert precision_recall(REAL, fake, k=1) == (3 / 4, 1.0)
    assert precision_recall(REAL, fake[:3], k=1) == (1.0, 3 / 4)


def test_precision_counts_the_rim_and_density_does_not():
    fake = column(-1.0, 100.0)
    assert precision_recall(REAL, fake, k=1).precision == 0.5
    assert density_coverage(REAL, fake, k=1) == (0.0, 0.0)


def test_density_and_coverage_by_hand():
    fake = column(0.5, 2.5, 30.0)
    # balls: (-1, 1) has 0.5; (0, 2) has 0.5; (1, 5) has 2.5; (3, 17) has none
    assert density_coverage(REAL, fake, k=1) == (3 / 3, 3 / 4)
    # k = 2: radii 3, 2, 3, 9: (-3, 3) has two, (-1, 3) two, (0, 6) two, (1, 19) one
    assert density_coverage(REAL, fake, k=2) == (7 / 6, 1.0)


@pytest.mark.parametrize(("real", "fake"), [(60, 60), (80, 30)])
def test_density_and_coverage_of_equal_distributions_are_as_expected(real, fake):
    k = 5
    found = [
        density_coverage(normal(2 * i, real, 2), normal(2 * i + 1, fake, 2), k=k)
        for i in range(300)
    ]
    coverage = 1.0 - math.prod((real - i) / (real + fake - i) for i in range(1, k + 1))
    assert np.mean([each.density for each in found]) == pytest.approx(1.0, abs=0.02)
    assert np.mean([each.coverage for each in found]) == pytest.approx(coverage, abs=0.01)


def test_neighbourhoods_are_the_same_in_parts_of_the_distance_matrix():
    a, b = normal(0, 1_100, 2), normal(1, 700, 2)
    cross = np.linalg.norm(a[:, None] - b[None], axis=-1)

    def reach(x, k):
        return np.sort(np.linalg.norm(x[:, None] - x[None], axis=-1), 1)[:, k]

    inside = cross < reach(a, 5)[:, None]
    assert density_coverage(a, b) == pytest.approx((inside.sum() / (5 * 700), inside.any(1).mean()))
    precision = (cross <= reach(a, 3)[:, None]).any(0).mean()
    recall = (cross <= reach(b, 3)[None]).any(1).mean()
    assert precision_recall(a, b) == pytest.approx((precision, recall))


def test_collapse_costs_recall_and_noise_costs_precision():
    real = normal(0, 500, 2)
    collapsed = precision_recall(real, 0.01 * normal(1, 500, 2))
    noise = precision_recall(real, 30.0 * normal(1, 500, 2))
    assert collapsed.precision > 0.95
    assert collapsed.recall < 0.05
    assert noise.precision < 0.05
    assert density_coverage(real, 0.01 * normal(1, 500, 2)).coverage < 0.1


@pytest.mark.parametrize("k", [0, 4])
def test_neighbours_that_there_are_not_are_told(k):
    with pytest.raises(ValueError, match=f"less than 4 samples; got {k}"):
        density_coverage(REAL, REAL, k=k)


# --- bins -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dims", "bins"), [(2, 20), (300, 10)])
def test_as_many_bins_differ_by_chance_as_the_level_says(dims, bins):
    """In 300 dimensions, counting what k-means was fitted to would make most bins differ."""
    seeds = range(20)
    found = [ndb(normal(2 * i, 2_000, dims), normal(2 * i + 1, 1_000, dims), bins=bins)
             for i in seeds]  # fmt: skip
    assert np.mean(found) == pytest.approx(0.05, abs=0.035)


def test_all_bins_differ_where_samples_are_all_in_one():
    assert ndb(normal(0, 2_000, 2), np.zeros((1_000, 2)), bins=20) == 1.0


def test_a_stricter_level_lets_fewer_bins_differ():
    real, fake = normal(0, 2_000, 2), normal(1, 1_000, 2) * 1.2
    strict, loose = (ndb(real, fake, bins=40, alpha=alpha) for alpha in (0.001, 0.3))
    assert strict < loose


def test_bins_are_at_most_half_of_the_real_samples():
    with pytest.raises(ValueError, match="bins must be 2 to 20, half of the real samples; got 21"):
        ndb(normal(0, 40, 2), normal(1, 40, 2), bins=21)


# --- diversity ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["rbf", "cosine"])
def test_equal_samples_count_as_one(kernel):
    assert vendi(np.ones((7, 3)), kernel=kernel) == pytest.approx(1.0)


def test_orthogonal_samples_count_each():
    assert vendi(5.0 * np.eye(6), kernel="cosine") == pytest.approx(6.0)
    assert vendi(np.eye(6)[[0, 1, 2, 0, 1, 2]], kernel="cosine") == pytest.approx(3.0)


def test_far_samples_count_each_under_a_narrow_kernel():
    assert vendi(100.0 * np.arange(6.0)[:, None], bandwidth=1.0) == pytest.approx(6.0)


def test_two_samples_by_hand():
    """Eigenvalues (1 ± k)/2 with k = exp(-d²/2h²)."""
    k = math.exp(-(3.0**2) / (2 * 2.0**2))
    shares = ((1 + k) / 2, (1 - k) / 2)
    expected = math.exp(-sum(s * math.log(s) for s in shares))
    assert vendi(column(0.0, 3.0), bandwidth=2.0) == pytest.approx(expected)


def test_cosine_kernel_is_the_same_in_its_dual_form():
    rows = normal(0, 30, 4)  # 4 x 4 is smaller
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(units @ units.T / 30)
    values = values[values > 1e-12]
    assert vendi(rows, kernel="cosine") == pytest.approx(math.exp(-(values * np.log(values)).sum()))
    assert vendi(rows.T, kernel="cosine") <= 4.0


def test_bandwidth_is_the_median_distance():
    rows = column(0.0, 1.0, 3.0)  # distances 1, 2, 3
    assert median_distance(rows) == 2.0
    assert vendi(rows) == vendi(rows, bandwidth=2.0)


def test_collapsed_samples_are_less_diverse():
    real = normal(0, 300, 2)
    bandwidth = median_distance(real)
    assert vendi(0.1 * normal(1, 300, 2), bandwidth=bandwidth) < 0.5 * vendi(real)


# --- transport ------------------------------------------------------------------------------------


def test_transport_of_three_points_to_three_by_hand():
    a = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0]])
    b = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 7.0]])
    # (0,4) to (0,7) is 3, then straight up by 1 and by 1; crossed, these two cost √2 each
    found = exact_wasserstein(a, b)
    assert found.w1 == pytest.approx((3.0 + 1.0 + 1.0) / 3.0)
    assert found.w2 == pytest.approx(math.sqrt((9.0 + 1.0 + 1.0) / 3.0))


def test_transport_is_the_best_of_all_assignments():
    a, b = normal(0, 5, 3), normal(1, 5, 3)
    costs = np.linalg.norm(a[:, None] - b[None], axis=-1)
    assignments = [costs[np.arange(5), list(order)] for order in itertools.permutations(range(5))]
    found = exact_wasserstein(a, b)
    assert found.w1 == pytest.approx(min(each.mean() for each in assignments))
    assert found.w2 == pytest.approx(math.sqrt(min((each**2).mean() for each in assignments)))


@pytest.mark.parametrize(("n", "m"), [(50, 50), (40, 60), (7, 3)])
def test_sorting_on_the_line_is_the_same_as_linear_programming(n, m):
    a, b = normal(0, n, 1), normal(1, m, 1) * 2.0 + 1.0
    flat = [np.concatenate([x, np.zeros_like(x)], 1) for x in (a, b)]  # in the plane, not sorted
    assert exact_wasserstein(a, b) == pytest.approx(exact_wasserstein(*flat), rel=1e-9)


def test_transport_to_itself_costs_nothing_and_a_shift_its_length():
    a = normal(0, 100, 3)
    assert exact_wasserstein(a, a) == pytest.approx((0.0, 0.0), abs=1e-7)
    assert exact_wasserstein(a, a + np.array([3.0, 0.0, 4.0])) == pytest.approx((5.0, 5.0))


# --- modes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Centres:
    """The nearest centre, good within three standard deviations."""

    centres: np.ndarray
    std: float

    @property
    def modes(self) -> int:
        return len(self.centres)

    def classify(self, samples):
        distances = np.linalg.norm(samples[:, None] - self.centres[None], axis=-1)
        return Classified(distances.argmin(1), distances.min(1) <= 3.0 * self.std)

    def perfect(self, seed: int, count: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        modes = rng.integers(self.modes, size=count)
        return self.centres[modes] + rng.normal(0.0, self.std, (count, 2))


ANGLES = 2.0 * np.pi * np.arange(8) / 8.0
RING = Centres(np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1), 0.01)
GRID = Centres(np.array(list(itertools.product((-4.0, -2.0, 0.0, 2.0, 4.0), repeat=2))), 0.05)


def uniform(seed: int, reach: float) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-reach, reach, (2_500, 2))


@pytest.mark.parametrize(
    ("counter", "reach", "modes", "quality"), [(GRID, 6.0, 17.7, 0.0123), (RING, 2.0, 2.9, 0.0014)]
)
def test_noise_covers_modes_by_the_published_protocol(counter, reach, modes, quality):
    """In numbers: a disc of 3 std in the square, π (3 std)²/(2 reach)², times 2,500 draws."""
    found = [published_modes(counter, uniform(seed, reach)) for seed in range(100)]
    disc = math.pi * (3.0 * counter.std) ** 2 / (2.0 * reach) ** 2
    expected = counter.modes * (1.0 - (1.0 - disc) ** 2_500)
    assert expected == pytest.approx(modes, abs=0.1)
    assert np.mean([each.modes for each in found]) == pytest.approx(expected, abs=0.6)
    assert np.mean([each.quality for each in found]) == pytest.approx(disc * counter.modes, rel=0.1)
    assert disc * counter.modes == pytest.approx(quality, abs=1e-4)


def test_perfect_samples_have_all_modes_and_the_quality_of_a_plane_gaussian():
    found = [published_modes(GRID, GRID.perfect(seed, 2_500)) for seed in range(40)]
    assert {each.modes for each in found} == {25}
    quality = np.mean([each.quality for each in found])
    assert quality == pytest.approx(1.0 - math.exp(-4.5), abs=0.001)


@pytest.mark.parametrize("counter", [RING, GRID])
def test_kl_of_perfect_samples_is_zero_on_average_once_its_floor_is_gone(counter):
    found = [published_modes(counter, counter.perfect(seed, 2_500)) for seed in range(100)]
    floor = (counter.modes - 1) / (2 * 2_500 * (1.0 - math.exp(-4.5)))
    raw = np.array([each.raw_kl for each in found])
    error = raw.std() / 10.0
    assert raw.mean() == pytest.approx(floor, abs=3.0 * error)
    assert np.mean([each.kl for each in found]) == pytest.approx(0.0, abs=3.0 * error)
    assert min(each.kl for each in found) < 0.0 < min(raw)


def test_kl_of_a_collapsed_generator_is_the_log_of_the_modes():
    collapsed = RING.centres[:1].repeat(100, 0)
    found = published_modes(RING, collapsed)
    assert found.modes == 1
    assert found.quality == 1.0
    assert found.raw_kl == pytest.approx(math.log(8.0))
    assert found.kl == pytest.approx(math.log(8.0) - 7.0 / 200.0)


def test_only_good_samples_make_the_histogram():
    samples = np.concatenate([RING.centres[[0, 0, 0, 1]], np.full((6, 2), 3.0)])
    found = published_modes(RING, samples)
    expected = 0.75 * math.log(0.75 * 8.0) + 0.25 * math.log(0.25 * 8.0)
    assert found[:2] == (2, 0.4)
    assert found.raw_kl == pytest.approx(expected)
    assert found.kl == pytest.approx(expected - 7.0 / (2.0 * 4.0))


def test_kl_is_not_defined_without_a_good_sample():
    assert published_modes(RING, np.full((10, 2), 3.0)) == (0, 0.0, None, None)


@dataclass(frozen=True)
class Numbers:
    """Images whose first pixel is their mode; the even ones are good."""

    modes: int = 1_000

    def classify(self, samples: np.ndarray) -> Classified:
        mode = samples[:, 0, 0, 0].astype(np.int64)
        return Classified(mode, mode % 2 == 0)


def test_of_images_every_sample_counts_as_in_the_tables_of_stacked_mnist():
    images = np.array([0.0, 0.0, 1.0, 3.0]).reshape(-1, 1, 1, 1)
    found = published_modes(Numbers(), images)
    assert found[:2] == (3, 0.5)


def test_a_perfect_sampler_of_1000_modes_has_them_all_and_the_floor_of_26000_samples():
    drawn = np.random.default_rng(0).integers(1_000, size=(26_000, 1, 1, 1)).astype(np.float32)
    found = published_modes(Numbers(), drawn)
    assert found.modes == 1_000
    assert found.raw_kl == pytest.approx(999 / 52_000, abs=0.003)
    assert found.kl == pytest.approx(0.0, abs=0.003)

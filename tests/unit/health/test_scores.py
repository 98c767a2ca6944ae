"""Single measures against brute force, quadrature, SciPy and values by hand."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm, wasserstein_distance
from torch import Tensor

from ganray.health.scores import (
    auc,
    effective_number,
    energy_distance,
    histogram_kl,
    js_bound,
    mean_between,
    nearest_neighbour_scores,
    nearest_within,
    pairwise_distances,
    projections,
    sliced_wasserstein,
    sorted_projections,
    supported,
)
from ganray.trial import LOG_2


def normal(seed: int, count: int, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, std, count).astype(np.float32)


def cloud(seed: int, count: int, dims: int = 2, mean: float = 0.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dims, generator=rng) + mean


# --- distances ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (2,), (8,), (9,), (3, 4, 4)])
def test_pairwise_distances_are_euclid_s_between_flattened_samples(shape):
    a, b = (torch.randn(n, *shape, generator=torch.Generator().manual_seed(n)) for n in (5, 7))
    found = pairwise_distances(a, b)
    assert found.shape == (5, 7)
    for i, j in product(range(5), range(7)):
        assert found[i, j].item() == pytest.approx((a[i] - b[j]).norm().item(), rel=1e-3, abs=1e-3)


def test_distances_of_points_that_nearly_touch_are_exact_in_few_dimensions():
    """|a|² - 2ab + |b|² would lose this to rounding: 100² + 1e-3² has no such digits in float32."""
    a = torch.tensor([[100.0, 100.0]] * 40)
    b = a + torch.tensor([1.0 / 1024.0, 0.0])
    assert pairwise_distances(a, b)[0, 0].item() == pytest.approx(1.0 / 1024.0, rel=1e-6)
    assert pairwise_distances(a, a).max().item() == 0.0


def test_mean_between_leaves_a_point_s_distance_to_itself_out():
    triangle = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    distances = pairwise_distances(triangle, triangle)
    assert mean_between(distances) == pytest.approx((3.0 + 4.0 + 5.0) / 3.0)


def test_nearest_within_is_the_nearest_other_point():
    line = torch.tensor([[0.0], [1.0], [5.0], [5.0]])
    distances = pairwise_distances(line, line)
    assert nearest_within(distances).tolist() == [1.0, 1.0, 0.0, 0.0]


# --- energy distance ------------------------------------------------------------------------------


def energy_between(a: Tensor, b: Tensor) -> float:
    within = [mean_between(pairwise_distances(x, x)) for x in (a, b)]
    return energy_distance(float(pairwise_distances(a, b).mean()), *within)


def energy_by_brute_force(a: Tensor, b: Tensor) -> float:
    def mean(x, y, same):
        pairs = [(i, j) for i in range(len(x)) for j in range(len(y)) if not (same and i == j)]
        return sum(math.dist(x[i], y[j]) for i, j in pairs) / len(pairs)

    a, b = a.tolist(), b.tolist()
    return 2.0 * mean(a, b, False) - mean(a, a, True) - mean(b, b, True)


@pytest.mark.parametrize("mean", [0.0, 1.5])
def test_energy_distance_is_the_unbiased_estimate_by_brute_force(mean):
    a, b = cloud(0, 30), cloud(1, 40, mean=mean)
    assert energy_between(a, b) == pytest.approx(energy_by_brute_force(a, b), abs=1e-5)


def test_energy_distance_of_two_points_far_apart_is_twice_their_distance():
    a, b = torch.zeros(5, 2), torch.zeros(5, 2) + torch.tensor([3.0, 4.0])
    assert energy_between(a, b) == pytest.approx(10.0)


def test_energy_distance_is_0_on_average_for_one_distribution_and_grows_with_the_shift():
    same = [energy_between(cloud(2 * s, 200), cloud(2 * s + 1, 200)) for s in range(30)]
    error = float(np.std(same)) / len(same) ** 0.5
    assert float(np.mean(same)) == pytest.approx(0.0, abs=4 * error)  # a biased one is 0.018 here
    assert error < 0.002
    shifted = [energy_between(cloud(0, 200), cloud(1, 200, mean=m)) for m in (0.0, 0.5, 1.0, 2.0)]
    assert shifted == sorted(shifted)
    assert shifted[1] > 0.05


# --- sliced Wasserstein ---------------------------------------------------------------------------


def sliced_between(a: Tensor, b: Tensor) -> float:
    directions = projections(a[0].numel())
    return sliced_wasserstein(sorted_projections(a, directions), sorted_projections(b, directions))


@pytest.mark.parametrize("mean", [0.0, 0.3, -2.0])
def test_sliced_wasserstein_is_wasserstein_1_on_the_line(mean):
    a, b = cloud(0, 300, dims=1), cloud(1, 300, dims=1, mean=mean)
    expected = wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy())
    assert sliced_between(a, b) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dims", [2, 64])
def test_sliced_wasserstein_averages_wasserstein_1_over_the_directions(dims):
    a, b = cloud(0, 100, dims=dims), cloud(1, 100, dims=dims, mean=0.5)
    each = [
        wasserstein_distance((a @ d).numpy(), (b @ d).numpy()) for d in projections(dims).unbind(1)
    ]
    assert sliced_between(a, b) == pytest.approx(float(np.mean(each)), rel=1e-4)


def test_sliced_wasserstein_of_a_shift_in_the_plane_is_two_over_pi_of_its_length():
    """The mean of |cos| over the circle is 2/π; 16 random directions come within a quarter."""
    a = cloud(0, 200)
    shift = sliced_between(a, a + torch.tensor([3.0, 4.0]))
    assert shift == pytest.approx(5.0 * 2.0 / math.pi, rel=0.25)
    assert sliced_between(a, a[torch.randperm(200)]) == 0.0


@pytest.mark.parametrize("dims", [1, 2, 8, 9, 64])
def test_projections_are_fixed_unit_vectors(dims):
    directions = projections(dims)
    assert directions.shape[0] == dims
    assert directions.shape[1] == (1 if dims == 1 else 16 if dims <= 8 else 64)
    assert directions.norm(dim=0).tolist() == pytest.approx([1.0] * directions.shape[1])
    assert torch.equal(directions, projections(dims))
    assert dims == 1 or not torch.equal(directions, projections(dims, seed=1))


# --- AUC ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_share_of_pairs_in_order_ties_counting_half(seed):
    rng = np.random.default_rng(seed)
    real = rng.integers(0, 8, 40).astype(np.float32)  # integers: many ties
    fake = rng.integers(-2, 6, 30).astype(np.float32)
    pairs = [1.0 if r > f else 0.5 if r == f else 0.0 for r in real for f in fake]
    assert auc(real, fake) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


def test_auc_by_hand():
    def of(real, fake):
        return auc(np.array(real, dtype=np.float32), np.array(fake, dtype=np.float32))

    assert of([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert of([0.0, 1.0], [2.0, 3.0]) == 0.0
    assert of([1.0, 1.0], [1.0]) == 0.5
    assert of([1.0, 3.0], [0.0, 2.0]) == 0.75


# --- the bound on JS ------------------------------------------------------------------------------


def true_js(shift: float) -> float:
    """JS(N(0, 1) ‖ N(shift, 1)) in nats, by quadrature of its definition."""

    def integrand(x: float) -> float:
        p, q = norm.pdf(x), norm.pdf(x, shift)
        return 0.5 * (p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q)))

    return float(quad(integrand, -12.0, 12.0 + shift)[0])


@pytest.mark.parametrize("shift", [1.0, 2.0, 3.0])
def test_js_bound_is_close_to_the_true_js_and_not_above_it(shift):
    """Over 20 draws of as many samples as a report has: the mean, and how far a draw strays."""
    found = [js_bound(normal(2 * s, 1000, shift), normal(2 * s + 1, 1000)) for s in range(20)]
    error = float(np.std(found)) / len(found) ** 0.5
    assert true_js(shift) - 0.02 < np.mean(found) < true_js(shift) + 2 * error
    assert max(found) < true_js(shift) + 0.05


@pytest.mark.parametrize("shift", [1.0, 2.0, 3.0])
def test_js_bound_is_tight_with_many_samples(shift):
    found = js_bound(normal(0, 100_000, shift), normal(1, 100_000))
    assert found == pytest.approx(true_js(shift), abs=0.006)


def test_js_bound_is_0_for_equal_distributions():
    found = [js_bound(normal(2 * s, 1000), normal(2 * s + 1, 1000)) for s in range(20)]
    assert min(found) == 0.0
    assert max(found) < 0.01


@pytest.mark.parametrize("offset", [-1e4, 0.0, 1e4])
def test_js_bound_is_log_2_for_separated_scores_whichever_way_and_wherever(offset):
    real, fake = normal(0, 1000, offset + 50), normal(1, 1000, offset - 50)
    for found in (js_bound(real, fake), js_bound(fake, real)):
        assert LOG_2 - 0.005 < found <= LOG_2


def test_js_bound_is_0_where_d_says_the_same_of_everything():
    same = np.full(100, 3.0, dtype=np.float32)
    assert js_bound(same, same) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("count", [2, 3, 10, 101])
@pytest.mark.parametrize("shift", [0.0, 1.0, 100.0])
def test_js_bound_never_leaves_its_range(count, shift):
    for seed in range(20):
        found = js_bound(normal(2 * seed, count, shift), normal(2 * seed + 1, count))
        assert 0.0 <= found <= LOG_2


def test_js_bound_is_no_self_deception_with_few_samples():
    """Bins fitted on the samples that they are valued on would find 0.1 nats in pure noise."""
    found = [js_bound(normal(2 * s, 40), normal(2 * s + 1, 40)) for s in range(50)]
    assert np.mean(found) < 0.02


def test_js_bound_depends_only_on_the_order_of_the_scores():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        real, fake = rng.normal(1.0, 1.0, 50), rng.normal(0.0, 1.0, 50)
        expected = js_bound(real, fake)
        assert js_bound(7.0 * real - 3.0, 7.0 * fake - 3.0) == expected
        assert js_bound(np.exp(3.0 * real), np.exp(3.0 * fake)) == expected


def test_js_bound_asks_for_no_monotone_d():
    """A critic that says least of the middle loses nothing against one that knows the ratio."""
    rng = np.random.default_rng(0)
    real = rng.normal(0.0, 1.0, 20_000)
    fake = rng.normal(0.0, 1.0, 20_000) + rng.choice([-4.0, 4.0], 20_000)
    by_position, by_ratio = js_bound(real, fake), js_bound(-np.abs(real), -np.abs(fake))
    assert by_position == pytest.approx(by_ratio, abs=0.02)
    assert 0.5 < by_ratio < LOG_2
    assert js_bound(-real, -fake) == pytest.approx(by_position, abs=1e-3)


# --- the nearest-neighbour probe ------------------------------------------------------------------


def probe(a: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
    within = [nearest_within(pairwise_distances(x, x)) for x in (a, b)]
    return nearest_neighbour_scores(pairwise_distances(a, b), *within)


def test_probe_scores_are_log_ratios_of_nearest_distances_by_hand():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[4.0], [6.0], [9.0]])
    of_a, of_b = probe(a, b)
    assert of_a.tolist() == pytest.approx([math.log(4 / 1), math.log(3 / 1)])
    assert of_b.tolist() == pytest.approx([math.log(2 / 3), math.log(2 / 5), math.log(3 / 8)])


def test_probe_cannot_tell_two_samples_of_one_distribution_apart():
    found = [auc(*probe(cloud(2 * s, 400), cloud(2 * s + 1, 400))) for s in range(8)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


def test_probe_tells_separated_sets_apart_and_scores_real_ones_higher():
    real, fake = cloud(0, 200), cloud(1, 200, mean=20.0)
    assert auc(*probe(real, fake)) == 1.0
    assert auc(*probe(fake, real)) == 1.0


def test_probe_sees_a_collapse_within_the_data():
    real, fake = cloud(0, 300), 0.05 * cloud(1, 300)
    assert auc(*probe(real, fake)) > 0.95


def test_probe_is_finite_for_samples_that_are_all_one_point_even_a_real_one():
    real = cloud(0, 50)
    for point in (torch.zeros(1, 2), real[:1]):
        for scores in probe(real, point.expand(50, 2)):
            assert np.isfinite(scores).all()


# --- mode histograms ------------------------------------------------------------------------------


def counts(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize(
    ("histogram", "expected"),
    [
        (counts(5, 5, 5, 5), 4.0),
        (counts(7, 0, 0), 1.0),
        (counts(0, 0, 0), 0.0),
        (counts(3, 3, 0, 0), 2.0),
        (counts(3, 1), math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))),
    ],
)
def test_effective_number_is_the_exponential_of_the_entropy(histogram, expected):
    assert effective_number(histogram) == pytest.approx(expected, rel=1e-12)


def test_a_few_samples_in_each_mode_are_hardly_effective():
    collapsed_with_a_bad_classifier = counts(991, *[1] * 9)  # ten modes by "at least one sample"
    assert effective_number(collapsed_with_a_bad_classifier) == pytest.approx(1.07, abs=0.01)


@pytest.mark.parametrize(
    ("histogram", "expected"),
    [
        (counts(100, 100, 100, 100), 4),
        (counts(4, 5, 6, 5), 3),  # five samples at least
        (counts(20, 18, 181, 181), 3),  # a fifth of an even share of 100: 20
        (counts(0, 0, 0), 0),
        (counts(1000, 1, 1, 1), 1),
    ],
)
def test_a_mode_is_covered_by_5_samples_and_a_fifth_of_an_even_share(histogram, expected):
    assert supported(histogram).sum() == expected


def test_uniform_noise_over_the_plane_does_not_cover_a_grid_of_25():
    """By "at least one sample" it covers a dozen, though only 1.2 % of it is near any mode."""
    rng = np.random.default_rng(0)
    axis = np.arange(-4.0, 5.0, 2.0)
    centres = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    noise = rng.uniform(-6.0, 6.0, (1000, 2))
    distances = np.linalg.norm(noise[:, None] - centres, axis=-1)
    good = distances.min(1) <= 3 * 0.05
    histogram = np.bincount(distances.argmin(1)[good], minlength=25)
    assert (histogram > 0).sum() > 5
    assert supported(histogram).sum() == 0


def test_covered_of_no_samples_is_0():
    assert supported(counts(0, 0)).sum() == 0


def test_histogram_kl_by_hand():
    """p = (1/4, 3/4); q = (10.5, 30.5) / 41 by half a count in each bin."""
    expected = 0.25 * math.log(0.25 * 41 / 10.5) + 0.75 * math.log(0.75 * 41 / 30.5)
    assert histogram_kl(counts(5, 15), counts(10, 30)) == pytest.approx(expected, rel=1e-12)


def test_histogram_kl_of_one_mode_out_of_k_is_about_log_k():
    assert histogram_kl(counts(50, 0, 0, 0), counts(10_000, 10_000, 10_000, 10_000)) == (
        pytest.approx(math.log(4.0), abs=1e-3)
    )


def test_histogram_kl_is_finite_for_an_unseen_mode_and_none_without_a_sample():
    unseen = histogram_kl(counts(10, 10), counts(100, 0))
    expected = 0.5 * math.log(0.5 * 101 / 100.5) + 0.5 * math.log(0.5 * 101 / 0.5)
    assert unseen == pytest.approx(expected, rel=1e-12)
    assert histogram_kl(counts(0, 0), counts(3, 4)) is None


def test_histogram_kl_of_equal_shares_is_0():
    assert histogram_kl(counts(20, 60), counts(10_000, 30_000)) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("tied", ["real", "fake"])
def test_js_bound_of_a_constant_score_on_one_side_is_saturated(tied):
    """As of a generator of one image: the bin of the tie must not take in its neighbours."""
    spread, constant = 1.0 + np.random.default_rng(0).random(500), np.zeros(500)
    pair = (spread, constant) if tied == "fake" else (constant - 1.0, spread)
    assert js_bound(*pair) > 0.99 * LOG_2

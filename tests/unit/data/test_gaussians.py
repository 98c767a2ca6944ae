"""Gaussian mixtures: where the modes are, how the samples fall, which of them are good."""

import math

import numpy as np
import pytest

from ganray.data.gaussians import (
    GRID_VARIANTS,
    HELDOUT,
    RING_VARIANTS,
    GaussianModes,
    gaussian_1d,
    grid,
    mixture_1d,
    ring,
)

EVERY = [gaussian_1d, mixture_1d, ring, grid]
every_mixture = pytest.mark.parametrize("mixture", EVERY)


def within_three_std(dims: int) -> float:
    """The share of a normal distribution's mass within three standard deviations of its mean."""
    return {1: math.erf(3.0 / math.sqrt(2.0)), 2: 1.0 - math.exp(-4.5)}[dims]


# --- centres --------------------------------------------------------------------------------------


def test_ring_centres_start_on_the_right_and_go_round_anticlockwise():
    centres = ring(modes=4, radius=2.0, train_size=10).counter.centres
    expected = [[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]]
    assert centres == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize("modes", [2, 3, 8, 10])
def test_ring_repeats_no_mode(modes):
    """`linspace(0, 2π, modes)` would: published code then counts 7 places as 8 modes."""
    centres = ring(modes=modes, train_size=10).counter.centres
    gaps = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1)
    assert len(centres) == modes
    assert gaps == pytest.approx(np.full(modes, 2.0 * math.sin(math.pi / modes)), abs=1e-6)


@pytest.mark.parametrize("modes", [4, 9, 25])
def test_grid_is_square_and_centred_at_0(modes):
    centres = grid(modes=modes, spacing=3.0, train_size=10).counter.centres
    side = math.isqrt(modes)
    assert len(np.unique(centres, axis=0)) == modes
    assert centres.mean(0) == pytest.approx(np.zeros(2), abs=1e-6)
    for axis in centres.T:
        assert np.diff(np.unique(axis)) == pytest.approx(np.full(side - 1, 3.0))


def test_default_grid_is_pacgan_s():
    centres = grid(train_size=10).counter.centres
    assert sorted(map(tuple, centres.tolist())) == sorted(
        (x, y) for x in (-4.0, -2.0, 0.0, 2.0, 4.0) for y in (-4.0, -2.0, 0.0, 2.0, 4.0)
    )


def test_gaussian_1d_has_its_mean_for_its_only_mode():
    assert gaussian_1d(mean=-3.5, train_size=10).counter.centres.tolist() == [[-3.5]]


# --- samples --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "std"),
    [
        (gaussian_1d(mean=-2.0, std=0.7, train_size=20_000), 0.7),
        (ring(modes=5, std=0.03, train_size=20_000), 0.03),
        (grid(modes=9, std=0.08, train_size=20_000), 0.08),
    ],
    ids=["gaussian-1d", "ring", "grid"],
)
def test_both_banks_are_equal_gaussians_of_the_std_asked_for(dataset, std):
    centres = dataset.counter.centres
    for bank in (dataset.train, dataset.heldout):
        mode = dataset.counter.classify(bank).mode
        noise = bank - centres[mode]
        assert bank.dtype == np.float32
        assert noise.mean(0) == pytest.approx(np.zeros(noise.shape[1]), abs=0.05 * std)
        assert noise.std(0) == pytest.approx(np.full(noise.shape[1], std), rel=0.04)
        even = len(bank) / len(centres)
        assert np.bincount(mode) == pytest.approx(np.full(len(centres), even), abs=5 * even**0.5)
        if noise.shape[1] == 2:
            assert np.corrcoef(noise.T)[0, 1] == pytest.approx(0.0, abs=0.06)


@every_mixture
def test_sizes_are_those_asked_for(mixture):
    dataset = mixture(train_size=123)
    dims = 2 if mixture in (ring, grid) else 1
    assert dataset.train.shape == (123, dims)
    assert dataset.heldout.shape == (HELDOUT, dims)
    assert dataset.shape == (dims,)


@pytest.mark.parametrize("mixture", [ring, grid])
def test_held_out_samples_are_other_draws_than_the_training_samples(mixture):
    dataset = mixture(train_size=HELDOUT)
    train, heldout = (set(map(tuple, bank.tolist())) for bank in (dataset.train, dataset.heldout))
    assert len(train) == len(heldout) == HELDOUT
    assert not train & heldout


@every_mixture
def test_the_seed_alone_decides_the_samples(mixture):
    first, again = mixture(train_size=50, seed=3), mixture(train_size=50, seed=3)
    other = mixture(train_size=50, seed=4)
    assert np.array_equal(first.train, again.train)
    assert first.fingerprint == again.fingerprint
    assert not np.isin(first.train, other.train).any()
    assert first.fingerprint != other.fingerprint


# --- names ----------------------------------------------------------------------------------------


def test_names_carry_every_parameter():
    assert gaussian_1d().name == "gaussian-1d-mean4-std1.25-v1-n50000-seed0"
    assert ring().name == "ring-modes8-std0.02-radius1-v1-n50000-seed0"
    expected = "mixture-1d-means-4_0_4-stds0.5_0.25_1-weights0.3_0.3_0.4-v1-n50000-seed0"
    assert mixture_1d().name == expected
    assert grid().name == "grid-modes25-std0.05-spacing2-v1-n50000-seed0"


@pytest.mark.parametrize(
    ("mixture", "options"),
    [
        (gaussian_1d, {"mean": 1.0, "std": 0.5}),
        (ring, {"modes": 3, "std": 0.5, "radius": 3.0}),
        (grid, {"modes": 4, "std": 0.5, "spacing": 3.0}),
        (
            mixture_1d,
            {"means": (1.0, 2.0, 3.0), "stds": (1.0, 1.0, 1.0), "weights": (1.0, 1.0, 2.0)},
        ),
    ],
)
def test_no_two_data_sets_share_a_name(mixture, options):
    options = {**options, "train_size": 20, "seed": 1}
    default = {"train_size": 10}
    found = [mixture(**default), *(mixture(**{**default, k: v}) for k, v in options.items())]
    assert len({d.name for d in found}) == len({d.fingerprint for d in found}) == len(found)


# --- modes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "dims"),
    [(gaussian_1d(), 1), (ring(), 2), (grid(), 2)],
    ids=["gaussian-1d", "ring", "grid"],
)
def test_the_cut_keeps_what_lies_within_three_standard_deviations(dataset, dims):
    good = dataset.counter.classify(dataset.train).good
    expected = within_three_std(dims)
    error = math.sqrt(expected * (1 - expected) / len(good))
    assert good.mean() == pytest.approx(expected, abs=4 * error)


def test_a_sample_is_of_the_nearest_mode_and_good_up_to_three_std():
    counter = GaussianModes(np.array([[0.0, 0.0], [10.0, 0.0]], dtype=np.float32), std=0.5)
    samples = [[1.49, 0], [0, 1.51], [4.9, 0], [5.1, 0], [10 - 1.05, 1.05], [10 + 1.07, -1.07]]
    found = counter.classify(np.array(samples, dtype=np.float32))
    assert counter.modes == 2
    assert found.mode.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.good.tolist() == [True, False, False, False, True, False]


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixture", [mixture_1d, ring, grid])
def test_labels_are_the_modes_that_samples_were_drawn_from(mixture):
    dataset = mixture()
    pairs = (dataset.train, dataset.labels), (dataset.heldout, dataset.heldout_labels)
    for bank, labels in pairs:
        found = dataset.counter.classify(bank)
        assert labels.dtype == np.int64
        assert (found.mode == labels)[found.good].mean() > 0.999  # a stray of a wide mode
    assert dataset.classes == dataset.counter.modes > 1


# --- unequal modes --------------------------------------------------------------------------------


def test_the_mixture_has_the_means_widths_and_shares_asked_for():
    means, stds, weights = (-5.0, 1.0), (0.5, 2.0), (1.0, 3.0)
    dataset = mixture_1d(means=means, stds=stds, weights=weights)
    for bank, labels in (
        (dataset.train, dataset.labels),
        (dataset.heldout, dataset.heldout_labels),
    ):
        share = (labels == 0).mean()
        assert share == pytest.approx(0.25, abs=5 * math.sqrt(0.1875 / len(labels)))
        for index in (0, 1):
            mine = bank[labels == index, 0]
            assert mine.mean() == pytest.approx(
                means[index], abs=5 * stds[index] / len(mine) ** 0.5
            )
            assert mine.std() == pytest.approx(stds[index], rel=5 / (2 * len(mine)) ** 0.5)


def test_default_mixture_is_well_separated():
    counter = mixture_1d(train_size=10).counter
    edges = np.stack(
        [counter.centres[:, 0] - 3 * counter.std, counter.centres[:, 0] + 3 * counter.std]
    )
    assert (edges[0, 1:] > edges[1, :-1]).all()


def test_modes_of_unequal_width_are_compared_in_units_of_their_own():
    centres = np.array([[0.0], [4.0]], dtype=np.float32)
    counter = GaussianModes(centres, np.array([0.1, 2.0], dtype=np.float32))
    found = counter.classify(np.array([[0.29], [0.31], [-1.9], [-2.1]], dtype=np.float32))
    # 0.31 is 3.1 widths from the narrow mode but 1.8 from the wide one
    assert found.mode.tolist() == [1, 1, 1, 1]
    assert found.good.tolist() == [True, True, True, False]
    assert counter.classify(np.array([[0.1]], dtype=np.float32)).mode.tolist() == [0]


@pytest.mark.parametrize(
    "options",
    [
        {"means": (1.0,)},
        {"means": (), "stds": (), "weights": ()},
        {"stds": (0.5, 0.0, 1.0)},
        {"weights": (0.5, -0.1, 1.0)},
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(options):
    with pytest.raises(ValueError, match=r"means, stds and weights|must be positive"):
        mixture_1d(**options)


# --- published variants ---------------------------------------------------------------------------

PUBLISHED = [
    # who, modes, std, radius or spacing, training samples
    (ring, "pacgan", 8, 0.01, 1.0, 100_000),
    (ring, "wgan-gp", 8, 0.0141, 1.414, 50_000),
    (ring, "d2gan", 8, 0.02, 2.0, 50_000),
    (ring, "presgan", 10, 0.05, 3.0, 50_000),
    (grid, "pacgan", 25, 0.05, 2.0, 100_000),
    (grid, "wgan-gp", 25, 0.0177, 0.707, 50_000),
    (grid, "bourgan", 25, 0.1, 2.0, 1_250),
]


@pytest.mark.parametrize(("mixture", "variant", "modes", "std", "length", "size"), PUBLISHED)
def test_variants_are_as_published(mixture, variant, modes, std, length, size):
    dataset = mixture(variant=variant)
    centres = dataset.counter.centres
    assert len(dataset.train) == size
    assert len(np.unique(centres, axis=0)) == dataset.counter.modes == modes
    assert dataset.counter.std == pytest.approx(std, rel=4e-3)
    if mixture is ring:
        found = np.linalg.norm(centres, axis=1)
    else:
        found = np.diff(np.unique(centres[:, 0]))
    assert found == pytest.approx(np.full(len(found), length), rel=4e-3)


def test_every_variant_is_tested():
    named = {(mixture, variant) for mixture, variant, *_ in PUBLISHED}
    assert named == {(ring, v) for v in RING_VARIANTS} | {(grid, v) for v in GRID_VARIANTS}


def test_bourgan_s_grid_has_fifty_training_samples_a_mode():
    dataset = grid(variant="bourgan")
    assert np.bincount(dataset.labels).tolist() == [50] * 25
    assert dataset.name != grid(std=0.1, train_size=1_250).name
    assert np.bincount(dataset.heldout_labels).std() > 5.0  # those are drawn at random


def test_a_variant_is_the_data_set_of_its_options():
    assert ring(variant="d2gan").fingerprint == ring(std=0.02, radius=2.0).fingerprint
    assert ring(variant="d2gan").name == ring(std=0.02, radius=2.0).name
    assert ring(variant="d2gan", seed=1).name != ring(variant="d2gan").name


@pytest.mark.parametrize(
    ("mixture", "options"),
    [
        (ring, {"modes": 9}),
        (ring, {"std": 0.01}),
        (ring, {"radius": 2.0}),
        (ring, {"train_size": 10}),
        (grid, {"spacing": 1.0}),
    ],
)
def test_options_beside_a_variant_are_refused(mixture, options):
    with pytest.raises(ValueError, match="variant 'pacgan' sets every option but the seed"):
        mixture(variant="pacgan", **options)


def test_an_unknown_variant_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="unknown variant 'gdpp'; known: d2gan, pacgan, presgan"):
        ring(variant="gdpp")

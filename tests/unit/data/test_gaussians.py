"""Gaussian mixtures: where the modes are, how the samples fall, which of them are good."""

import math

import numpy as np
import pytest

from ganray.data.gaussians import HELDOUT, GaussianModes, gaussian_1d, grid, ring

EVERY = [gaussian_1d, ring, grid]
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
    dims = 1 if mixture is gaussian_1d else 2
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
    assert grid().name == "grid-modes25-std0.05-spacing2-v1-n50000-seed0"


@pytest.mark.parametrize(
    ("mixture", "options"),
    [
        (gaussian_1d, {"mean": 1.0, "std": 0.5}),
        (ring, {"modes": 3, "std": 0.5, "radius": 3.0}),
        (grid, {"modes": 4, "std": 0.5, "spacing": 3.0}),
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

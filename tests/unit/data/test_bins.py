"""Modes without labels: clusters that are easy to tell apart."""

import numpy as np
import pytest

from ganray.data.bins import BINS, BinModes, fit_bins
from ganray.data.goodness import Anchors


def clusters(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    return (centres[labels] + rng.normal(0.0, 0.1, (count, 2))).astype(np.float32), labels


def test_a_sample_is_of_the_nearest_bin_and_good_near_real_ones():
    centres = np.array([[0.0, 0.0], [4.0, 0.0]], dtype=np.float32)
    counter = BinModes(centres, Anchors(centres, reach=1.0))
    samples = np.array([[0.9, 0.0], [1.9, 0.0], [2.1, 0.0], [3.1, 0.0]], dtype=np.float32)
    found = counter.classify(samples)
    assert counter.modes == 2
    assert found.mode.tolist() == [0, 0, 1, 1]
    assert found.good.tolist() == [True, False, False, True]


def test_bins_of_a_tiny_set_are_its_clusters():
    train, _ = clusters(30, 0)
    heldout, heldout_labels = clusters(300, 1)
    counter = fit_bins(train, heldout)
    mode = counter.classify(heldout)
    assert counter.modes == 3
    assert len({(a, b) for a, b in zip(mode.mode, heldout_labels, strict=True)}) == 3
    assert mode.good.mean() == pytest.approx(0.99, abs=0.005)
    between = np.array([[5.0, 5.0]], dtype=np.float32)
    assert not counter.classify(between).good.any()


def test_a_larger_set_has_twenty_and_the_seed_decides_which():
    train = np.random.default_rng(0).integers(0, 256, (500, 1, 4, 4)).astype(np.uint8)
    first, again, other = (fit_bins(train, train, seed=seed) for seed in (0, 0, 1))
    assert first.modes == BINS == 20
    assert np.array_equal(first.centres, again.centres)
    assert not np.array_equal(first.centres, other.centres)
    assert first.centres.min() < 0.0 < first.centres.max() <= 1.0  # on the scale of samples


def test_there_are_no_more_bins_than_different_samples():
    train = np.repeat(np.array([[0.0], [1.0]], dtype=np.float32), 100, axis=0)
    assert fit_bins(train, train).modes == 2

"""What every data set has in common."""

import numpy as np
import pytest

from ganray.data.dataset import Dataset
from ganray.data.gaussians import GaussianModes

COUNTER = GaussianModes(np.zeros((1, 2), dtype=np.float32), std=1.0)


def dataset(train: np.ndarray, heldout: np.ndarray) -> Dataset:
    return Dataset("made up", train, heldout, COUNTER)


def bank(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(6, 2)).astype(np.float32)


def test_the_shape_is_that_of_one_sample():
    images = np.zeros((5, 3, 4, 2), dtype=np.float32)
    assert dataset(images, images).shape == (3, 4, 2)


def test_the_fingerprint_depends_on_both_banks_and_on_which_is_which():
    banks = [(bank(0), bank(1)), (bank(0), bank(2)), (bank(2), bank(1)), (bank(1), bank(0))]
    assert len({dataset(*pair).fingerprint for pair in banks}) == len(banks)


def test_the_fingerprint_does_not_depend_on_the_memory_layout():
    plain = dataset(bank(0), bank(1)).fingerprint
    assert plain == dataset(np.asfortranarray(bank(0)), bank(1)).fingerprint
    assert len(plain) == 16


def test_facts_are_empty_unless_given():
    assert dataset(bank(0), bank(1)).facts == {}
    with pytest.raises(AttributeError):
        dataset(bank(0), bank(1)).name = "another"

"""What every data set has in common."""

import numpy as np
import pytest

from ganray.data.dataset import Dataset, as_float
from ganray.data.gaussians import GaussianModes

COUNTER = GaussianModes(np.zeros((1, 2), dtype=np.float32), std=1.0)


def dataset(train: np.ndarray, heldout: np.ndarray, **more: np.ndarray | int) -> Dataset:
    return Dataset("made up", train, heldout, COUNTER, **more)


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


LABELS = np.array([0, 2, 1, 0, 0, 2])


def test_the_fingerprint_depends_on_labels_and_conditions_and_on_which_is_which():
    vectors = bank(3)
    extras = [
        {},
        {"labels": LABELS},
        {"labels": LABELS[::-1]},
        {"heldout_labels": LABELS},
        {"conditions": vectors},
        {"conditions": vectors + 1.0},
        {"heldout_conditions": vectors},
        {"labels": LABELS, "conditions": vectors},
    ]
    found = {dataset(bank(0), bank(1), **extra).fingerprint for extra in extras}
    assert len(found) == len(extras)


def test_labels_are_conditions_as_one_hot():
    made = dataset(bank(0), bank(1), labels=LABELS, heldout_labels=LABELS[:2], classes=3)
    expected = [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert made.condition_vectors("train").tolist() == expected
    assert made.condition_vectors("heldout").tolist() == expected[:2]
    assert made.condition_vectors("train").dtype == np.float32


def test_given_conditions_go_before_labels():
    given = {"conditions": bank(2), "heldout_conditions": bank(3)}
    made = dataset(bank(0), bank(1), labels=LABELS, heldout_labels=LABELS, classes=3, **given)
    assert made.condition_vectors("train") is given["conditions"]
    assert made.condition_vectors("heldout") is given["heldout_conditions"]


def test_without_labels_and_conditions_there_is_none():
    assert dataset(bank(0), bank(1)).condition_vectors("train") is None
    assert dataset(bank(0), bank(1)).condition_vectors("heldout") is None


def test_bytes_become_floats_from_minus_one_to_one_and_floats_stay():
    values = as_float(np.array([0, 51, 127, 128, 255], dtype=np.uint8))
    assert values.dtype == np.float32
    assert values == pytest.approx(np.array([-1.0, -0.6, -1 / 255, 1 / 255, 1.0]), abs=1e-6)
    floats = bank(0)
    assert as_float(floats) is floats

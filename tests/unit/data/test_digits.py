"""scikit-learn's digits: two banks that never mix, and a counter that is not fooled by noise."""

from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from ganray.data.digits import HELDOUT, digits


@pytest.fixture(scope="module")
def source() -> tuple[np.ndarray, np.ndarray]:
    """All images as scikit-learn has them, 0 … 16, and their labels."""
    bunch = load_digits()
    return bunch.images, bunch.target


def keys(images: np.ndarray) -> list[bytes]:
    """One key for each image, on scikit-learn's scale."""
    grey = np.rint((images.reshape(len(images), 64) + 1.0) * 8.0)
    return [row.tobytes() for row in grey.astype(np.uint8)]


def source_keys(images: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in images.reshape(len(images), 64).astype(np.uint8)]


@pytest.fixture(scope="module")
def labels_of(source):
    """The labels of a bank's images, looked up by their pixels."""
    images, labels = source
    table = dict(zip(source_keys(images), labels.tolist(), strict=True))
    return lambda bank: np.array([table[key] for key in keys(bank)])


def test_banks_have_1297_and_500_grey_images_of_8_by_8(digits10):
    assert digits10.train.shape == (1297, 1, 8, 8)
    assert digits10.heldout.shape == (HELDOUT, 1, 8, 8) == (500, 1, 8, 8)
    assert digits10.train.dtype == digits10.heldout.dtype == np.float32
    assert digits10.shape == (1, 8, 8)


def test_values_use_the_range_from_minus_one_to_one_in_steps_of_an_eighth(digits10):
    for bank in (digits10.train, digits10.heldout):
        assert bank.min() == -1.0
        assert bank.max() == 1.0
        assert np.array_equal(np.rint(bank * 8.0), bank * 8.0)


def test_each_image_of_the_source_is_in_exactly_one_bank_upright(digits10, source):
    """Counted with their repetitions, so that a real duplicate is not taken for a leak."""
    images, _ = source
    banks = Counter(keys(digits10.train)) + Counter(keys(digits10.heldout))
    assert banks == Counter(source_keys(images))


def test_held_out_images_are_of_every_class_as_often_as_in_the_source(digits10, source, labels_of):
    _, labels = source
    expected = np.bincount(labels) * (HELDOUT / len(labels))
    assert np.bincount(labels_of(digits10.heldout)) == pytest.approx(expected, abs=1.0)


def test_the_seed_decides_the_split_and_the_classifier(digits10):
    with threadpool_limits(1):
        again, other = digits(seed=0), digits(seed=1)
    assert again.fingerprint == digits10.fingerprint
    assert again.facts == digits10.facts
    pairs = zip(again.counter.weights, digits10.counter.weights, strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert other.fingerprint != digits10.fingerprint
    assert (again.name, other.name) == ("digits-v1-seed0", "digits-v1-seed1")


def test_the_classifier_s_accuracy_is_recorded_and_right(digits10, labels_of):
    accuracy = digits10.facts["classifier_accuracy"]
    assert 0.95 < accuracy < 1.0
    found = digits10.counter.classify(digits10.heldout).mode
    assert (found == labels_of(digits10.heldout)).mean() == pytest.approx(accuracy, abs=1e-9)


def test_real_images_are_mostly_good_and_of_all_ten_classes(digits10):
    found = digits10.counter.classify(digits10.heldout)
    assert digits10.counter.modes == 10
    assert 0.9 < found.good.mean() < 0.995
    assert np.bincount(found.mode[found.good], minlength=10).min() >= 35


NOISE = {
    "uniform": lambda rng: rng.uniform(-1.0, 1.0, (500, 1, 8, 8)),
    "black and white": lambda rng: rng.choice([-1.0, 1.0], (500, 1, 8, 8)),
    "tanh of normal": lambda rng: np.tanh(rng.normal(size=(500, 1, 8, 8))),
    "grey": lambda rng: np.zeros((2, 1, 8, 8)),
    "white": lambda rng: np.ones((2, 1, 8, 8)),
    "black": lambda rng: -np.ones((2, 1, 8, 8)),
}


@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_no_good_sample(digits10, kind):
    noise = NOISE[kind](np.random.default_rng(0)).astype(np.float32)
    assert not digits10.counter.classify(noise).good.any()


def test_real_images_with_shuffled_pixels_are_no_good_samples(digits10):
    order = np.random.default_rng(0).permutation(64)
    shuffled = digits10.heldout.reshape(-1, 64)[:, order].reshape(-1, 1, 8, 8)
    assert digits10.counter.classify(shuffled).good.mean() < 0.01


def test_labels_are_those_of_the_images(digits10, labels_of):
    assert np.array_equal(digits10.labels, labels_of(digits10.train))
    assert np.array_equal(digits10.heldout_labels, labels_of(digits10.heldout))
    assert digits10.labels.dtype == np.int64
    assert digits10.classes == 10
    assert digits10.features(digits10.heldout).shape == (HELDOUT, 128)

"""Stacks of digits: what they show, read channel by channel with the labels of single digits."""

import numpy as np
import pytest

from ganray.data.dataset import Classified, as_float
from ganray.data.stacked import HELDOUT, StackedModes, number, stacked_mnist


class Brightness:
    """A counter of digits whose class is ten times their first pixel, good if the last is 0."""

    modes = 10

    def classify(self, samples: np.ndarray) -> Classified:
        rows = samples.reshape(len(samples), -1)
        return Classified(np.rint(rows[:, 0] * 10).astype(np.int64), rows[:, -1] == 0)

    def features(self, samples: np.ndarray) -> np.ndarray:
        return samples.reshape(len(samples), -1)[:, :2]


def image(*digits: int, bad: int | None = None) -> np.ndarray:
    channels = np.zeros((len(digits), 2, 2), dtype=np.float32)
    channels[:, 0, 0] = np.array(digits) / 10.0
    if bad is not None:
        channels[bad, 1, 1] = 1.0
    return channels


def test_the_mode_is_the_number_that_the_channels_show_from_the_first_on():
    samples = np.stack([image(0, 0, 0), image(1, 2, 3), image(9, 0, 5), image(9, 9, 9)])
    found = StackedModes(Brightness(), 3).classify(samples)
    assert found.mode.tolist() == [0, 123, 905, 999]
    assert found.good.all()


def test_an_image_is_good_if_every_channel_is():
    samples = np.stack([image(1, 2, 3, 4, bad=place) for place in (None, 0, 3)])
    found = StackedModes(Brightness(), 4).classify(samples)
    assert found.mode.tolist() == [1234] * 3
    assert found.good.tolist() == [True, False, False]


@pytest.mark.parametrize(("stacks", "modes"), [(3, 1_000), (4, 10_000)])
def test_there_are_ten_to_the_power_of_channels_modes(stacks, modes):
    assert StackedModes(Brightness(), stacks).modes == modes


def test_features_are_those_of_the_channels_in_order():
    found = StackedModes(Brightness(), 3).features(np.stack([image(1, 2, 3)]))
    assert found == pytest.approx(np.array([[0.1, 0.0, 0.2, 0.0, 0.3, 0.0]]))


def test_numbers_are_read_in_the_base_given():
    assert number(np.array([[1, 0, 1], [0, 1, 1]]), 2).tolist() == [5, 3]


# --- the data set ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stacked(digit_files):
    return stacked_mnist(path=str(digit_files), train_size=500)


def keys(images: np.ndarray) -> list[bytes]:
    return [image.tobytes() for image in images]


def test_images_are_bytes_with_a_digit_in_each_channel(stacked):
    assert stacked.train.shape == (500, 3, 28, 28)
    assert stacked.heldout.shape == (HELDOUT, 3, 28, 28) == (10_000, 3, 28, 28)
    assert stacked.train.dtype == stacked.heldout.dtype == np.uint8
    assert (stacked.counter.modes, stacked.classes) == (1_000, 1_000)


def test_labels_are_the_numbers_that_the_digits_labels_make(stacked, digits28):
    pairs = (
        (stacked.train, stacked.labels, digits28.train, digits28.labels),
        (stacked.heldout[:500], stacked.heldout_labels, digits28.heldout, digits28.heldout_labels),
    )
    for images, labels, bank, digits in pairs:
        table = dict(zip(keys(bank), digits.tolist(), strict=True))
        shown = [[table[key] for key in keys(channels)] for channels in images]
        expected = [100 * a + 10 * b + c for a, b, c in shown]
        assert labels[: len(expected)].tolist() == expected


def test_stacks_of_the_two_banks_share_no_digit(stacked):
    train = set(keys(stacked.train.reshape(-1, 28, 28)))
    assert not train & set(keys(stacked.heldout.reshape(-1, 28, 28)))
    assert len(train) > 800  # of 1,297: 1,500 draws with replacement leave 31 % out


def test_conditions_are_the_digits_as_one_hot_one_after_the_other(stacked):
    vectors = stacked.condition_vectors("train")
    assert vectors.shape == (500, 30)
    assert (vectors.sum(1) == 3.0).all()
    digits = vectors.reshape(500, 3, 10).argmax(2)
    assert (digits @ [100, 10, 1]).tolist() == stacked.labels.tolist()
    assert stacked.condition_vectors("heldout").shape == (10_000, 30)


def test_most_real_stacks_are_counted_right(stacked, digits28):
    found = stacked.counter.classify(as_float(stacked.heldout[:600]))
    single = digits28.facts["classifier_accuracy"]
    right = (found.mode == stacked.heldout_labels[:600]).mean()
    assert stacked.facts["classifier_accuracy"] == single
    assert right == pytest.approx(single**3, abs=0.04)
    assert found.good.mean() > 0.75
    assert stacked.features(as_float(stacked.heldout[:5])).shape == (5, 3 * 84)


def test_four_channels_and_32_pixels(digit_files, monkeypatch):
    monkeypatch.setattr("ganray.data.stacked.HELDOUT", 50)
    monkeypatch.setattr("ganray.data.lenet.UPDATES", 2)
    dataset = stacked_mnist(path=str(digit_files), stacks=4, size=32, train_size=60)
    assert dataset.train.shape == (60, 4, 32, 32)
    assert dataset.counter.modes == 10_000
    assert dataset.condition_vectors("heldout").shape == (50, 40)
    assert not dataset.train[:, :, :2].any()
    assert dataset.name.startswith("stacked-mnist-stacks4-size32-v1-n60-seed0-")


def test_the_seed_decides_the_draw(digit_files, stacked):
    again = stacked_mnist(path=str(digit_files), train_size=500)
    assert again.fingerprint == stacked.fingerprint
    fewer = stacked_mnist(path=str(digit_files), train_size=400)
    assert fewer.fingerprint != stacked.fingerprint


@pytest.mark.parametrize("options", [{"stacks": 2}, {"stacks": 5}, {"size": 64}])
def test_other_stacks_and_sizes_are_refused(options):
    with pytest.raises(ValueError, match="stacks must be 3 or 4 and size 28 or 32"):
        stacked_mnist(**options)

"""Stacked MNIST: digits in the channels of one image, so that there are a thousand modes."""

from dataclasses import dataclass, replace

import numpy as np

from ganray.data.classifier import ClassModes, Trained, train_classifier
from ganray.data.dataset import Bytes, Classified, Dataset, Labels, Samples, one_hot
from ganray.data.images import MNIST, published_banks
from ganray.data.splits import Table

HELDOUT = 10_000
SIZES = (28, 32)
STACKS = (3, 4)


@dataclass(frozen=True)
class StackedModes:
    """The classes of all channels, read as one number; good if every channel is.

    Source: Srivastava et al. 2017, section 4.1 (VEEGAN, arXiv 1705.07761), for the number of modes.
    """

    digit: ClassModes  # of one channel
    stacks: int

    @property
    def modes(self) -> int:
        """Ten to the power of the number of channels."""
        return int(self.digit.modes**self.stacks)

    def classify(self, samples: Samples) -> Classified:
        """The number that the channels of each image [N, stacks, H, W] show, the first in front."""
        found = self.digit.classify(self._channels(samples))
        digits = found.mode.reshape(-1, self.stacks)
        good = np.logical_and.reduce(found.good.reshape(-1, self.stacks), axis=1)
        return Classified(number(digits, self.digit.modes), good)

    def features(self, samples: Samples) -> Samples:
        """Those of the channels, one after the other, [N, stacks · F]."""
        return self.digit.features(self._channels(samples)).reshape(len(samples), -1)

    def _channels(self, samples: Samples) -> Samples:
        return samples.reshape(-1, 1, *samples.shape[2:])


def stacked_mnist(
    *,
    path: str | None = None,
    stacks: int = 3,
    train_size: int = 128_000,
    size: int = 28,
    seed: int = 0,
) -> Dataset:
    """Uint8 images [stacks, size, size], each channel a digit, drawn once with replacement.

    Held-out images are stacks of held-out digits. Labels are the numbers shown, conditions the
    digits one after the other as one-hot, [N, 10 · stacks].

    Args:
        path: of MNIST, as for `mnist`.
        stacks: digits an image: 3 for 1,000 modes, 4 for 10,000.
        train_size: how many images are trained on; 128,000 of three channels are 301 MB.
        size: pixels a side; 32 gets a black border.
        seed: of the split, the draw and the classifier.

    Raises:
        DataError: MNIST cannot be had, or is not what it should be.

    Source: Metz et al. 2017, section 3.3.1 (Unrolled GAN, arXiv 1611.02163); 128,000 images as
    Lin et al. 2018 (PacGAN, arXiv 1712.04086).
    """
    if stacks not in STACKS or size not in SIZES:
        raise ValueError(f"stacks must be 3 or 4 and size 28 or 32; got {stacks} and {size}")
    banks = published_banks(MNIST, path, size, None, seed)
    rng = np.random.default_rng(seed)
    stacked = _stack(banks[0], train_size, stacks, rng), _stack(banks[1], HELDOUT, stacks, rng)
    name = f"stacked-mnist-stacks{stacks}-size{size}-v1-n{train_size}"
    return _dataset(name, *stacked, _trained(banks, seed), seed)


def _trained(banks: tuple[Table, Table], seed: int) -> Trained:
    """The classifier of single digits."""
    (train, labels), (heldout, heldout_labels) = (_labelled(bank) for bank in banks)
    return train_classifier(train, labels, heldout, heldout_labels, seed=seed)


def _labelled(bank: Table) -> tuple[Samples | Bytes, Labels]:
    if bank.labels is None:  # reading MNIST demands them
        raise ValueError("digits have no labels")
    return bank.samples, bank.labels


def _stack(bank: Table, size: int, stacks: int, rng: np.random.Generator) -> tuple[Bytes, Labels]:
    """Images [size, stacks, H, W] and their digits [size, stacks]."""
    images, labels = _labelled(bank)
    drawn = rng.integers(len(images), size=(size, stacks))
    return images[drawn][:, :, 0].astype(np.uint8, copy=False), labels[drawn]


def _dataset(
    name: str,
    train: tuple[Bytes, Labels],
    heldout: tuple[Bytes, Labels],
    trained: Trained,
    seed: int,
) -> Dataset:
    counter = StackedModes(trained.counter, train[0].shape[1])
    made = Dataset(
        name,
        train[0],
        heldout[0],
        counter,
        {"classifier_accuracy": trained.accuracy},  # of one digit
        labels=number(train[1], counter.digit.modes),
        heldout_labels=number(heldout[1], counter.digit.modes),
        classes=counter.modes,
        conditions=_conditions(train[1], counter.digit.modes),
        heldout_conditions=_conditions(heldout[1], counter.digit.modes),
        features=counter.features,
    )
    return replace(made, name=f"{name}-seed{seed}-{made.fingerprint[:8]}")


def number(digits: Labels, base: int) -> Labels:
    """Digits [N, S] read as one number, the first in front, [N]."""
    value = np.zeros(len(digits), dtype=np.int64)
    for digit in digits.T:
        value = value * base + digit
    return value


def _conditions(digits: Labels, base: int) -> Samples:
    return one_hot(digits.reshape(-1), base).reshape(len(digits), -1)

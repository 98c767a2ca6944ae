"""What a data set is to ganray: samples to train on, samples held out, and modes to count."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]
BankName = Literal["train", "heldout"]


class Classified(NamedTuple):
    """What a mode counter says of samples."""

    mode: Labels  # [N], in [0, modes)
    good: NDArray[np.bool_]  # [N], whether the sample is near enough to its mode to count


class ModeCounter(Protocol):
    """Assigns samples to the modes of a data set."""

    @property
    def modes(self) -> int:
        """How many modes there are."""
        ...

    def classify(self, samples: Samples) -> Classified:
        """The mode of each sample [N, ...], and whether it is good enough to count.

        Args:
            samples: as generators give them: floats, images in [-1, 1].
        """
        ...


@dataclass(frozen=True)
class Dataset:
    """Real samples in two banks that never mix, plain arrays so that processes can share them.

    Banks of uint8 are images [N, C, H, W] with values 0 … 255, a quarter of the memory; `as_float`
    gives them as generators do.
    """

    name: str  # with version and parameters: two data sets of one name are equal
    train: Samples | Bytes  # [N, ...], for D and G
    heldout: Samples | Bytes  # [M, ...], for signals only: D never trains on it
    counter: ModeCounter
    facts: Mapping[str, float] = field(default_factory=dict)  # such as the classifier's accuracy
    labels: Labels | None = None  # [N]
    heldout_labels: Labels | None = None  # [M]
    classes: int = 0  # labels are below it; 0 if there are none
    conditions: Samples | None = None  # [N, K], what a conditional generator is given
    heldout_conditions: Samples | None = None  # [M, K]
    features: Callable[[Samples], Samples] | None = None  # floats [N, ...] -> [N, F], for FID

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.train.shape[1:]

    @property
    def fingerprint(self) -> str:
        """A hash of everything that trials train on and are measured against, for the record."""
        digest = hashlib.sha256()
        for bank in (self.train, self.heldout):
            digest.update(np.ascontiguousarray(bank).tobytes())
        for name in ("labels", "heldout_labels", "conditions", "heldout_conditions"):
            array = getattr(self, name)
            if array is not None:
                digest.update(f"{name} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def condition_vectors(self, bank: BankName) -> Samples | None:
        """The condition of each sample of a bank, [N, K]: as given, else its label as one-hot.

        None if the data set has neither. One-hot vectors are made anew at each call.
        """
        train = bank == "train"
        given = self.conditions if train else self.heldout_conditions
        labels = self.labels if train else self.heldout_labels
        if given is not None or labels is None:
            return given
        return one_hot(labels, self.classes)


def as_float(samples: Samples | Bytes) -> Samples:
    """Samples as generators give them: 0 … 255 becomes -1 … 1, floats stay as they are."""
    if samples.dtype != np.uint8:
        return samples.astype(np.float32, copy=False)
    scaled: Samples = samples.astype(np.float32)
    scaled /= 127.5
    scaled -= 1.0
    return scaled


def one_hot(labels: Labels, classes: int) -> Samples:
    """1 at the label and 0 elsewhere, [N, classes]."""
    vectors = np.zeros((len(labels), classes), dtype=np.float32)
    vectors[np.arange(len(labels)), labels] = 1.0
    return vectors

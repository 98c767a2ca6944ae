"""What a data set is to ganray: samples to train on, samples held out, and modes to count."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Classified(NamedTuple):
    """What a mode counter says of samples."""

    mode: NDArray[np.int64]  # [N], in [0, modes)
    good: NDArray[np.bool_]  # [N], whether the sample is near enough to its mode to count


class ModeCounter(Protocol):
    """Assigns samples to the modes of a data set."""

    @property
    def modes(self) -> int:
        """How many modes there are."""
        ...

    def classify(self, samples: Samples) -> Classified:
        """The mode of each sample [N, ...], and whether it is good enough to count."""
        ...


@dataclass(frozen=True)
class Dataset:
    """Real samples in two banks that never mix, plain arrays so that processes can share them."""

    name: str  # with version and parameters: two data sets of one name are equal
    train: Samples  # [N, ...], for D and G
    heldout: Samples  # [M, ...], for signals only: D never trains on it
    counter: ModeCounter
    facts: Mapping[str, float] = field(default_factory=dict)  # such as the classifier's accuracy

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.train.shape[1:]

    @property
    def fingerprint(self) -> str:
        """A hash of both banks, for the record."""
        digest = hashlib.sha256()
        for bank in (self.train, self.heldout):
            digest.update(np.ascontiguousarray(bank).tobytes())
        return digest.hexdigest()[:16]

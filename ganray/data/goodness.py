"""When a sample of a classifier's mode is good: the class is sure, and real samples lie near.

Both are needed: a classifier alone is sure of noise, too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganray.data.dataset import Bytes, Classified, Samples, as_float

CONFIDENCE = 0.9  # of the class; below it a sample is of no class
SURE_SHARE = 0.95  # of real samples whose class is sure, where CONFIDENCE would leave fewer

REAL_SHARE = 0.99  # of held-out real samples that pass as real
ANCHORS = 5_000
MEASURED = 2_000  # held-out samples that say how near is near
FARTHEST = 1e15  # squares of what exploded stay finite in single precision


@dataclass(frozen=True)
class Anchors:
    """Real samples, and the distance to the nearest that most other real samples stay within."""

    samples: Samples | Bytes  # [A, D], flattened
    reach: float

    def near(self, flat: Samples) -> NDArray[np.bool_]:
        """Whether each sample [N, D] has an anchor within reach."""
        return nearest_distance(flat, as_float(self.samples)) <= self.reach


def fit_anchors(train: Samples | Bytes, heldout: Samples | Bytes, seed: int) -> Anchors:
    """At most `ANCHORS` training samples [N, ...], and how near to them held-out samples lie."""
    anchors = choose_anchors(train, seed)
    return Anchors(anchors, measure_reach(anchors, heldout))


def choose_anchors(train: Samples | Bytes, seed: int) -> Samples | Bytes:
    """Training samples [N, ...], flattened; where there are too many, some of them at random."""
    if len(train) > ANCHORS:
        chosen = np.random.default_rng(seed).choice(len(train), ANCHORS, replace=False)
        train = train[np.sort(chosen)]
    return train.reshape(len(train), -1)


def measure_reach(anchors: Samples | Bytes, heldout: Samples | Bytes) -> float:
    """The distance to the nearest anchor that `REAL_SHARE` of held-out samples stay within."""
    some = as_float(heldout[:MEASURED])
    distances = nearest_distance(some.reshape(len(some), -1), as_float(anchors))
    return float(np.quantile(distances, REAL_SHARE))


def nearest_distance(points: Samples, anchors: Samples) -> Samples:
    """The Euclidean distance of each point [N, D] to its nearest anchor [A, D]."""
    points = np.clip(points, -FARTHEST, FARTHEST)
    products = points @ anchors.T
    products *= -2.0
    products += (anchors**2).sum(1)  # the point's own square shifts all alike: added at the end
    squared = products.min(1) + (points**2).sum(1)
    nearest: Samples = np.sqrt(np.maximum(squared, 0.0)).astype(np.float32)
    return nearest


def confidence_cut(probabilities: Samples) -> float:
    """How sure is sure: `CONFIDENCE`, or less where real samples would fail that.

    Args:
        probabilities: of each class, for held-out real samples, shape [N, classes].
    """
    return min(CONFIDENCE, float(np.quantile(probabilities.max(1), 1.0 - SURE_SHARE)))


def by_class(probabilities: Samples, confidence: float, near: NDArray[np.bool_]) -> Classified:
    """The most probable class; good if it is as sure as `confidence` and real samples lie near."""
    mode = probabilities.argmax(1)
    sure = np.take_along_axis(probabilities, mode[:, None], 1)[:, 0] >= confidence
    return Classified(mode, sure & near)

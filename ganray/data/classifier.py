"""A small classifier that counts the modes of images: one mode for each class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganray.data.dataset import Classified, Samples

CONFIDENCE = 0.9  # of the class; below it an image is of no class
REAL_SHARE = 0.99  # of held-out real images that pass as real


@dataclass(frozen=True)
class ClassifierModes:
    """An image is good if the classifier is sure of its class and real images lie near it.

    Both are needed: a classifier alone is sure of noise, too. The weights are plain arrays, so that
    processes share them without importing what trained them.
    """

    weights: Sequence[Samples]  # of each layer, [inputs, outputs]; ReLU between, softmax at the end
    biases: Sequence[Samples]
    anchors: Samples  # [A, D] real images, flattened
    reach: float  # the distance to the nearest anchor that REAL_SHARE of real images stay within

    @property
    def modes(self) -> int:
        """How many classes there are."""
        return len(self.biases[-1])

    def classify(self, samples: Samples) -> Classified:
        """The most probable class of each image [N, C, H, W]."""
        flat = samples.reshape(len(samples), -1)
        probabilities = self.probabilities(flat)
        mode = probabilities.argmax(1)
        sure = np.take_along_axis(probabilities, mode[:, None], 1)[:, 0] >= CONFIDENCE
        return Classified(mode, sure & (nearest_distance(flat, self.anchors) <= self.reach))

    def probabilities(self, flat: Samples) -> Samples:
        """Of each class, shape [N, modes]."""
        layer = flat
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            layer = np.maximum(layer @ weight + bias, 0.0)
        logits = layer @ self.weights[-1] + self.biases[-1]
        exp = np.exp(logits - logits.max(1, keepdims=True))
        shares: Samples = exp / exp.sum(1, keepdims=True)
        return shares


@dataclass(frozen=True)
class Trained:
    """A counter, and how well its classifier does on images that it was not trained on."""

    counter: ClassifierModes
    accuracy: float


def train_classifier(
    train: Samples,
    labels: NDArray[np.int64],
    heldout: Samples,
    heldout_labels: NDArray[np.int64],
    *,
    seed: int = 0,
) -> Trained:
    """Train the classifier on one bank of images [N, C, H, W] and measure it on the other."""
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    flat, heldout_flat = (bank.reshape(len(bank), -1) for bank in (train, heldout))
    with threadpool_limits(1):  # threads only wait for one another on layers this small
        model = MLPClassifier((128,), random_state=seed, max_iter=500).fit(flat, labels)
    distances = nearest_distance(heldout_flat, flat)
    counter = ClassifierModes(
        weights=[w.astype(np.float32) for w in model.coefs_],
        biases=[b.astype(np.float32) for b in model.intercepts_],
        anchors=flat,
        reach=float(np.quantile(distances, REAL_SHARE)),
    )
    right = counter.probabilities(heldout_flat).argmax(1) == heldout_labels
    return Trained(counter, float(right.mean()))


def nearest_distance(points: Samples, anchors: Samples) -> Samples:
    """The Euclidean distance of each point [N, D] to its nearest anchor [A, D]."""
    points = points.astype(np.float64)  # squares of what exploded are finite there
    squared = (points**2).sum(1)[:, None] - 2.0 * points @ anchors.T + (anchors**2).sum(1)[None]
    nearest: Samples = np.sqrt(np.maximum(squared.min(1), 0.0)).astype(np.float32)
    return nearest

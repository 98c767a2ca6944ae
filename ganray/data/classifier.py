"""A small classifier that counts the modes of labelled samples: one mode for each class."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ganray.data.dataset import Bytes, Classified, Labels, ModeCounter, Samples, as_float
from ganray.data.goodness import CONFIDENCE, Anchors, by_class, confidence_cut, fit_anchors
from ganray.data.lenet import LeNetModes, fit_lenet

HIDDEN = 128
LENET_FROM = 28  # pixels a side; smaller images are for the MLP
TRAINED_ON = 20_000  # samples at most, for the MLP
NEVER = -1e9  # the logit of a class without a training sample


class ClassModes(ModeCounter, Protocol):
    """A counter of classes, with the network's own features of a sample."""

    def features(self, samples: Samples) -> Samples:
        """The last hidden layer of each sample [N, ...], shape [N, F]."""
        ...


@dataclass(frozen=True)
class ClassifierModes:
    """A multi-layer perceptron on flattened samples.

    The weights are plain arrays, so that processes share them without importing what trained them.
    """

    weights: Sequence[Samples]  # of each layer, [inputs, outputs]; ReLU between, softmax at the end
    biases: Sequence[Samples]
    anchors: Anchors
    confidence: float = CONFIDENCE

    @property
    def modes(self) -> int:
        """How many classes there are."""
        return len(self.biases[-1])

    def classify(self, samples: Samples) -> Classified:
        """The most probable class of each sample [N, ...]."""
        flat = samples.reshape(len(samples), -1)
        return by_class(self.probabilities(flat), self.confidence, self.anchors.near(flat))

    def features(self, samples: Samples) -> Samples:
        """The last hidden layer of each sample [N, ...], shape [N, units]."""
        layer = samples.reshape(len(samples), -1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            layer = np.maximum(layer @ weight + bias, 0.0)
        return layer

    def probabilities(self, flat: Samples) -> Samples:
        """Of each class, shape [N, modes]."""
        logits = self.features(flat) @ self.weights[-1] + self.biases[-1]
        exp = np.exp(logits - logits.max(1, keepdims=True))
        shares: Samples = exp / exp.sum(1, keepdims=True)
        return shares


@dataclass(frozen=True)
class Trained:
    """A counter, and how well its classifier does on samples that it was not trained on."""

    counter: ClassModes
    accuracy: float


def train_classifier(
    train: Samples | Bytes,
    labels: Labels,
    heldout: Samples | Bytes,
    heldout_labels: Labels,
    *,
    seed: int = 0,
) -> Trained:
    """Train the classifier on one bank and measure it on the other.

    A LeNet for images of `LENET_FROM` pixels a side and more, an MLP for anything else.

    Args:
        train: shape [N, ...].
        labels: shape [N], in [0, classes).
        heldout: shape [M, ...].
        heldout_labels: shape [M].
        seed: of the weights and the order of samples.
    """
    if train.ndim == 4 and min(train.shape[2:]) >= LENET_FROM:
        fitted = fit_lenet(train, labels, heldout, heldout_labels, seed=seed)
        return Trained(LeNetModes.of(fitted, train, seed), float(fitted["accuracy"]))
    weights, biases = _fit_mlp(train, labels, int(labels.max()) + 1, seed)
    anchors = fit_anchors(train, heldout, seed)
    flat = as_float(heldout).reshape(len(heldout), -1)
    shares = ClassifierModes(weights, biases, anchors).probabilities(flat)
    counter = ClassifierModes(weights, biases, anchors, confidence_cut(shares))
    return Trained(counter, float((shares.argmax(1) == heldout_labels).mean()))


def _fit_mlp(
    train: Samples | Bytes, labels: Labels, classes: int, seed: int
) -> tuple[list[Samples], list[Samples]]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    if len(train) > TRAINED_ON:
        chosen = np.random.default_rng(seed).choice(len(train), TRAINED_ON, replace=False)
        train, labels = train[chosen], labels[chosen]
    flat = as_float(train).reshape(len(train), -1)
    # one thread: more only wait for one another on layers this small
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the accuracy says what it is worth
        model = MLPClassifier((HIDDEN,), random_state=seed, max_iter=500).fit(flat, labels)
    last = _output(model.coefs_[-1], model.intercepts_[-1], model.classes_, classes)
    weights, biases = [*model.coefs_[:-1], last[0]], [*model.intercepts_[:-1], last[1]]
    return [w.astype(np.float32) for w in weights], [b.astype(np.float32) for b in biases]


def _output(
    weight: Samples, bias: Samples, present: Labels, classes: int
) -> tuple[Samples, Samples]:
    """The last layer with one logit for each class.

    scikit-learn gives two classes a single logit, that of the second, and none to absent classes.
    """
    if len(present) == 2:
        weight, bias = np.pad(weight, ((0, 0), (1, 0))), np.pad(bias, (1, 0))
    weights = np.zeros((len(weight), classes), dtype=np.float32)
    biases = np.full(classes, NEVER, dtype=np.float32)
    weights[:, present], biases[present] = weight, bias
    return weights, biases

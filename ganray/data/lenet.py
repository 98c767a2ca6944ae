"""A small convolutional classifier for images of 28 × 28 pixels and more."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ganray.data import cache
from ganray.data.dataset import Bytes, Classified, Labels, Samples, as_float
from ganray.data.goodness import (
    Anchors,
    by_class,
    choose_anchors,
    confidence_cut,
    measure_reach,
)

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 32  # pixels that the network sees
UPDATES = 1_000  # at least; more for more images
IMAGES_AN_UPDATE = 20
BATCH = 64
PEAK_RATE = 3e-3
WEIGHT_DECAY = 1e-2
SHIFT = 1  # pixels by which training images move at random
CHUNK = 500  # images evaluated at once
VERSION = 1  # of what is trained here: a change makes kept classifiers void


@dataclass(frozen=True)
class LeNetModes:
    """LeNet-5 with max-pooling, ReLU and softmax, the weights as plain arrays.

    Source: LeCun et al. 1998, section II (Gradient-based learning applied to document recognition).
    """

    parameters: tuple[Samples, ...]  # weight and bias of each of five layers
    anchors: Anchors
    confidence: float

    @classmethod
    def of(
        cls, fitted: Mapping[str, NDArray[np.float32]], train: Samples | Bytes, seed: int
    ) -> "LeNetModes":
        """The counter that `fit_lenet` measured; its anchors are training images."""
        anchors = Anchors(choose_anchors(train, seed), float(fitted["reach"]))
        parameters = tuple(fitted[f"parameter_{index}"] for index in range(10))
        return cls(parameters, anchors, float(fitted["confidence"]))

    @property
    def modes(self) -> int:
        """How many classes there are."""
        return len(self.parameters[-1])

    def classify(self, samples: Samples) -> Classified:
        """The most probable class of each image [N, C, H, W]."""
        near = self.anchors.near(samples.reshape(len(samples), -1))
        return by_class(self.probabilities(samples), self.confidence, near)

    def features(self, samples: Samples) -> Samples:
        """The last hidden layer of each image [N, C, H, W], shape [N, 84]."""
        return _evaluate(self.parameters, samples)[0]

    def probabilities(self, samples: Samples) -> Samples:
        """Of each class, shape [N, modes]."""
        return _evaluate(self.parameters, samples)[1]


def fit_lenet(
    train: Samples | Bytes,
    labels: Labels,
    heldout: Samples | Bytes,
    heldout_labels: Labels,
    *,
    seed: int,
    updates: int | None = None,
) -> Mapping[str, NDArray[np.float32]]:
    """Weights, reach, confidence and accuracy, by name; kept on disk for the next time.

    The same on every call, whatever torch's own seed and number of threads.

    Args:
        train: shape [N, C, H, W].
        labels: shape [N], in [0, classes).
        heldout: shape [M, C, H, W].
        heldout_labels: shape [M].
        seed: of the weights, the order of images and their shifts.
        updates: of the weights, a batch each; None: one for `IMAGES_AN_UPDATE` images, but at
            least `UPDATES`.
    """
    updates = updates or max(UPDATES, len(train) // IMAGES_AN_UPDATE)
    banks = (train, labels, heldout, heldout_labels)

    def fit() -> dict[str, NDArray[np.float32]]:
        parameters = _train(train, labels, seed, updates)
        return _measured(parameters, choose_anchors(train, seed), heldout, heldout_labels)

    return cache.remembered(cache.key("lenet", VERSION, seed, updates, arrays=banks), fit)


def _measured(
    parameters: tuple[Samples, ...],
    anchors: Samples | Bytes,
    heldout: Samples | Bytes,
    heldout_labels: Labels,
) -> dict[str, NDArray[np.float32]]:
    shares = np.concatenate(
        [
            _evaluate(parameters, as_float(heldout[at : at + CHUNK]))[1]
            for at in range(0, len(heldout), CHUNK)
        ]
    )
    values = {
        "accuracy": (shares.argmax(1) == heldout_labels).mean(),
        "confidence": confidence_cut(shares),
        "reach": measure_reach(anchors, heldout),
    }
    found = {name: np.float32(value) for name, value in values.items()}
    weights = {f"parameter_{index}": array for index, array in enumerate(parameters)}
    return {name: np.asarray(value, dtype=np.float32) for name, value in (found | weights).items()}


def _train(train: Samples | Bytes, labels: Labels, seed: int, updates: int) -> tuple[Samples, ...]:
    import torch
    from torch.nn import functional

    rng = np.random.default_rng(seed)
    with _one_thread(), torch.enable_grad():
        start = _initial(train.shape[1], int(labels.max()) + 1, rng)
        parameters = [torch.from_numpy(array).requires_grad_() for array in start]
        optimizer = torch.optim.AdamW(parameters, PEAK_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=updates)
        for indices in _batches(len(train), updates, rng):
            images = _shifted(as_float(train[indices]), rng)
            logits = _layers(parameters, torch.from_numpy(images))[1]
            loss = functional.cross_entropy(logits, torch.from_numpy(labels[indices]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return tuple(parameter.detach().numpy() for parameter in parameters)


def _initial(channels: int, classes: int, rng: np.random.Generator) -> list[Samples]:
    """Weights uniform with variance 2 / inputs (He et al. 2015, arXiv 1502.01852), biases zero."""
    shapes = [(6, channels, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (classes, 84)]
    arrays = []
    for shape in shapes:
        bound = math.sqrt(6.0 / math.prod(shape[1:]))
        arrays += [rng.uniform(-bound, bound, shape), np.zeros(shape[0])]
    return [array.astype(np.float32) for array in arrays]


def _batches(count: int, updates: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Indices of each batch: every image once, then all in another order."""
    order = np.empty(0, dtype=np.int64)
    for _ in range(updates):
        while len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(count)])
        yield order[:BATCH]
        order = order[BATCH:]


def _shifted(images: Samples, rng: np.random.Generator) -> Samples:
    """All images of a batch moved alike, by up to `SHIFT` pixels; the border is repeated."""
    height, width = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), mode="edge")
    top, left = rng.integers(0, 2 * SHIFT + 1, 2)
    return np.ascontiguousarray(padded[:, :, top : top + height, left : left + width])


def _evaluate(parameters: tuple[Samples, ...], samples: Samples) -> tuple[Samples, Samples]:
    """The last hidden layer and the probabilities of images [N, C, H, W]."""
    import torch

    with torch.no_grad():
        # copies: arrays that processes share are read-only, which torch does not know
        tensors = [torch.tensor(array) for array in parameters]
        chunks = [torch.tensor(samples[at : at + CHUNK]) for at in range(0, len(samples), CHUNK)]
        found = [_layers(tensors, chunk.clamp(-1.0, 1.0)) for chunk in chunks]
        hidden = torch.cat([layer for layer, _ in found])
        shares = torch.cat([logits for _, logits in found]).softmax(1)
    return hidden.numpy(), shares.numpy()


def _layers(parameters: "list[Tensor]", images: "Tensor") -> "tuple[Tensor, Tensor]":
    """The last hidden layer [N, 84] and the logits [N, classes]."""
    from torch.nn import functional as f

    layer = _fitted(images)
    for weight, bias in zip(parameters[0:4:2], parameters[1:4:2], strict=True):
        layer = f.max_pool2d(f.relu(f.conv2d(layer, weight, bias)), 2)
    layer = layer.flatten(1)
    for weight, bias in zip(parameters[4:8:2], parameters[5:8:2], strict=True):
        layer = f.relu(f.linear(layer, weight, bias))
    return layer, f.linear(layer, parameters[8], parameters[9])


def _fitted(images: "Tensor") -> "Tensor":
    """Images of `SIDE` × `SIDE` pixels: a black border round small ones, means for large ones."""
    from torch.nn import functional as f

    height, width = images.shape[2:]
    if height <= SIDE and width <= SIDE:
        left, top = (SIDE - width) // 2, (SIDE - height) // 2
        border = (left, SIDE - width - left, top, SIDE - height - top)
        return f.pad(images, border, value=-1.0)
    return f.interpolate(images, (SIDE, SIDE), mode="area")


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, so that the weights do not depend on how many threads torch has."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

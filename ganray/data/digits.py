"""scikit-learn's handwritten digits: real images that need no download."""

import numpy as np

from ganray.data.classifier import train_classifier
from ganray.data.dataset import Dataset

HELDOUT = 500


def digits(*, seed: int = 0) -> Dataset:
    """1,797 grey images [1, 8, 8] in [-1, 1], ten modes; 500 of them held out, every class alike.

    The data set is the test part of Alpaydin and Kaynak's optical recognition of handwritten digits
    (UCI, 1998), as scikit-learn ships it.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = (bunch.images[:, None] / 8.0 - 1.0).astype(np.float32)
    train, heldout, labels, heldout_labels = train_test_split(
        images, bunch.target, test_size=HELDOUT, stratify=bunch.target, random_state=seed
    )
    trained = train_classifier(train, labels, heldout, heldout_labels, seed=seed)
    return Dataset(
        f"digits-v1-seed{seed}",
        train,
        heldout,
        trained.counter,
        {"classifier_accuracy": trained.accuracy},
        labels=labels.astype(np.int64),
        heldout_labels=heldout_labels.astype(np.int64),
        classes=10,
        features=trained.counter.features,
    )

"""The counter of image modes, on weights set by hand and on blobs that are easy to tell apart."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from ganray.data import classifier
from ganray.data.classifier import ClassifierModes, train_classifier
from ganray.data.goodness import Anchors
from ganray.data.lenet import LeNetModes


def images(rows: list[list[float]]) -> np.ndarray:
    """Images [N, 1, 1, 2] of two pixels."""
    return np.array(rows, dtype=np.float32).reshape(-1, 1, 1, 2)


def by_hand(anchors: list[list[float]], reach: float) -> ClassifierModes:
    """Logits relu(x) and relu(y): the class is the brighter pixel, log odds are the difference."""
    layers = [np.eye(2, dtype=np.float32)] * 2
    biases = [np.zeros(2, dtype=np.float32)] * 2
    return ClassifierModes(layers, biases, Anchors(np.array(anchors, dtype=np.float32), reach))


def test_a_good_image_has_a_sure_class_and_lies_near_a_real_one():
    counter = by_hand(anchors=[[5.0, 0.0], [0.0, 5.0], [1.0, 1.0]], reach=1.0)
    found = counter.classify(
        images([[5.0, 0.5], [-0.5, 5.0], [1.0, 0.9], [9.0, 0.0], [0.0, 6.1], [0.0, 5.9]])
    )
    assert counter.modes == 2
    assert found.mode.tolist() == [0, 1, 0, 0, 1, 1]
    # the third is near a real image but of no class, the fourth and fifth the other way round
    assert found.good.tolist() == [True, True, False, False, False, True]


@pytest.mark.parametrize(("share", "good"), [(0.89, False), (0.91, True)])
def test_sure_means_nine_in_ten(share, good):
    log_odds = math.log(share / (1.0 - share))
    counter = by_hand(anchors=[[log_odds, 0.0]], reach=1.0)
    found = counter.classify(images([[log_odds, 0.0]]))
    assert counter.probabilities(np.array([[log_odds, 0.0]]))[0] == pytest.approx(
        [share, 1.0 - share], rel=1e-6
    )
    assert found.good.tolist() == [good]


def test_probabilities_do_not_overflow():
    shares = by_hand([[0.0, 0.0]], 1.0).probabilities(np.array([[1e4, 0.0], [0.0, 1e4]]))
    assert shares.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_probabilities_are_those_of_the_network_that_was_trained():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(90, 5)).astype(np.float32)
    model = MLPClassifier((4, 3), random_state=0, tol=1.0, max_iter=50).fit(
        points, np.arange(90) % 3
    )
    copy = ClassifierModes(model.coefs_, model.intercepts_, Anchors(points, 1.0))
    assert copy.probabilities(points) == pytest.approx(model.predict_proba(points), abs=1e-5)


def blobs(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 1, 2, 2] of three classes around well separated means."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    means = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]])[labels]
    noise = rng.normal(0.0, 0.1, (count, 4))
    return (means + noise).astype(np.float32).reshape(-1, 1, 2, 2), labels


def test_a_trained_counter_counts_its_classes_and_knows_how_far_real_images_lie():
    train, labels = blobs(0, 240)
    heldout, heldout_labels = blobs(1, 300)
    with threadpool_limits(1):
        trained = train_classifier(train, labels, heldout, heldout_labels)
    found = trained.counter.classify(heldout)
    assert trained.accuracy == pytest.approx(1.0, abs=0.01)
    assert trained.counter.modes == 3
    assert (found.mode == heldout_labels).mean() == trained.accuracy
    distances = cdist(heldout.reshape(300, 4), train.reshape(240, 4)).min(1)
    assert (distances <= trained.counter.anchors.reach).mean() == pytest.approx(0.99, abs=0.004)


def test_the_accuracy_is_measured_on_the_images_that_were_held_out():
    train, labels = blobs(0, 240)
    heldout, heldout_labels = blobs(1, 300)
    with threadpool_limits(1):
        trained = train_classifier(train, labels, heldout, (heldout_labels + 1) % 3)
    assert trained.accuracy == pytest.approx(0.0, abs=0.01)


def test_features_are_the_last_hidden_layer():
    counter = by_hand(anchors=[[0.0, 0.0]], reach=1.0)
    assert counter.features(images([[2.0, -3.0]])).tolist() == [[2.0, 0.0]]


def test_two_classes_are_two_modes():
    train, labels = blobs(0, 240)
    heldout, heldout_labels = blobs(1, 300)
    pairs = (labels < 2), (heldout_labels < 2)
    trained = train_classifier(
        train[pairs[0]], labels[pairs[0]], heldout[pairs[1]], heldout_labels[pairs[1]]
    )
    assert trained.counter.modes == 2
    assert trained.accuracy == pytest.approx(1.0, abs=0.01)
    assert trained.counter.classify(heldout[pairs[1]]).good.mean() > 0.9


def test_a_class_without_a_training_sample_is_never_the_most_probable():
    train, labels = blobs(0, 240)
    heldout, heldout_labels = blobs(1, 300)
    trained = train_classifier(train, labels * 2, heldout, heldout_labels * 2)
    shares = trained.counter.probabilities(heldout.reshape(300, 4))
    assert trained.counter.modes == 5
    assert trained.accuracy == pytest.approx(1.0, abs=0.01)
    assert shares[:, [1, 3]].max() == 0.0


def test_bytes_are_trained_on_as_the_floats_that_they_stand_for():
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    dark = (rng.integers(0, 60, (80, 1, 4, 4)) + 180 * labels[:, None, None, None]).astype(np.uint8)
    trained = train_classifier(dark, labels, dark, labels)
    floats = dark.astype(np.float32) / 127.5 - 1.0
    found = trained.counter.classify(floats)
    assert found.mode.tolist() == labels.tolist()
    assert found.good.mean() > 0.9


def test_very_many_samples_are_thinned(monkeypatch):
    monkeypatch.setattr(classifier, "TRAINED_ON", 60)
    train, labels = blobs(0, 240)
    trained = train_classifier(train, labels, train, labels)
    assert trained.accuracy == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("size", "kind"), [(27, ClassifierModes), (28, LeNetModes)])
def test_images_of_28_pixels_and_more_are_for_the_convolutional_network(size, kind, monkeypatch):
    monkeypatch.setattr("ganray.data.lenet.UPDATES", 2)
    bank = np.random.default_rng(0).integers(0, 256, (30, 1, size, size)).astype(np.uint8)
    labels = np.arange(30) % 3
    assert isinstance(train_classifier(bank, labels, bank, labels).counter, kind)

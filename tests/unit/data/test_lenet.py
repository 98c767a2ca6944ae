"""The convolutional counter: how well it does, what fools it, and that it leaves no trace."""

import pickle

import numpy as np
import pytest
import torch

from ganray.data import lenet
from ganray.data.dataset import as_float


def black(count: int, size: int = 28) -> np.ndarray:
    return np.full((count, 1, size, size), -1.0, dtype=np.float32)


def test_it_knows_97_of_100_real_digits_that_it_was_not_trained_on(digits28):
    found = digits28.counter.classify(as_float(digits28.heldout))
    accuracy = (found.mode == digits28.heldout_labels).mean()
    assert digits28.facts == {"classifier_accuracy": pytest.approx(accuracy, abs=1e-6)}
    assert 0.97 <= accuracy < 1.0
    assert 0.9 < found.good.mean() < 0.995
    assert (digits28.counter.modes, digits28.classes) == (10, 10)


NOISE = {
    "uniform": lambda rng: rng.uniform(-1.0, 1.0, (200, 1, 28, 28)),
    "black and white": lambda rng: rng.choice([-1.0, 1.0], (200, 1, 28, 28)),
    "tanh of normal": lambda rng: np.tanh(rng.normal(size=(200, 1, 28, 28))),
    "black": lambda rng: black(2),
    "grey": lambda rng: 0.0 * black(2),
    "white": lambda rng: -black(2),
    "exploded": lambda rng: 1e30 * rng.normal(size=(20, 1, 28, 28)),
}


@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_no_good_sample(digits28, kind):
    noise = NOISE[kind](np.random.default_rng(0)).astype(np.float32)
    assert not digits28.counter.classify(noise).good.any()


def test_features_are_the_last_hidden_layer_and_decide_the_class(digits28):
    images = as_float(digits28.heldout[:50])
    features = digits28.features(images)
    assert features.shape == (50, 84)
    assert features.dtype == np.float32
    weight, bias = digits28.counter.parameters[-2:]
    logits = features.astype(np.float64) @ weight.T + bias
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert digits28.counter.probabilities(images) == pytest.approx(expected, abs=1e-5)


def test_what_is_said_of_an_image_does_not_depend_on_its_neighbours(digits28, monkeypatch):
    images = as_float(digits28.heldout[:30])
    together = digits28.counter.probabilities(images)
    monkeypatch.setattr(lenet, "CHUNK", 7)
    assert digits28.counter.probabilities(images) == pytest.approx(together, abs=1e-5)


def test_a_counter_can_be_sent_to_another_process(digits28):
    again = pickle.loads(pickle.dumps(digits28.counter))
    for array in again.parameters:
        array.flags.writeable = False  # as arrays that processes share are
    images = as_float(digits28.heldout[:20])
    assert np.array_equal(again.classify(images).mode, digits28.counter.classify(images).mode)
    assert all(isinstance(array, np.ndarray) for array in again.parameters)


def trained(seed: int = 0, dtype: type = np.uint8) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 3, 32, 32)).astype(np.uint8)
    bank = images if dtype is np.uint8 else as_float(images)
    return list(lenet._train(bank, np.arange(90) % 4, seed, updates=4))


def test_the_seed_alone_decides_the_weights():
    torch.manual_seed(1)
    first = trained()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2))
        torch.manual_seed(2)
        again, floats = trained(), trained(dtype=np.float32)
    finally:
        torch.set_num_threads(threads)
    other = trained(seed=1)
    assert first[0].shape == (6, 3, 5, 5)
    assert first[-1].shape == (4,)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first, floats, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_training_leaves_torch_as_it_was():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with torch.no_grad():
        trained()
        assert not torch.is_grad_enabled()
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_every_image_is_trained_on_once_before_any_is_twice():
    batches = list(lenet._batches(100, 8, np.random.default_rng(0)))
    assert {len(batch) for batch in batches} == {lenet.BATCH} == {64}
    flat = np.concatenate(batches)
    for start in range(0, 500, 100):
        assert sorted(flat[start : start + 100]) == list(range(100))


def test_shifts_move_an_image_by_up_to_a_pixel_and_repeat_its_border():
    image = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)
    rng = np.random.default_rng(0)
    seen = {lenet._shifted(image, rng)[0, 0, 2, 2] for _ in range(200)}
    assert seen == {6.0, 7.0, 8.0, 11.0, 12.0, 13.0, 16.0, 17.0, 18.0}
    for _ in range(20):
        assert set(lenet._shifted(image, rng).ravel()) <= set(range(25))


@pytest.mark.parametrize("size", [28, 31, 32])
def test_small_images_get_a_black_border(size):
    image = torch.full((1, 1, size, size), 0.5)
    fitted = lenet._fitted(image)
    assert fitted.shape == (1, 1, 32, 32)
    assert (fitted == 0.5).sum() == size * size
    assert (fitted == -1.0).sum() == 32 * 32 - size * size


def test_large_images_are_averaged():
    image = torch.arange(64.0 * 64).reshape(1, 1, 64, 64)
    fitted = lenet._fitted(image)
    assert fitted.shape == (1, 1, 32, 32)
    assert fitted[0, 0, 0, 0] == pytest.approx((0 + 1 + 64 + 65) / 4)

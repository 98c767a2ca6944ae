"""Near to real samples, and sure of the class: both, by numbers set by hand."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from ganray.data import goodness
from ganray.data.goodness import (
    Anchors,
    by_class,
    choose_anchors,
    confidence_cut,
    fit_anchors,
    nearest_distance,
)


def test_nearest_distance_is_euclid_s():
    rng = np.random.default_rng(0)
    points, anchors = (rng.normal(size=(n, 6)).astype(np.float32) for n in (20, 30))
    expected = cdist(points, anchors).min(1)
    assert nearest_distance(points, anchors) == pytest.approx(expected, abs=1e-3)
    assert nearest_distance(anchors, anchors) == pytest.approx(np.zeros(30), abs=1e-2)


def test_what_exploded_is_far_and_finite():
    points = np.array([[1e38, -1e38], [np.inf, 0.0]], dtype=np.float32)
    found = nearest_distance(points, np.zeros((1, 2), dtype=np.float32))
    assert np.isfinite(found).all()
    assert (found >= 1e15).all()


def test_near_means_within_reach_of_the_nearest():
    anchors = Anchors(np.array([[0.0, 0.0], [10.0, 0.0]], dtype=np.float32), reach=2.0)
    points = np.array([[1.9, 0.0], [2.1, 0.0], [8.1, 0.0], [10.0, -1.9]], dtype=np.float32)
    assert anchors.near(points).tolist() == [True, False, True, True]


def test_anchors_of_bytes_are_on_the_scale_of_samples():
    anchors = Anchors(np.array([[0, 255]], dtype=np.uint8), reach=0.1)
    assert anchors.near(np.array([[-1.0, 1.0], [1.0, 1.0]], dtype=np.float32)).tolist() == [
        True,
        False,
    ]


def test_the_reach_is_what_99_of_100_held_out_samples_stay_within():
    train = np.zeros((5, 1, 1, 1), dtype=np.float32)
    heldout = np.arange(101, dtype=np.float32).reshape(101, 1, 1, 1)
    assert fit_anchors(train, heldout, 0).reach == pytest.approx(99.0, abs=1e-3)


def test_many_anchors_are_thinned_and_the_seed_decides_which(monkeypatch):
    monkeypatch.setattr(goodness, "ANCHORS", 10)
    bank = np.arange(400, dtype=np.float32).reshape(100, 4, 1, 1)
    chosen = choose_anchors(bank, 0)
    assert chosen.shape == (10, 4)
    assert len(np.unique(chosen[:, 0])) == 10
    assert set(chosen[:, 0]) <= set(bank[:, 0, 0, 0])
    assert np.array_equal(chosen, choose_anchors(bank, 0))
    assert not np.array_equal(chosen, choose_anchors(bank, 1))
    assert len(choose_anchors(bank[:10], 0)) == 10


def shares(*sure: float) -> np.ndarray:
    """Probabilities of two classes, the first that sure."""
    return np.array([[share, 1.0 - share] for share in sure], dtype=np.float32)


def test_sure_is_nine_in_ten_or_less_where_real_samples_would_fail_that():
    assert confidence_cut(shares(*[0.99] * 100)) == 0.9
    assert confidence_cut(shares(*[0.99] * 96, *[0.6] * 4)) == 0.9
    assert confidence_cut(shares(*[0.8] * 80, *[0.6] * 20)) == pytest.approx(0.6, abs=1e-6)


def test_good_is_sure_and_near():
    near = np.array([True, True, False, True])
    found = by_class(shares(0.95, 0.85, 0.95, 0.05), 0.9, near)
    assert found.mode.tolist() == [0, 0, 0, 1]
    assert found.good.tolist() == [True, False, False, True]

"""The user's own arrays: values as they are, and what is told of files that are wrong."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from ganray.data.vectors import vectors
from ganray.errors import DataError

COUNT = 90


@pytest.fixture
def rows() -> np.ndarray:
    """Three clusters far from 0, on scales of their own."""
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0, 0], [50, 0, 0], [0, 900, 0]], dtype=np.float64)
    return centres[np.arange(COUNT) % 3] + rng.normal(size=(COUNT, 3))


LABELS = np.arange(COUNT) % 3


def saved(path: Path, array: np.ndarray) -> str:
    if path.suffix == ".pt":
        torch.save(torch.from_numpy(array), path)
    else:
        np.save(path, array)
    return str(path)


@pytest.mark.parametrize("suffix", [".npy", ".pt"])
def test_values_are_taken_as_they_are(tmp_path, rows, suffix):
    dataset = vectors(path=saved(tmp_path / f"x{suffix}", rows))
    both = np.concatenate([dataset.train, dataset.heldout])
    assert both.dtype == np.float32
    assert len(dataset.heldout) == COUNT // 10
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, rows.astype(np.float32).tolist()))
    assert dataset.labels is None
    assert dataset.counter.modes == 8  # bins of ten samples


@pytest.mark.parametrize("suffix", [".npy", ".pt"])
def test_labels_and_conditions_stay_with_their_samples(tmp_path, rows, suffix):
    path = saved(tmp_path / f"x{suffix}", rows)
    labels = saved(tmp_path / f"labels{suffix}", LABELS)
    conditions = saved(tmp_path / f"c{suffix}", rows[:, :2] * 2.0)
    dataset = vectors(path=path, labels=labels, conditions=conditions, heldout=30)
    pairs = (
        (dataset.train, dataset.labels, dataset.condition_vectors("train")),
        (dataset.heldout, dataset.heldout_labels, dataset.condition_vectors("heldout")),
    )
    for bank, told, given in pairs:
        expected = (bank[:, 0] > 25) + 2 * (bank[:, 1] > 450)
        assert told.tolist() == expected.tolist()
        assert given == pytest.approx(bank[:, :2] * 2.0, rel=1e-6)
    assert np.bincount(dataset.heldout_labels).tolist() == [10, 10, 10]
    assert (dataset.classes, dataset.counter.modes) == (3, 3)
    assert dataset.facts["classifier_accuracy"] > 0.95


def test_an_archive_may_hold_all_three(tmp_path, rows):
    np.savez(tmp_path / "all.npz", x=rows, labels=LABELS, conditions=rows[:, :1])
    dataset = vectors(path=str(tmp_path / "all.npz"))
    assert dataset.classes == 3
    assert dataset.conditions.shape == (81, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_are_bytes_or_from_minus_one_to_one(tmp_path, dtype):
    bank = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4))
    array = bank.astype(np.uint8) if dtype is np.uint8 else (bank / 127.5 - 1.0).astype(np.float32)
    dataset = vectors(path=saved(tmp_path / "x.npy", array))
    assert dataset.shape == (1, 4, 4)
    assert dataset.train.dtype == dtype


def test_brain_floats_are_read(tmp_path):
    torch.save(torch.ones(40, 2).to(torch.bfloat16), tmp_path / "x.pt")
    assert (vectors(path=str(tmp_path / "x.pt")).train == 1.0).all()


def test_the_seed_decides_the_split(tmp_path, rows):
    path = saved(tmp_path / "x.npy", rows)
    first, again, other = (vectors(path=path, seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != other.fingerprint
    assert first.name == f"vectors-v1-seed0-{first.fingerprint[:8]}"


BAD = {
    "one axis": (np.zeros(50), r"has shape \[50\]; expected \[N, D\], or images"),
    "three axes": (np.zeros((50, 4, 4)), r"has shape \[50, 4, 4\]; expected"),
    "empty": (np.zeros((0, 4)), r"has shape \[0, 4\]; expected"),
    "not finite": (np.full((50, 2), [1.0, np.nan]), "has 50 values that are not finite"),
    "too large": (np.full((50, 2), 1e300), "has 100 values that are not finite"),
    "complex": (
        np.zeros((50, 2), dtype=complex),
        "has values of type complex128; expected numbers",
    ),
    "words": (np.full((50, 2), "a"), "has values of type <U1; expected numbers"),
    "bright": (np.full((50, 1, 4, 4), 7.0), r"has pixels from 7 to 7; expected \[-1, 1\]"),
    "few": (np.zeros((12, 2)), "has 12 samples; expected at least 20"),
    "objects": (np.full((50, 2), None), "cannot be read: ValueError: Object arrays"),
}


@pytest.mark.parametrize("kind", BAD)
def test_wrong_samples_are_an_error(tmp_path, kind):
    array, message = BAD[kind]
    with pytest.raises(DataError, match=r"x\.npy: " + message):
        vectors(path=saved(tmp_path / "x.npy", array))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:-1], "has 89 labels; expected 90, one a sample"),
        (LABELS * 0.5, r"labels are float64 of shape \[90\]; expected integers"),
        (LABELS - 1, r"labels are int64 of shape \[90\]; expected integers \[N\] from 0 on"),
        (LABELS[:, None], r"labels are int64 of shape \[90, 1\]"),
        (LABELS * 2, "no sample has the label 1, the largest is 4"),
    ],
)
def test_wrong_labels_are_an_error(tmp_path, rows, labels, message):
    path, told = saved(tmp_path / "x.npy", rows), saved(tmp_path / "l.npy", labels)
    with pytest.raises(DataError, match=r"l\.npy: " + message):
        vectors(path=path, labels=told)


def test_wrong_conditions_are_an_error(tmp_path, rows):
    path = saved(tmp_path / "x.npy", rows)
    for array, message in ((rows[:, 0], r"have shape \[90\]"), (rows[:9], "has 9 conditions")):
        with pytest.raises(DataError, match=message):
            vectors(path=path, conditions=saved(tmp_path / "c.npy", array))


def test_files_that_cannot_be_read_are_named(tmp_path, rows):
    for name in ("x.csv", "x.npy", "x.npz", "x.pt"):
        (tmp_path / name).write_text("hello")
    torch.save({"a": torch.ones(2)}, tmp_path / "dict.pt")
    np.savez(tmp_path / "other.npz", y=rows)
    np.savez(tmp_path / "labels.npz", x=LABELS, labels=LABELS)
    expected = {
        "absent.npy": "does not exist; expected a file",
        "x.csv": r"is of an unknown kind; expected \.npy, \.npz, \.pt",
        "x.npy": "cannot be read",
        "x.npz": "cannot be read",
        "x.pt": "cannot be read",
        "dict.pt": "a dict where a tensor is expected",
        "other.npz": r"has the arrays \['y'\]; expected x",
    }
    for name, message in expected.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(DataError, match=f"{name}: .*{message}|{name}: {message}"):
                vectors(path=str(tmp_path / name))
    path = saved(tmp_path / "good.npy", rows)
    with pytest.raises(DataError, match=r"has the arrays \['labels', 'x'\]; expected one"):
        vectors(path=path, labels=str(tmp_path / "labels.npz"))

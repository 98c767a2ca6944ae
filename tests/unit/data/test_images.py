"""Images from files made here: pixels, labels and splits as they were written."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from ganray.data.images import CIFAR10, MNIST, Reading, images, mnist, published_banks, read
from ganray.errors import DataError
from tests.conftest import png, write_parquet

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def flat(value: int | tuple[int, ...], height: int = 12, width: int = 12) -> np.ndarray:
    """One colour with a little noise, so that no two are equal."""
    rng = np.random.default_rng(hash((value, height)) % 2**32)
    shape = (height, width) if isinstance(value, int) else (height, width, 3)
    return (np.full(shape, value) + rng.integers(0, 30, shape)).astype(np.uint8)


def coloured(count: int) -> list[np.ndarray]:
    return [flat(tuple(c + i // 3 if c else 0 for c in COLOURS[i % 3])) for i in range(count)]


def keys(bank: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in bank}


def parquet(path: Path, pictures: list[np.ndarray], **columns: list) -> str:
    write_parquet(path, [png(picture) for picture in pictures], **columns)
    return str(path)


def first(path: str, reading: Reading):
    """The table of a file with one split."""
    from ganray.data import hub

    with hub.opened(path) as splits:
        return read(splits, reading, path)["train"]


# --- MNIST and its like ---------------------------------------------------------------------------


def test_the_hub_s_schema_is_read_as_bytes_with_the_test_split_held_out(digits28, enlarged):
    pictures, labels = enlarged
    assert digits28.train.shape == (1297, 1, 28, 28)
    assert digits28.heldout.shape == (500, 1, 28, 28)
    assert digits28.train.dtype == digits28.heldout.dtype == np.uint8
    for bank, told, rows in (
        (digits28.train, digits28.labels, slice(0, 1297)),
        (digits28.heldout, digits28.heldout_labels, slice(1297, None)),
    ):
        table = dict(zip([p.tobytes() for p in pictures[rows]], labels[rows].tolist(), strict=True))
        assert keys(bank) == set(table)
        assert [table[image.tobytes()] for image in bank] == told.tolist()
    assert digits28.name == f"mnist-size28-v1-seed0-{digits28.fingerprint[:8]}"


def test_a_single_file_is_split_by_class(digit_files):
    train, heldout = published_banks(
        MNIST, str(digit_files / "train-00000-of-00001.parquet"), 28, None, 0
    )
    assert (len(train.samples), len(heldout.samples)) == (1297 - 129, 129)
    assert not keys(train.samples) & keys(heldout.samples)
    assert len(keys(train.samples) | keys(heldout.samples)) == 1297
    expected = np.bincount(np.concatenate([train.labels, heldout.labels])) * 129 / 1297
    assert np.bincount(heldout.labels) == pytest.approx(expected, abs=1.0)


def test_32_pixels_are_28_with_a_black_border(digit_files):
    small, large = (published_banks(MNIST, str(digit_files), n, 40, 0)[1] for n in (28, 32))
    assert large.samples.shape == (40, 1, 32, 32)
    assert np.array_equal(large.samples[:, :, 2:30, 2:30], small.samples)
    assert large.samples.sum(dtype=np.int64) == small.samples.sum(dtype=np.int64)


def test_other_sizes_are_scaled(digit_files):
    small, large = (published_banks(MNIST, str(digit_files), n, 40, 0)[1] for n in (14, 28))
    means = large.samples.astype(float).reshape(40, 14, 2, 14, 2).mean((2, 4))
    assert small.samples.shape == (40, 1, 14, 14)
    assert np.corrcoef(small.samples.ravel(), means.ravel())[0, 1] > 0.98
    assert small.samples.mean() == pytest.approx(means.mean(), rel=0.02)


def test_the_seed_decides_the_order_and_nothing_else_does(digit_files, digits28):
    again = mnist(path=str(digit_files), seed=0)
    assert again.fingerprint == digits28.fingerprint
    assert again.name == digits28.name
    other = published_banks(MNIST, str(digit_files), 28, None, 1)[0]
    assert keys(other.samples) == keys(digits28.train)
    assert not np.array_equal(other.samples, digits28.train)


def test_cifar_s_columns_are_found(tmp_path):
    path = parquet(
        tmp_path / "a.parquet", coloured(60), name="img", label=[i % 10 for i in range(60)]
    )
    train, heldout = published_banks(CIFAR10, path, 32, None, 0)
    assert train.samples.shape == (54, 3, 32, 32)
    assert sorted(np.concatenate([train.labels, heldout.labels])) == sorted(
        i % 10 for i in range(60)
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [*range(9), 10] * 6}, r"has the label 10; expected 0 … 9"),
        ({"label": ["a"] * 60}, r"has the label a; expected 0 … 9"),
        ({"label": [0.5] * 60}, r"labels are float; expected integers"),
        ({"label": [None, *[1] * 59]}, r"labels are NoneType, int; expected integers"),
        ({"label": [-1] * 60}, r"labels are int; expected integers from 0 on"),
        ({"digit": [1] * 60}, r"has no column 'label'; its columns are \['image', 'digit'\]"),
    ],
)
def test_wrong_labels_are_an_error(tmp_path, columns, message):
    path = parquet(tmp_path / "a.parquet", coloured(60), **columns)
    with pytest.raises(DataError, match=message):
        mnist(path=path)


# --- any images -----------------------------------------------------------------------------------


def folder(root: Path, names: dict[str, list[np.ndarray]]) -> str:
    for name, pictures in names.items():
        (root / name).mkdir(parents=True)
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(root / name / f"{index}.png")
    return str(root)


def test_subfolders_are_classes(tmp_path):
    names = {
        name: [flat(tuple(c + i if c else 0 for c in colour)) for i in range(20)]
        for name, colour in zip("rgb", COLOURS, strict=True)
    }
    dataset = images(path=folder(tmp_path / "x", names), size=8, heldout=12)
    assert dataset.train.shape == (48, 3, 8, 8)
    assert dataset.train.dtype == np.uint8
    assert np.bincount(dataset.heldout_labels).tolist() == [4, 4, 4]
    assert (dataset.classes, dataset.counter.modes) == (3, 3)
    # sub-folders in alphabetical order: blue, green, red
    for bank, labels in (
        (dataset.train, dataset.labels),
        (dataset.heldout, dataset.heldout_labels),
    ):
        assert np.array_equal(2 - bank.mean((2, 3)).argmax(1), labels)
    assert dataset.facts["classifier_accuracy"] == 1.0


def test_a_flat_folder_has_bins_for_modes_and_no_labels(tmp_path):
    dataset = images(path=folder(tmp_path / "x", {"": coloured(60)}), size=8, heldout=9)
    assert dataset.labels is None
    assert (dataset.classes, dataset.counter.modes) == (0, 5)  # ten images a bin
    assert dataset.condition_vectors("train") is None
    assert dataset.facts == {}


def test_folders_of_splits_are_kept_apart(tmp_path):
    train, test = coloured(60)[:45], coloured(60)[45:]
    names = {
        "train/a": train[::3],
        "train/b": train[1::3],
        "test/a": test[::3],
        "test/b": test[1::3],
    }
    dataset = images(path=folder(tmp_path / "x", names), size=12)
    assert keys(dataset.train) == keys(np.stack(train[::3] + train[1::3]).transpose(0, 3, 1, 2))
    assert keys(dataset.heldout) == keys(np.stack(test[::3] + test[1::3]).transpose(0, 3, 1, 2))
    assert np.bincount(dataset.heldout_labels).tolist() == [5, 5]


def test_words_and_gaps_are_numbered(tmp_path):
    for name, labels in (("words", ["b", "a"] * 15), ("gaps", [7, 3] * 15)):
        path = parquet(tmp_path / f"{name}.parquet", coloured(30), kind=labels)
        dataset = images(path=path, label_column="kind", size=4, heldout=4)
        assert np.bincount(dataset.labels).tolist() == [13, 13]
        assert dataset.classes == 2


def test_one_class_is_no_mode(tmp_path):
    path = parquet(tmp_path / "a.parquet", coloured(60), label=[0] * 60)
    dataset = images(path=path, size=4, heldout=4)
    assert (dataset.classes, dataset.counter.modes, dataset.features) == (1, 5, None)


def test_the_middle_square_is_taken_and_grey_is_grey(tmp_path):
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = (30, 60, 90)
    path = parquet(tmp_path / "a.parquet", [wide])
    colour = first(path, Reading(None, None, 5, 3)).samples
    assert colour.shape == (1, 3, 5, 5)
    assert colour[0, :, 2, 2].tolist() == [30, 60, 90]
    assert (colour[0, 0, :, 1:4] == 30).all()
    grey = first(path, Reading(None, None, 10, 1)).samples
    assert grey.shape == (1, 1, 10, 10)
    assert grey[0, 0, 5, 5] == round(0.299 * 30 + 0.587 * 60 + 0.114 * 90)


def test_of_two_columns_of_images_one_must_be_named(tmp_path):
    path = tmp_path / "a.parquet"
    rows = {"a": [Image.fromarray(p) for p in coloured(40)]}
    rows["b"] = [Image.fromarray(255 - p) for p in coloured(40)]
    datasets.Dataset.from_dict(rows).cast_column("a", datasets.Image()).cast_column(
        "b", datasets.Image()
    ).to_parquet(str(path))
    with pytest.raises(DataError, match=r"has 2 columns of images among \['a', 'b'\]"):
        images(path=str(path))
    bright = images(path=str(path), column="b", size=4, heldout=4)
    assert bright.train.mean() > 127


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (b"no picture", r"row 20 is no image that can be read"),
        (png(coloured(1)[0])[:60], r"row 20 is no image that can be read"),
        (None, r"row 20 has no image"),
        (png(np.full((4, 4), 900, dtype=np.uint16)), r"row 20 has pixels of mode I;16"),
    ],
)
def test_an_image_that_cannot_be_read_is_named_by_its_row(tmp_path, cell, message):
    cells = [png(picture) for picture in coloured(30)]
    cells[20] = cell
    write_parquet(tmp_path / "a.parquet", cells)
    with pytest.raises(DataError, match=r"a\.parquet \(train\): " + message):
        images(path=str(tmp_path / "a.parquet"))


def test_columns_that_are_not_there_are_an_error(tmp_path):
    path = parquet(tmp_path / "a.parquet", coloured(30), label=[0, 1] * 15)
    with pytest.raises(DataError, match="has no column 'kind'; its columns are"):
        images(path=path, label_column="kind")
    with pytest.raises(DataError, match="column 'label' holds no images"):
        images(path=path, column="label")


def test_channels_are_one_or_three():
    with pytest.raises(ValueError, match="channels must be 1 or 3; got 4"):
        images(path="anywhere", channels=4)

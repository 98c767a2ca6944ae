"""Images from parquet files, from folders and from the Hugging Face Hub, kept as uint8."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ganray.data import hub
from ganray.data.dataset import Bytes, Dataset, Labels
from ganray.data.splits import Table, build, split
from ganray.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

ROWS = 256  # read at once
BORDERED = 32  # pixels a side: what smaller images get a border for
MODES = {1: "L", 3: "RGB"}  # Pillow's names
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # more than eight bits a channel


@dataclass(frozen=True)
class Published:
    """A labelled data set of the Hub."""

    name: str  # in a sweep file
    repository: str
    files: str  # its parquet files there
    side: int  # pixels
    channels: int
    classes: int = 10


MNIST = Published(
    "mnist",
    "ylecun/mnist",
    "mnist/train-00000-of-00001.parquet and mnist/test-00000-of-00001.parquet",
    28,
    1,
)
FASHION_MNIST = Published(
    "fashion-mnist",
    "zalando-datasets/fashion_mnist",
    "fashion_mnist/train-00000-of-00001.parquet and fashion_mnist/test-00000-of-00001.parquet",
    28,
    1,
)
CIFAR10 = Published(
    "cifar10",
    "uoft-cs/cifar10",
    "plain_text/train-00000-of-00001.parquet and plain_text/test-00000-of-00001.parquet",
    32,
    3,
)


@dataclass(frozen=True)
class Reading:
    """How images are read: which columns, and what they become."""

    column: str | None  # None: the only column of images
    label_column: str | None  # None: `label`, if there is one
    side: int
    channels: int
    bordered: bool = False  # a black border round smaller images, instead of scaling
    classes: int | None = None  # labels are below it; None: labels are numbered as they come


def mnist(
    *, path: str | None = None, size: int | None = None, heldout: int | None = None, seed: int = 0
) -> Dataset:
    """Handwritten digits, grey uint8 images [1, 28, 28], ten modes.

    Args:
        path: a parquet file, or a folder of them, as on the Hub (ylecun/mnist); None: from there.
        size: pixels a side; None: 28. 32 gets a black border, others are scaled.
        heldout: how many images to hold out, of the test split if there is one; None: 10,000 of
            that, else 5,000 or a tenth of the data, whichever is fewer.
        seed: of the split and the classifier.

    Raises:
        DataError: the images cannot be had, or are not what they should be.

    Source: LeCun et al. 1998 (Gradient-based learning applied to document recognition).
    """
    return _published(MNIST, path, size, heldout, seed)


def fashion_mnist(
    *, path: str | None = None, size: int | None = None, heldout: int | None = None, seed: int = 0
) -> Dataset:
    """Articles of clothing, grey uint8 images [1, 28, 28], ten modes; options as for `mnist`.

    Source: Xiao et al. 2017 (Fashion-MNIST, arXiv 1708.07747).
    """
    return _published(FASHION_MNIST, path, size, heldout, seed)


def cifar10(
    *, path: str | None = None, size: int | None = None, heldout: int | None = None, seed: int = 0
) -> Dataset:
    """Animals and vehicles, colour uint8 images [3, 32, 32], ten modes; options as for `mnist`.

    The classifier is a small LeNet, whose accuracy is low here: see `classifier_accuracy`.

    Source: Krizhevsky 2009 (Learning multiple layers of features from tiny images).
    """
    return _published(CIFAR10, path, size, heldout, seed)


def images(
    *,
    path: str,
    column: str | None = None,
    label_column: str | None = None,
    size: int = 32,
    channels: int = 3,
    heldout: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Any images as uint8 [channels, size, size]; their middle square, scaled.

    Modes are the labels' classes if there are two or more, else bins of k-means.

    Args:
        path: a parquet file, a folder of parquet files, or a folder of images; sub-folders of a
            folder of images are its labels, or its splits (`train`, `test`) with labels in them.
        column: of images, in parquet; None: the only one there is.
        label_column: of labels, integers or words; None: `label`, if there is one.
        size: pixels a side.
        channels: 1 for grey, 3 for colour.
        heldout: as for `mnist`.
        seed: of the split, and of the classifier or the bins.

    Raises:
        DataError: the images cannot be read, or are not what they should be.
    """
    if channels not in MODES:
        raise ValueError(f"channels must be 1 or 3; got {channels}")
    with hub.opened(path) as splits:
        tables = read(splits, Reading(column, label_column, size, channels), path)
    train, held_out = split(tables["train"], tables.get("test"), heldout, seed, path)
    classes = max(
        (int(t.labels.max()) + 1 for t in tables.values() if t.labels is not None), default=0
    )
    return build(f"images-size{size}-channels{channels}-v1", train, held_out, classes, seed)


def _published(
    source: Published, path: str | None, size: int | None, heldout: int | None, seed: int
) -> Dataset:
    side = size or source.side
    train, held_out = published_banks(source, path, side, heldout, seed)
    return build(f"{source.name}-size{side}-v1", train, held_out, source.classes, seed)


def published_banks(
    source: Published, path: str | None, side: int, heldout: int | None, seed: int
) -> tuple[Table, Table]:
    """The bank to train on and the bank held out, labelled."""
    origin = path or source.repository
    bordered = source.side < side == BORDERED
    reading = Reading(None, "label", side, source.channels, bordered, source.classes)
    opened = hub.opened(path) if path else hub.downloaded(source.repository, source.files)
    with opened as splits:
        tables = read(splits, reading, origin)
    return split(tables["train"], tables.get("test"), heldout, seed, origin)


# --- reading --------------------------------------------------------------------------------------


def read(splits: Mapping[str, Any], reading: Reading, origin: str) -> dict[str, Table]:
    """Every split as arrays: images [N, C, H, W], and labels if there are any.

    Raises:
        DataError: a column is missing or in doubt, or an image or a label is not what it should be.
    """
    found = {name: _columns(rows, reading, f"{origin} ({name})") for name, rows in splits.items()}
    labels = _labels(splits, {name: label for name, (_, label) in found.items()}, reading, origin)
    return {
        name: Table(_pixels(rows, found[name][0], reading, f"{origin} ({name})"), labels.get(name))
        for name, rows in splits.items()
    }


def _columns(rows: Any, reading: Reading, origin: str) -> tuple[str, str | None]:
    """The columns of images and of labels."""
    names = list(rows.features)
    column, label = reading.column, reading.label_column
    if column is None:
        likely = [name for name in names if _is_image(rows.features[name])]
        if len(likely) != 1:
            raise DataError(
                f"{origin}: has {len(likely)} columns of images among {names}; expected one, "
                "of struct<bytes, path>, or its name as data.column"
            )
        (column,) = likely
    if label is None and "label" in names:
        label = "label"
    missing = [name for name in (column, label) if name is not None and name not in names]
    if missing:
        raise DataError(f"{origin}: has no column {missing[0]!r}; its columns are {names}")
    return column, label


def _is_image(feature: Any) -> bool:
    from datasets import Image

    return isinstance(feature, Image) or (
        isinstance(feature, Mapping) and set(feature) == {"bytes", "path"}
    )


def _pixels(rows: Any, column: str, reading: Reading, origin: str) -> Bytes:
    """Images [N, C, side, side], decoded a few at a time."""
    from datasets import Image

    side = reading.side
    pixels = np.empty((len(rows), reading.channels, side, side), dtype=np.uint8)
    try:
        rows = rows.select_columns([column]).cast_column(column, Image(decode=False))
    except (TypeError, ValueError, NotImplementedError) as error:  # Arrow's own are among them
        raise DataError(f"{origin}: column {column!r} holds no images: {error}") from error
    at = 0
    for batch in rows.iter(batch_size=ROWS):
        for cell in batch[column]:
            pixels[at] = _decoded(cell, reading, f"{origin}: row {at}")
            at += 1
    return pixels


def _decoded(cell: Mapping[str, Any] | None, reading: Reading, origin: str) -> Bytes:
    """One image, [C, side, side]."""
    from PIL import Image

    if cell is None or (cell["bytes"] is None and not cell["path"]):
        raise DataError(f"{origin} has no image")
    source = cell["path"] if cell["bytes"] is None else io.BytesIO(cell["bytes"])
    try:
        with Image.open(source) as picture:
            if picture.mode in DEEP:
                raise DataError(f"{origin} has pixels of mode {picture.mode}; expected eight bits")
            fitted = _fitted(picture.convert(MODES[reading.channels]), reading)
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow says of broken files
        raise DataError(f"{origin} is no image that can be read: {error}") from error
    pixels: Bytes = np.asarray(fitted).reshape(reading.side, reading.side, reading.channels)
    return pixels.transpose(2, 0, 1)


def _fitted(picture: "Picture", reading: Reading) -> "Picture":
    """With a black border round it or, if that is not asked for, the middle square, scaled."""
    from PIL import Image, ImageOps

    side = reading.side
    if not reading.bordered:
        return ImageOps.fit(picture, (side, side), Image.Resampling.BILINEAR)
    canvas = Image.new(picture.mode, (side, side))
    canvas.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return canvas


def _labels(
    splits: Mapping[str, Any], columns: Mapping[str, str | None], reading: Reading, origin: str
) -> dict[str, Labels]:
    """Of each split that has any: their place among all labels, or as they are if given classes."""
    raw = {name: list(splits[name][label]) for name, label in columns.items() if label is not None}
    if raw and len(raw) < len(splits):
        raise DataError(f"{origin}: only the split {min(raw)!r} has labels; expected all or none")
    values = {value for column in raw.values() for value in column}
    kinds = {type(value) for value in values}
    if raw and (kinds not in ({int}, {str}) or (kinds == {int} and min(values) < 0)):
        told = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(f"{origin}: labels are {told}; expected integers from 0 on, or words")
    if reading.classes is not None and not values <= set(range(reading.classes)):
        strange = sorted(map(str, values - set(range(reading.classes))))
        raise DataError(f"{origin}: has the label {strange[0]}; expected 0 … {reading.classes - 1}")
    places = {value: place for place, value in enumerate(sorted(values))}
    if reading.classes is not None:
        places = {value: value for value in values}
    return {
        name: np.array([places[value] for value in column], dtype=np.int64)
        for name, column in raw.items()
    }

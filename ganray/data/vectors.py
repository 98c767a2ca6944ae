"""Arrays of the user's own: `.npy`, `.npz` and PyTorch's `.pt` files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganray.data.dataset import Bytes, Dataset, Labels, Samples
from ganray.data.splits import Table, build, split
from ganray.errors import DataError

SUFFIXES = (".npy", ".npz", ".pt")
Array = NDArray[Any]


def vectors(
    *,
    path: str,
    labels: str | None = None,
    conditions: str | None = None,
    heldout: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Samples [N, D], or images [N, C, H, W] in [-1, 1] or as uint8.

    Values are taken as they are, not scaled: a generator must be able to reach them, and losses and
    distances weigh every coordinate alike. Modes are the labels' classes if there are two or more,
    else bins of k-means.

    Args:
        path: a `.npy` array, a `.pt` tensor, or an `.npz` with an array `x` and, if one likes,
            `labels` and `conditions`.
        labels: a `.npy` or `.pt` of integers [N] from 0 on.
        conditions: a `.npy` or `.pt` of numbers [N, K], given to a conditional generator.
        heldout: how many samples to hold out; None: 5,000 or a tenth, whichever is fewer.
        seed: of the split, and of the classifier or the bins.

    Raises:
        DataError: a file cannot be read, or is not what it should be.
    """
    found = _load(path)
    extra = {"labels": labels, "conditions": conditions}
    found |= {name: _single(given) for name, given in extra.items() if given is not None}
    table = _table(found, {"x": path, **{name: given or path for name, given in extra.items()}})
    train, held_out = split(table, None, heldout, seed, path)
    classes = 0 if table.labels is None else int(table.labels.max()) + 1
    return build("vectors-v1", train, held_out, classes, seed)


def _table(found: dict[str, Array], origins: dict[str, str]) -> Table:
    samples = _samples(found["x"], origins["x"])
    for name, array in found.items():
        if len(array) != len(samples):
            raise DataError(
                f"{origins[name]}: has {len(array)} {name}; expected {len(samples)}, one a sample"
            )
    labels, conditions = found.get("labels"), found.get("conditions")
    return Table(
        samples,
        None if labels is None else _labels(labels, origins["labels"]),
        None if conditions is None else _conditions(conditions, origins["conditions"]),
    )


def _samples(array: Array, origin: str) -> Samples | Bytes:
    images = array.ndim == 4
    if array.ndim not in (2, 4) or 0 in array.shape:
        raise DataError(
            f"{origin}: has shape {list(array.shape)}; expected [N, D], or images [N, C, H, W]"
        )
    if images and array.dtype == np.uint8:
        return array
    samples = _finite(array, origin)
    if images and np.abs(samples).max() > 1.0:
        raise DataError(
            f"{origin}: has pixels from {samples.min():g} to {samples.max():g}; "
            "expected [-1, 1], or 0 … 255 as uint8"
        )
    return samples


def _conditions(array: Array, origin: str) -> Samples:
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(f"{origin}: conditions have shape {list(array.shape)}; expected [N, K]")
    return _finite(array, origin)


def _labels(array: Array, origin: str) -> Labels:
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < 0:
        raise DataError(
            f"{origin}: labels are {array.dtype} of shape {list(array.shape)}; "
            "expected integers [N] from 0 on"
        )
    labels: Labels = array.astype(np.int64)
    absent = np.flatnonzero(np.bincount(labels) == 0)
    if len(absent):
        raise DataError(
            f"{origin}: no sample has the label {absent[0]}, the largest is {labels.max()}; "
            "expected every label from 0 to the largest"
        )
    return labels


def _finite(array: Array, origin: str) -> Samples:
    """As single precision."""
    if array.dtype.kind not in "fiu":
        raise DataError(f"{origin}: has values of type {array.dtype}; expected numbers")
    with np.errstate(over="ignore"):  # said below
        values: Samples = array.astype(np.float32)
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise DataError(f"{origin}: has {wrong} values that are not finite; expected numbers")
    return values


# --- files ----------------------------------------------------------------------------------------


def _single(path: str) -> Array:
    found = _load(path)
    if len(found) > 1:
        raise DataError(f"{path}: has the arrays {sorted(found)}; expected one, `x`")
    return found["x"]


def _load(path: str) -> dict[str, Array]:
    """The arrays of a file by name; a single one is `x`."""
    file = Path(path).expanduser()
    if file.suffix not in SUFFIXES:
        raise DataError(f"{path}: is of an unknown kind; expected {', '.join(SUFFIXES)}")
    if not file.is_file():
        raise DataError(f"{path}: does not exist; expected a file")
    try:
        found = _tensor(file) if file.suffix == ".pt" else _arrays(file)
    except Exception as error:  # pickles, archives and headers each fail in their own ways
        told = str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be read: {type(error).__name__}: {told}") from error
    if "x" not in found or not set(found) <= {"x", "labels", "conditions"}:
        raise DataError(
            f"{path}: has the arrays {sorted(found)}; expected x, and perhaps labels and conditions"
        )
    return found


def _arrays(file: Path) -> dict[str, Array]:
    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return {"x": loaded}
    with loaded:
        return dict(loaded)


def _tensor(file: Path) -> dict[str, Array]:
    import torch

    loaded = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(loaded, torch.Tensor):
        raise TypeError(f"a {type(loaded).__name__} where a tensor is expected")
    if loaded.is_floating_point():
        loaded = loaded.float()  # NumPy has no bfloat16
    return {"x": loaded.detach().numpy()}

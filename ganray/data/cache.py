"""Trained classifiers on disk, so that a second start does not train them again."""

import contextlib
import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float32]]
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def folder() -> Path:
    """`$XDG_CACHE_HOME/ganray`, or `~/.cache/ganray`."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "ganray"


def key(*words: object, arrays: Sequence[NDArray[Any]]) -> str:
    """A name for what follows from these words and arrays alone."""
    digest = hashlib.sha256(repr(words).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


def remembered(name: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays kept under a name; made, and kept, if there are none or they cannot be read."""
    path = folder() / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:
            return dict(kept)
    except UNREADABLE:
        arrays = make()
    with contextlib.suppress(OSError):  # a full or read-only disk costs time at the next start only
        _write(path, arrays)
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    """Beside the place, then renamed: nobody reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            np.savez(file, allow_pickle=False, **arrays)
        except OSError:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)

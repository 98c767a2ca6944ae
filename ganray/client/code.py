"""The user's own code: the files of a folder that go with a sweep."""

import os
from collections.abc import Iterator
from pathlib import Path

from ganray.errors import SpecError

MAX_BYTES = 20_000_000
LEFT_OUT = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules", ".mypy_cache"}
    | {".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".tox"}
)
RESERVED = "ganray-"  # how our own files begin


def read_code(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path in it, which is how Python will import it.

    Folders of version control, caches and virtual environments are left out. Links to files are
    followed as long as they stay in the folder; links to folders are refused.

    Raises:
        SpecError: there is no such folder, it is too large, or a file cannot be shipped.
    """
    if not folder.is_dir():
        raise SpecError([f"--code {folder}: no such folder"])
    files: dict[str, bytes] = {}
    size = 0
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        size += _checked_size(folder, path, name)
        if size > MAX_BYTES:
            raise SpecError(
                [
                    f"--code {folder}: is larger than {MAX_BYTES} bytes; give the folder of the "
                    "code alone, and keep data on storage that the cluster reads"
                ]
            )
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            raise _unreadable(folder, error) from None
    return files


def _walk(folder: Path) -> Iterator[Path]:
    """All that is in a folder but its own folders: files, and links to folders, as files."""

    def refuse(error: OSError) -> None:
        raise _unreadable(folder, error)

    for here, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        yield from (Path(here) / name for name in sorted([*names, *links]))


def _checked_size(folder: Path, path: Path, name: str) -> int:
    """The size of a file, in bytes, that may be shipped."""
    if name.startswith(RESERVED):
        raise SpecError([f"--code {folder}: {name}: names that start with {RESERVED} are taken"])
    if not path.resolve().is_relative_to(folder.resolve()):
        raise SpecError([f"--code {folder}: {name} is a link to outside of the folder"])
    if not path.is_file():
        raise SpecError([f"--code {folder}: {name} is no file"])
    return path.stat().st_size


def _unreadable(folder: Path, error: OSError) -> SpecError:
    return SpecError([f"--code {folder}: {error.filename} cannot be read: {error.strerror}"])

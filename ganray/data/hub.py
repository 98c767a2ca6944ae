"""Hugging Face `datasets`, quietly: parquet files, image folders and the Hub."""

import contextlib
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganray.errors import DataError

TIMEOUT = 4.0  # seconds to wait for the Hub before going on without it
SPLITS = ("test", "validation")  # which split is held out, if there is one


@contextlib.contextmanager
def opened(path: str) -> Iterator[Mapping[str, Any]]:
    """The splits of a parquet file, a folder of them, or a folder of images, by name.

    Splits are told by their files' or folders' names, as the Hub does; else all is `train`. What is
    converted on the way lies in a temporary folder, so the splits are gone at the end of the block.

    Raises:
        DataError: there is no such file or folder, or it cannot be read.
    """
    import datasets

    kind, where = _kind(Path(path).expanduser())
    with tempfile.TemporaryDirectory(prefix="ganray-") as cache, _quiet():
        try:
            splits = datasets.load_dataset(kind, **where, cache_dir=cache)
        except Exception as error:  # one of dozens, of several libraries
            raise DataError(f"{path}: cannot be read as {kind}: {_line(error)}") from error
        yield _named(splits)


@contextlib.contextmanager
def downloaded(repository: str, files: str) -> Iterator[Mapping[str, Any]]:
    """The splits of a data set of the Hub, by name; kept in the user's own cache of the Hub.

    Args:
        repository: owner/name.
        files: the parquet files in it, for the error.

    Raises:
        DataError: the Hub cannot be reached and has not been before.
    """
    import datasets

    with _quiet(), _offline_if_unreachable():
        try:
            splits = datasets.load_dataset(repository)
        except Exception as error:
            raise DataError(
                f"{repository} cannot be had from the Hugging Face Hub: {_line(error)}; "
                f"without it, download {files} from https://huggingface.co/datasets/{repository} "
                "and give the file, or the folder that holds them, as data.path"
            ) from error
        yield _named(splits)


def _kind(path: Path) -> tuple[str, dict[str, str]]:
    if path.is_file():
        if path.suffix != ".parquet":
            raise DataError(f"{path}: is no parquet file; expected one, or a folder")
        return "parquet", {"data_files": str(path)}
    if not path.is_dir():
        raise DataError(f"{path}: does not exist; expected a parquet file or a folder")
    if any(path.rglob("*.parquet")):
        return "parquet", {"data_dir": str(path)}
    return "imagefolder", {"data_dir": str(path)}


def _named(splits: Mapping[str, Any]) -> Mapping[str, Any]:
    """As `train` and, if there is one, `test`; without a `train`, all splits are it."""
    from datasets import concatenate_datasets

    if "train" not in splits:
        return {"train": concatenate_datasets(list(splits.values()))}
    test = next((splits[name] for name in SPLITS if name in splits), None)
    return {"train": splits["train"]} | ({} if test is None else {"test": test})


def _line(error: BaseException) -> str:
    """The first line of an error or, where it says more, of what caused it."""
    told = error.__cause__ or error
    return f"{type(told).__name__}: {str(told).strip().partition(chr(10))[0]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no log lines: errors say what there is to say."""
    import datasets
    import huggingface_hub.utils as hub

    with contextlib.ExitStack() as undo:
        for bars in (datasets, hub):
            if not bars.are_progress_bars_disabled():
                bars.disable_progress_bars()
                undo.callback(bars.enable_progress_bars)
        for logs in (datasets.logging, hub.logging):
            undo.callback(logs.set_verbosity, logs.get_verbosity())
            logs.set_verbosity(logs.CRITICAL)
        yield


@contextlib.contextmanager
def _offline_if_unreachable() -> Iterator[None]:
    """Only the cache is looked at, without half a minute of retries, if the Hub does not answer."""
    from datasets import config
    from huggingface_hub import constants

    before = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if not any(before) and not _answers(constants.ENDPOINT):
        config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _answers(url: str) -> bool:
    """Whether there is any answer, by way of the proxies that the environment names."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT):
            return True
    except urllib.error.HTTPError as error:  # an answer, if an unfriendly one
        error.close()
        return True
    except OSError:
        return False

"""Which MLflow store, and a client for it."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ganray.garbage import uncollected

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.store.entities import PagedList

Entity = TypeVar("Entity")
DEFAULT_FILE = "mlflow.db"  # what a plain `mlflow ui` opens, too
PAGE = 1_000  # runs or experiments that are read at a time


def tracking_uri(given: str | None = None) -> str:
    """The store to use: the given one, else `MLFLOW_TRACKING_URI`, else a file here."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or _default_uri()


@cache  # a notebook that changes the working folder keeps its store
def _default_uri() -> str:
    return f"sqlite:///{Path(DEFAULT_FILE).absolute()}"


def is_missing(uri: str) -> bool:
    """Whether the store is a file that is not there: opening it would make it."""
    path = uri.removeprefix("sqlite:///")
    return path != uri and not Path(path).exists()


def open_client(uri: str) -> "MlflowClient":
    """A client for one store; loads MLflow, which takes seconds."""
    # its own retries hold a call for minutes, and make a second run of one whose answer is late
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # stderr is for people
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout for results
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # and of every try
    return MlflowClient(tracking_uri=uri)


def search_runs(client: "MlflowClient", experiments: Sequence[str], where: str) -> "Iterator[Run]":
    """All runs that a filter finds, the latest first.

    Args:
        client: of the store.
        experiments: their identities.
        where: in the words of MLflow's `filter_string`.
    """

    def page(token: str | None) -> "PagedList[Run]":
        with uncollected():  # read from a database, a run is a hundred objects
            return client.search_runs(list(experiments), where, max_results=PAGE, page_token=token)

    return _all_pages(page)


def experiment_ids(client: "MlflowClient") -> list[str]:
    """The identities of all experiments of a store that are not deleted."""
    found = _all_pages(lambda token: client.search_experiments(max_results=PAGE, page_token=token))
    return [experiment.experiment_id for experiment in found]


def _all_pages(page: "Callable[[str | None], PagedList[Entity]]") -> Iterator[Entity]:
    """What all pages hold; the next one is asked for when it is wanted."""
    token: str | None = None
    while token != "":
        found = page(token)
        yield from found
        token = found.token or ""

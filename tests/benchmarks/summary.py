"""What a summary costs beside the bare search for its runs that it is made from."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow

from ganray.summary import summarize
from tests.benchmarks.growth_runs import BUDGET
from tests.benchmarks.recorded import tell_sweep
from tests.benchmarks.results import Rows, ratios, tell
from tests.servers import PostgresServer

TRIALS = 1_000
UPDATES = [BUDGET * (i + 1) // 4 for i in range(4)]
NAME = "summarized"


def summary(runs: int) -> Rows:
    """Seconds of both, alternating in one process, and their ratios."""
    rows: Rows = []
    for kind, store in (("SQLite", sqlite), ("PostgreSQL", postgres)):
        with store() as uri:
            tell_sweep(uri, NAME, TRIALS, UPDATES)
            ways = {"summarize": lambda: summarize(NAME, uri), "search_runs": lambda: search(uri)}
            taken = _alternating(ways, runs)
            rows += ratios(f"summary, {kind}", taken, "search_runs")
    tell(f"a frame of {TRIALS:,} trials; medians of {runs} alternating runs", rows)
    return rows


@contextmanager
def sqlite() -> Iterator[str]:
    """The URI of a fresh store in a file."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/mlflow.db"


@contextmanager
def postgres() -> Iterator[str]:
    """The URI of a fresh store in a database server."""
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder))
        server.start()
        try:
            yield server.make_database("mlflow")
        finally:
            server.stop()


def search(uri: str) -> None:
    """What MLflow itself offers: all runs of the experiment as a frame."""
    mlflow.set_tracking_uri(uri)
    found = mlflow.search_runs(experiment_names=["ganray"], max_results=2 * TRIALS)
    assert len(found) == TRIALS + 1  # the sweep's own run, too


def _alternating(ways: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    for way in ways.values():
        way()  # loads what is loaded once
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(runs):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - start)
    return taken

"""What a study's steps cost against the number of trials, by sampler and by storage."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from optuna.storages import InMemoryStorage

from ganray.spec.models import SweepSpec
from ganray.trial import Outcome
from ganray.tuning import study as studies
from ganray.tuning.patience import PATIENCE
from ganray.tuning.patient_storage import PatientStorage
from ganray.tuning.study import SweepStudy
from tests.benchmarks.growth_runs import growth_spec, ready_made
from tests.benchmarks.results import Rows, row, tell
from tests.servers import PASSWORD, PostgresServer

STEPS = ("ask", "report", "finish")
SAMPLERS = ("random", "tpe", "gp")  # beside the journal; storages beside random search
LAST = 10  # trials, up to each mark, whose steps count
MARKS, ALL_MARKS = (20, 100), (20, 100, 1_000)
SLOW_AFTER = 100  # trials: of the Gaussian process, whose asks take seconds after that


def search(*, full: bool = False) -> Rows:
    """Milliseconds by the clock of asking, reporting and telling; the median of ten trials."""
    rows: Rows = []
    marks = ALL_MARKS if full else MARKS
    for sampler in SAMPLERS:
        rows += _grown("journal", sampler, marks if sampler != "gp" else MARKS)
    for storage in ("memory", "SQLite", "PostgreSQL"):
        rows += _grown(storage, "random", marks)
    return rows


def _grown(storage: str, sampler: str, marks: tuple[int, ...]) -> Rows:
    with _made(storage, sampler, marks[-1]) as study:
        rows = [found for mark in marks for found in _rows(study, mark, f"{storage}, {sampler}")]
    tell(f"a study's steps: {storage}, {sampler}", rows)
    return rows


def _rows(study: SweepStudy, mark: int, case: str) -> Rows:
    taken: dict[str, list[float]] = {step: [] for step in STEPS}
    while study.asked < mark:
        counts = study.asked >= mark - LAST
        for step, seconds in _trial(study).items():
            taken[step] += [1e3 * each for each in seconds] if counts else []
    return [row("search", f"{case}: {s}, {mark} trials", taken[s], "ms") for s in STEPS]


def _trial(study: SweepStudy) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {step: [] for step in STEPS}

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        taken[step].append(time.perf_counter() - began)

    with timed("ask"):
        assignment = study.ask()
    assert assignment is not None
    number = assignment.number
    for update in study.spec.budget.report_updates():
        signals = ready_made(number, update)
        with timed("report"):
            stop = study.report(number, signals).stop
        if stop is not None:
            break
    with timed("finish"):
        study.finish(number, Outcome.COMPLETED)
    return taken


@contextmanager
def _made(storage: str, sampler: str, trials: int) -> Iterator[SweepStudy]:
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        spec = growth_spec(Path(folder), trials, sampler)
        if storage == "memory":
            memory = PatientStorage(InMemoryStorage(), PATIENCE)
            with mock.patch.object(studies, "open_storage", return_value=memory):
                yield SweepStudy.create(spec)
        elif storage == "PostgreSQL":
            server = PostgresServer(Path(folder) / "postgres")
            server.start()
            try:
                server.make_database("optuna")
                url = server.url("optuna", password=False)
                with mock.patch.dict(os.environ, PGUSER=PostgresServer.user, PGPASSWORD=PASSWORD):
                    yield SweepStudy.create(_placed(spec, url))
            finally:
                server.stop()
        else:
            place = folder if storage == "journal" else f"sqlite:///{folder}/optuna.db"
            yield SweepStudy.create(_placed(spec, place))


def _placed(spec: SweepSpec, study: str) -> SweepSpec:
    storage = spec.storage.model_copy(update={"study": study})
    return spec.model_copy(update={"storage": storage})

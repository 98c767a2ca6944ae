"""What a report of twenty metrics costs the trial that waits for it, and the driver.

python -m tests.benchmarks.report FOLDER REPORTS STUDY TRACKING    one sweep, in its own process
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import tune

from ganray.spec.models import SweepSpec
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tuning.cluster import joined
from ganray.tuning.ray_hooks import StudyScheduler
from ganray.tuning.roster import Roster, SweepLimits
from ganray.tuning.study import SweepStudy
from ganray.tuning.sweep import run_experiment
from tests.benchmarks.growth_runs import growth_spec, ready_made
from tests.benchmarks.results import Rows, row, tell
from tests.conftest import sweep_record
from tests.servers import PASSWORD, MlflowServer, PostgresServer

TRIALS, FEW, MANY = 6, 5, 105  # reports a trial; what a sweep costs besides drops out
WAITS = "waits.jsonl"
BEHIND = {"MLflow": "ganray-mlflow", "study": "ganray-study"}  # threads of the driver
PLACES = ("journal, MLflow on SQLite", "PostgreSQL, MLflow over HTTP")


def report(runs: int) -> Rows:
    """Medians over `runs` of what a report takes, by where the study and MLflow's store are."""
    rows: Rows = []
    for place in PLACES:
        found = [_run(place) for _ in range(runs)]
        rows += [
            row("report", f"{place}: {part}", [each[part] for each in found], "ms")
            for part in found[0]
        ]
    tell(f"a report of 20 metrics, two trials at a time; medians of {runs}", rows)
    return rows


def _run(place: str) -> dict[str, float]:
    """Milliseconds a report: as the trial waits for it, and of the driver's processor."""
    few, many = (_sweep(place, reports) for reports in (FEW, MANY))
    each = 1e3 / (TRIALS * (MANY - FEW))
    cpu = {f"driver, {part}": each * (many[part] - few[part]) for part in few if part != "trial"}
    return {"trial": 1e3 * many["trial"], **cpu}


def _sweep(place: str, reports: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        with _servers(Path(folder), place) as (study, tracking):
            given = [folder, str(reports), study, tracking]
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.report", *given],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "PGUSER": PostgresServer.user, "PGPASSWORD": PASSWORD},
            )
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


@contextmanager
def _servers(folder: Path, place: str) -> Iterator[tuple[str, str]]:
    if place == PLACES[0]:
        yield str(folder), f"sqlite:///{folder}/mlflow.db"
        return
    postgres = PostgresServer(folder / "postgres")
    postgres.start()
    mlflow = MlflowServer(folder, postgres.make_database("mlflow"))
    try:
        mlflow.start()
        postgres.make_database("optuna")
        yield postgres.url("optuna", password=False), mlflow.uri
    finally:
        mlflow.kill()
        postgres.stop()


# --- one sweep ------------------------------------------------------------------------------------


class Waiting(tune.Trainable):
    """A trial that trains nothing, and notes for how long it waits after each report."""

    def setup(self, config: dict[str, Any]) -> None:
        self._number, self._updates = config["number"], list(config["updates"])
        self._folder = Path(config["folder"])
        self._left, self._waits = 0.0, list[float]()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self._left:
            self._waits.append(time.perf_counter() - self._left)
        signals = ready_made(self._number, self._updates.pop(0))
        self._left = time.perf_counter()
        return {"signals": signals}

    def cleanup(self) -> None:
        if self._waits:
            with (self._folder / WAITS).open("a") as file:
                file.write(json.dumps(self._waits) + "\n")
        self._waits = []


def one_sweep(folder: Path, reports: int, study: str, tracking: str) -> dict[str, float]:
    """Seconds: of the processor by thread, and the median wait of a trial."""
    spec = _spec(folder, reports, study)
    with joined():
        record = SweepStudy.create(spec)
        mlflow = MlflowRecorder(tracking, "ganray")
        mlflow.start_sweep(sweep_record(name=spec.name, study_id=record.id, updates=reports))
        roster = Roster(record, [mlflow], SweepLimits(None, 0), lambda: 2)
        scheduler = StudyScheduler(roster, silence=3_600.0)
        trainable = tune.with_resources(_placed(folder, spec), {"CPU": 1})
        began = time.thread_time()
        run_experiment(trainable, scheduler, "report/attempt-1", spec)
        loop = time.thread_time() - began
        mlflow.end_sweep(record.outcomes(), cancelled=False)
        while mlflow._waiting:
            time.sleep(0.1)
        behind = {f"its {what} thread": _used_by(name) for what, name in BEHIND.items()}
        scheduler.close()
        mlflow.close()
    return {"its loop": loop, **behind, "trial": _median_wait(folder)}


def _used_by(thread: str) -> float:
    """Seconds of the processor that a thread of this process used so far; 0 if there is none."""
    idents = [t.ident for t in threading.enumerate() if t.name == thread]
    clocks = [time.pthread_getcpuclockid(ident) for ident in idents if ident is not None]
    return sum(map(time.clock_gettime, clocks))


def _placed(folder: Path, spec: SweepSpec) -> type[Waiting]:
    class Placed(Waiting):
        def setup(self, config: dict[str, Any]) -> None:
            given = {"updates": spec.budget.report_updates(), "folder": str(folder)}
            super().setup({**config, **given})

    return Placed


def _spec(folder: Path, reports: int, study: str) -> SweepSpec:
    spec = growth_spec(folder, TRIALS, "random")
    return spec.model_copy(
        update={
            "budget": spec.budget.model_copy(update={"reports": reports}),
            "storage": spec.storage.model_copy(update={"study": study}),
            "prune": None,
        }
    )


def _median_wait(folder: Path) -> float:
    lines = (folder / WAITS).read_text().splitlines()
    waits = sorted(wait for line in lines for wait in json.loads(line))
    return float(waits[len(waits) // 2])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("reports", type=int)
    parser.add_argument("study")
    parser.add_argument("tracking")
    given = parser.parse_args()
    print(json.dumps(one_sweep(given.folder, given.reports, given.study, given.tracking)))


if __name__ == "__main__":
    main()

"""Sweeps of trivial trials, and what their steps take: each runs in a process of its own.

python -m tests.benchmarks.growth_runs tune FOLDER TRIALS SAMPLER      through Ray Tune
python -m tests.benchmarks.growth_runs replay FOLDER TRIALS SAMPLER    the same events, without Ray
python -m tests.benchmarks.growth_runs read FOLDER                     its summary, and its resume

Each prints one JSON value as its last line. Costs are CPU seconds of one thread, so that other work
on the machine does not count; what a user waits for, in `read`, is told by the clock, too.
"""

import argparse
import json
import math
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from ray import tune
from ray.tune.schedulers import TrialScheduler

from ganray.errors import UnknownSweepError
from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from ganray.summary import summarize
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import MemoryRecorder, Recorder
from ganray.tracking.status import StatusRecorder
from ganray.trial import Ending, Signals
from ganray.tuning.cluster import joined
from ganray.tuning.ray_hooks import StudyScheduler, StudySearch
from ganray.tuning.roster import Roster, SweepLimits
from ganray.tuning.study import Assignment, Decision, SweepStudy
from ganray.tuning.sweep import run_experiment
from ganray.tuning.sync import tell_all
from tests.conftest import signals_at, sweep_record

MARKS = (100, 1_000, 10_000)  # trials at which a sweep is read
REPORTS = 10
BUDGET = 1_000
PROBES = 5  # asks that a reading tries


def growth_spec(folder: Path, trials: int, sampler: str) -> SweepSpec:
    """A sweep with the default pruning and a search space of the usual size."""
    rate = {"low": 1e-5, "high": 1e-2, "log": True}
    clip = {"low": 0.001, "high": 1.0, "log": True, "when": {"loss": ["wgan"]}}
    losses = ["minimax", "non_saturating", "lsgan", "hinge", "wgan"]
    space = {"loss": losses, "d_steps": [1, 2, 5], "d_lr": rate, "g_lr": rate, "weight_clip": clip}
    search = {"sampler": sampler, "trials": trials, "concurrency": 2, "space": space}
    raw = {
        "name": "growth",
        "data": {"name": "ring"},
        "search": search,
        "budget": {"updates": BUDGET, "reports": REPORTS},
        "storage": {"results": str(folder)},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db"},
    }
    return parse_sweep(raw)


def ready_made(number: int, update: int) -> Signals:
    """What trial `number` reports: as many signals as one on the ring, most of them healthy."""
    draw = random.Random(f"{number}:{update}")
    final = random.Random(number).uniform(0.0, 0.3)
    distance = final + math.exp(-5.0 * update / BUDGET) * draw.uniform(0.8, 1.0)
    names = ("sliced_distance", "energy_distance", "sliced_wasserstein", "mode_kl", "js", "auc")
    names += ("probe_js", "probe_auc", "overfit_gap", "diversity", "extent", "velocity")
    names += ("sharpness", "progress", "d_loss", "g_loss", "d_grad_norm", "g_grad_norm")
    names += ("d_clipped", "updates_per_second", "measure_seconds")
    values = {name: draw.uniform(0.1, 0.5) for name in names}
    values |= {"modes": 7.5 - final, "mode_ratio": 0.99 - final / 10, "modes_covered": 8.0}
    return signals_at(update, distance=distance, high_quality=0.95, **values)


class ReadyMade(tune.Trainable):
    """A trial that trains nothing."""

    def setup(self, config: dict[str, Any]) -> None:
        self._number, self._report = config["number"], 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        self._report += 1
        return result(self._number, self._report * BUDGET // REPORTS)


def result(number: int, update: int) -> dict[str, Any]:
    """What a worker tells of a report."""
    return {"signals": ready_made(number, update), "kept": ()}


# --- what takes how long --------------------------------------------------------------------------


class Costs:
    """CPU seconds of the calling thread by part; of parts inside of parts each its own."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        began = time.thread_time()
        self._inner.append(0.0)
        try:
            yield
        finally:
            took = time.thread_time() - began
            self.spent[part] += took - self._inner.pop()
            if self._inner:
                self._inner[-1] += took


class TimedStudy(SweepStudy):
    """A study whose steps are timed, with sampler and stock pruner apart."""

    def __init__(self, spec: SweepSpec, study: Any) -> None:
        super().__init__(spec, study)
        self.costs = Costs()
        self._pruner._then = TimedPruner(self._pruner._then, self.costs)

    def ask(self) -> Assignment | None:
        with self.costs.of("ask"):
            return super().ask()

    def report(self, number: int, signals: Signals, at: int | None = None) -> Decision:
        with self.costs.of("report"):
            return super().report(number, signals, at)

    def finish(self, *given: Any, **named: Any) -> Ending | None:
        with self.costs.of("finish"):
            return super().finish(*given, **named)

    def _sampler(self, index: int) -> BaseSampler:
        return TimedSampler(super()._sampler(index), self.costs)


class TimedPruner(BasePruner):
    def __init__(self, pruner: BasePruner, costs: Costs) -> None:
        self._pruner, self._costs = pruner, costs

    def prune(self, study: Any, trial: Any) -> bool:
        with self._costs.of("stock pruner"):
            return self._pruner.prune(study, trial)


def _timed(name: str) -> Callable[..., Any]:
    def call(self: "TimedSampler", *given: Any) -> Any:
        with self.costs.of("sampler"):
            return getattr(self.sampler, name)(*given)

    return call


class TimedSampler(BaseSampler):
    def __init__(self, sampler: BaseSampler, costs: Costs) -> None:
        self.sampler, self.costs = sampler, costs

    infer_relative_search_space = _timed("infer_relative_search_space")
    sample_relative = _timed("sample_relative")
    sample_independent = _timed("sample_independent")
    before_trial = _timed("before_trial")
    after_trial = _timed("after_trial")


class Timed:
    """A recorder, or a scheduler's hook, whose calls are timed as one part."""

    def __init__(self, inner: Any, costs: Costs, part: str) -> None:
        self._inner, self._costs, self._part = inner, costs, part

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*given: Any, **named: Any) -> Any:
            with self._costs.of(self._part):
                return method(*given, **named)

        return call


class Meter(MemoryRecorder):
    """Takes the costs so far whenever a trial has ended; remembers nothing else."""

    def __init__(self, costs: Costs) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._costs = costs
        self._process = psutil.Process()
        self._began = time.thread_time()
        (writer,) = (t for t in threading.enumerate() if t.name == "ganray-mlflow")
        self._writer = time.pthread_getcpuclockid(writer.ident or 0)
        self._reports = 0

    def start_trial(self, trial: Any) -> None:
        """Nothing."""

    def report(self, *_: Any) -> None:
        self._reports += 1

    def evidence(self, *_: Any) -> None:
        """Nothing."""

    def end_trial(self, ending: Ending) -> None:
        row = {
            "trials": len(self.rows) + 1.0,
            "reports": float(self._reports),
            "driver": time.thread_time() - self._began,
            "MLflow writer": time.clock_gettime(self._writer),
            "rss": self._process.memory_info().rss / 2**20,
            "clock": time.monotonic(),
        }
        self.rows.append(row | self._costs.spent)


def prepared(folder: Path, trials: int, sampler: str) -> tuple[TimedStudy, MlflowRecorder, Meter]:
    """A new study, and who hears of it: told already that the sweep has begun."""
    study = TimedStudy.create(growth_spec(folder, trials, sampler))
    record = sweep_record(name="growth", study_id=study.id, trials=trials, updates=BUDGET)
    study.describe(asdict(record))
    mlflow = MlflowRecorder(study.spec.tracking.uri or "", "ganray")
    return study, mlflow, Meter(study.costs)


def listeners(
    study: TimedStudy, folder: Path, mlflow: MlflowRecorder, meter: Meter
) -> list[Recorder]:
    status = Timed(StatusRecorder(folder / "status.json"), study.costs, "status file")
    recorders: list[Any] = [Timed(mlflow, study.costs, "MLflow queue"), status, meter]
    for recorder in recorders:
        recorder.start_sweep(sweep_record(name="growth", study_id=study.id, updates=BUDGET))
    return recorders


# --- runs -----------------------------------------------------------------------------------------


def through_tune(folder: Path, trials: int, sampler: str) -> dict[str, Any]:
    """As the driver does, but for the training."""
    with joined():
        study, mlflow, meter = prepared(folder, trials, sampler)
        recorders = listeners(study, folder, mlflow, meter)
        roster = Roster(study, recorders, SweepLimits(None, 0), lambda: 2)
        scheduler = StudyScheduler(roster, silence=3_600.0)
        trainable = tune.with_resources(ReadyMade, {"CPU": 1})
        run_experiment(trainable, scheduler, "growth/attempt-1", study.spec)
        scheduler.close()
        return ended(mlflow, study, meter)


def replayed(folder: Path, trials: int, sampler: str) -> dict[str, Any]:
    """As Tune would tell of them, one trial after another; read at each of `MARKS`."""
    study, mlflow, meter = prepared(folder, trials, sampler)
    recorders = listeners(study, folder, mlflow, meter)
    roster = Roster(study, recorders, SweepLimits(None, 0), lambda: 1)
    search, scheduler = StudySearch(roster), StudyScheduler(roster)
    readings = {}
    while (config := search.suggest("tune")) != "FINISHED":
        assert config is not None
        _replay(scheduler, config["number"])
        done = len(meter.rows)
        mlflow.wants(0, None)  # waits until the writer has caught up
        if done in MARKS:
            while mlflow._waiting:
                time.sleep(0.1)
            readings[done] = call("read", folder)
            so_far = json.dumps({"rows": meter.rows, "readings": readings})
            (folder / "so-far.json").write_text(so_far)  # a run of hours may be cut short
    scheduler.close()
    return {**ended(mlflow, study, meter), "readings": readings}


def _replay(scheduler: StudyScheduler, number: int) -> None:
    trial: Any = SimpleNamespace(trial_id=f"tune-{number}", config={"number": number})
    for update in scheduler.roster.study.spec.budget.report_updates():
        told = scheduler.on_trial_result(None, trial, result(number, update))
        if told == TrialScheduler.STOP:
            return


def ended(mlflow: MlflowRecorder, study: SweepStudy, meter: Meter) -> dict[str, Any]:
    began = time.perf_counter()
    mlflow.end_sweep(study.outcomes(), cancelled=False)
    mlflow.close()
    assert mlflow.complete
    return {"rows": meter.rows, "end": time.perf_counter() - began}


# --- reading --------------------------------------------------------------------------------------


def read(folder: Path) -> dict[str, float]:
    """Seconds by the clock of what a user waits for, MiB of the process, and what an ask takes."""
    spec = growth_spec(folder, MARKS[-1], "random")
    found: dict[str, float] = {}
    rss = psutil.Process().memory_info

    @contextmanager
    def clocked(part: str) -> Iterator[None]:
        began, cpu = time.perf_counter(), time.process_time()
        yield
        found[part] = time.perf_counter() - began
        found[f"{part}, CPU"] = time.process_time() - cpu

    summarize_once(spec)  # loads MLflow
    before = rss().rss
    with clocked("summary"):
        frame = summarize("growth", spec.tracking.uri)
    found["rows"] = float(len(frame))
    found["summary MiB"] = (rss().rss - before) / 2**20
    before = rss().rss
    with clocked("load"):
        study = SweepStudy.load(spec)
        study.settle()
    found["study MiB"] = (rss().rss - before) / 2**20
    recorder = MlflowRecorder(spec.tracking.uri or "", "ganray")
    with clocked("tell all"):
        told = tell_all([study], [recorder])
    found["told"] = float(sum(each.wanted for each in told))
    with clocked("end"):
        recorder.close()
    for sampler in ("random", "tpe"):
        found |= probed(folder, sampler)
    return found


def summarize_once(spec: SweepSpec) -> None:
    from ganray.tracking.reader import fetch_head

    with suppress(UnknownSweepError):
        fetch_head("nobody", spec.tracking.uri)


def probed(folder: Path, sampler: str) -> dict[str, float]:
    """CPU seconds of an ask, of the sampler and of all else, tried on a copy of the study."""
    spec = growth_spec(folder / "copy", 2 * MARKS[-1], sampler)
    place = folder / "copy" / "growth" / "study.journal"
    place.parent.mkdir(parents=True)
    shutil.copy(folder / "growth" / "study.journal", place)
    try:
        study = TimedStudy.load(spec)
        study.spec = spec
        for _ in range(PROBES):
            study.ask()
    finally:
        shutil.rmtree(folder / "copy")
    spent = study.costs.spent
    parts = ("sampler", "ask")
    return {f"{sampler} {part}": spent[part] / PROBES for part in parts}


def call(kind: str, folder: Path, *arguments: Any) -> Any:
    """What a run in another process found."""
    command = [sys.executable, "-m", "tests.benchmarks.growth_runs", kind, str(folder)]
    command += map(str, arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-5000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["tune", "replay", "read"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("trials", type=int, nargs="?", default=MARKS[0])
    parser.add_argument("sampler", nargs="?", default="random")
    given = parser.parse_args()
    if given.kind == "read":
        found: Any = read(given.folder)
    else:
        run = through_tune if given.kind == "tune" else replayed
        found = run(given.folder, given.trials, given.sampler)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

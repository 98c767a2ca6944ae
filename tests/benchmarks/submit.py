"""From `ganray submit` to the first report of the first trial, on a cluster that is up already."""

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from ganray.client.api import Api, Reply
from ganray.client.sweeps import SweepClient
from ganray.errors import UnknownSweepError
from ganray.spec.load import load_sweep
from ganray.spec.models import SweepSpec
from ganray.tuning.study import RecordedTrial, SweepStudy
from tests.cluster import RealCluster

PATIENCE = 300.0  # seconds
SWEEP = """\
name: {name}
data: {{name: ring}}
search: {{sampler: random, trials: 2, concurrency: 2, space: {{loss: [hinge, lsgan]}}}}
budget: {{updates: 1000, reports: 10}}
storage: {{results: {folder}/results}}
tracking: {{uri: 'sqlite:///{folder}/mlflow.db'}}
"""
COMMAND = "command: Python, imports, the request (submit --dry-run)"
STEPS = {  # of the way, by what ends them
    "asked": "client: the cluster's version, its jobs",
    "uploaded": "client: upload of the package",
    "posted": "client: the job is posted",
    "driver": "Ray: job supervisor, runtime environment, driver's process",
    "joined": "driver: imports, ray.init",
    "begun": "driver: PyTorch and Tune; data, fit, study, lease",
    "launched": "driver: Tune; workers: processes, imports",
    "trained": "worker: networks",
    "reported": "worker: updates up to the first report, and measuring it",
}


class TimedApi(Api):
    """Notes when each request was answered."""

    answered: dict[str, float]

    def call(
        self, method: str, path: str, body: bytes | None = None, *, once: bool = False
    ) -> Reply:
        reply = super().call(method, path, body, once=once)
        self.answered[f"{method} {path.split('/')[2]}"] = time.time()
        return reply


def submit(runs: int) -> None:
    """Medians of `runs` submissions, after one that warms the cluster up."""
    cluster = RealCluster()
    try:
        cluster.start_head()
        with _reached(cluster):
            found = [_run(cluster, f"warm-{number}") for number in range(runs + 1)][1:]
    finally:
        cluster.stop()
    _print(found)


def _print(found: list[dict[str, float]]) -> None:
    print(f"\nfrom `ganray submit` to the first report, seconds; medians of {len(found)}")
    for step in (COMMAND, *STEPS.values(), "all"):
        values = [run[step] for run in found]
        median, low, high = statistics.median(values), min(values), max(values)
        print(f"  {step:62} {median:6.2f}  ({low:.2f} … {high:.2f})")


def _run(cluster: RealCluster, name: str) -> dict[str, float]:
    file = cluster.folder / f"{name}.yaml"
    file.write_text(SWEEP.format(name=name, folder=cluster.folder))
    spec = load_sweep(file)
    command = _dry_run(file)
    client = SweepClient()
    client._api = api = TimedApi(client.address, client._token)
    api.answered = {}
    began = time.time()
    client.submit(spec, wait_pending=0)
    answered = api.answered
    uploaded = answered.get("PUT packages", answered["GET packages"])
    driver = _driver()
    trial = _first_report(spec)
    signals, _, at = trial.reports[0]
    reported = at / 1_000.0
    times = {
        "asked": answered["GET jobs"],
        "uploaded": uploaded,
        "posted": answered["POST jobs"],
        "driver": driver.create_time(),
        "joined": _joined(cluster, driver.pid),
        "begun": SweepStudy.load(spec).record.user_attrs["attempts"][0]["started"] / 1_000.0,
        "launched": trial.assignment.started / 1_000.0,
        "trained": reported - signals.seconds - (signals.measure_seconds or 0.0),
        "reported": reported,
    }
    _until(lambda: client.status(name).has_ended)
    found, last = {COMMAND: command}, began
    for key, step in STEPS.items():
        found[step], last = times[key] - last, times[key]
    found["all"] = command + reported - began
    print(f"  {name}: {found['all']:.1f} s", flush=True)
    return found


def _dry_run(file: Path) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "ganray", "submit", str(file), "--dry-run"]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def _driver() -> psutil.Process:
    """The process that drives the only sweep that runs; not the shell that Ray starts it in."""
    return _until(_find_driver)


def _find_driver() -> psutil.Process | None:
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command[1:] == ["-m", "ganray.job"]:
            return process
    return None


def _first_report(spec: SweepSpec) -> RecordedTrial:
    return _until(lambda: _reported(spec))


def _reported(spec: SweepSpec) -> RecordedTrial | None:
    try:
        trials = [t for t in SweepStudy.load(spec).recorded() if t.reports]
    except UnknownSweepError:
        return None
    return min(trials, key=lambda trial: trial.reports[0][2], default=None)


def _joined(cluster: RealCluster, pid: int) -> float:
    """When a driver's core began to log, which is at the end of `ray.init`."""
    logs = cluster.folder.glob("*/session_2*/logs/python-core-driver-*")
    (log,) = [log for log in logs if log.stem.endswith(f"_{pid}")]
    line = re.search(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ", log.read_text())
    assert line is not None, log
    moment = datetime.strptime(line[1], "%Y-%m-%d %H:%M:%S").timestamp()
    return moment + int(line[2]) / 1_000.0


def _until(look: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            raise SystemExit("the cluster took too long")
        time.sleep(0.1)
    return found


@contextmanager
def _reached(cluster: RealCluster) -> Iterator[None]:
    """As a user has it who reaches the cluster."""
    before = dict(os.environ)
    os.environ |= {"RAY_ADDRESS": cluster.address, "RAY_AUTH_TOKEN": cluster.token}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before

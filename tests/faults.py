"""Small sweeps whose processes are killed, stopped and hindered, each beside one left in peace."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from ganray.errors import GanrayError
from ganray.spec.load import load_sweep
from ganray.spec.models import SweepSpec
from ganray.trial import Outcome
from ganray.tuning.study import SweepStudy

REPORTS = 30
TRIAL = "Trainable.train"  # as Ray calls a process that trains
LOADING = "loading Ray, "  # a driver's first words
BEHIND = "did not reach it; the study has them"  # what it says at its end if MLflow lacks a part
# random, so that what a trial is does not depend on the others; a rule may stop a trial early, too
SWEEP: dict[str, Any] = {
    "name": "fault",
    "data": {"name": "ring"},
    "search": {
        "sampler": "random",
        "trials": 4,
        "concurrency": 2,
        "space": {"loss": ["hinge", "lsgan"], "d_lr": {"low": 1e-4, "high": 1e-2, "log": True}},
    },
    "budget": {"updates": 3_000, "reports": REPORTS},
    "prune": {"risk": 0.02, "then": "none"},
}


class Sweep:
    """One sweep with a folder of its own, driven by processes of its own.

    Args:
        folder: of its file, its results and its MLflow store.
        parts: of the sweep file that differ.
    """

    def __init__(self, folder: Path, **parts: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = folder / "fault.yaml"
        own = {
            "storage": {"results": str(folder / "results")},
            "tracking": {"uri": f"sqlite:///{folder}/mlflow.db"},
        }
        self.file.write_text(yaml.safe_dump({**SWEEP, **own, **parts}))
        self.log = folder / "log"
        self._drivers: list[Driver] = []

    def close(self) -> None:
        """Leave no process behind, whatever the test came to."""
        for driver in self._drivers:
            if driver.process.poll() is None:
                driver.kill_all()

    @property
    def spec(self) -> SweepSpec:
        """As its file has it."""
        return load_sweep(self.file)

    @property
    def is_to_be_synced(self) -> bool:
        """Whether its last driver said that MLflow lacks a part of it, and how to bring that."""
        return BEHIND in self.log.read_text().rpartition(LOADING)[2]

    def start(self, *command: str, environment: Mapping[str, str] | None = None) -> "Driver":
        """A driver in a process group of its own; by default `ganray run`."""
        arguments = command or ("run", str(self.file))
        env = {**os.environ, "COLUMNS": "160", "OMP_NUM_THREADS": "1", **(environment or {})}
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ganray", *arguments],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
            )
        self._drivers.append(Driver(process, self))
        return self._drivers[-1]

    def run(self, *command: str, code: int = 0) -> None:
        """Run a command of ganray to its end."""
        driver = self.start(*command)
        assert driver.process.wait(500) == code, self.log.read_text()

    def resume(self, *settings: str, code: int = 0) -> None:
        """Go on with it, here, to its end."""
        place = ("--storage", str(self.folder / "results"))
        self.run("resume", self.spec.name, *place, *settings, code=code)

    def outcomes(self) -> dict[int, Outcome]:
        """Of all trials that have one by now."""
        try:
            return SweepStudy.load(self.spec).outcomes()
        except GanrayError:  # there is no study yet
            return {}

    def reports(self) -> int:
        """How many reports were recorded by now."""
        try:
            return sum(len(t.reports) for t in SweepStudy.load(self.spec).recorded())
        except GanrayError:
            return 0


class Driver:
    """A process that drives a sweep, with all that it started."""

    def __init__(self, process: "subprocess.Popen[bytes]", sweep: Sweep) -> None:
        self.process = process
        self.sweep = sweep

    def wait_until(self, condition: Callable[[], bool], seconds: float = 400.0) -> None:
        """Wait for something to happen while the driver runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.sweep.log.read_text()
            assert time.monotonic() < deadline, self.sweep.log.read_text()
            time.sleep(0.2)

    def wait_for_reports(self, count: int) -> None:
        """Wait until so many reports are in the study."""
        self.wait_until(lambda: self.sweep.reports() >= count)

    def wait(self, code: int = 0, seconds: float = 500.0) -> None:
        """Wait for its end."""
        assert self.process.wait(seconds) == code, self.sweep.log.read_text()

    def kill_a_trial(self) -> None:
        """SIGKILL to a process that trains, as soon as there is one."""
        self._kill_one(TRIAL)

    def kill_an_engine(self) -> None:
        """SIGKILL to a process in whose slots trials train, as soon as there is one."""
        self._kill_one("EngineActor.step")

    def _kill_one(self, title: str) -> None:
        family = psutil.Process(self.process.pid)
        self.wait_until(lambda: any(titled(family, title)))
        with suppress(psutil.NoSuchProcess):
            next(titled(family, title)).kill()

    def kill_all(self) -> None:
        """SIGKILL to the driver and to every process that it started: a machine that is gone."""
        family = [*psutil.Process(self.process.pid).children(recursive=True)]
        self.process.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def kill(self) -> None:
        """SIGKILL to the driver alone: what it started notices by itself."""
        self.process.kill()
        self.process.wait()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> float:
        """Send a signal; returns how many seconds it took until the driver had ended."""
        start = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(120)
        return time.monotonic() - start


def titled(family: psutil.Process, title: str) -> Iterator[psutil.Process]:
    """The processes below another one that do what Ray calls so."""
    for process in family.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if title in " ".join(process.cmdline()):
                yield process

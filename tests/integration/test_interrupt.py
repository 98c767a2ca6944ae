"""Ctrl-C, and what a sweep does when its time or its patience with crashes is over."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from ganray.summary import summarize
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import MemoryRecorder
from ganray.trial import Outcome
from ganray.tuning.driver import run_sweep
from tests.integration.conftest import make_spec

pytestmark = pytest.mark.slow

SWEEP = """
name: long
data: {name: ring}
search: {sampler: random, trials: 50, concurrency: 2, space: {loss: [hinge, lsgan]}}
budget: {updates: 20000, reports: 100}
prune: null
"""


def test_ctrl_c_cancels_running_trials_and_leaves_no_run_running(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text(SWEEP)
    log = tmp_path / "log"
    command = [sys.executable, "-m", "ganray", "run", "long.yaml", "--storage", "results"]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=out, stderr=out, env={**os.environ, "COLUMNS": "120"}
        )
        _wait_for(log, "trial 0 ")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 1, log.read_text()

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    frame = summarize("long", uri)
    assert set(frame["outcome"]) == {"cancelled"}
    assert set(frame["trial"]) == {0, 1}
    client = MlflowClient(uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    statuses = {run.info.status for run in client.search_runs(experiments)}
    assert statuses == {"KILLED"}
    assert "Traceback" not in log.read_text()
    assert "2 cancelled" in log.read_text()


def _wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + 300
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)


@pytest.mark.usefixtures("local_ray")
def test_a_sweep_whose_hours_are_over_cancels_what_runs(tmp_path: Path) -> None:
    spec = make_spec(
        tmp_path, "hours", budget={"updates": 1_000_000, "reports": 10_000, "hours": 0.002}
    )
    memory = MemoryRecorder()
    result = run_sweep(spec, [memory, MlflowRecorder(spec.tracking.uri or "", "ganray")])
    assert set(result.outcomes.values()) == {Outcome.CANCELLED}
    assert result.cancelled
    assert result.reason == "the sweep's hours are over"
    frame = summarize("hours", spec.tracking.uri)
    assert set(frame["outcome"]) == {"cancelled"}
    assert set(frame["reason"]) == {"the sweep's hours are over"}


@pytest.mark.usefixtures("local_ray")
def test_a_killed_process_is_no_crash_of_its_trial(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, "killed", budget={"updates": 6_000, "reports": 60})
    memory = MemoryRecorder()
    recorders = [memory, MlflowRecorder(spec.tracking.uri or "", "ganray")]
    sweep = threading.Thread(target=run_sweep, args=(spec, recorders), daemon=True)
    sweep.start()
    while not memory.reports:
        time.sleep(0.1)
    ours = psutil.Process().children(recursive=True)  # others may run sweeps on this machine, too
    actors = [p for p in ours if "Trainable.train" in " ".join(_command(p))]
    actors[0].kill()
    sweep.join(timeout=300)
    assert not sweep.is_alive()
    assert [ending.outcome for ending in memory.endings.values()] == ["completed"] * 4
    assert sum(ending.retries for ending in memory.endings.values()) == 1
    frame = summarize("killed", spec.tracking.uri)
    assert list(frame["outcome"]) == ["completed"] * 4
    assert frame["retries"].sum() == 1
    assert all(len(reports) == 60 for reports in memory.reports.values())


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.usefixtures("local_ray")
def test_a_sweep_with_too_many_crashes_starts_no_more_trials(tmp_path: Path) -> None:
    spec = make_spec(
        tmp_path,
        "crashes",
        trainer={"latent_dim": 10**11},
        search={"trials": 20, "concurrency": 1, "space": {"loss": ["hinge", "lsgan"]}},
        budget={"updates": 300, "reports": 3, "failures": 2},
    )
    result = run_sweep(spec, [])
    assert list(result.outcomes.values()) == [Outcome.CRASHED] * 3
    assert result.reason == "3 trials crashed, more than budget.failures 2"

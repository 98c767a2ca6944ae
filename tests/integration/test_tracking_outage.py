"""The tracking server may be away: the sweep neither waits nor fails, and catches up."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from ganray.summary import history, summarize
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import MemoryRecorder
from ganray.tuning.driver import run_sweep
from tests.integration.conftest import make_spec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_until_healthy(port)
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def _wait_until_healthy(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                assert answer.status == 200
                return
        except OSError:
            assert time.monotonic() < deadline, "the MLflow server did not start"
            time.sleep(0.5)


def test_a_sweep_that_starts_before_its_tracking_server_is_recorded_whole(tmp_path: Path) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    spec = make_spec(tmp_path, "outage", tracking={"uri": uri})
    memory = MemoryRecorder()
    recorder = MlflowRecorder(uri, "ganray")
    sweep = threading.Thread(target=lambda: run_sweep(spec, [memory, recorder]), daemon=True)
    sweep.start()
    while memory.outcomes is None:  # the whole sweep runs while the server is away
        time.sleep(0.2)
    with mlflow_server(tmp_path, port):
        sweep.join(timeout=120)
        assert not sweep.is_alive()
        frame = summarize("outage", uri)
        reports = history("outage", uri)
    assert list(frame["outcome"]) == ["completed"] * 4
    assert list(frame["objective"]) == [memory.endings[n].objective for n in range(4)]
    assert len(reports) == sum(len(found) for found in memory.reports.values())

"""The tracking server may be away: the sweep neither waits nor fails, and catches up."""

import threading
import time
from pathlib import Path

import pytest

from ganray.summary import history, summarize
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import MemoryRecorder
from ganray.tuning.driver import run_sweep
from tests.integration.conftest import make_spec
from tests.servers import MlflowServer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]


def test_a_sweep_that_starts_before_its_tracking_server_is_recorded_whole(tmp_path: Path) -> None:
    server = MlflowServer(tmp_path, f"sqlite:///{tmp_path}/server.db")
    uri = server.uri
    spec = make_spec(tmp_path, "outage", tracking={"uri": uri})
    memory = MemoryRecorder()
    recorder = MlflowRecorder(uri, "ganray")
    sweep = threading.Thread(target=lambda: run_sweep(spec, [memory, recorder]), daemon=True)
    sweep.start()
    while memory.outcomes is None:  # the whole sweep runs while the server is away
        time.sleep(0.2)
    server.start()
    try:
        sweep.join(timeout=120)
        assert not sweep.is_alive()
        frame = summarize("outage", uri)
        reports = history("outage", uri)
    finally:
        server.kill()
    assert list(frame["outcome"]) == ["completed"] * 4
    assert list(frame["objective"]) == [memory.endings[n].objective for n in range(4)]
    assert len(reports) == sum(len(found) for found in memory.reports.values())

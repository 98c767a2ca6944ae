"""`ganray ui` with MLflow's real server: it answers when it says so, and leaves nothing behind."""

import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.cluster import free_ports

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ui_answers_when_it_says_so_and_leaves_no_process(
    number: int, store: str, here: Path
) -> None:
    (port,) = free_ports(1)
    program = subprocess.Popen(
        [sys.executable, "-m", "ganray", "ui", "--tracking-uri", store, "--port", str(port)],
        text=True,
        stdout=subprocess.PIPE,
    )
    assert program.stdout is not None
    try:
        address = f"http://127.0.0.1:{port}"
        told = program.stdout.readline()
        assert told == f"The MLflow UI of {store} is at {address} (Ctrl-C ends it)\n"
        with urlopen(address, timeout=5.0) as answer:
            assert "MLflow" in answer.read().decode()
        started = psutil.Process(program.pid).children(recursive=True)
        assert started
        program.send_signal(number)
        program.wait(15.0)
        _, left = psutil.wait_procs(started, timeout=5.0)
        assert left == []
    finally:
        program.kill()
        program.communicate()

"""A short seed of `make chaos`, and that it tidies up after itself."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.chaos.campaign import MARK

pytestmark = pytest.mark.slow

CHAOS = [sys.executable, "-m", "tests.chaos"]
ROOT = Path(__file__).parents[2]


def in_folder(folder: Path) -> list[psutil.Process]:
    """Processes that a campaign in this folder started, whatever became of their parents."""
    found = []
    for process in psutil.process_iter():
        try:
            given = process.environ()
            if MARK in given and given["RAY_TMPDIR"].startswith(str(folder)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def folder_of(log: Path) -> Path:
    return Path(log.read_text().splitlines()[0].rpartition(" in ")[2])


def test_short_seed_of_chaos_loses_nothing(tmp_path: Path) -> None:
    output, log = tmp_path / "chaos.json", tmp_path / "log"
    command = [*CHAOS, "--seed", "8", "--minutes", "0.5", "--grounds", "files"]
    with log.open("w") as out:
        done = subprocess.run(
            [*command, "--output", str(output)], cwd=ROOT, stdout=out, stderr=out, check=False
        )
    assert done.returncode == 0, log.read_text()
    told = json.loads(output.read_text())
    assert (told["seed"], told["losses"]) == (8, 0)
    assert sum(told["faults"].values()) >= 1
    assert len(told["sweeps"]) >= 1
    assert "0  sweeps with a loss" in log.read_text()
    assert in_folder(folder_of(log)) == []
    assert not folder_of(log).exists()


def test_interrupted_chaos_leaves_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*CHAOS, "--grounds", "files"],
            cwd=ROOT,
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    deadline = time.monotonic() + 120.0
    while "seed" not in log.read_text() or len(in_folder(folder_of(log))) < 3:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130, log.read_text()
    assert "Traceback" not in log.read_text()
    assert in_folder(folder_of(log)) == []
    assert not folder_of(log).exists()

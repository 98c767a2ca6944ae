"""What `make demo` says while people wait."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_demo_says_what_takes_long_before_it_begins() -> None:
    told = ["make", "--dry-run", "--always-make", "--no-print-directory", "demo"]
    done = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    (install,) = (n for n, line in enumerate(lines) if "--editable" in line)
    (run,) = (n for n, line in enumerate(lines) if "ganray run" in line)
    assert "--quiet" not in lines[install]
    assert any(line.startswith('echo "Setting up') for line in lines[:install])
    assert lines[run - 1].startswith('echo "Running')

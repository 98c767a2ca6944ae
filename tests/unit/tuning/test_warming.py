"""As many processes are warmed up as trials will run at first."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from ganray.tuning.warming import NEEDED, first_trials
from tests.conftest import small_spec


@pytest.mark.parametrize(
    ("cpus", "search", "cpu", "expected"),
    [
        (8.0, {"trials": 20}, 1, 8),
        (8.0, {"trials": 3}, 1, 3),
        (8.0, {"trials": 20, "concurrency": 2}, 1, 2),
        (8.0, {"trials": 20}, 3, 2),
        (0.0, {"trials": 20}, 1, 0),
    ],
)
def test_processes_are_as_many_as_trials_run_at_first(
    cpus: float, search: dict[str, int], cpu: int, expected: int, tmp_path: Path
) -> None:
    spec = small_spec(tmp_path, search=search, resources={"cpu": cpu})
    assert first_trials(spec, cpus) == expected


def test_process_loads_what_a_trial_is() -> None:
    assert import_module(NEEDED).GanTrial


def test_driver_has_loaded_little_when_it_asks_for_them() -> None:
    """Else there would be no time left in which they could load side by side."""
    heavy = {"torch", "optuna", "pandas", "mlflow", "sqlalchemy"}
    code = "import sys, ganray.tuning.job; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
    assert "ray" in done.stdout.split()

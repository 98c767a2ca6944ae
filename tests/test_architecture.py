"""What is loaded when: each part of ganray needs only what it says that it needs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HEAVY = ("torch", "ray", "mlflow", "pandas", "optuna", "matplotlib")
CASES = {
    "import ganray": ("import ganray", HEAVY),
    "ganray.load_sweep": ("import ganray; ganray.load_sweep", HEAVY),
    "the command line": ("import ganray.cli.app", HEAVY),
    "checking a sweep": ("import ganray.spec.load", HEAVY),
    "the shared words": (
        "import ganray.trial, ganray.errors, ganray.health.judge, ganray.health.rules, "
        "ganray.health.endings",
        (*HEAVY, "numpy", "pydantic", "sklearn", "scipy", "ruamel", "rich", "typer"),
    ),
    "the summary": ("import ganray.summary", ("torch", "ray", "optuna", "mlflow")),
    "the figures": (
        "import ganray.report.collapse_map, ganray.report.importance",
        ("torch", "ray", "mlflow"),
    ),
    "the report": ("import ganray.report.files, ganray.cli.reporting", ("torch", "ray", "mlflow")),
    "the client": ("import ganray.client.sweeps, ganray.client.recorded", HEAVY),
    "reading": ("import ganray.tracking.reader", HEAVY),
    "recording": ("import ganray.tracking.mlflow_recorder", HEAVY),
    "training": (
        "import ganray.gan.trainer, ganray.health.measure",
        ("ray", "optuna", "mlflow", "pandas", "sklearn", "pydantic", "ruamel", "rich", "typer"),
    ),
    "replaying": ("import ganray.tuning.replay.compare", ("ray", "mlflow", "torch", "pandas")),
    "the study": ("import ganray.tuning.study", ("ray", "mlflow", "torch")),
}


def loaded_by(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after some code."""
    tell = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", f"{code}\n{tell}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_loaded_that_is_not_needed(case: str) -> None:
    code, unwanted = CASES[case]
    found = loaded_by(code)
    assert "ganray" in found
    assert found & set(unwanted) == set()


@pytest.mark.parametrize("command", ["run", "replay", "submit", "resume", "stop"])
def test_help_loads_nothing_heavy(command: str) -> None:
    code = (
        "import sys\n"
        "from ganray.cli.app import main\n"
        f"sys.argv = ['ganray', '{command}', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 0"
    )
    found = loaded_by(code)
    assert {"ganray", "typer"} <= found
    assert found & {*HEAVY, "numpy", "ruamel", "matplotlib"} == set()


def test_validating_a_file_needs_no_torch(tmp_path: Path) -> None:
    sweep = Path(__file__).parents[1] / "sweeps" / "ring.yaml"
    code = (
        "import sys\n"
        "from ganray.cli.app import main\n"
        f"sys.argv = ['ganray', 'validate', {str(sweep)!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 0"
    )
    assert loaded_by(code) & {"torch", "ray", "mlflow", "pandas"} == set()


def test_files_that_are_no_code_are_shipped() -> None:
    root = Path(__file__).parents[1]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["ganray"]
    files = [p.relative_to(root / "ganray") for p in (root / "ganray").rglob("*") if p.is_file()]
    others = [path for path in files if path.suffix not in (".py", ".pyc")]
    assert len(others) >= 5
    assert [path for path in others if not any(map(path.match, patterns))] == []

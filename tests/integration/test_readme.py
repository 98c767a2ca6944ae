"""Every command and every Python line of the README does what it says, in its order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ganray.spec.load import parse_sweep

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("ganray ")]


def test_the_sweeps_of_the_readme_are_valid() -> None:
    sweeps = [parse_sweep(YAML(typ="safe", pure=True).load(text)) for text in blocks("yaml")]
    assert [sweep.name for sweep in sweeps] == ["ring", "mine"]


def test_links_and_files_of_the_readme_exist() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
    for path in re.findall(r"`((?:ganray|sweeps|tests)/[\w/.-]+)`", README):
        assert (ROOT / path).exists(), path


def test_the_pruner_works_in_a_plain_study_as_the_readme_shows_it(tmp_path: Path) -> None:
    (code,) = [block for block in blocks("python") if "HealthPruner" in block]
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "COMPLETE" in done.stdout
    assert "PRUNED" in done.stdout
    assert "ray" not in done.stderr


def test_every_command_of_the_readme_runs(tmp_path: Path) -> None:
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    words = ("ganray.run_sweep", "ganray.compare", "load_model")  # one goes on where another ends
    python = [block for word in words for block in blocks("python") if word in block]
    assert len(commands()) >= 5
    assert len(python) == len(words)
    steps = [[sys.executable, "-m", *command] for command in commands()]
    steps.append([sys.executable, "-c", "".join(python)])
    for step in steps:
        done = subprocess.run(
            step, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (step, done.stdout, done.stderr)

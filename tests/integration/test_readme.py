"""Every command and every Python line of the README does what it says, in its order."""

import os
import re
import shlex
import shutil
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


def shorten(sweep: Path) -> None:
    """A fifth of the updates of each trial: as many as the README gives the sweep that it runs."""
    text = sweep.read_text(encoding="utf-8")
    assert text.count("updates: 10000") == 1
    sweep.write_text(text.replace("updates: 10000", "updates: 2000"), encoding="utf-8")


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
    shutil.copytree(ROOT / "sweeps", tmp_path / "sweeps")
    shorten(tmp_path / "sweeps" / "ring.yaml")
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


# --- a cluster of one machine ---------------------------------------------------------------------

# a network, processes and a place for Ray of its own: the usual ports are free, `ray stop` ends
# nobody else's Ray, and what is left over dies with the first process
APART = ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
ALONE = "ip link set lo up && mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray"
STARTED = (  # a person looks twice
    "until ganray status ring --json | grep -q '\"update\": [1-9]'; do sleep 1; done"
)


def can_be_apart() -> bool:
    if not all(shutil.which(program) for program in ("unshare", "ip")):
        return False
    done = subprocess.run([*APART, "bash", "-c", ALONE], capture_output=True, check=False)
    return done.returncode == 0


def test_a_cluster_of_one_machine_is_started_used_and_ended_as_the_readme_shows_it(
    tmp_path: Path,
) -> None:
    if not can_be_apart():
        pytest.skip("needs Linux, and the right to make namespaces")
    (block,) = [block for block in blocks("console") if "--node-ip-address=127.0.0.1" in block]
    steps = [line.removeprefix("$ ") for line in block.splitlines()]
    steps.insert(1 + next(i for i, s in enumerate(steps) if "ganray status" in s), STARTED)
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {key: os.environ[key] for key in ("LANG", "PYTHONPATH") if key in os.environ}
    done = subprocess.run(
        [*APART, "bash", "-euxc", "\n".join([ALONE, *steps])],
        cwd=tmp_path,
        env={**kept, "HOME": str(tmp_path), "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "next: ganray status ring " in done.stderr
    assert "\nring: running" in done.stdout
    assert "\nring: stopped" in done.stdout
    assert re.search(r"^ring: \d+ trials, .*cancelled$", done.stdout, re.MULTILINE)
    assert "Stopped all" in done.stdout + done.stderr

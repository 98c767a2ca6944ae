"""Secrets that a sweep could tell, planted; then everything that it wrote is searched for them."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

PLANTED = {
    "RAY_AUTH_TOKEN": "pl4nted" + "0123456789abcdef" * 4,
    "MLFLOW_TRACKING_PASSWORD": "pl4nted-tr4cking",
    "PGPASSWORD": "pl4nted-d4tabase",
}
IN_A_URL = "pl4nted-in-a-url"
# a generator that fails in training with all that it knows; built and tried once, it works
NETS = f"""
import os
from torch import nn

class Generator(nn.Module):
    def __init__(self, shape, latent_dim):
        super().__init__()
        self.net, self.calls = nn.Linear(latent_dim, shape[0]), 0

    def forward(self, latents):
        self.calls += 1
        if self.calls > 30:
            told = [os.environ[name] for name in {list(PLANTED)}]
            raise RuntimeError(f"no {{told}} at http://me:" + "pl4nted-" + "in-a-url@host/x")
        return self.net(latents)

class Discriminator(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.net = nn.Linear(shape[0], 1)

    def forward(self, samples):
        return self.net(samples).squeeze(1)
"""
SWEEP = """
name: planted
data: {name: ring, train_size: 500}
networks: {name: custom, generator: "nets:Generator", discriminator: "nets:Discriminator"}
search: {sampler: random, trials: 2, concurrency: 1, space: {loss: [hinge, lsgan]}}
budget: {updates: 200, reports: 4, failures: 5}
"""
PROGRAM = """
from ganray.tracking import mlflow_recorder
mlflow_recorder.GRACE_SECONDS = 1  # that the end waits for a store which is away
from ganray.cli.app import main
main()
"""


@dataclass
class Told:
    """What a sweep left: a folder with all that it wrote, and what was to be seen meanwhile."""

    folder: Path
    output: str
    arguments: set[str]  # of every process


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """A sweep into a good MLflow store, then another into one that is away."""
    folder = Path(tempfile.mkdtemp(prefix="gp", dir="/tmp"))  # paths of sockets are short
    (folder / "nets.py").write_text(NETS)
    (folder / "s.yaml").write_text(SWEEP)
    away = f"http://me:{IN_A_URL}@127.0.0.1:9"
    output, arguments = "", set[str]()
    try:
        for name, store in (("good", ""), ("away", away)):
            code, out = run(folder, ["run", "s.yaml", "--name", name], store, arguments)
            assert code == 0, out  # the sweep is done, whatever its store has of it
            output += out
        output += run(folder, ["summary", "away"], away, arguments)[1]
        yield Told(folder, output, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path, words: list[str], store: str, arguments: set[str]) -> tuple[int, str]:
    environment = {**os.environ, **PLANTED, "HOME": str(folder), "COLUMNS": "200"}
    environment |= {"RAY_TMPDIR": str(folder / "t"), "RAY_AUTH_MODE": "token"}
    environment |= {"MLFLOW_TRACKING_URI": store} if store else {}
    (folder / "t").mkdir(exist_ok=True)
    log = folder / f"output-{len(list(folder.iterdir()))}"
    with log.open("w") as out:
        process = psutil.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=out,
        )
        deadline = time.monotonic() + 200
        while process.poll() is None:
            assert time.monotonic() < deadline, log.read_text()
            arguments |= set(command_lines(process))
            time.sleep(0.2)
    return process.returncode, log.read_text()


def command_lines(process: psutil.Process) -> Iterator[str]:
    for one in [process, *process.children(recursive=True)]:
        try:
            yield " ".join(one.cmdline())
        except psutil.Error:
            continue


def find(folder: Path) -> list[tuple[str, str]]:
    """The files under a folder that hold a secret, and which."""
    return [
        (str(path.relative_to(folder)), secret)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
        for secret in [*PLANTED.values(), IN_A_URL]
        if secret.encode() in path.read_bytes()
    ]


def test_search_would_find_them(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.pkl").write_bytes(b"\x80" + PLANTED["PGPASSWORD"].encode() + b"\x00")
    assert find(tmp_path) == [("a/b.pkl", PLANTED["PGPASSWORD"])]


def test_trials_crashed_of_the_error_and_say_so_without_secrets(told: Told) -> None:
    assert "2 crashed" in told.output
    assert "RuntimeError: no ['***', '***', '***'] at http://***@host/x" in told.output
    assert "the tracking store http://***@127.0.0.1:9 cannot be read" in told.output


def test_nothing_that_was_written_holds_a_secret(told: Told) -> None:
    written = [path for path in told.folder.rglob("*") if path.is_file()]
    names = {path.name for path in written}
    assert {"mlflow.db", "study.journal", "error.txt"} <= names
    assert [path for path in written if "session_" in str(path) and path.suffix in (".log", ".out")]
    assert find(told.folder) == []


def test_no_process_has_a_secret_in_its_arguments(told: Told) -> None:
    assert len(told.arguments) > 5
    assert any("raylet" in words for words in told.arguments)
    secrets = [*PLANTED.values(), IN_A_URL]
    assert [words for words in told.arguments if any(s in words for s in secrets)] == []

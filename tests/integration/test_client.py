"""The service on a real Ray cluster with a token, from `submit` to the last `status`."""

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from ganray.client import sweeps
from ganray.client.status import SweepStatus
from ganray.client.sweeps import Submission, SweepClient
from ganray.spec.load import load_sweep
from ganray.summary import summarize
from tests.cluster import RealCluster, free_ports
from tests.conftest import Answer

pytestmark = [pytest.mark.slow, pytest.mark.proof]

Program = Callable[..., Answer]
SECONDS = 150.0  # for what takes ten on a machine that has nothing else to do
MINE = """\
from torch import nn

class Generator(nn.Sequential):
    def __init__(self, shape, latent_dim):
        super().__init__(nn.Linear(latent_dim, 8), nn.ReLU(), nn.Linear(8, *shape))

class Discriminator(nn.Sequential):
    def __init__(self, shape):
        super().__init__(nn.Linear(*shape, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))
"""


def write_sweep(cluster: RealCluster, name: str, *, trials: int = 2, updates: int = 600) -> str:
    """A sweep file in the working folder; everything that lasts is in the cluster's folder."""
    Path(f"{name}.yaml").write_text(
        f"name: {name}\n"
        "data: {name: ring, train_size: 1000}\n"
        "networks: {name: mlp, width: 16, depth: 1}\n"
        f"search: {{sampler: random, trials: {trials}, concurrency: 2,\n"
        "  space: {loss: [hinge, lsgan]}}\n"
        f"budget: {{updates: {updates}, reports: {updates // 100}}}\n"
        "prune: null\n"
        f"storage: {{results: {cluster.folder}/results}}\n"
        f"tracking: {{uri: 'sqlite:///{cluster.folder}/mlflow.db'}}\n"
    )
    return f"{name}.yaml"


def store(cluster: RealCluster) -> str:
    return f"sqlite:///{cluster.folder}/mlflow.db"


def until(name: str, holds: Callable[[SweepStatus], bool]) -> SweepStatus:
    """The sweep's status as soon as something holds of it."""
    deadline = time.monotonic() + SECONDS
    while not holds(status := SweepClient().status(name)):
        assert time.monotonic() < deadline, status
        time.sleep(0.3)
    return status


def has_reported(status: SweepStatus) -> bool:
    assert not status.has_ended, status
    return any(trial["signals"] for trial in status.running)


def test_sweep_is_submitted_followed_and_listed(reached: RealCluster, ganray: Program) -> None:
    file = write_sweep(reached, "first", trials=3)
    assert ganray("submit", file)[:2] == (0, "first\n")
    again = ganray("submit", file)
    assert (again.code, again.out) == (0, "first\n")

    log = ganray("logs", "first", "-f").out.splitlines()
    assert sum("first: 3 trials of 600 updates" in line for line in log) == 1
    for number in range(3):
        assert sum(f"trial {number} completed" in line for line in log) == 1
    assert log[-1].endswith("done: 3 completed")
    assert ganray("logs", "first").out.splitlines() == log

    status = json.loads(ganray("status", "first", "--json").out)
    assert (status["state"], status["message"], status["attempt"]) == ("finished", "", 1)
    assert status["trials"] == {
        "total": 3,
        "ended": 3,
        "running": 0,
        "outcomes": {"completed": 3},
    }
    assert status["budget"]["updates"] == {"used": 1_800, "left": 0}
    assert (status["eta_seconds"], status["running"]) == (None, [])
    assert status["cluster"] == {"nodes": 1, "cpus": 2.0, "gpus": 0.0}
    frame = summarize("first", store(reached))
    assert status["best"]["objective"] == frame["objective"].min()
    assert "first" in [found["name"] for found in json.loads(ganray("list", "--json").out)]
    # and what MLflow alone knows is the same
    recorded = json.loads(ganray("status", "first", "--tracking-uri", store(reached), "--json").out)
    for key in ("state", "trials", "objective", "best"):
        assert recorded[key] == status[key], key

    other = ganray("submit", file, "--trials", "4")
    assert (other.code, other.out) == (2, "")
    assert "another sweep named 'first'" in other.err


def test_stopped_sweep_goes_on_where_it_was(reached: RealCluster, ganray: Program) -> None:
    file = write_sweep(reached, "halted", updates=6_000)
    ganray("submit", file)
    running = until("halted", has_reported)
    assert running.state == "running"
    assert {trial["verdict"] for trial in running.running} <= {
        None,
        "warming_up",
        "healthy",
        "suspect",
    }
    refused = ganray("resume", "halted")
    assert (refused.code, refused.out) == (2, "")
    assert "'halted' runs; stop it first with: ganray stop halted" in refused.err

    began = time.monotonic()
    assert ganray("stop", "halted") == (0, "halted: stopped\n", "")
    assert time.monotonic() - began < 30
    assert ganray("stop", "halted") == (0, "halted: stopped\n", "")
    status = SweepClient().status("halted")
    assert (status.state, status.trials and status.trials["running"]) == ("stopped", 0)
    assert statuses(reached, "halted") <= {"KILLED", "FINISHED"}
    refused = ganray("submit", file)
    assert (refused.code, refused.out) == (2, "")
    assert "is stopped; continue it with: ganray resume halted" in refused.err

    assert ganray("resume", "halted", "--trials", "3") == (0, "halted\n", "")
    ganray("logs", "halted", "-f")
    status = SweepClient().status("halted")
    assert (status.state, status.attempt) == ("finished", 2)
    assert status.trials is not None
    assert status.trials["outcomes"] == {"completed": 3}
    frame = summarize("halted", store(reached))
    assert (sorted(frame["trial"]), set(frame["outcome"])) == ([0, 1, 2], {"completed"})


def test_killed_driver_is_failed_with_what_was_known_last(
    reached: RealCluster, ganray: Program
) -> None:
    ganray("submit", write_sweep(reached, "killed", updates=100_000))
    before = until("killed", has_reported)
    (driver,) = [p for p in reached.nodes[0].processes() if is_driver(p)]
    driver.send_signal(signal.SIGKILL)
    status = until("killed", lambda found: found.has_ended)
    assert status.state == "failed"
    assert "exit code" in status.message
    assert status.trials is not None
    assert before.trials is not None
    assert status.trials["total"] == before.trials["total"]
    assert status.running


def is_driver(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[1:] == ["-m", "ganray.job"]
    except psutil.Error:
        return False


def statuses(cluster: RealCluster, name: str) -> set[str]:
    """Of the sweep's runs in MLflow."""
    client = MlflowClient(store(cluster))
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`ganray.sweep` = '{name}'")
    return {run.info.status for run in runs}


def test_code_of_the_user_goes_with_the_sweep(
    reached: RealCluster, ganray: Program, here: Path
) -> None:
    (here / "code" / "mine").mkdir(parents=True)
    (here / "code" / "mine" / "nets.py").write_text(MINE)
    networks = "{name: custom, generator: mine.nets:Generator, "
    networks += "discriminator: mine.nets:Discriminator}"
    file = write_sweep(reached, "own", trials=1)
    options = ["--set", f"networks={networks}", "--code", here / "code"]
    assert ganray("submit", file, *options)[:2] == (0, "own\n")
    assert until("own", lambda found: found.has_ended).state == "finished"


def test_client_of_another_version_is_told_by_status(
    reached: RealCluster, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, file = sweeps.describe_versions(), write_sweep(reached, "older", trials=1)
    with monkeypatch.context() as patch:
        patch.setattr(sweeps, "describe_versions", lambda: {**here, "ganray": "0.0.9"})
        ganray("submit", file)
    status = until("older", lambda found: found.has_ended)
    assert status.state == "failed"
    assert status.message == (
        f"versions do not agree: ganray 0.0.9 at the client, {here['ganray']} on the cluster; "
        "install the same on both"
    )
    # nothing had begun, so it is simply repeated
    assert ganray("submit", file)[:2] == (0, "older\n")
    status = until("older", lambda found: found.has_ended)
    assert (status.state, status.attempt) == ("finished", 2)


def test_two_submissions_at_once_make_one_sweep(reached: RealCluster) -> None:
    spec = load_sweep(write_sweep(reached, "twice", trials=1))
    found: list[Submission] = []
    both = [
        threading.Thread(target=lambda: found.append(SweepClient().submit(spec))) for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert [each.name for each in found] == ["twice", "twice"]
    jobs = SweepClient()._api.get("/api/jobs/", list)
    assert sum("ganray-twice" in (job["submission_id"] or "") for job in jobs) == 1
    assert until("twice", lambda status: status.has_ended).state == "finished"


# --- bad input ------------------------------------------------------------------------------------

# what is asked, in which environment, the exit code and the message
BAD: dict[str, tuple[list[str], dict[str, str], int, str]] = {
    "wrong address": (
        ["submit", "s.yaml", "--address", "http://127.0.0.1:{free}"],
        {},
        1,
        "cannot be reached: Connection refused",
    ),
    "no such host": (["list", "--address", "https://nowhere.invalid"], {}, 1, "cannot be reached"),
    "address that is none": (["list", "--address", "ray://head:10001"], {}, 2, "must start with"),
    "address of something else": (
        ["list", "--address", "http://127.0.0.1:{port}"],
        {},
        1,
        "",
    ),
    "no token": (["list"], {"RAY_AUTH_TOKEN": ""}, 2, "asks for a token: set RAY_AUTH_TOKEN"),
    "wrong or expired token": (
        ["submit", "s.yaml"],
        {"RAY_AUTH_TOKEN": "0123456789abcdef"},
        2,
        "refuses the token: it is wrong or has expired",
    ),
    "token file that is not there": (
        ["list"],
        {"RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": "/none"},
        2,
        "RAY_AUTH_TOKEN_PATH: /none cannot be read",
    ),
    "open cluster of others": (
        ["submit", "s.yaml", "--address", "http://192.0.2.1:8265"],
        {"RAY_AUTH_TOKEN": ""},
        2,
        "refused to submit to http://192.0.2.1:8265 without a token",
    ),
    "status of an unknown sweep": (["status", "nope"], {}, 2, "no sweep named 'nope'"),
    "logs of an unknown sweep": (["logs", "nope", "-f"], {}, 2, "no sweep named 'nope'"),
    "stop of an unknown sweep": (["stop", "nope"], {}, 2, "no sweep named 'nope'"),
    "resume of an unknown sweep": (["resume", "nope"], {}, 2, "no sweep named 'nope'"),
    "name with a path": (["status", "../s"], {}, 2, "the name of a sweep has at most 100 letters"),
    "name with a quote": (["stop", "s'--"], {}, 2, "the name of a sweep has at most 100 letters"),
    "name in the file": (["submit", "s.yaml", "--name", "../s"], {}, 2, "s.yaml: name: must be"),
    "no file": (["submit", "none.yaml"], {}, 2, "none.yaml: no such file"),
    "broken file": (["submit", "s.yaml", "--set", "budget.updates=x"], {}, 2, "a whole number"),
    "large file": (["submit", "large.yaml"], {}, 2, "large.yaml: has 11,000,000 bytes"),
    "password": (
        ["submit", "s.yaml", "--set", "tracking.uri=http://me:hunter22@host"],
        {},
        2,
        "holds a password",
    ),
    "place that does not last": (
        ["submit", "s.yaml", "--storage", "results"],
        {},
        2,
        "storage.results: 'results' is relative",
    ),
    "no code": (["submit", "s.yaml", "--code", "none"], {}, 2, "--code none: no such folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_with_its_exit_code(
    case: str, reached: RealCluster, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, environment, code, message = BAD[case]
    write_sweep(reached, "s")
    if "large.yaml" in arguments:
        Path("large.yaml").write_bytes(b"name: large\n#" + b"x" * (11_000_000 - 13))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    places: dict[str, Any] = {"free": free_ports(1)[0], "port": reached.port}
    began = time.monotonic()
    answer = ganray(*(argument.format(**places) for argument in arguments))
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("ganray: ")
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert "hunter22" not in answer.err
    assert "0123456789abcdef" not in answer.err
    assert time.monotonic() - began < 20

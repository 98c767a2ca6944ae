"""The commands for sweeps elsewhere: what they print where, and their exit codes."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ganray.cli.standing import print_status, print_sweeps
from ganray.client import sweeps
from ganray.client.request import ENTRYPOINT, ENV_VARS
from ganray.client.status import SweepStatus
from ganray.client.sweeps import SweepClient
from ganray.spec.load import load_sweep
from ganray.spec.models import Storage
from ganray.tuning import driver
from ganray.tuning.places import Place
from ganray.tuning.result import SweepResult
from ganray.tuning.study import SweepStudy
from tests.cluster import free_ports
from tests.conftest import Answer, small_spec
from tests.fake_cluster import FakeCluster, serving

Program = Callable[..., Answer]
FILE = """\
name: small
data: {name: ring, train_size: 200}
search: {sampler: random, trials: 3, space: {loss: [hinge, lsgan]}}
budget: {updates: 20, reports: 2}
prune: {risk: null}
storage: {results: /shared/results}
tracking: {uri: http://localhost:5000}
"""
TOLD: dict[str, Any] = {
    "name": "small",
    "attempt": 1,
    "state": "running",
    "trials": {"total": 3, "ended": 1, "running": 1, "outcomes": {"completed": 1}},
    "objective": {"metric": "distance", "mode": "min"},
    "best": {"number": 0, "objective": 0.5, "settings": {"loss": "hinge"}},
    "running": [
        {
            "number": 1,
            "settings": {"loss": "lsgan"},
            "update": 10,
            "verdict": "warming_up",
            "signals": {"distance": 0.75, "modes": 3.0, "js": 0.3},
        }
    ],
    "budget": {
        "trials": {"used": 1, "left": 2},
        "hours": {"used": 0.25, "left": 1.5},
        "updates": {"used": 30, "left": 30},
    },
    "eta_seconds": 65.0,
    "updated": 1_795_341_010.0,
    "tracking_uri": "http://localhost:5000",
}


@pytest.fixture
def cluster(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """One that `RAY_ADDRESS` names, for a user without a token."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    (here / "s.yaml").write_text(FILE)
    with serving(FakeCluster(ray_version=sweeps.describe_versions()["ray"] or "")) as found:
        monkeypatch.setenv("RAY_ADDRESS", found.address)
        yield found


@pytest.fixture
def nowhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No address given, and nobody at the usual one."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    usual = f"http://127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setattr(sweeps, "DEFAULT_ADDRESS", usual)


def tell(cluster: FakeCluster, **changes: Any) -> None:
    cluster.files["ganray-small.json"] = json.dumps({**TOLD, **changes}).encode()


# --- on a cluster ---------------------------------------------------------------------------------


NEXT = """\
next: ganray status small{0}     # how it stands
      ganray logs small -f{0}    # what its driver says, until it ends
      ganray stop small{0}       # end it, with every trial recorded
"""


def test_submit_prints_the_name_alone_and_tells_what_comes_next(
    cluster: FakeCluster, ganray: Program
) -> None:
    assert ganray("submit", "s.yaml") == (0, "small\n", NEXT.format(""))
    again = ganray("submit", "s.yaml")
    assert (again.code, again.out) == (0, "small\n")
    assert again.err == (
        "nothing was sent: 'small' was submitted before, with the same file, and is running\n"
        + NEXT.format("")
    )


def test_sweep_that_is_finished_needs_another_name_to_run_again(
    cluster: FakeCluster, ganray: Program
) -> None:
    ganray("submit", "s.yaml")
    tell(cluster, state="finished")
    (job,) = cluster.jobs.values()
    job["status"] = "SUCCEEDED"
    assert "is finished; to run it again, give another --name\n" in ganray("submit", "s.yaml").err


def test_commands_that_come_next_name_the_cluster_that_the_environment_does_not(
    cluster: FakeCluster, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ganray stop` without an address is about sweeps on this machine."""
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setattr(sweeps, "DEFAULT_ADDRESS", cluster.address)
    option = f" --address {cluster.address}"
    assert ganray("submit", "s.yaml").err == NEXT.format(option)
    assert ganray("submit", "s.yaml", *option.split()).err.endswith(NEXT.format(option))


def test_submit_warns_of_what_the_cluster_must_have_and_sends_it_all_the_same(
    cluster: FakeCluster, ganray: Program, here: Path
) -> None:
    text = FILE.replace("tracking: {uri: http://localhost:5000}\n", "")
    networks = "networks: {name: custom, generator: my_nets:G, discriminator: my_nets:D}\n"
    (here / "s.yaml").write_text(f"{text}{networks}")
    answer = ganray("submit", "s.yaml", "--set", "prune.risk=0.02")
    warnings = [line for line in answer.err.splitlines() if line.startswith("ganray: warning: ")]
    told = [line.removeprefix("ganray: warning: s.yaml: ").partition(":")[0] for line in warnings]
    assert told == [
        "budget.reports",
        "networks.generator",
        "networks.discriminator",
        "tracking.uri",
    ]
    assert (answer.code, answer.out) == (0, "small\n")


def test_code_of_the_folder_here_is_not_left_here_by_mistake(
    cluster: FakeCluster, ganray: Program, here: Path
) -> None:
    (here / "my_nets.py").write_text("")
    networks = "networks: {name: custom, generator: my_nets:G, discriminator: my_nets:D}\n"
    (here / "s.yaml").write_text(f"{FILE}{networks}")
    for option in ([], ["--dry-run"]):
        answer = ganray("submit", "s.yaml", *option)
        assert (answer.code, answer.out) == (2, "")
        assert "ganray: networks.generator: my_nets:G is in the folder here" in answer.err
        assert "add --code FOLDER" in answer.err
    assert cluster.jobs == {}
    image = ["--dry-run", "--kuberay", "--image", "me/ganray:1"]
    assert ganray("submit", "s.yaml", *image).code == 0
    assert ganray("submit", "s.yaml", "--code", ".") == (0, "small\n", NEXT.format(""))


def test_options_of_submit_change_the_sweep_as_those_of_run(
    cluster: FakeCluster, ganray: Program
) -> None:
    options = ["--trials", "7", "--seed", "5", "--no-prune", "--name", "other"]
    options += ["--set", "loss=hinge", "--tracking-uri", "http://m:5000", "--storage", "s3://b/x"]
    options += ["--register", "ring-g"]
    answer = ganray("submit", "s.yaml", *options, "--dry-run")
    sweep = json.loads(answer.out)["files"]["ganray-request.json"]["sweep"]
    assert (sweep["name"], sweep["search"]["trials"], sweep["search"]["seed"]) == ("other", 7, 5)
    assert (sweep["prune"], sweep["trainer"]) == (None, {"loss": "hinge"})
    assert sweep["tracking"] == {"uri": "http://m:5000", "register": "ring-g"}
    assert sweep["storage"] == {"results": "s3://b/x"}


def test_dry_run_is_the_request_and_asks_nobody(
    cluster: FakeCluster, ganray: Program, here: Path
) -> None:
    (here / "code").mkdir()
    (here / "code" / "mine.py").write_text("x = 1")
    answer = ganray("submit", "s.yaml", "--code", "code", "--dry-run")
    request = SweepClient().request(load_sweep("s.yaml"), Path("code"))
    assert (answer.code, answer.out) == (0, f"{request.to_json()}\n")
    assert cluster.requests == []


def test_dry_run_for_kuberay_is_a_manifest_with_the_same_files(
    cluster: FakeCluster, ganray: Program
) -> None:
    options = ["--dry-run", "--kuberay", "--image", "me/ganray:1", "--gpus", "3"]
    options += ["--service-account", "reads-s3", "--secret", "mine"]
    answer = ganray("submit", "s.yaml", *options, "--set", "budget.hours=2")
    config, job = json.loads(answer.out)["items"]
    spec = load_sweep("s.yaml", ["budget.hours=2"])
    files = SweepClient().request(spec).files
    assert config["data"] == {name: content.decode() for name, content in files.items()}
    assert job["spec"]["entrypoint"] == ENTRYPOINT
    assert job["spec"]["activeDeadlineSeconds"] == 3 * 3_600
    assert json.loads(job["spec"]["runtimeEnvYAML"]) == {"env_vars": ENV_VARS}
    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert workers["replicas"] == 3
    assert workers["template"]["spec"]["serviceAccountName"] == "reads-s3"
    assert '"secretRef": {\n' in answer.out
    assert '"name": "mine"' in answer.out
    assert cluster.requests == []


@pytest.mark.parametrize(
    "options",
    [["--image", "i"], ["--dry-run"], ["--dry-run", "--image", "i", "--code", "."]],
    ids=["no dry run", "no image", "code"],
)
def test_manifest_for_kuberay_needs_an_image_and_is_only_printed(
    cluster: FakeCluster, ganray: Program, options: list[str]
) -> None:
    answer = ganray("submit", "s.yaml", "--kuberay", *options)
    assert (answer.code, answer.out) == (2, "")
    assert cluster.requests == []


def test_list_is_a_line_a_sweep(cluster: FakeCluster, ganray: Program) -> None:
    ganray("submit", "s.yaml")
    tell(cluster)
    answer = ganray("list")
    assert answer.code == 0
    header, line = answer.out.splitlines()
    assert header.split() == ["name", "state", "trials", "best", "started"]
    assert line.split()[:5] == ["small", "running", "1/3", "distance", "0.5"]
    (found,) = json.loads(ganray("list", "--json").out)
    assert (found["name"], found["state"]) == ("small", "running")


def test_status_is_for_people_or_for_machines(cluster: FakeCluster, ganray: Program) -> None:
    ganray("submit", "s.yaml")
    tell(cluster)
    lines = ganray("status", "small").out.splitlines()
    assert lines[0].startswith("small: running, ")
    assert lines[0].endswith(", about 1:05 left")
    assert lines[1:6] == [
        "trials: 1/3 ended, 1 completed, 1 running",
        "best: trial 0, distance 0.5, loss=hinge",
        "budget: 0.25 hours used, 1.50 left; 30 updates used, at most 30 left",
        "cluster: 1 nodes, 2 CPUs, 1 GPUs",
        "MLflow: http://localhost:5000",
    ]
    assert lines[7].split() == ["1", "10", "warming", "up", "3", "43%", "0.75", "loss=lsgan"]
    found = json.loads(ganray("status", "small", "--json").out)
    assert found["state"] == "running"
    assert found["budget"] == TOLD["budget"]


def test_failed_sweep_tells_why(cluster: FakeCluster, ganray: Program) -> None:
    ganray("submit", "s.yaml")
    cluster.end("FAILED", "…\nganray: versions do not agree: ray 1\n")
    answer = ganray("status", "small")
    assert answer.code == 0
    assert answer.out.splitlines()[1] == "versions do not agree: ray 1"


@pytest.mark.parametrize("ended", ["STOPPED", "FAILED"])
def test_sweep_that_was_stopped_or_failed_tells_how_to_go_on(
    ended: str, cluster: FakeCluster, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ganray"])
    ganray("submit", "s.yaml")
    cluster.end(ended)
    assert "resume" not in ganray("status", "small").out  # its driver had not begun it
    tell(cluster)
    assert ganray("status", "small").out.splitlines()[-1] == "to go on: ganray resume small"
    option = ["--address", cluster.address]
    told = ganray("status", "small", *option).out.splitlines()[-1]
    assert told == f"to go on: ganray resume small --address {cluster.address}"


def test_sweep_that_runs_or_is_finished_is_not_to_be_resumed(
    cluster: FakeCluster, ganray: Program
) -> None:
    ganray("submit", "s.yaml")
    tell(cluster)
    assert "resume" not in ganray("status", "small").out
    cluster.end("SUCCEEDED")
    assert "resume" not in ganray("status", "small").out


def test_logs_go_to_stdout(cluster: FakeCluster, ganray: Program) -> None:
    ganray("submit", "s.yaml")
    cluster.files["job-driver-ganray-small-1.log"] = b"one\ntwo\n"
    cluster.end("SUCCEEDED")
    assert ganray("logs", "small") == (0, "one\ntwo\n", "")
    assert ganray("logs", "small", "-f") == (0, "one\ntwo\n", "")


def test_stop_and_resume(cluster: FakeCluster, ganray: Program) -> None:
    ganray("submit", "s.yaml")
    tell(cluster)
    assert ganray("resume", "small").code == 2
    for _ in range(2):
        assert ganray("stop", "small") == (0, "small: stopped\n", "")
    assert ganray("resume", "small", "--trials", "9", "--hours", "1.5", "--failures", "2") == (
        0,
        "small\n",
        "",
    )
    assert cluster.jobs["ganray-small-2"]["status"] == "RUNNING"


def test_passwords_of_the_command_line_are_refused_before_anything_repeats_them(
    cluster: FakeCluster, ganray: Program
) -> None:
    for options in (
        ["submit", "s.yaml", "--set", "nonsense://me:hunter22@host"],
        ["submit", "s.yaml", "--tracking-uri", "http://me:hunter22@host", "--dry-run"],
        ["resume", "small", "--storage", "postgresql://me:hunter22@db/x"],
    ):
        answer = ganray(*options)
        assert (answer.code, answer.out) == (2, "")
        assert "holds a password" in answer.err
        assert "hunter22" not in answer.err
    assert cluster.jobs == {}


@pytest.mark.parametrize(
    "command",
    [
        *["list", "status small", "logs small", "stop small", "submit s.yaml"],
        "resume small --trials 9",
    ],
)
def test_every_command_says_where_others_can_read_the_token_on_its_way(
    cluster: FakeCluster, ganray: Program, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ganray("submit", "s.yaml")
    tell(cluster)
    cluster.end("SUCCEEDED")
    monkeypatch.setattr(SweepClient, "is_overheard", True)
    answer = ganray(*command.split())
    assert answer.code == 0
    assert f"note: the token goes to {cluster.address} in plain text; use https" in answer.err


def test_nothing_is_said_of_a_token_that_is_not_sent(
    cluster: FakeCluster, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SweepClient, "is_overheard", True)
    assert ganray("submit", "s.yaml", "--dry-run").err == ""


def test_cluster_at_the_usual_address_gets_no_token_that_nobody_gave_it(
    cluster: FakeCluster, ganray: Program, recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.token = "right"
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setattr(sweeps, "DEFAULT_ADDRESS", cluster.address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", recorded)
    answer = ganray("status", "recorded")
    assert (answer.code, answer.out.partition(":")[0]) == (0, "recorded")  # by the store
    assert f"note: the cluster at {cluster.address} asks for a token" in answer.err
    assert "name the cluster with --address or RAY_ADDRESS" in answer.err
    assert not any("Authorization" in headers for headers in cluster.headers)
    assert ganray("status", "recorded", "--address", cluster.address).code == 2  # no such sweep
    assert cluster.headers[-1]["Authorization"] == "Bearer right"


# --- without a cluster ----------------------------------------------------------------------------


@pytest.mark.usefixtures("nowhere")
def test_status_comes_from_the_tracking_store_where_no_cluster_is(
    ganray: Program, recorded: str
) -> None:
    answer = ganray("status", "recorded", "--tracking-uri", recorded, "--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert (found["name"], found["state"], found["attempt"]) == ("recorded", "running", None)
    assert found["trials"]["total"] == 5
    assert (found["trials"]["ended"], found["trials"]["running"]) == (4, 1)
    assert found["trials"]["outcomes"] == {"completed": 2, "collapsed": 1, "crashed": 1}
    assert (found["best"]["number"], found["best"]["objective"]) == (3, 0.125)
    assert found["best"]["settings"]["loss"] == "hinge"


def test_default_store_is_asked_where_no_cluster_answers(
    nowhere: None, ganray: Program, recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", recorded)
    assert ganray("status", "recorded").out.startswith("recorded: running")


@pytest.mark.usefixtures("nowhere")
def test_list_of_a_tracking_store(ganray: Program, recorded: str) -> None:
    found = json.loads(ganray("list", "--tracking-uri", recorded, "--json").out)
    assert [(s["name"], s["state"]) for s in found] == [
        ("empty", "finished"),
        ("recorded", "running"),
    ]
    lines = ganray("list", "--tracking-uri", recorded).out.splitlines()
    assert lines[2].split()[:5] == ["recorded", "running", "4/5", "distance", "0.125"]


@pytest.mark.usefixtures("nowhere")
def test_unknown_sweep_is_told_with_where_it_was_looked_for(ganray: Program, recorded: str) -> None:
    answer = ganray("status", "nope", "--tracking-uri", recorded)
    assert (answer.code, answer.out) == (2, "")
    assert re.match(r"ganray: no sweep named 'nope' is recorded in sqlite:", answer.err)


@pytest.mark.usefixtures("nowhere")
def test_stopping_what_is_not_recorded_here_is_told(ganray: Program) -> None:
    answer = ganray("stop", "nope", "--storage", "kept")
    assert (answer.code, answer.out) == (2, "")
    assert "no sweep named 'nope' is recorded in" in answer.err


@pytest.mark.usefixtures("nowhere")
def test_stopping_what_does_not_run_is_no_error(ganray: Program, tmp_path: Path) -> None:
    SweepStudy.create(small_spec(tmp_path))
    answer = ganray("stop", "small", "--storage", tmp_path / "results")
    assert answer == (0, "small: not running\n", "")


@pytest.mark.usefixtures("nowhere")
def test_resume_without_an_address_runs_here(
    ganray: Program, tmp_path: Path, recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    SweepStudy.create(small_spec(tmp_path, name="recorded"))
    heard: list[Any] = []

    def fake(place: Place, settings: list[str], recorders: list[Any]) -> SweepResult:
        heard.extend([place, settings])
        for recorder in recorders:
            recorder.close()
        return SweepResult(place.name, {}, cancelled=False)

    monkeypatch.setattr(driver, "resume_sweep", fake)
    results = str(tmp_path / "results")
    options = ["--storage", results, "--trials", "9", "--tracking-uri", recorded]
    answer = ganray("resume", "recorded", *options)
    assert answer.code == 0
    assert answer.out.startswith("recorded: 5 trials")
    assert heard == [
        Place("recorded", Storage(results=results)),
        ["search.trials=9", f'tracking.uri="{recorded}"'],
    ]


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("name", ["../x", "a'b", "a b", "-", "x" * 101])
@pytest.mark.parametrize("command", ["status", "logs", "stop", "resume", "summary", "sample"])
def test_what_is_no_name_is_refused_by_every_command(
    ganray: Program, command: str, name: str
) -> None:
    answer = ganray(command, "--", name)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("ganray: the name of a sweep has at most 100 letters")


# --- on the screen --------------------------------------------------------------------------------


def test_sweep_of_which_nothing_is_known_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(SweepStatus(name="ring", state="pending"))
    print_sweeps([SweepStatus(name="ring", state="pending")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ring: pending"
    assert lines[2].split() == ["ring", "pending", "–", "–", "–"]


def test_sweep_that_waits_for_others_is_shown_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(SweepStatus(name="ring", state="running", waiting=True, attempt=2))
    assert capsys.readouterr().out == "ring: running, waits for resources, attempt 2\n"


def test_time_of_an_ended_sweep_is_that_from_start_to_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    started, ended = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (1, 3))
    print_status(SweepStatus(name="ring", state="stopped", attempt=2, started=started, ended=ended))
    assert capsys.readouterr().out == "ring: stopped, attempt 2, 2:00:00\n"

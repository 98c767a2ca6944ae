"""A real Ray cluster on this machine: a head and workers that may be added and killed.

Every process is started in a session of its own and is found again by its pid alone, so that no
other Ray on the machine is touched.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
START_SECONDS = 120.0  # for what takes eight on a machine that has nothing else to do
TRIES = 4


@dataclass(frozen=True)
class Host:
    """A machine, or what a test takes for one.

    Attributes:
        within: what a command is put behind to run there.
    """

    address: str = "127.0.0.1"
    within: tuple[str, ...] = ()


HERE = Host()


@dataclass
class Node:
    """One `ray start --block`: the parent of all processes of a node."""

    process: "subprocess.Popen[bytes]"
    name: str

    def processes(self) -> list[psutil.Process]:
        """Everything that runs on the node, the parent first: raylet, workers, drivers."""
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


@dataclass
class RealCluster:
    """A cluster with token authentication on free ports.

    Attributes:
        folder: its home, and where its processes log; short, for socket paths must be.
        env: laid over this process's environment for every process of the cluster.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gr", dir="/tmp")))
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    nodes: list[Node] = field(default_factory=list)
    port: int = 0
    dashboard_port: int = 0
    head: Host = HERE
    _names: int = 0

    @property
    def address(self) -> str:
        """Of the dashboard, which takes jobs."""
        return f"http://{self.head.address}:{self.dashboard_port}"

    def start_head(self, cpus: int = 2, host: Host = HERE) -> Node:
        """Start the head node; returns when it takes jobs."""
        self.head = host

        def start() -> Node:
            self.port, self.dashboard_port, client = free_ports(3)
            return self._start(
                self._new_name("h"),
                host,
                *["--head", f"--port={self.port}", f"--num-cpus={cpus}"],
                *[f"--dashboard-port={self.dashboard_port}", f"--ray-client-server-port={client}"],
                f"--dashboard-host={host.address}",
            )

        # until the dashboard tells of a living node, and so of the agent that starts jobs
        return self._started(start, lambda node: b"ALIVE" in self._read("/api/v0/nodes"))

    def add_node(self, cpus: int = 1, host: Host = HERE, gpus: int = 0) -> Node:
        """Start a worker node; returns when its raylet runs. Its GPUs need not be there."""
        has = [f"--address={self.head.address}:{self.port}", f"--num-cpus={cpus}"]
        return self._started(
            lambda: self._start(self._new_name("w"), host, *has, f"--num-gpus={gpus}"),
            lambda node: b"Ray runtime started" in self._log(node.name).read_bytes(),
        )

    def kill_node(self, node: Node) -> None:
        """SIGKILL everything of a node, as if its machine lost power."""
        for process in node.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        node.process.wait(timeout=30)
        self.nodes.remove(node)

    def stop(self) -> None:
        """Kill all nodes, workers first, and remove the folder."""
        for node in reversed(self.nodes[:]):
            self.kill_node(node)
        for process in self._strays():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _strays(self) -> list[psutil.Process]:
        """What a node left that ended by itself: all that has the cluster's home."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOME") == str(self.folder / "home"):
                    found.append(process)
        return found

    def environment(self) -> dict[str, str]:
        """Of the cluster's processes: ours, with the cluster's own home, token and Python."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        own = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "HOME": str(home),
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        taken = {"RAY_ADDRESS", "MLFLOW_TRACKING_URI", "COVERAGE_PROCESS_START"}
        return {k: v for k, v in os.environ.items() if k not in taken} | own | dict(self.env)

    def _start(self, name: str, host: Host, *arguments: str) -> Node:
        agent, agent_grpc, metrics = free_ports(3)
        command = [
            *host.within,
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--block",
            *arguments,
        ]
        command += [f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"]
        command += [f"--dashboard-agent-grpc-port={agent_grpc}", "--disable-usage-stats"]
        # a folder of its own: else a node that joins unpacks the driver's working folder anew, and
        # deletes the one that the driver is in
        command += ["--object-store-memory=100000000", f"--temp-dir={self.folder / name}"]
        command += [f"--node-ip-address={host.address}"] if host.within else []
        with self._log(name).open("wb") as out:
            process = subprocess.Popen(
                command,
                env=self.environment(),
                cwd=self.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        node = Node(process, name)
        self.nodes.append(node)
        return node

    def _new_name(self, kind: str) -> str:
        """Of a node: short, for it is part of the paths of sockets."""
        self._names += 1
        return f"{kind}{self._names}"

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _started(self, start: Callable[[], Node], has_started: Callable[[Node], bool]) -> Node:
        """A node that is up; a raylet gives up where its agents take half a minute to start."""
        for _ in range(TRIES):
            node, deadline = start(), time.monotonic() + START_SECONDS
            while node.process.poll() is None and time.monotonic() < deadline:
                if has_started(node):
                    return node
                time.sleep(0.2)
            self.kill_node(node)
        raise RuntimeError(self._log(node.name).read_text())

    def _read(self, path: str) -> bytes:
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                content: bytes = answer.read()
                return content
        except (urllib.error.URLError, OSError):
            return b""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports

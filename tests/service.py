"""The whole service on this machine: a cluster, PostgreSQL, MLflow, and a folder that all share."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from ganray.client.status import SweepStatus
from ganray.client.sweeps import SweepClient
from ganray.spec.load import load_sweep
from ganray.spec.models import Storage, SweepSpec
from ganray.tuning.lease import holder
from ganray.tuning.places import Place
from ganray.tuning.recorded import recorded_spec
from ganray.tuning.study import SweepStudy
from tests.cluster import Node, RealCluster
from tests.faults import SWEEP
from tests.servers import MlflowServer, PostgresServer

SECONDS = 240.0  # for what takes ten on a machine that has nothing else to do
# Ray's own, of which a dead node costs half a minute
NOTICE = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}


@dataclass
class Service:
    """A cluster of two nodes with a CPU each, its databases and its MLflow server."""

    cluster: RealCluster
    postgres: PostgresServer
    mlflow: MlflowServer
    folder: Path

    @property
    def study(self) -> str:
        """The URL of the studies' database, as it may stand in a sweep file."""
        return self.postgres.url("studies", password=False).replace("postgres@", "")

    @property
    def results(self) -> Path:
        """The folder that all nodes see."""
        return self.folder / "results"

    @property
    def client(self) -> SweepClient:
        """Of the cluster that there is now."""
        return SweepClient(self.cluster.address)

    def write(self, name: str, **parts: Any) -> Path:
        """The sweep of the fault tests under another name, in a file."""
        own = {
            "name": name,
            "storage": {"study": self.study, "results": str(self.results)},
            "tracking": {"uri": self.mlflow.uri},
        }
        search = {**SWEEP["search"], **parts.pop("search", {})}
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**SWEEP, **own, "search": search, **parts}))
        return file

    def start(self, name: str, **parts: Any) -> SweepSpec:
        """Submit such a sweep."""
        spec = load_sweep(self.write(name, **parts))
        self.client.submit(spec)
        return spec

    def finish(self, name: str) -> SweepStatus:
        """Wait until a sweep has ended as it should."""
        status = self.until(name, lambda found: found.has_ended)
        assert status.state == "finished", self.log(name)
        return status

    def until(self, name: str, holds: Callable[[SweepStatus], bool]) -> SweepStatus:
        """The sweep's status as soon as something holds of it."""
        deadline = time.monotonic() + SECONDS
        while not holds(status := self.client.status(name)):
            assert time.monotonic() < deadline, (status, self.log(name))
            time.sleep(0.3)
        return status

    def until_updates(self, name: str, count: int) -> SweepStatus:
        """Wait until all trials of a running sweep together have made so many updates."""

        def have(status: SweepStatus) -> bool:
            assert not status.has_ended, (status, self.log(name))
            return status.budget is not None and status.budget["updates"]["used"] >= count

        return self.until(name, have)

    def log(self, name: str) -> str:
        """Of the sweep's driver."""
        return b"".join(self.client.logs(name)).decode()

    def spec_of(self, name: str) -> SweepSpec:
        """Of a sweep that was recorded."""
        storage = Storage(study=self.study, results=str(self.results))
        return recorded_spec(Place(name, storage))

    def driver(self, name: str) -> psutil.Process:
        """The process that drives a sweep."""
        found = holder(SweepStudy.load(self.spec_of(name)).record)
        assert found is not None
        return psutil.Process(found.pid)


def training(node: Node) -> list[psutil.Process]:
    """The processes of a node that train."""
    kinds = ("GanTrial", "EngineActor")
    return [p for p in node.processes() if any(kind in _title(p) for kind in kinds)]


def raylet(node: Node) -> psutil.Process:
    """The process that makes a node one."""
    (found,) = [process for process in node.processes() if process.name() == "raylet"]
    return found


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""

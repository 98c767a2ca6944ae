"""One local Ray for all integration tests, and sweeps small enough to run there."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from tests.agreement import Expected, disagreements, expectation
from tests.cluster import RealCluster
from tests.faults import SWEEP, Sweep
from tests.servers import MlflowServer, PostgresServer
from tests.service import NOTICE, Service


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def cluster() -> Iterator[RealCluster]:
    """A real cluster of one node, with a token, for all tests that submit to one."""
    found = RealCluster()
    try:
        found.start_head()
        yield found
    finally:
        found.stop()


@pytest.fixture
def reached(cluster: RealCluster, here: Path, monkeypatch: pytest.MonkeyPatch) -> RealCluster:
    """The cluster, as a user reaches it who has its address and its token in the environment."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", cluster.token)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return cluster


@pytest.fixture(scope="session")
def service(postgres: PostgresServer) -> Iterator[Service]:
    """Head and worker with a CPU each, a token, and MLflow on PostgreSQL, over HTTP."""
    passwords = {"PGUSER": postgres.user, "PGPASSWORD": postgres.password}
    cluster = RealCluster(env={**NOTICE, **passwords})
    folder = Path(tempfile.mkdtemp(prefix="gs", dir="/tmp"))
    mlflow = MlflowServer(folder, postgres.make_database("mlflow"))
    postgres.make_database("studies")
    try:
        mlflow.start()
        cluster.start_head(cpus=1)
        cluster.add_node(cpus=1)
        yield Service(cluster, postgres, mlflow, folder)
    finally:
        cluster.stop()
        mlflow.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def served(service: Service, here: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service, for a user with its token who may read the database, too."""
    monkeypatch.setenv("RAY_ADDRESS", service.cluster.address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", service.cluster.token)
    monkeypatch.setenv("PGUSER", service.postgres.user)
    monkeypatch.setenv("PGPASSWORD", service.postgres.password)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return service


@pytest.fixture(scope="session")
def peaceful(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """The sweep of the fault tests, which nothing disturbs."""
    sweep = Sweep(tmp_path_factory.mktemp("peaceful"))
    sweep.run("run", str(sweep.file))
    expected = expectation(sweep.spec)
    assert disagreements(sweep.spec, expected) == []
    assert len(expected.outcomes) == SWEEP["search"]["trials"]
    return expected


def make_spec(folder: Path, name: str, **parts: Any) -> SweepSpec:
    """A small sweep on the ring whose study, files and MLflow store are all under `folder`."""
    raw: dict[str, Any] = {
        "name": name,
        "data": {"name": "ring"},
        "search": {
            "sampler": "random",
            "trials": 4,
            "concurrency": 2,
            "space": {"loss": ["hinge", "lsgan"], "d_lr": {"low": 1e-4, "high": 1e-2, "log": True}},
        },
        "budget": {"updates": 300, "reports": 3},
        "prune": None,
        "storage": {"results": str(folder / "results")},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db"},
    }
    return parse_sweep(raw | parts)

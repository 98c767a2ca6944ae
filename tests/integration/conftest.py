"""One local Ray for all integration tests, and sweeps small enough to run there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from tests.cluster import RealCluster


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

"""A cluster that only pretends, and a client of it that waits for nothing."""

import time
from collections.abc import Iterator

import pytest

from ganray.client import api, sweeps
from ganray.client.sweeps import SweepClient
from tests.fake_cluster import FakeCluster, serving


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(api, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(sweeps, "LET_GO_SECONDS", 0.05)
    with serving(FakeCluster(ray_version=sweeps.describe_versions()["ray"] or "")) as found:
        yield found


@pytest.fixture
def client(cluster: FakeCluster) -> SweepClient:
    return SweepClient(cluster.address, pause=lambda seconds: time.sleep(0.01))

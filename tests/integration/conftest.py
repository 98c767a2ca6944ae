"""One local Ray for all integration tests, and sweeps small enough to run there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


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

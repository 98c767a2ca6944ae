"""Several sweeps of several users on one cluster: whose turn it is, and limits that hold."""

import time
from collections.abc import Callable, Iterator

import pytest

from ganray.client.status import SweepStatus
from ganray.summary import summarize
from tests.conftest import Answer
from tests.service import SECONDS, Service

pytestmark = [pytest.mark.slow, pytest.mark.proof]

Program = Callable[..., Answer]
SHORT = {"updates": 6_000, "reports": 15}  # short, but not over before it is looked at


def test_first_sweep_keeps_its_slots_and_later_ones_get_what_is_left(
    served: Service, ganray: Program
) -> None:
    both = {"concurrency": "auto"}
    alike = {"budget": SHORT, "prune": None}  # trials that take as long as each other
    first = served.start("first", search={**both, "trials": 5}, **alike)
    served.until("first", lambda found: len(found.running) == 2)
    second = served.start("second", search={**both, "trials": 3, "seed": 1}, **alike)
    waiting = served.until("second", lambda found: found.waiting)
    assert (waiting.state, list(waiting.running), waiting.message) == ("running", [], "")
    assert "second: running, waits for resources" in ganray("status", "second").out
    assert served.finish("second").waiting is False
    assert served.finish("first").waiting is False

    frames = [summarize(spec.name, served.mlflow.uri) for spec in (first, second)]
    assert [len(frame) for frame in frames] == [5, 3]
    assert not set(frames[0]["run_id"]) & set(frames[1]["run_id"])
    assert not set(frames[0]["d_lr"]) & set(frames[1]["d_lr"])
    # the first had both places until it had no more trials for them
    assert frames[0]["started"].max() <= frames[1]["started"].min()
    assert frames[1]["started"].min() < frames[0]["ended"].max()  # while its last one ran
    assert most_at_once(served, "first", "second") == 2


def most_at_once(service: Service, *names: str) -> int:
    """Of the trials of some sweeps, by their times in MLflow."""
    frames = [summarize(name, service.mlflow.uri) for name in names]
    starts = [(at, 1) for frame in frames for at in frame["started"]]
    ends = [(at, -1) for frame in frames for at in frame["ended"]]
    count, most = 0, 0
    for _, change in sorted([*starts, *ends]):  # of one moment ends come first
        count += change
        most = max(most, count)
    return most


@pytest.fixture
def gpus(served: Service) -> Iterator[Service]:
    """Two GPUs join, which are numbers to Ray."""
    node = served.cluster.add_node(cpus=2, gpus=2)
    yield served
    served.cluster.kill_node(node)


def test_limits_of_each_sweep_hold(gpus: Service) -> None:
    one = {"cpu": 0.5, "gpu": 1}
    gpus.start("limited", search={"concurrency": "auto"}, resources={**one, "max_gpus": 1})
    gpus.start("single", search={"concurrency": 1, "trials": 2}, resources=one, budget=SHORT)
    seen: list[tuple[SweepStatus, SweepStatus]] = []
    deadline = time.monotonic() + SECONDS
    while not seen or not all(status.has_ended for status in seen[-1]):
        assert time.monotonic() < deadline, seen[-1]
        seen.append((gpus.client.status("limited"), gpus.client.status("single")))
        time.sleep(0.3)
    assert [status.state for status in seen[-1]] == ["finished", "finished"]
    assert seen[0][0].cluster is not None
    assert seen[0][0].cluster["gpus"] == 2.0
    assert most_at_once(gpus, "limited") == 1
    assert most_at_once(gpus, "single") == 1
    assert most_at_once(gpus, "limited", "single") == 2

"""What a trial takes of a cluster, and how many trials it takes."""

import contextlib
import gc
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ganray.errors import ResourceError
from ganray.spec.models import Resources
from ganray.tuning import cluster
from ganray.tuning.cluster import capacity, resources_of, submitted_job, trial_resources
from tests.conftest import small_spec

Has = dict[str, float]


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Has:
    """What the cluster has; no Ray needed."""
    found: Has = {"CPU": 8.0}
    monkeypatch.setattr(cluster, "cluster_resources", lambda: dict(found))
    monkeypatch.setattr(cluster, "LOOK_AGAIN", -1.0)
    return found


def test_job_that_this_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert submitted_job() is None
    given = {"runtime_env": {}, "metadata": {"job_submission_id": "ganray-ring-1"}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(given))
    assert submitted_job() == "ganray-ring-1"


def room(folder: Path, concurrency: Any = "auto", **resources: Any) -> Any:
    spec = small_spec(folder, search={"concurrency": concurrency}, resources=resources)
    return capacity(spec, trial_resources(spec))


@pytest.mark.parametrize(
    ("gpus", "cpu", "gpu", "takes"),
    [
        *[(0, 1, "auto", 0.0), (4, 1, "auto", 0.5), (4, 4, "auto", 1.0), (4, 1, 2, 2.0)],
        (3, 1, "auto", 1 / 3),  # three each, for eight CPUs: no trial has parts of two GPUs
        (1, 3, "auto", 0.5),  # there are CPUs for two
    ],
)
def test_share_of_a_gpu(gpus: int, cpu: int, gpu: Any, takes: float, tmp_path: Path, has) -> None:
    has["GPU"] = float(gpus)
    spec = small_spec(tmp_path, resources={"cpu": cpu, "gpu": gpu})
    assert trial_resources(spec) == {"CPU": float(cpu), "GPU": takes}


@pytest.mark.parametrize(
    ("resources", "told"),
    [
        ({"gpu": 1}, "resources.gpu: a trial asks for 1 GPUs; there are 0"),
        ({"cpu": 9}, "resources.cpu: a trial asks for 9 CPUs; there are 8"),
        ({"gpu": 2, "max_gpus": 1}, "resources.max_gpus: 1 is less than the 2 GPUs"),
    ],
)
def test_what_the_cluster_has_not_is_refused(
    resources: Any, told: str, tmp_path: Path, has
) -> None:
    with pytest.raises(ResourceError, match=told):
        trial_resources(small_spec(tmp_path, resources=resources))


def test_as_many_trials_as_fit_while_nodes_come_and_go(tmp_path: Path, has) -> None:
    fitting = room(tmp_path, cpu=2)
    assert fitting() == 4
    has["CPU"] = 16.0
    assert fitting() == 8
    has["CPU"] = 1.0
    assert fitting() == 1  # nodes will come back


@pytest.mark.parametrize("cpus", range(1, 129))
def test_every_cpu_has_a_trial_on_the_gpu(cpus: int, tmp_path: Path, has) -> None:
    has |= {"CPU": float(cpus), "GPU": 1.0}
    assert room(tmp_path)() == cpus


@pytest.mark.parametrize(
    ("gpu", "fit"), [(0.4, 8), (1 / 93, 372), (1, 4), (2, 2), (3, 1), (0, 999)]
)
def test_as_many_trials_as_the_gpus_hold(gpu: float, fit: int, tmp_path: Path, has) -> None:
    has |= {"CPU": 999.0, "GPU": 4.0}
    assert room(tmp_path, gpu=gpu)() == fit


def test_given_concurrency_is_asked_for_whatever_there_is(tmp_path: Path, has) -> None:
    assert room(tmp_path, 100)() == 100


def test_sweep_takes_no_more_gpus_than_it_may(tmp_path: Path, has) -> None:
    has |= {"CPU": 64.0, "GPU": 8.0}
    assert room(tmp_path, gpu=1)() == 8
    assert room(tmp_path, gpu=1, max_gpus=3)() == 3
    assert room(tmp_path, gpu=0.1, max_gpus=0.3)() == 3
    assert room(tmp_path, 100, gpu=0.5, max_gpus=2)() == 4
    assert room(tmp_path, 2, gpu=0.5, max_gpus=2)() == 2
    assert room(tmp_path, gpu=0, max_gpus=2)() == 64  # takes none


def test_limit_is_checked_in_the_file() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        Resources(max_gpus=0)


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("http://127.0.0.1:8265", None),  # for `ganray submit`: no driver can connect there
        ("https://ray.example.com", None),
        ("auto", "auto"),
        ("10.0.0.1:6379", "10.0.0.1:6379"),
        ("", ""),
    ],
)
def test_address_of_a_dashboard_is_none_of_a_cluster_to_be_part_of(
    address: str, seen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str | None] = []
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", lambda **_: found.append(os.getenv("RAY_ADDRESS")))
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    with cluster.joined():
        assert os.environ["RAY_ADDRESS"] == address  # for clients in the same program
    assert found == [seen]


@pytest.mark.parametrize("failures", [0, 2, 3])
def test_ray_is_tried_again_before_it_cannot_be_started(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def start(**_: Any) -> None:
        tries.append("start")
        if len(tries) - tries.count("stop") <= failures:
            raise RuntimeError("the node timed out during startup")

    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", start)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: tries.append("stop"))
    expected = contextlib.nullcontext()
    if failures == 3:
        told = "Ray cannot be started here: the node timed out"
        expected = pytest.raises(ResourceError, match=told)
    with expected, cluster.joined():
        pass
    assert tries.count("start") == min(failures + 1, 3)
    assert tries.count("stop") == min(failures + 1, 3)


@pytest.mark.parametrize(
    ("gpu", "limit", "alone", "takes"),
    [
        *[(0.25, None, True, 1.0), (0.25, None, False, 0.25), (0.25, 0.5, True, 0.25)],
        *[(0.25, 1, True, 1.0), (1.0, None, True, 1.0), (2.0, None, True, 2.0), (0, None, True, 0)],
    ],
)
def test_trial_that_is_to_be_alone_takes_a_whole_gpu_where_others_share_one(
    gpu: float, limit: float | None, alone: bool, takes: float, tmp_path: Path
) -> None:
    spec = small_spec(tmp_path, resources={"max_gpus": limit})
    found = resources_of(spec, {"CPU": 1.0, "GPU": gpu}, {"alone": alone})
    assert found.required_resources == {"CPU": 1.0, **({"GPU": takes} if takes else {})}


def test_no_handle_is_collected_while_ray_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    collecting = []
    monkeypatch.setattr(cluster, "_start", lambda: None)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: collecting.append(gc.isenabled()))
    with cluster.joined():
        assert gc.isenabled()
    assert collecting == [False]
    assert gc.isenabled()

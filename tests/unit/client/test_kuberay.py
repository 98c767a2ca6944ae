"""What is given to Kubernetes: valid for KubeRay, closed, and the same sweep as anywhere else."""

import copy
import json
import re
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version
from ruamel.yaml import YAML

from ganray.client.kuberay import FOLDER, Pods, kubernetes_name, rayjob_manifest
from ganray.client.request import ENTRYPOINT

SCHEMA = json.loads((Path(__file__).parent / "rayjob.schema.json").read_text())
FILES = {"request.json": '{"sweep": "sweep.yaml"}', "sweep.yaml": "name: Ring_8 # größer\n"}
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", fullmatch=True)


def manifest(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ConfigMap and the RayJob."""
    plain: dict[str, Any] = {"image": "somebody/ganray:1", "gpus": 3, "secret": "ganray"}
    given = {**plain, **changes}
    pods = Pods(
        **{field.name: given.pop(field.name) for field in fields(Pods) if field.name in given}
    )
    found = rayjob_manifest("Ring_8", FILES, pods, **given)
    assert (found["apiVersion"], found["kind"], len(found["items"])) == ("v1", "List", 2)
    return found["items"][0], found["items"][1]


def pods(job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    return cluster["headGroupSpec"]["template"]["spec"], workers["template"]["spec"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hours": 12.5},
        {"service_account": "reads-s3", "env_vars": {"RAY_JOB_STOP_SIGNAL": "SIGINT"}},
        {"gpus": 1},
    ],
    ids=str,
)
def test_manifest_is_valid_for_kuberay(changes: dict[str, Any]) -> None:
    config, job = manifest(**changes)
    jsonschema.validate(job, SCHEMA)
    assert (config["apiVersion"], config["kind"]) == ("v1", "ConfigMap")
    assert YAML(typ="safe", pure=True).load(json.dumps(job)) == job  # as kubectl takes it


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["spec", "backofLimit"], 0),
        (["spec", "backoffLimit"], "0"),
        (["spec", "activeDeadlineSeconds"], 12.5),
        (["spec", "rayClusterSpec", "authOptions", "mode"], "tokens"),
        (["spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"], 0),
    ],
)
def test_schema_refuses_what_kuberay_refuses(path: list[str], value: object) -> None:
    job = copy.deepcopy(manifest()[1])
    *steps, last = path
    node = job
    for step in steps:
        node = node[step]
    node[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, SCHEMA)


def test_driver_finds_its_files_in_its_working_folder() -> None:
    config, job = manifest()
    assert config["data"] == FILES
    head, _ = pods(job)
    (container,), (volume,) = head["containers"], head["volumes"]
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    assert container["workingDir"] == FOLDER
    assert container["volumeMounts"] == [
        {"name": volume["name"], "mountPath": FOLDER, "readOnly": True}
    ]


def test_entry_point_is_fixed_and_nothing_of_the_user_is_in_a_command() -> None:
    _, job = manifest(env_vars={"A": "$(touch x); b"})
    assert job["spec"]["entrypoint"] == ENTRYPOINT == "python -m ganray.job"
    assert json.loads(job["spec"]["runtimeEnvYAML"]) == {"env_vars": {"A": "$(touch x); b"}}
    assert not re.search(r'"(command|args)"', json.dumps(job))


def test_cluster_wants_a_token_and_a_ray_that_has_tokens() -> None:
    cluster = manifest()[1]["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == version("ray")
    assert Version(cluster["rayVersion"]) >= Version("2.52.0")


def test_passwords_reach_the_head_alone_and_stand_nowhere() -> None:
    config, job = manifest(secret="my-secret")
    head, worker = pods(job)
    assert head["containers"][0]["envFrom"] == [{"secretRef": {"name": "my-secret"}}]
    assert "envFrom" not in worker["containers"][0]
    assert "my-secret" not in json.dumps([config, worker])


def test_pods_have_no_rights_that_they_do_not_need() -> None:
    for pod in pods(manifest()[1]):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        (container,) = pod["containers"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "serviceAccountName" not in pod
    assert [pod["serviceAccountName"] for pod in pods(manifest(service_account="x")[1])] == [
        "x"
    ] * 2


def test_sweep_gets_the_gpus_that_it_asks_for_and_the_head_runs_no_trial() -> None:
    cluster = manifest(gpus=5)[1]["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert {workers[key] for key in ("replicas", "minReplicas", "maxReplicas")} == {5}
    _, worker = pods(manifest(gpus=5)[1])
    assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_job_is_never_repeated_by_kubernetes_and_leaves_when_it_is_over() -> None:
    spec = manifest(hours=2.0)[1]["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["activeDeadlineSeconds"] > 2 * 3_600  # the sweep ends by itself before
    assert "activeDeadlineSeconds" not in manifest()[1]["spec"]


@given(name=NAMES)
def test_every_name_of_a_sweep_has_one_for_kubernetes(name: str) -> None:
    found = kubernetes_name(name)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,45}[a-z0-9])?", found)
    assert kubernetes_name(found) == found


def test_names_that_kubernetes_cannot_keep_apart_stay_different() -> None:
    names = ["ring-8", "Ring-8", "ring_8", "ring-8-", "ring--8", "r" * 99, "r" * 100, "x_"]
    assert len({kubernetes_name(name) for name in names}) == len(names)
    assert kubernetes_name("ring-8") == "ring-8"

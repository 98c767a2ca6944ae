"""A sweep as objects of Kubernetes: a `RayJob` of KubeRay, and a `ConfigMap` with its files.

The fields are those of KubeRay's API `ray.io/v1`, from 1.5.1 on, which has token authentication.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ganray.client.request import ENTRYPOINT, JobRequest
from ganray.spec.models import SweepSpec

FOLDER = "/etc/ganray/sweep"  # where the driver finds them: its working folder
_LONGEST_NAME = 47  # of a RayJob: KubeRay appends to it
_DIGITS = 8  # of a hash, which keeps apart names that Kubernetes cannot
_KEPT_SECONDS = 3_600  # that the cluster outlives its sweep, for whoever reads logs
_LAST_HOURS = 1.0  # beyond the sweep's own hours: to start, and to end in order
_HEAD = {"cpu": "2", "memory": "8Gi"}
_WORKER = {"cpu": "4", "memory": "16Gi"}
_USER = 1000  # `ray` in Ray's own images


@dataclass(frozen=True, slots=True)
class Pods:
    """What a sweep runs in.

    Attributes:
        image: of all pods: Ray's, of this Ray's version, with ganray installed.
        gpus: worker pods, each with one GPU; all are there before the sweep starts, so that
            `concurrency: auto` uses them.
        secret: name of a `Secret` whose entries become the driver's environment, such as
            MLFLOW_TRACKING_URI, MLFLOW_TRACKING_PASSWORD, PGPASSWORD. Workers do not get it.
        service_account: of all pods, where it gives access to the object store; None: the
            namespace's default one.
    """

    image: str
    gpus: int
    secret: str
    service_account: str | None = None


def submission_manifest(spec: SweepSpec, request: JobRequest, pods: Pods) -> str:
    """A submission as JSON that `kubectl apply -f -` takes."""
    files = {name: content.decode() for name, content in request.files.items()}
    hours, env_vars = spec.budget.hours, request.env_vars
    manifest = rayjob_manifest(spec.name, files, pods, hours=hours, env_vars=env_vars)
    return json.dumps(manifest, indent=2)


def rayjob_manifest(
    name: str,
    files: Mapping[str, str],
    pods: Pods,
    *,
    hours: float | None = None,
    env_vars: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What `kubectl apply -f -` takes: a list of the sweep's `ConfigMap` and its `RayJob`.

    Args:
        name: of the sweep.
        files: what the driver reads in its working folder, by name: request and sweep file.
        pods: what it runs in.
        hours: of the sweep's budget; None: no limit.
        env_vars: of the driver, which everybody may see.
    """
    object_name = kubernetes_name(name)
    about = {
        "name": object_name,
        "labels": {"app.kubernetes.io/name": "ganray"},
        "annotations": {"ganray/sweep": name},
    }
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": dict(files)}
    spec = {
        "entrypoint": ENTRYPOINT,
        "runtimeEnvYAML": json.dumps({"env_vars": dict(env_vars or {})}),
        # a retry would be a new cluster and a name that is taken; `ganray resume` goes on
        "backoffLimit": 0,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": _KEPT_SECONDS,
        "rayClusterSpec": _cluster(pods, object_name),
    }
    if hours is not None:
        spec["activeDeadlineSeconds"] = round((hours + _LAST_HOURS) * 3_600)
    job = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": about, "spec": spec}
    return {"apiVersion": "v1", "kind": "List", "items": [config, job]}


def kubernetes_name(name: str) -> str:
    """A name that Kubernetes allows, for one that ganray allows; different names stay different."""
    plain = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain == name and len(name) <= _LONGEST_NAME:
        return name
    digits = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    return f"{plain[: _LONGEST_NAME - _DIGITS - 1].rstrip('-')}-{digits}"


def _cluster(pods: Pods, config: str) -> dict[str, Any]:
    """A cluster for one sweep, whose files are in a `ConfigMap` of that name."""
    return {
        "rayVersion": version("ray"),
        "authOptions": {"mode": "token"},  # KubeRay makes the token, a Secret of the cluster
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0"},  # trials run on workers
            "template": {"spec": _head(pods, config)},
        },
        "workerGroupSpecs": [_workers(pods)],
    }


def _head(pods: Pods, config: str) -> dict[str, Any]:
    """The pod of the driver: the only one with the files and the passwords."""
    container = {
        **_container("ray-head", pods.image, _HEAD),
        "workingDir": FOLDER,
        "envFrom": [{"secretRef": {"name": pods.secret}}],
        "volumeMounts": [{"name": "sweep", "mountPath": FOLDER, "readOnly": True}],
    }
    volume = {"name": "sweep", "configMap": {"name": config}}
    return {**_pod(container, pods.service_account), "volumes": [volume]}


def _workers(pods: Pods) -> dict[str, Any]:
    container = _container("ray-worker", pods.image, {**_WORKER, "nvidia.com/gpu": "1"})
    return {
        "groupName": "gpu",
        **dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), pods.gpus),
        "rayStartParams": {},
        "template": {"spec": _pod(container, pods.service_account)},
    }


def _container(name: str, image: str, resources: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "resources": {"limits": dict(resources), "requests": dict(resources)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _pod(container: Mapping[str, Any], account: str | None) -> dict[str, Any]:
    return {
        **({"serviceAccountName": account} if account else {}),
        "automountServiceAccountToken": False,  # nothing here talks to Kubernetes
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [dict(container)],
    }

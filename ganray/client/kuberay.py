"""A sweep as objects of Kubernetes: a `RayJob` of KubeRay, and a `ConfigMap` with its files.

The fields are those of KubeRay's API `ray.io/v1`, from 1.5.1 on, which has token authentication.
"""

import hashlib
import json
import re
from collections.abc import Mapping
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


def submission_manifest(
    spec: SweepSpec, request: JobRequest, *, image: str, gpus: int, secret: str
) -> str:
    """A submission as JSON that `kubectl apply -f -` takes; the rest as in `rayjob_manifest`."""
    files = {name: content.decode() for name, content in request.files.items()}
    manifest = rayjob_manifest(
        spec.name,
        files,
        image=image,
        gpus=gpus,
        secret=secret,
        hours=spec.budget.hours,
        env_vars=request.env_vars,
    )
    return json.dumps(manifest, indent=2)


def rayjob_manifest(
    name: str,
    files: Mapping[str, str],
    *,
    image: str,
    gpus: int,
    secret: str,
    hours: float | None = None,
    env_vars: Mapping[str, str] | None = None,
    service_account: str | None = None,
) -> dict[str, Any]:
    """What `kubectl apply -f -` takes: a list of the sweep's `ConfigMap` and its `RayJob`.

    Args:
        name: of the sweep.
        files: what the driver reads in its working folder, by name: request and sweep file.
        image: of all pods: Ray's, of this Ray's version, with ganray installed.
        gpus: worker pods, each with one GPU; all are there before the sweep starts, so that
            `concurrency: auto` uses them.
        secret: name of a `Secret` whose entries become the driver's environment, such as
            MLFLOW_TRACKING_URI, MLFLOW_TRACKING_PASSWORD, PGPASSWORD. Workers do not get it.
        hours: of the sweep's budget; None: no limit.
        env_vars: of the driver, which everybody may see.
        service_account: of the pods, where it gives access to the object store; None: the
            namespace's default one.
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
        "rayClusterSpec": {
            "rayVersion": version("ray"),
            "authOptions": {"mode": "token"},  # KubeRay makes the token, a Secret of the cluster
            "headGroupSpec": {
                "rayStartParams": {"num-cpus": "0"},  # trials run on workers
                "template": {"spec": _head(image, secret, object_name, service_account)},
            },
            "workerGroupSpecs": [_workers(image, gpus, service_account)],
        },
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


def _head(image: str, secret: str, config: str, account: str | None) -> dict[str, Any]:
    """The pod of the driver: the only one with the files and the passwords."""
    container = {
        **_container("ray-head", image, _HEAD),
        "workingDir": FOLDER,
        "envFrom": [{"secretRef": {"name": secret}}],
        "volumeMounts": [{"name": "sweep", "mountPath": FOLDER, "readOnly": True}],
    }
    volume = {"name": "sweep", "configMap": {"name": config}}
    return {**_pod(container, account), "volumes": [volume]}


def _workers(image: str, gpus: int, account: str | None) -> dict[str, Any]:
    container = _container("ray-worker", image, {**_WORKER, "nvidia.com/gpu": "1"})
    return {
        "groupName": "gpu",
        **dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), gpus),
        "rayStartParams": {},
        "template": {"spec": _pod(container, account)},
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

"""The Ray cluster: joining or starting one, what it has, and how many trials it takes."""

import contextlib
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import ray

from ganray.errors import ResourceError
from ganray.garbage import load, uncollected
from ganray.spec.models import SweepSpec

if TYPE_CHECKING:
    from ray.tune import PlacementGroupFactory

Given = TypeVar("Given")
Found = TypeVar("Found")

_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # in the environment of what Ray runs as a job
_ADDRESS = "RAY_ADDRESS"
_ROUNDING = 1e-9  # of a quotient: 1 / (1 / 93) is a little less than 93
START_TRIES = 3  # Ray waits 30 s for its own processes, which is too short on a busy machine
LOOK_AGAIN = 2.0  # seconds after which the cluster is asked again what it has
TASK_SECONDS = 120.0  # for a short piece of work, which takes a few
_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # files that nobody reads, at 1.5 ms a report
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # nobody reads Tune's own state: every trial that there was
    "TUNE_FORCE_TRIAL_CLEANUP_S": "12",  # that a worker has to save its trial when all is stopped
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # the roster limits them
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # see `interrupts`
    "RAY_AIR_NEW_OUTPUT": "0",  # the board shows the sweep
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or every trial without a GPU warns
}


@contextlib.contextmanager
def joined(meanwhile: Sequence[str] = ()) -> Iterator[None]:
    """Be part of a Ray cluster: of the one that this process belongs to, or of a local one.

    Args:
        meanwhile: modules to be imported while Ray starts, if it has to.

    Raises:
        ResourceError: no Ray can be started here.
    """
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    # what goes wrong in a trial is its outcome, told by the recorders
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield
        return
    with _loading(meanwhile):
        _start()
    try:
        yield
    finally:
        with uncollected():  # a handle that another thread collects meanwhile ends the process
            ray.shutdown()


@contextlib.contextmanager
def _loading(modules: Sequence[str]) -> Iterator[None]:
    """Import modules in another thread meanwhile; who imports them later tells what is wrong."""

    def try_to_load() -> None:
        with contextlib.suppress(Exception):
            load(modules)

    thread = threading.Thread(target=try_to_load, name="ganray-loading")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _start() -> None:
    for left in reversed(range(START_TRIES)):
        try:
            with _without_dashboard():
                ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray raises what it likes
            ray.shutdown()  # of what it has started by then
            if not left:
                raise ResourceError(f"Ray cannot be started here: {error}") from error
        else:
            return


@contextlib.contextmanager
def _without_dashboard() -> Iterator[None]:
    """With a `RAY_ADDRESS` that a driver can connect to, or none: a dashboard's is for clients."""
    address = os.environ.get(_ADDRESS, "")
    if not address.startswith(("http://", "https://")):
        yield
        return
    del os.environ[_ADDRESS]
    try:
        yield
    finally:
        os.environ[_ADDRESS] = address


def submitted_job() -> str | None:
    """The submission id of the Ray job that this process is; None if it is none."""
    metadata = json.loads(os.environ.get(_JOB, "{}")).get("metadata", {})
    found: str | None = metadata.get("job_submission_id")
    return found


def cluster_resources() -> dict[str, float]:
    """All CPUs and GPUs of the cluster, taken or not."""
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found


class Aside(Generic[Given, Found]):
    """A process of its own, perhaps on another node, for a short piece of work.

    It takes no CPU of those that are counted: such work is not to wait for other sweeps, nor is a
    node to be started for it.

    Args:
        function: the work.
        prepare: what the process can do before it is known what to work on.
    """

    def __init__(self, function: Callable[[Given], Found], prepare: Callable[[], None]) -> None:
        self._function = function
        self._prepare = prepare
        self._actor: Any = None

    def start(self) -> None:
        """Start the process, without waiting for it; by itself a call does so, too."""
        if self._actor is None:
            kind = ray.remote(
                num_cpus=0, max_restarts=1, max_task_retries=1, scheduling_strategy="SPREAD"
            )(_Aside)
            self._actor = kind.remote(self._function)
            self._actor.prepare.remote(self._prepare)

    def __call__(self, given: Given) -> Found:
        """What the function gives.

        Raises:
            RayError: it took too long, or its process died; else what the function raises.
        """
        self.start()
        try:
            found: Found = ray.get(self._actor.call.remote(given), timeout=TASK_SECONDS)
        finally:
            ray.kill(self._actor)
            self._actor = None
        return found


class _Aside:
    """What runs there."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def prepare(self, prepare: Callable[[], None]) -> None:
        prepare()

    def call(self, given: Any) -> Any:
        return self._function(given)


def trial_resources(spec: SweepSpec) -> dict[str, float]:
    """What the process of one trial takes, or of one engine with its slots; `auto` is decided.

    Raises:
        ResourceError: the cluster has no such thing.
    """
    cluster = cluster_resources()
    cpus, gpus = cluster.get("CPU", 0.0), cluster.get("GPU", 0.0)
    asked, limit = spec.resources, spec.resources.max_gpus
    share = float(gpus > 0.0) if asked.slots_per_gpu else _share(gpus, _whole(cpus / asked.cpu))
    gpu = share if asked.gpu == "auto" else asked.gpu
    if limit is not None and gpu > limit:
        raise ResourceError(
            f"resources.max_gpus: {limit:g} is less than the {gpu:g} GPUs that a trial takes"
        )
    if gpu > gpus:
        raise ResourceError(f"resources.gpu: a trial asks for {gpu:g} GPUs; there are {gpus:g}")
    if asked.cpu > cpus:
        raise ResourceError(
            f"resources.cpu: a trial asks for {asked.cpu:g} CPUs; there are {cpus:g}"
        )
    return {"CPU": asked.cpu, "GPU": gpu}


def has_shared_gpu(resources: Mapping[str, float], spec: SweepSpec) -> bool:
    """Whether trials have but a share of a GPU each, and the sweep may use a whole one."""
    limit = spec.resources.max_gpus
    return 0.0 < resources["GPU"] < 1.0 and (limit is None or limit >= 1.0)


def resources_of(
    spec: SweepSpec, resources: Mapping[str, float], config: Mapping[str, Any]
) -> "PlacementGroupFactory":
    """What one trial takes: a whole GPU, if its share of one was too little memory for it.

    Args:
        spec: the sweep.
        resources: of every other trial.
        config: see `ray_config`.
    """
    from ray.tune import PlacementGroupFactory  # which Ray's start is not to wait for

    whole = config["alone"] and has_shared_gpu(resources, spec)
    return PlacementGroupFactory([{**resources, "GPU": 1.0} if whole else {**resources}])


def capacity(spec: SweepSpec, resources: Mapping[str, float]) -> Callable[[], int]:
    """How many trials of a sweep may run at a time, whenever it is called.

    With `search.concurrency: auto` as many as the cluster can hold, which changes as nodes come and
    go. Of several sweeps the one that was first keeps what it has, and later ones get what is left.
    """
    limit = spec.resources.max_gpus
    by_gpus = _whole(limit / resources["GPU"]) if limit and resources["GPU"] else None
    if spec.search.concurrency != "auto":
        fixed = min(spec.search.concurrency, by_gpus or spec.search.concurrency)
        return lambda: fixed
    held = (0.0, 0)  # when it was looked up, and what was found

    def fitting() -> int:
        nonlocal held
        if not held[1] or time.monotonic() - held[0] > LOOK_AGAIN:
            held = (time.monotonic(), max(1, _fitting(cluster_resources(), resources)))
        return min(held[1], by_gpus or held[1])

    return fitting


def _share(gpus: float, slots: int) -> float:
    """The part of a GPU that a trial gets, where CPUs are for so many trials; 0 without any.

    As many trials a GPU as there are CPUs for, so that neither waits; no trial has parts of two.
    """
    return 1.0 / math.ceil(slots / gpus - _ROUNDING) if gpus and slots else 0.0


def _fitting(cluster: Mapping[str, float], resources: Mapping[str, float]) -> int:
    """How many trials a cluster holds, whatever else runs there."""
    cpus, gpus = (cluster.get(kind, 0.0) for kind in ("CPU", "GPU"))
    by_cpus, gpu = _whole(cpus / resources["CPU"]), resources["GPU"]
    if not gpu:
        return by_cpus
    by_gpus = _whole(gpus / gpu) if gpu > 1.0 else int(gpus) * _whole(1.0 / gpu)
    return min(by_cpus, by_gpus)


def _whole(quotient: float) -> int:
    return int(quotient + _ROUNDING)

"""The composition root: one sweep, from its specification to its last trial, on a Ray cluster."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune

from ganray.data.dataset import Dataset
from ganray.data.registry import load_dataset
from ganray.errors import ResourceError
from ganray.spec.load import dump_sweep
from ganray.spec.models import SweepSpec
from ganray.tracking.environment import describe_environment
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import Recorder, SweepRecord
from ganray.tracking.store import tracking_uri
from ganray.trial import Outcome
from ganray.tuning.confirm import ConfirmStudy
from ganray.tuning.fit import check_fit
from ganray.tuning.places import check_results, results_location
from ganray.tuning.ray_hooks import StudyScheduler, StudySearch, SweepLimits
from ganray.tuning.study import SweepStudy
from ganray.tuning.trainable import GanTrial

_TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # files that nobody reads, at 1.5 ms a report
    "RAY_AIR_NEW_OUTPUT": "0",  # the board shows the sweep
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or every trial without a GPU warns
}


@dataclass(frozen=True, slots=True)
class SweepResult:
    """How a sweep ended."""

    name: str
    outcomes: Mapping[int, Outcome]
    cancelled: bool
    reason: str | None = None  # why it ended before its last trial, if it did


def run_sweep(spec: SweepSpec, recorders: Sequence[Recorder] | None = None) -> SweepResult:
    """Run a sweep on the Ray cluster that this process belongs to, or on a local one.

    Args:
        spec: what to run.
        recorders: who hears of it, and is closed at the end whatever happens; None: the MLflow
            store of the specification.

    Returns:
        The outcome of every trial. Ctrl-C ends the sweep in order: running trials are cancelled.

    Raises:
        NameTakenError: a sweep of that name exists.
        ResourceError: the cluster has not what a trial asks for, or there is no such place for
            results.
        DataError: the data cannot be had.
        SpecError, NetworkError: the sweep does not fit its data.
    """
    if recorders is None:
        store = tracking_uri(spec.tracking.uri)
        recorders = [MlflowRecorder(store, spec.tracking.experiment)]
    for key, value in _TUNE_SETTINGS.items():
        os.environ.setdefault(key, value)
    # what goes wrong in a trial is its outcome, told by the recorders
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    started_ray = not ray.is_initialized()
    try:
        check_results(spec)
        for study in (SweepStudy, ConfirmStudy):
            study.refuse_taken(spec)
        if started_ray:
            _start_ray()
        resources = trial_resources(spec)
        dataset = load_dataset(spec.data.model_dump())  # before the name is taken: it may fail
        check_fit(spec, dataset)
        return _run(SweepStudy.create(spec), dataset, resources, recorders)
    finally:
        for recorder in recorders:
            recorder.close()
        if started_ray:
            ray.shutdown()


def cluster_resources() -> dict[str, float]:
    """All CPUs and GPUs of the cluster, taken or not."""
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found


def trial_resources(spec: SweepSpec) -> dict[str, float]:
    """What one trial takes of the cluster, with `auto` decided.

    Raises:
        ResourceError: the cluster has no such thing.
    """
    cluster = cluster_resources()
    cpus, gpus = cluster.get("CPU", 0.0), cluster.get("GPU", 0.0)
    if spec.resources.gpu == "auto":
        # as many trials a GPU as there are CPUs for, so that neither waits
        slots = cpus / spec.resources.cpu
        gpu = min(1.0, gpus / slots) if gpus and slots else 0.0
    else:
        gpu = spec.resources.gpu
    if gpu > gpus:
        raise ResourceError(f"resources.gpu: a trial asks for {gpu:g} GPUs; there are {gpus:g}")
    if spec.resources.cpu > cpus:
        raise ResourceError(
            f"resources.cpu: a trial asks for {spec.resources.cpu:g} CPUs; there are {cpus:g}"
        )
    return {"CPU": spec.resources.cpu, "GPU": gpu}


def _run(
    study: SweepStudy,
    dataset: Dataset,
    resources: dict[str, float],
    recorders: Sequence[Recorder],
) -> SweepResult:
    spec = study.spec
    record = _sweep_record(study, resources, {"dataset": dataset.name, **dataset.facts})
    for recorder in recorders:
        recorder.start_sweep(record)
    limits = SweepLimits(spec.budget.hours, spec.budget.failures)
    shared = tune.with_parameters(GanTrial, dataset=dataset, spec=spec.to_json())
    trainable = tune.with_resources(shared, resources)
    studies: list[SweepStudy] = [study]
    interrupted = True
    try:
        with contextlib.suppress(KeyboardInterrupt):  # Tune takes the first one, this the second
            _run_trials(study, "attempt-1", trainable, resources, recorders, limits)
            if spec.confirm.trials and study.is_over and limits.reason is None:
                confirming = _start_confirming(study, recorders)
                if confirming is not None:
                    studies.append(confirming)
                    _run_trials(confirming, "confirm-1", trainable, resources, recorders, limits)
            interrupted = False
    finally:
        outcomes = {n: outcome for each in studies for n, outcome in each.outcomes().items()}
        cancelled = interrupted or Outcome.CANCELLED in outcomes.values()
        for recorder in recorders:
            recorder.end_sweep(outcomes, cancelled=cancelled)
    return SweepResult(spec.name, outcomes, cancelled, limits.reason)


def _start_confirming(search: SweepStudy, recorders: Sequence[Recorder]) -> ConfirmStudy | None:
    """The study that confirms what a search found; None if it found nothing."""
    study = ConfirmStudy.create(search.spec) if search.best(1) else None
    for recorder in recorders:
        recorder.start_confirming(study.size if study is not None else 0)
    return study


def _run_trials(
    study: SweepStudy,
    experiment: str,
    trainable: Any,
    resources: dict[str, float],
    recorders: Sequence[Recorder],
    limits: SweepLimits,
) -> None:
    """Run all trials that a study asks for, as one Tune experiment."""
    spec = study.spec
    scheduler = StudyScheduler(study, recorders, limits)
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=StudySearch(study, recorders, limits),
            scheduler=scheduler,
            num_samples=study.size,
            max_concurrent_trials=_concurrency(spec, resources),
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"{trial.config['number']:04d}",
        ),
        run_config=tune.RunConfig(
            name=f"{spec.name}/{experiment}",
            storage_path=results_location(spec),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    try:
        with _own_interrupts():
            tuner.fit()
    finally:
        scheduler.cancel_unfinished("the sweep was stopped")
        scheduler.tell_evidence()


@contextlib.contextmanager
def _own_interrupts() -> Iterator[None]:
    """Tune leaves a handler of Ctrl-C behind that would swallow the next one."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _concurrency(spec: SweepSpec, resources: dict[str, float]) -> int:
    """As many trials at a time as fit, or as the file says."""
    if spec.search.concurrency != "auto":
        return spec.search.concurrency
    cluster = cluster_resources()
    fits = [cluster.get(kind, 0.0) / need for kind, need in resources.items() if need]
    return max(1, int(min(fits)))


def _start_ray() -> None:
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def _sweep_record(
    study: SweepStudy, resources: dict[str, float], facts: Mapping[str, Any]
) -> SweepRecord:
    spec = study.spec
    search, budget = spec.search, spec.budget
    params: dict[str, Any] = {
        **{f"data.{key}": value for key, value in spec.data.model_dump().items()},
        **{f"networks.{key}": value for key, value in spec.networks.model_dump().items()},
        "search.sampler": search.sampler,
        "search.trials": search.trials,
        "search.seed": search.seed,
        "confirm.top": spec.confirm.top,
        "confirm.seeds": spec.confirm.seeds,
        "budget.updates": budget.updates,
        "budget.reports": budget.reports,
        "prune.risk": spec.prune.risk if spec.prune else None,
        **{f"data.{key}": value for key, value in facts.items()},
    }
    return SweepRecord(
        name=spec.name,
        study_id=study.id,
        description=spec.description,
        sweep_file=dump_sweep(spec),
        objective=spec.objective.metric,
        direction=spec.objective.direction,
        searched=tuple(search.space.entries),
        updates=budget.updates,
        trials=study.size,
        confirming=spec.confirm.trials,
        gpus_per_trial=resources["GPU"],
        params=params,
        environment={**describe_environment(), "resources": resources, "seed": search.seed},
    )

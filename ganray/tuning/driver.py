"""The composition root: one sweep, from its specification to its last trial, on a Ray cluster."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial

from ganray.spec.models import SweepSpec
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import Recorder
from ganray.tracking.store import tracking_uri
from ganray.tuning.changes import changed
from ganray.tuning.cluster import joined, submitted_job, trial_resources
from ganray.tuning.confirm import ConfirmStudy
from ganray.tuning.lease import Lease
from ganray.tuning.places import Located, check_results
from ganray.tuning.result import SweepResult
from ganray.tuning.study import SweepStudy

# Ray's start is three seconds of waiting, in which these fit; Tune is imported when it is over, as
# both import parts of Ray
LOADED = ("torch", "mlflow")


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
    recorders = _recorders(spec) if recorders is None else recorders
    with _closing(recorders):
        check_results(spec)
        for kind in (SweepStudy, ConfirmStudy):
            kind.refuse_taken(spec)
        with joined(meanwhile=LOADED):
            from ganray.data.registry import load_dataset
            from ganray.tuning.fit import check_fit
            from ganray.tuning.sweep import Sweep

            resources = trial_resources(spec)
            dataset = load_dataset(spec.data.model_dump())  # before the name is taken: may fail
            check_fit(spec, dataset)
            study = SweepStudy.create(spec)
            with _leased(study) as lease, _closing(recorders):
                return Sweep(study, dataset, resources, recorders, lease).run()


def resume_sweep(
    place: Located,
    settings: Sequence[str] = (),
    recorders: Sequence[Recorder] | None = None,
) -> SweepResult:
    """Go on with a sweep that was stopped, interrupted, or has more to use now.

    What the study has is not done again: trials that ended keep their outcome, those that ran go on
    from their last checkpoint, and every recorder is told all of it first.

    Args:
        place: the sweep's name and storage; of a `SweepSpec` nothing else counts.
        settings: what is different now, in the words of `--set`, such as `search.trials=40`.
        recorders: as in `run_sweep`.

    Raises:
        UnknownSweepError: there is no such sweep.
        SweepRunningError: somebody runs it.
        SpecError: a setting would make it another sweep.
        ResourceError, DataError: as in `run_sweep`.
    """
    with _closing(recorders or ()):
        study = SweepStudy.load(place)
        with _leased(study) as lease:
            left = study.again()  # as the driver before left it
            confirming = ConfirmStudy.exists(left.spec)
            spec = changed(left.spec, settings, asked=left.asked, confirming=confirming)
            return _go_on(left, spec, recorders, lease)


def _go_on(
    study: SweepStudy, spec: SweepSpec, recorders: Sequence[Recorder] | None, lease: Lease
) -> SweepResult:
    recorders = _recorders(spec) if recorders is None else recorders
    with _closing(recorders):
        check_results(spec)
        with joined(meanwhile=LOADED):
            from ganray.data.registry import load_dataset
            from ganray.tuning.sweep import Sweep

            resources = trial_resources(spec)
            dataset = load_dataset(spec.data.model_dump())
            with _closing(recorders):
                return Sweep(study, dataset, resources, recorders, lease).go_on(spec)


def _recorders(spec: SweepSpec) -> list[Recorder]:
    store = tracking_uri(spec.tracking.uri)
    return [MlflowRecorder(store, spec.tracking.experiment)]


@contextlib.contextmanager
def _closing(recorders: Sequence[Recorder]) -> Iterator[None]:
    """Close them at the end; while the lease is held, nobody else writes. Twice is harmless."""
    try:
        yield
    finally:
        for recorder in recorders:
            recorder.close()


@contextlib.contextmanager
def _leased(study: SweepStudy) -> Iterator[Lease]:
    """Be the sweep's only driver; who loses the lease to another one ends as by Ctrl-C."""
    interrupt = partial(os.kill, os.getpid(), signal.SIGINT)
    lease = Lease.acquire(study.record, job=submitted_job(), on_lost=interrupt)
    try:
        yield lease
    finally:
        lease.release()

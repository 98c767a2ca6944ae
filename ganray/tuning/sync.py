"""Tells recorders a sweep's past, which the study holds: what they have heard changes nothing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from ganray.errors import SweepRunningError, TrackingError
from ganray.secrets import redact
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import Recorder
from ganray.tracking.store import tracking_uri
from ganray.trial import Outcome
from ganray.tuning.confirm import studies_of
from ganray.tuning.exporting import export_file
from ganray.tuning.files import STORAGE_ERRORS
from ganray.tuning.generators import best_generator
from ganray.tuning.lease import Lease
from ganray.tuning.places import Located, list_files, read_file, samples_name, trial_location
from ganray.tuning.real_picture import find_real_picture
from ganray.tuning.study import RecordedTrial, SweepStudy
from ganray.tuning.telling import evidence_of, sweep_record_of, trial_record

INTERRUPTED = "the sweep was interrupted"


@dataclass(frozen=True, slots=True)
class Told:
    """What of a trial's past was told; nothing where nobody wanted it."""

    number: int
    wanted: bool
    reports: int = 0
    pictures: int = 0


@dataclass(frozen=True, slots=True)
class Synced:
    """What a store was brought."""

    store: str  # its URI, without a password
    trials: tuple[Told, ...]  # all of the sweep


def tell_start(search: SweepStudy, recorders: Sequence[Recorder]) -> None:
    """Tell recorders what a sweep is.

    Raises:
        UnknownSweepError: it was left before it had begun.
    """
    record = sweep_record_of(search)
    load = find_real_picture(search.spec)
    for recorder in recorders:
        recorder.start_sweep(record)
        if load is not None:
            recorder.real_picture(load)


def tell_all(studies: Sequence[SweepStudy], recorders: Sequence[Recorder]) -> list[Told]:
    """Tell recorders everything that is recorded of a sweep, but not its end.

    Args:
        studies: of the sweep's search, and of its confirmation if there is one.
        recorders: that are told from `start_sweep` on, of each trial only those that want it.

    Returns:
        An entry for each trial, in the order of their numbers.
    """
    search, *others = studies
    tell_start(search, recorders)
    told = [_tell(search, trial, recorders) for trial in search.recorded()]
    for confirming in others:
        for recorder in recorders:
            recorder.start_confirming(confirming.size)
        told += [_tell(confirming, trial, recorders) for trial in confirming.recorded()]
    return told


def sync_sweep(place: Located, uri: str | None = None) -> Synced:
    """Bring the MLflow store up to date with a sweep that nobody runs any more.

    A trial that its driver left without an outcome is cancelled.

    Args:
        place: the sweep's name and storage.
        uri: of the store; None: that of the sweep.

    Raises:
        UnknownSweepError: there is no such sweep, or it was left before it had begun.
        SweepRunningError: somebody runs it.
        TrackingError: the store is away, or refuses something.
    """
    search = SweepStudy.load(place)
    lease = Lease.acquire(search.record)
    try:
        studies = studies_of(search.again())  # as the driver before left it
        for study in studies:
            _cancel_left(study, lease)
        return _bring(studies, tracking_uri(uri or search.spec.tracking.uri))
    finally:
        lease.release()


def _cancel_left(study: SweepStudy, lease: Lease) -> None:
    """Give every trial that a dead driver left the outcome that it has earned, else cancelled."""
    study.settle()
    for number in study.unfinished():
        if lease.lost.is_set():
            raise SweepRunningError(f"sweep '{study.spec.name}' was taken over meanwhile")
        study.finish(number, Outcome.CANCELLED, INTERRUPTED)


def _bring(studies: Sequence[SweepStudy], store: str) -> Synced:
    spec = studies[0].spec
    outcomes = {n: outcome for study in studies for n, outcome in study.outcomes().items()}
    recorder = MlflowRecorder(store, spec.tracking.experiment)
    try:
        told = tell_all(studies, [recorder])
        best = best_generator(studies[0], [recorder], export_file)
        if best is not None:
            recorder.generator(best)
        recorder.end_sweep(outcomes, cancelled=_is_cancelled(studies, outcomes.values()))
        if not recorder.complete:
            recorder.hurry(0.0)
    except BaseException:
        recorder.hurry(0.0)
        raise
    finally:
        recorder.close()
    if not recorder.complete:
        raise TrackingError(
            f"the tracking store {redact(store)} did not take everything; nothing of it is lost: "
            "do it again when the store is back"
        )
    return Synced(redact(store), tuple(told))


def _is_cancelled(studies: Sequence[SweepStudy], outcomes: Collection[Outcome]) -> bool:
    """Whether a sweep that nobody runs any more was left before it was through."""
    search, *confirming = studies
    if Outcome.CANCELLED in outcomes:
        return True
    if list(outcomes).count(Outcome.CRASHED) > search.spec.budget.failures:
        return False  # that ended it
    is_confirmed = confirming or not search.spec.confirm.trials or not search.best(1)
    return not (is_confirmed and all(study.is_over for study in studies))


def _tell(study: SweepStudy, trial: RecordedTrial, recorders: Sequence[Recorder]) -> Told:
    number, ending = trial.assignment.number, trial.ending
    outcome = None if ending is None else ending.outcome
    wanting = [recorder for recorder in recorders if recorder.wants(number, outcome)]
    if not wanting:
        return Told(number, wanted=False)
    record = trial_record(study, trial.assignment)
    folder = trial_location(study.spec, number)
    names = _files(folder)
    shown = [s.update for s, _, _ in trial.reports if samples_name(s.update) in (names or ())]
    for recorder in wanting:
        recorder.start_trial(record)
        for signals, verdict, at in trial.reports:
            recorder.report(number, signals, verdict, at)
            if signals.update in shown:
                load = partial(read_file, f"{folder}/{samples_name(signals.update)}")
                recorder.picture(number, signals.update, load)
        if ending is not None:
            recorder.end_trial(ending)
            if names is not None:
                recorder.evidence(number, evidence_of(study, number, names))
    return Told(number, True, len(trial.reports), len(shown))


def _files(folder: str) -> tuple[str, ...] | None:
    """The names of a trial's files; None where storage is out of reach."""
    try:
        return list_files(folder)
    except STORAGE_ERRORS:
        return None

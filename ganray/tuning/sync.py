"""Tells recorders a sweep's past, which the study holds: what they have heard changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ganray.tracking.recorder import Recorder
from ganray.trial import Outcome
from ganray.tuning.confirm import ConfirmStudy
from ganray.tuning.files import STORAGE_ERRORS
from ganray.tuning.places import list_files, read_file, samples_name, trial_location
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


def tell_all(search: SweepStudy, recorders: Sequence[Recorder]) -> list[Told]:
    """Tell recorders everything that is recorded of a sweep, but not its end.

    Args:
        search: the study of the sweep's search; that of its confirmation is found beside it.
        recorders: that are told from `start_sweep` on, of each trial only those that want it.

    Returns:
        An entry for each trial, in the order of their numbers.
    """
    record = sweep_record_of(search)
    for recorder in recorders:
        recorder.start_sweep(record)
    told = [_tell(search, trial, recorders) for trial in search.recorded()]
    confirming = confirmation_of(search)
    if confirming is not None:
        for recorder in recorders:
            recorder.start_confirming(confirming.size)
        told += [_tell(confirming, trial, recorders) for trial in confirming.recorded()]
    return told


def confirmation_of(search: SweepStudy) -> ConfirmStudy | None:
    """The study that confirms what a search found; None if it was not begun."""
    return ConfirmStudy.load(search.spec) if ConfirmStudy.exists(search.spec) else None


def cancel_left(study: SweepStudy) -> None:
    """Give every trial that a dead driver left the outcome that it has, else cancelled."""
    study.settle()
    for number in study.unfinished():
        study.finish(number, Outcome.CANCELLED, INTERRUPTED)


def is_cancelled(search: SweepStudy, confirming: ConfirmStudy | None) -> bool:
    """Whether a sweep that nobody drives any more ended before it was through."""
    studies = [search] if confirming is None else [search, confirming]
    outcomes = [outcome for study in studies for outcome in study.outcomes().values()]
    if Outcome.CANCELLED in outcomes:
        return True
    if outcomes.count(Outcome.CRASHED) > search.spec.budget.failures:
        return False  # it ended itself
    to_confirm = search.spec.confirm.trials and search.best(1)
    return not all(study.is_over for study in studies) or bool(to_confirm and confirming is None)


def _tell(study: SweepStudy, trial: RecordedTrial, recorders: Sequence[Recorder]) -> Told:
    number, ending = trial.assignment.number, trial.ending
    outcome = None if ending is None else ending.outcome
    wanting = [recorder for recorder in recorders if recorder.wants(number, outcome)]
    if not wanting:
        return Told(number, wanted=False)
    record = trial_record(study, trial.assignment, trial.started)
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

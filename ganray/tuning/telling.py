"""What recorders are told: made from what a study and its trials' folders hold."""

from collections.abc import Collection
from dataclasses import asdict
from functools import partial

from ganray.errors import UnknownSweepError
from ganray.tracking.recorder import Evidence, SweepRecord, TrialRecord
from ganray.tuning.places import (
    BEST_CHECKPOINT,
    BEST_PICTURE,
    STOP_PICTURE,
    read_file,
    trial_location,
)
from ganray.tuning.study import Assignment, SweepStudy


def sweep_record_of(study: SweepStudy) -> SweepRecord:
    """What recorders were told of a sweep when it last started.

    Raises:
        UnknownSweepError: its driver died before it told anybody.
    """
    try:
        plain = study.description
    except KeyError:
        name = study.spec.name
        raise UnknownSweepError(f"sweep '{name}' was left before it had begun") from None
    return SweepRecord(**{**plain, "searched": tuple(plain["searched"])})


def trial_record(study: SweepStudy, assignment: Assignment) -> TrialRecord:
    """What recorders are told of a trial that starts, or goes on."""
    return TrialRecord(
        number=assignment.number,
        params=asdict(assignment.config),
        searched=assignment.searched,
        started=assignment.started,
        files=trial_location(study.spec, assignment.number),
        confirms=assignment.confirms,
    )


def evidence_of(study: SweepStudy, number: int, names: Collection[str]) -> Evidence:
    """What recorders are told of what a trial left.

    Args:
        study: that it belongs to.
        number: of the trial.
        names: of all files in its folder.
    """
    folder = trial_location(study.spec, number)
    pictures = [name for name in (BEST_PICTURE, STOP_PICTURE) if name in names]
    return Evidence(
        pictures={name: partial(read_file, f"{folder}/{name}") for name in pictures},
        best_checkpoint=f"{folder}/{BEST_CHECKPOINT}" if BEST_CHECKPOINT in names else "",
    )

"""What stands of a trial in its study: the names of its attributes, and how they are read."""

from typing import Any

from optuna.trial import FrozenTrial

from ganray.trial import Outcome, Signals, State, StopRecord, Verdict
from ganray.tuning.faults import Fault, tries_left
from ganray.tuning.pruner import reports_of

# the grounds on which it was stopped, or would have been
STOPPED, AUDITED = "stop", "audited"
OUTCOME = "outcome"  # set after all else that is known of an ending
LAUNCHES = "launches"  # when it was given to a worker, each time; before, when asked for
FAULTS = "faults"


def report_of(record: dict[str, Any]) -> tuple[Signals, Verdict, int]:
    """A report, the judge's verdict on it, and when it was made, in ms since 1970."""
    verdict = Verdict(State(record["state"]), record["reason"])
    return Signals.from_dict(record), verdict, record.get("at", 0)


def outcome_of(frozen: FrozenTrial) -> Outcome | None:
    """How it ended; None if it has not."""
    found = frozen.user_attrs.get(OUTCOME)
    return None if found is None else Outcome(found)


def is_half_asked(frozen: FrozenTrial) -> bool:
    """Whether a driver died, or lost its storage, before it had said what the trial is."""
    return "config" not in frozen.user_attrs


def faults_of(frozen: FrozenTrial) -> list[Fault]:
    """Its faults, the oldest first."""
    return [Fault.from_dict(values) for values in frozen.user_attrs.get(FAULTS, [])]


def retries_of(frozen: FrozenTrial) -> int:
    """After how many of its faults it went on."""
    faults = faults_of(frozen)
    return sum(tries_left(faults[: i + 1]) > 0 for i in range(len(faults)))


def stop_record(frozen: FrozenTrial, attribute: str) -> StopRecord | None:
    """The grounds under `STOPPED` or `AUDITED`, if any."""
    found = frozen.user_attrs.get(attribute)
    return None if found is None else StopRecord.from_dict(found)


def started_at(frozen: FrozenTrial) -> int:
    """When it was first given to a worker, ms since 1970; 0 if never."""
    launches = frozen.user_attrs.get(LAUNCHES, [])
    return int(launches[0]) if launches else 0


def seconds_occupied(frozen: FrozenTrial, end: int) -> float:
    """Seconds that a trial held its resources: up to its last report before each break."""
    launches = frozen.user_attrs.get(LAUNCHES, [])
    reports = [record.get("at", 0) for record in reports_of(frozen)]
    total = 0
    for start, following in zip(launches, [*launches[1:], None], strict=True):
        if following is None:
            total += max(0, end - start)
        else:
            total += max((at - start for at in reports if start <= at < following), default=0)
    return total / 1000.0

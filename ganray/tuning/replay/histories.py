"""Recorded trials, from MLflow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganray.errors import DataError, TrackingError
from ganray.tracking.reader import SweepRow, TrialRow, fetch_history, fetch_sweep
from ganray.trial import Direction, Outcome, Signals

Tell = Callable[[str, int, int], None]  # what is going on, how much of it is done, of how much
Setting = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One recorded trial: what it was, all that it reported, how it ended."""

    source: str  # the sweep
    data: str  # name of the data set
    number: int
    config: Mapping[str, Any]  # all trial parameters
    searched: tuple[str, ...]
    budget: int  # updates of a full trial
    metric: str  # the objective's signal
    direction: Direction
    outcome: Outcome
    reason: str
    reports: tuple[Signals, ...]  # at least one, oldest first

    @property
    def setting(self) -> Setting:
        """The searched parameters: equal for trials that differ by their seed alone."""
        return tuple((name, self.config.get(name)) for name in self.searched if name != "seed")

    @property
    def cluster(self) -> tuple[str, Setting]:
        """Equal for the seeds of one setting, in whichever sweeps they ran."""
        return self.data, self.setting

    @property
    def ended_nonfinite(self) -> bool:
        """Whether there was nothing left to train."""
        return self.reports[-1].nonfinite is not None

    @property
    def is_full(self) -> bool:
        """Whether it came to its own end, so that what became of it is known."""
        return self.ended_nonfinite or self.reports[-1].update >= self.budget

    @property
    def cost(self) -> int:
        """Updates that it took."""
        return self.reports[-1].update


def fetch_histories(
    name: str, uri: str | None = None, tell: Tell = lambda *_: None
) -> list[History]:
    """All ended trials of a sweep's search that reported anything, in their order.

    Args:
        name: of the sweep.
        uri: the MLflow store; None: the default one.
        tell: hears how far the reading is.

    Raises:
        UnknownSweepError: the store has no sweep of that name.
        TrackingError: the store cannot be read.
        DataError: no trial of the sweep has ended with a report.
    """
    sweep = fetch_sweep(name, uri)
    reports: dict[int, list[Signals]] = {}
    for row in fetch_history(name, uri):
        number = row.pop("trial")
        if number not in reports:
            tell(f"reading {name}", len(reports), len(sweep.trials))
        reports.setdefault(number, []).append(Signals.from_dict(row))
    found = [
        _history(sweep, trial, Outcome(trial.outcome), reports[trial.number])
        for trial in sweep.trials
        if trial.phase == "search" and trial.outcome is not None and trial.number in reports
    ]
    if not found:
        raise DataError(f"no trial of sweep '{name}' has ended with a report")
    return found


def refuse_repeats(histories: Sequence[History]) -> None:
    """Check that no trial is there twice.

    Raises:
        DataError: one is; it would count twice.
    """
    seen: set[tuple[str, int]] = set()
    for history in histories:
        key = (history.source, history.number)
        if key in seen:
            raise DataError(f"trial {history.number} of sweep '{history.source}' is given twice")
        seen.add(key)


def by_source(histories: Sequence[History]) -> dict[str, list[int]]:
    """Indices of each sweep's trials: only trials of one sweep are ever compared."""
    groups: dict[str, list[int]] = {}
    for index, history in enumerate(histories):
        groups.setdefault(history.source, []).append(index)
    return groups


def _history(sweep: SweepRow, trial: TrialRow, outcome: Outcome, reports: list[Signals]) -> History:
    for name in ("data.name", "budget.updates"):
        if name not in sweep.params:
            raise TrackingError(f"sweep '{sweep.name}' is recorded without its {name}")
    if trial.nonfinite is not None:  # a text, so it is not among the metrics
        reports = [*reports[:-1], _with_nonfinite(reports[-1], trial.nonfinite)]
    return History(
        source=sweep.name,
        data=sweep.params["data.name"],
        number=trial.number,
        config=trial.params,
        searched=sweep.searched,
        budget=sweep.params["budget.updates"],
        metric=sweep.objective,
        direction="min" if sweep.direction == "min" else "max",
        outcome=outcome,
        reason=trial.reason or "",
        reports=tuple(reports),
    )


def _with_nonfinite(signals: Signals, what: str) -> Signals:
    return Signals.from_dict({**signals.to_dict(), "nonfinite": what})

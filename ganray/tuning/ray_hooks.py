"""The only code that subclasses Ray Tune's search and scheduling interfaces.

Both share one `SweepStudy`, the sweep's memory. The scheduler makes every decision and records it
in the study first, then tells the recorders.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow
from ray import cloudpickle
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from ganray.secrets import redact
from ganray.tracking.recorder import Evidence, Recorder, TrialRecord
from ganray.trial import Outcome
from ganray.tuning.places import (
    BEST_CHECKPOINT,
    BEST_PICTURE,
    STOP_PICTURE,
    list_files,
    read_file,
    trial_location,
)
from ganray.tuning.study import SweepStudy


class SweepLimits:
    """When a sweep ends early: its hours are over, or too many trials crashed.

    Args:
        hours: None for no limit.
        failures: crashed trials that the sweep takes.
    """

    def __init__(self, hours: float | None, failures: int) -> None:
        self._ends = time.monotonic() + hours * 3600.0 if hours is not None else float("inf")
        self._failures = failures
        self.crashed = 0

    @property
    def out_of_time(self) -> bool:
        """Whether running trials have to stop."""
        return time.monotonic() >= self._ends

    @property
    def reason(self) -> str | None:
        """Why no further trial is to be started, or None."""
        if self.out_of_time:
            return "the sweep's hours are over"
        if self.crashed > self._failures:
            return f"{self.crashed} trials crashed, more than budget.failures {self._failures}"
        return None


class StudySearch(Searcher):
    """Asks the study for trials; how they end is the scheduler's business."""

    def __init__(
        self, study: SweepStudy, recorders: Sequence[Recorder], limits: SweepLimits
    ) -> None:
        super().__init__()
        self._study = study
        self._recorders = recorders
        self._limits = limits

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The Ray config of the next trial, or that there is none."""
        assignment = self._study.ask() if self._limits.reason is None else None
        if assignment is None:
            finished: Any = Searcher.FINISHED  # a string, against the interface's own type
            return cast(dict[str, Any], finished)
        params = asdict(assignment.config)
        record = TrialRecord(
            number=assignment.number,
            params=params,
            searched=assignment.searched,
            files=trial_location(self._study.spec, assignment.number),
            confirms=assignment.confirms,
        )
        for recorder in self._recorders:
            recorder.start_trial(record)
        return {"number": assignment.number, "trial_config": params}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the scheduler hears of the end first, and with the error."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is the record."""

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles its searcher with the experiment; nothing of it is read back."""
        return {}


class StudyScheduler(FIFOScheduler):
    """Starts trials in the order in which they were asked for; stops those that the study ends."""

    def __init__(
        self, study: SweepStudy, recorders: Sequence[Recorder], limits: SweepLimits
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._study = study
        self._recorders = recorders
        self._limits = limits
        self._ended: set[int] = set()
        self._told: set[int] = set()  # of which recorders have the evidence

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Record a report, and stop the trial if that ends it."""
        number, signals = _number(trial), result["signals"]
        decision = self._study.report(number, signals)
        for recorder in self._recorders:
            recorder.report(number, signals, decision.verdict)
            if "picture" in result:
                load = partial(read_file, result["picture"])
                recorder.picture(number, signals.update, load)
        if decision.stop is not None:
            self._finish(number, decision.stop.outcome, decision.stop.reason)
            if "kept" in result:
                self._tell_evidence(number, result["kept"])
        elif self._limits.out_of_time:
            self._finish(number, Outcome.CANCELLED, self._limits.reason or "")
        else:
            return TrialScheduler.CONTINUE
        return TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Record a crash with its cause."""
        self._finish(_number(trial), Outcome.CRASHED, _cause(trial))

    def cancel_unfinished(self, reason: str) -> None:
        """Give every trial that has no outcome the outcome cancelled."""
        for number in self._study.unfinished():
            self._finish(number, Outcome.CANCELLED, reason)

    def tell_evidence(self) -> None:
        """Tell recorders what trials left that ended before their workers could say so."""
        for number in sorted(self._ended - self._told):
            folder = trial_location(self._study.spec, number)
            with contextlib.suppress(OSError, pyarrow.ArrowException):  # storage is out of reach
                self._tell_evidence(number, list_files(folder))

    def _tell_evidence(self, number: int, names: Sequence[str]) -> None:
        self._told.add(number)
        folder = trial_location(self._study.spec, number)
        pictures = [name for name in (BEST_PICTURE, STOP_PICTURE) if name in names]
        best = f"{folder}/{BEST_CHECKPOINT}" if BEST_CHECKPOINT in names else ""
        if pictures:
            loads = {name: partial(read_file, f"{folder}/{name}") for name in pictures}
            for recorder in self._recorders:
                recorder.evidence(number, Evidence(pictures=loads, best_checkpoint=best))

    def _finish(self, number: int, outcome: Outcome, reason: str) -> None:
        ending = self._study.finish(number, outcome, reason)
        if ending is None:
            return
        self._ended.add(number)
        self._limits.crashed += ending.outcome is Outcome.CRASHED
        for recorder in self._recorders:
            recorder.end_trial(ending)

    def __getstate__(self) -> dict[str, Any]:
        """As in `StudySearch`."""
        return {}


def _number(trial: Trial) -> int:
    return int(trial.config["number"])


def _cause(trial: Trial) -> str:
    """The exception that ended the trial, in one line; its traceback is in the trial's folder."""
    if trial.pickled_error_file is None:
        return "unknown"
    error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    line = lines[-1 if "Traceback" in lines[0] else 0] if lines else ""
    return redact(f"{type(cause).__name__}: {line}")

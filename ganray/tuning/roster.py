"""Which trial is to run next, and what becomes of one that failed: no Ray needed."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence, Set

from ganray.tracking.recorder import Recorder
from ganray.trial import Cause, Ending, Outcome
from ganray.tuning.study import Assignment, SweepStudy
from ganray.tuning.telling import trial_record

OUT_OF_TIME = "the sweep's hours are over"


class SweepLimits:
    """When a sweep ends early: its hours are over, or too many trials crashed.

    Args:
        hours: that are left; None for no limit.
        failures: crashed trials that the sweep takes.
        crashed: those of earlier starts.
    """

    def __init__(self, hours: float | None, failures: int, crashed: int = 0) -> None:
        self._ends = time.monotonic() + hours * 3600.0 if hours is not None else float("inf")
        self._failures = failures
        self.crashed = crashed

    @property
    def out_of_time(self) -> bool:
        """Whether running trials have to stop."""
        return time.monotonic() >= self._ends

    @property
    def reason(self) -> str | None:
        """Why no further trial is to be started, or None."""
        if self.out_of_time:
            return OUT_OF_TIME
        if self.crashed > self._failures:
            return f"{self.crashed} trials crashed, more than budget.failures {self._failures}"
        return None


class Roster:
    """The trials of one study that are running, wait to go on, or are still to be asked for.

    Args:
        study: the record; it hears of everything first.
        recorders: who hears of it then.
        limits: when no more trials are started.
        capacity: how many trials may run at the moment.
        again: trials to take up first: those that an earlier start left unfinished.
        on_last: called once, when the last trial was asked for.
        crowded: whether trials run beside others on a GPU, or in a process. One whose last try is
            next, as it ran out of memory there, or the process died again and again, waits for that
            until no other runs or is to be run.
    """

    def __init__(
        self,
        study: SweepStudy,
        recorders: Sequence[Recorder],
        limits: SweepLimits,
        capacity: Callable[[], int],
        again: Iterable[int] = (),
        on_last: Callable[[], None] = lambda: None,
        *,
        crowded: bool = False,
    ) -> None:
        self.study = study
        self.recorders = recorders
        self.limits = limits
        self._capacity = capacity
        self._again = deque(again)
        self._alone: deque[int] = deque()  # those that wait until nothing else runs
        self._crowded = crowded
        self._on_last = on_last
        self._running: set[int] = set()
        self._waiting: set[int] = set()  # of these, who has no worker yet

    @property
    def running(self) -> Set[int]:
        """The trials that were given out and have neither ended nor failed."""
        return self._running

    @property
    def is_done(self) -> bool:
        """Whether `next` will never give a trial any more."""
        if self.limits.reason is not None:
            return True
        return self.is_all_given and not self._running  # what runs may fail and go on

    @property
    def is_all_given(self) -> bool:
        """Whether nothing is to be started, unless a trial that runs fails and goes on."""
        if self.limits.reason is not None:
            return True
        return not (self._again or self._alone) and self.study.is_all_asked

    def next(self) -> Assignment | None:
        """The trial to start as soon as there is a worker for it; None if there is none for now."""
        if self.limits.reason is not None or len(self._running) >= self._capacity():
            return None
        assignment = self._next()
        if assignment is None:
            return None
        self._running.add(assignment.number)
        self._waiting.add(assignment.number)
        return assignment

    def _next(self) -> Assignment | None:
        if self._again:
            return self.study.ask_again(self._again.popleft())
        asked = self.study.ask()
        if asked is not None:
            if self.study.is_all_asked:
                self._on_last()
            return asked
        if self._alone and not self._running:
            return self.study.ask_again(self._alone.popleft())
        return None

    def begin(self, number: int) -> None:
        """A worker has the trial, of which recorders are told, once; others' sweeps may come first.

        Until then it takes nothing of the cluster, so that no time of it counts.
        """
        if number not in self._waiting:
            return
        self._waiting.remove(number)
        record = trial_record(self.study, self.study.begin(number))
        for recorder in self.recorders:
            recorder.start_trial(record)

    def fail(self, number: int, cause: Cause, reason: str) -> Ending | None:
        """A trial's actor gave an error: the trial goes on later, or has crashed."""
        self._running.discard(number)
        if self.study.has_ended(number):
            return None
        tries = self.study.record_fault(number, cause, reason)
        if tries:
            (self._alone if tries == 1 and self._crowded else self._again).append(number)
            return None
        return self.finish(number, Outcome.CRASHED, reason, cause)

    def finish(
        self, number: int, outcome: Outcome, reason: str, cause: Cause | None = None
    ) -> Ending | None:
        """Record how a trial ended, and tell of it; None if it had ended before."""
        self.begin(number)  # who never had a worker has an outcome all the same
        self._running.discard(number)
        ending = self.study.finish(number, outcome, reason, cause)
        if ending is not None:
            self.limits.crashed += ending.outcome is Outcome.CRASHED
            for recorder in self.recorders:
                recorder.end_trial(ending)
        return ending

    def cancel_unfinished(self, reason: str) -> None:
        """Give every trial that has no outcome the outcome cancelled."""
        for number in self.study.unfinished():
            self.finish(number, Outcome.CANCELLED, reason)

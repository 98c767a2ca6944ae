"""How a sweep stands, in one small file that its driver keeps: read by clients from afar."""

import contextlib
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ganray.secrets import redact
from ganray.tracking.recorder import BestGenerator, Evidence, Load, SweepRecord, TrialRecord
from ganray.trial import Ending, Outcome, Signals, Verdict

EVERY_SECONDS = 1.0
SHOWN = ("distance", "modes", "mode_ratio", "js", "auc", "updates_per_second")  # of a running trial

Ended = Literal["finished", "stopped", "failed"]


def status_name(sweep: str) -> str:
    """The file's name, in the folder where a Ray session's logs are."""
    return f"ganray-{sweep}.json"


@dataclass
class _Running:
    """A trial under way."""

    trial: TrialRecord
    signals: Signals | None = None
    verdict: Verdict | None = None

    @property
    def since(self) -> float:
        """Seconds since 1970."""
        return self.trial.started / 1_000.0


class StatusRecorder:
    """A `Recorder` that keeps the state of a sweep in a file.

    The file is replaced as a whole, so that no reader sees half of it: at every start and end of
    a trial, else at most once a second.

    Args:
        path: of the file.
        attempt: which start of the sweep this is; 1: the first.
        tracking_uri: where the sweep is recorded; shown without a password.
        hours: that the sweep may take; None: no limit.
        hours_used: by earlier starts.
        clock: seconds since 1970.
    """

    complete = True  # nothing is ever lost

    def __init__(
        self,
        path: Path,
        *,
        attempt: int = 1,
        tracking_uri: str = "",
        hours: float | None = None,
        hours_used: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._clock = clock
        self._attempt, self._tracking, self._hours = attempt, redact(tracking_uri), hours
        self._hours_before = hours_used
        self._opened = self._written = clock()
        self._sweep: SweepRecord | None = None
        self._state: Literal["running", "finished", "stopped", "failed"] = "running"
        self._message = ""
        self._running: dict[int, _Running] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._counts: Counter[Outcome] = Counter()  # of them
        self._updates: dict[int, int] = {}  # of each trial, so far
        self._updates_used = 0  # of all
        self._seconds: dict[int, float] = {}  # that each ended trial took
        self._seconds_taken = 0.0  # by all of them
        self._most_at_once = 0
        self._confirming: int | None = None
        self._best: dict[str, Any] | None = None

    def start_sweep(self, sweep: SweepRecord) -> None:
        """See `Recorder`."""
        self._sweep = sweep
        self._write()

    def real_picture(self, load: Load) -> None:
        """See `Recorder`; of no use here."""

    def start_trial(self, trial: TrialRecord) -> None:
        """See `Recorder`."""
        self._count(trial.number, None)  # it may have been cancelled, and goes on
        self._running[trial.number] = _Running(trial)
        self._most_at_once = max(self._most_at_once, len(self._running))
        self._write()

    def report(self, number: int, signals: Signals, verdict: Verdict, at: int) -> None:
        """See `Recorder`."""
        before = self._updates.get(number, 0)
        self._updates[number] = max(signals.update, before)
        self._updates_used += self._updates[number] - before
        if number in self._running:
            running = self._running[number]
            running.signals, running.verdict = signals, verdict
        if self._clock() - self._written >= EVERY_SECONDS:
            self._write()

    def picture(self, number: int, update: int, load: Load) -> None:
        """See `Recorder`; of no use here."""

    def end_trial(self, ending: Ending) -> None:
        """See `Recorder`."""
        self._count(ending.number, ending.outcome)
        running = self._running.pop(ending.number, None)
        if running is not None:
            if ending.outcome is not Outcome.CANCELLED:
                self._seconds_taken += ending.wall_seconds - self._seconds.get(ending.number, 0.0)
                self._seconds[ending.number] = ending.wall_seconds
            self._keep_best(running.trial, ending)
        self._write()

    def start_confirming(self, trials: int) -> None:
        """See `Recorder`."""
        self._confirming = trials
        self._write()

    def evidence(self, number: int, evidence: Evidence) -> None:
        """See `Recorder`; of no use here."""

    def generator(self, best: BestGenerator) -> None:
        """See `Recorder`; of no use here."""

    def wants_generator(self, number: int, register: str | None) -> bool:
        """See `Recorder`; of no use here."""
        return False

    def end_sweep(self, outcomes: Mapping[int, Outcome], *, cancelled: bool) -> None:
        """See `Recorder`."""
        for number, outcome in outcomes.items():
            self._count(number, outcome)
        self.end("stopped" if cancelled else "finished")

    def wants(self, number: int, outcome: Outcome | None) -> bool:
        """See `Recorder`: the numbers are of all attempts."""
        return True

    def rest(self) -> None:
        """See `Recorder`."""

    def hurry(self, seconds: float) -> None:
        """See `Recorder`; nothing here takes long."""

    def close(self) -> None:
        """See `Recorder`; every end was written when it came."""

    def end(self, state: Ended, message: str = "") -> None:
        """Say how the sweep ended, and why if not by itself.

        Of a sweep that never began nothing is written: an earlier start may have left its numbers.
        """
        self._state, self._message = state, redact(message)
        if self._sweep is not None:
            self._write()

    def _count(self, number: int, outcome: Outcome | None) -> None:
        """Take an outcome down, or back."""
        before = self._outcomes.pop(number, None)
        if before is not None:
            self._counts[before] -= 1
        if outcome is not None:
            self._outcomes[number] = outcome
            self._counts[outcome] += 1

    def _keep_best(self, trial: TrialRecord, ending: Ending) -> None:
        value = ending.objective
        if trial.confirms is not None or ending.outcome is not Outcome.COMPLETED or value is None:
            return
        sign = 1.0 if self._record.direction == "min" else -1.0
        if self._best is None or sign * value < sign * self._best["objective"]:
            settings = dict(trial.searched)
            self._best = {"number": trial.number, "objective": value, "settings": settings}

    def _write(self) -> None:
        """Replace the file; a disk that is full or gone must not end the sweep."""
        self._written = self._clock()
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            fresh.write_text(json.dumps(_plain(self._content())), encoding="utf-8")
            fresh.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)

    def _content(self) -> dict[str, Any]:
        sweep = self._record
        return {
            "name": sweep.name,
            "attempt": self._attempt,
            "state": self._state,
            "message": self._message,
            "waiting": self._is_waiting,
            "trials": {
                "total": self._total,
                "ended": self._done,  # cancelled ones may go on
                "running": len(self._running),
                "outcomes": {
                    outcome.value: count for outcome, count in self._counts.items() if count
                },
            },
            "objective": {"metric": sweep.objective, "mode": sweep.direction},
            "best": self._best,
            "running": [self._shown(number) for number in sorted(self._running)],
            "budget": self._budget(),
            "eta_seconds": self._seconds_left(),
            "started": self._opened,
            "updated": self._written,
            "tracking_uri": self._tracking,
        }

    @property
    def _record(self) -> SweepRecord:
        assert self._sweep is not None, "the sweep starts first"
        return self._sweep

    @property
    def _total(self) -> int:
        """Trials of the search and, as far as is known, those that confirm it."""
        later = self._record.confirming if self._confirming is None else self._confirming
        return self._record.trials + later

    @property
    def _is_waiting(self) -> bool:
        """Whether no trial has a worker: others have the cluster, or processes still start."""
        return self._state == "running" and not self._running and self._left > 0

    @property
    def _left(self) -> int:
        """Trials that have no outcome but cancelled."""
        return max(0, self._total - self._done)

    @property
    def _done(self) -> int:
        """Trials whose outcome is final."""
        return len(self._outcomes) - self._counts[Outcome.CANCELLED]

    def _budget(self) -> dict[str, Any]:
        """Used and left; None where there is no limit."""
        return {
            "trials": {"used": self._total - self._left, "left": self._left},
            "hours": {"used": self._hours_used, "left": self._hours_left},
            "updates": {"used": self._updates_used, "left": self._updates_left},
        }

    @property
    def _hours_used(self) -> float:
        return self._hours_before + (self._clock() - self._opened) / 3600.0

    @property
    def _hours_left(self) -> float | None:
        return None if self._hours is None else max(0.0, self._hours - self._hours_used)

    @property
    def _updates_left(self) -> int:
        """At most: trials that are stopped early leave theirs."""
        begun = sum(self._updates.get(number, 0) for number in self._running)
        return max(0, self._left * self._record.updates - begun)

    def _seconds_left(self) -> float | None:
        """What is left, at the pace of the trials that ended; None before one did.

        A guess: it takes the trials to come for those that were, and as many at a time as there
        were at most.
        """
        if self._state != "running":
            return 0.0 if self._state == "finished" else None
        if not self._seconds:
            return None
        each = self._seconds_taken / len(self._seconds)
        now = self._clock()
        under_way = [max(0.0, each - (now - r.since)) for r in self._running.values()]
        waiting = max(0, self._left - len(self._running))
        left = (sum(under_way) + waiting * each) / max(1, self._most_at_once)
        left = max(left, max(under_way, default=0.0))
        hours = self._hours_left
        return left if hours is None else min(left, hours * 3600.0)

    def _shown(self, number: int) -> dict[str, Any]:
        running = self._running[number]
        signals, verdict = running.signals, running.verdict
        values = signals.to_dict() if signals else {}
        names = dict.fromkeys((self._record.objective, *SHOWN))
        return {
            "number": number,
            "settings": dict(running.trial.searched),
            "started": running.since,
            "update": signals.update if signals else 0,
            "verdict": verdict.state.value if verdict else None,
            "reason": verdict.reason if verdict else "",
            "signals": {name: values[name] for name in names if name in values},
        }


def _plain(value: Any) -> Any:
    """As JSON has it, which knows no NaN and no infinity."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

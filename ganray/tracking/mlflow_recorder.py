"""Writes a sweep to MLflow: one thread, in batches, never in the sweep's way.

The sweep's own thread only puts events into a queue. While the store is away the queue grows, up
to a limit, and the writer tries again; the study has every report, so nothing depends on the queue.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from ganray.secrets import redacted_log
from ganray.tracking.mlflow_writer import MlflowWriter, is_passing
from ganray.tracking.recorder import BestGenerator, Evidence, Load, SweepRecord, TrialRecord
from ganray.trial import Ending, Outcome, Signals, Verdict

log = redacted_log("ganray.tracking")

FLUSH_SECONDS = 1.0
CHUNK = 1_000  # events that are taken from the queue at a time
LIMIT = 50_000  # events that may wait for a store that is away
GRACE_SECONDS = 60.0  # that `close` waits for a store which is away
PATIENCE_SECONDS = 10.0  # that telling a sweep's past waits for one while trials are to run
SHORTEST_PAUSE = 0.25
LONGEST_PAUSE = 10.0
AWAY = "the tracking store is away; the sweep goes on: %s"
FULL = "the tracking store has been away for so long that its record is given up for now"
LOST = (
    "%d records for the tracking store did not reach it; the study has them: "
    "bring them there with `ganray sync %s`"
)

Write = Callable[[MlflowWriter], None]


class MlflowRecorder:
    """A `Recorder` that writes to an MLflow store.

    What it is told while the store is away waits. Where too much waits, it lets all of that go,
    and hears nothing more until the sweep is told again, from `start_sweep` on.

    Args:
        uri: of the store.
        experiment: the experiment's name; made if it is not there.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._found = threading.Event()  # what the store has of the sweep
        self._writer = MlflowWriter(uri, experiment)
        self._name = ""
        self._told: set[str] = set()
        self._accepted = self._handled = 0  # events put into the queue, and through
        self._dropped = self._failed = 0  # events that the sweep's thread, the writer's lost
        self._full = False
        self._skipped: set[int] = set()  # trials whose past was not told: nor is what follows
        self._away_since = float("inf")  # when the first try began of those that failed since
        self._closed_at = float("inf")
        self._time_to_close = float("inf")
        self._patience = PATIENCE_SECONDS
        self._grace = float("inf")  # less, once there is a hurry
        self._thread = threading.Thread(target=self._run, name="ganray-mlflow", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Records that did not reach the store, and will not before they are told again."""
        return self._dropped + self._failed

    @property
    def complete(self) -> bool:
        """See `Recorder`."""
        return not self.lost

    def start_sweep(self, sweep: SweepRecord) -> None:
        """See `Recorder`; what was lost so far comes again."""
        self._name = sweep.name
        self._found.clear()
        self._full, self._dropped, self._failed = False, 0, 0
        self._skipped.clear()
        self._tell(lambda writer: writer.start_sweep(sweep))
        self._tell(self._mark_found)

    def real_picture(self, load: Load) -> None:
        """See `Recorder`."""
        self._tell(lambda writer: writer.real_picture(load))

    def start_trial(self, trial: TrialRecord) -> None:
        """See `Recorder`."""
        self._tell_of(trial.number, lambda writer: writer.start_trial(trial))

    def report(self, number: int, signals: Signals, verdict: Verdict, at: int) -> None:
        """See `Recorder`."""
        self._tell_of(number, lambda writer: writer.report(number, signals, verdict, at))

    def picture(self, number: int, update: int, load: Load) -> None:
        """See `Recorder`."""
        self._tell_of(number, lambda writer: writer.picture(number, update, load))

    def end_trial(self, ending: Ending) -> None:
        """See `Recorder`."""
        self._tell_of(ending.number, lambda writer: writer.flush_trial(ending.number))
        self._tell_of(ending.number, lambda writer: writer.end_trial(ending))

    def start_confirming(self, trials: int) -> None:
        """See `Recorder`."""
        self._tell(lambda writer: writer.plan(trials))

    def evidence(self, number: int, evidence: Evidence) -> None:
        """See `Recorder`."""
        self._tell_of(number, lambda writer: writer.evidence(number, evidence))

    def generator(self, best: BestGenerator) -> None:
        """See `Recorder`."""
        self._tell(lambda writer: writer.generator(best))

    def wants_generator(self, number: int, register: str | None) -> bool:
        """See `Recorder`; True also while nobody knows."""
        return not (self._found.is_set() and self._writer.has_generator(number, register))

    def end_sweep(self, outcomes: Mapping[int, Outcome], *, cancelled: bool) -> None:
        """See `Recorder`."""
        outcomes = dict(outcomes)
        self._tell(lambda writer: writer.end_sweep(outcomes, cancelled=cancelled))

    def wants(self, number: int, outcome: Outcome | None) -> bool:
        """See `Recorder`; False also while the store stays away, and then something is lost."""
        if not self._catch_up():
            self._dropped += 1
            self._skipped.add(number)
            return False
        return outcome is None or self._writer.outcome(number) != outcome

    def rest(self) -> None:
        """See `Recorder`."""
        self._patience = GRACE_SECONDS

    def hurry(self, seconds: float) -> None:
        """See `Recorder`."""
        gone = max(0.0, time.monotonic() - self._closed_at)
        self._time_to_close = min(self._time_to_close, gone + seconds)
        self._grace = min(self._grace, seconds / 4)

    def close(self) -> None:
        """Deliver what is left; gives up after a minute if the store is away, and says so."""
        self._closed_at = min(self._closed_at, time.monotonic())
        self._closing.set()
        self._queue.put(None)
        while self._thread.is_alive() and not self._is_overdue(2 * SHORTEST_PAUSE):
            self._thread.join(SHORTEST_PAUSE)
        if self._thread.is_alive():  # in a call that hangs: it dies with the process
            self._failed += max(1, self._waiting)
        if self.lost:
            self._tell_once(LOST, self.lost, self._name)

    @property
    def _waiting(self) -> int:
        return self._accepted - self._handled

    def _tell_of(self, number: int, write: Write) -> None:
        """Tell of a trial, unless it has a gap, which its outcome in the store would hide."""
        if number in self._skipped:
            self._dropped += 1
        else:
            self._tell(write)

    def _tell(self, write: Write) -> None:
        if not self._full and self._waiting >= LIMIT:
            self._let_go()
        if self._full:
            self._dropped += 1
        else:
            self._accepted += 1
            self._queue.put(write)

    def _let_go(self) -> None:
        self._full = True
        self._tell_once(FULL)
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
                self._accepted -= 1
                self._dropped += 1

    def _mark_found(self, writer: MlflowWriter) -> None:
        self._found.set()

    def _catch_up(self) -> bool:
        """Wait until little is left to be delivered; False if the store stays away."""
        while not self._full and not self._is_hopeless():
            if self._found.is_set() and self._waiting < CHUNK:
                return True
            if time.monotonic() > self._away_since + min(self._patience, self._grace):
                break
            time.sleep(0.01)
        return False

    def _run(self) -> None:
        open_ = True
        while open_:
            for write in self._drain():
                if write is None:
                    open_ = False
                else:
                    self._deliver(write)
                    self._handled += 1
            for run_id in self._writer.waiting():
                self._deliver(partial(MlflowWriter.flush, run_id=run_id))

    def _drain(self) -> list[Write | None]:
        """All that came within the flush time, so that reports are sent together."""
        writes = [self._queue.get()]
        end = time.monotonic() + FLUSH_SECONDS
        with suppress(queue.Empty):
            while len(writes) < CHUNK:
                left = 0.0 if self._closing.is_set() else max(0.0, end - time.monotonic())
                writes.append(self._queue.get(block=left > 0.0, timeout=left or None))
        return writes

    def _deliver(self, write: Write) -> None:
        """Try until it works, or is refused, or closing has taken too long."""
        pause = SHORTEST_PAUSE
        while not self._is_hopeless():
            began = time.monotonic()
            try:
                write(self._writer)
            except Exception as error:
                if not is_passing(error):
                    self._failed += 1
                    self._tell_once(f"MLflow refused a record: {type(error).__name__}: {error}")
                    return
                self._tell_once(AWAY, error)
            else:
                self._away_since = float("inf")
                return
            self._away_since = min(self._away_since, began)
            if self._closing.wait(pause):  # True at once when the sweep is over
                time.sleep(SHORTEST_PAUSE)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._failed += 1

    def _is_hopeless(self) -> bool:
        """Whether the sweep is over, and its time, or the store stays away for all of the grace."""
        grace = min(GRACE_SECONDS, self._grace)
        grace_ends = max(self._away_since, self._closed_at) + grace
        return self._is_overdue() or time.monotonic() > grace_ends

    def _is_overdue(self, delay: float = 0.0) -> bool:
        return time.monotonic() > self._closed_at + self._time_to_close + delay

    def _tell_once(self, message: str, *details: object) -> None:
        if message not in self._told:
            log.warning(message, *details)
        self._told.add(message)

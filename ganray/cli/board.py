"""What is known of a sweep while it runs: kept by listening as a `Recorder`, drawn by `live`."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ganray.tracking.recorder import BestGenerator, Evidence, SweepRecord, TrialRecord
from ganray.trial import LOG_2, Ending, Outcome, Signals, State, Verdict, now_ms


@dataclass
class Running:
    """A trial under way."""

    trial: TrialRecord
    signals: Signals | None = None
    state: State = State.WARMING_UP


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial that is through."""

    outcome: Outcome
    confirms: bool
    past: bool  # it ended before anybody looked


class Board:
    """The state of a sweep, as far as a person wants to see it.

    A thread may draw it while the sweep's own thread changes it: both hold `lock`. A sweep that
    goes on tells its past first: those trials count, but not for the pace.
    """

    complete = True  # nothing is ever lost

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Lock()
        self.sweep: SweepRecord | None = None
        self.running: dict[int, Running] = {}
        self.confirming: int | None = None  # trials of that phase, once it has begun
        self.best: tuple[TrialRecord, float] | None = None
        self.stopping = False
        self._ended: dict[int, Ended] = {}
        self._born = now_ms()
        self._clock = clock
        self._opened = self._started = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the board was opened."""
        return self._clock() - self._opened

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How many trials ended in each way."""
        return Counter(trial.outcome for trial in self._ended.values())

    @property
    def finished(self) -> int:
        """Trials that have ended."""
        return len(self._ended)

    @property
    def confirmed(self) -> int:
        """Trials of the confirmation that have ended."""
        return sum(trial.confirms for trial in self._ended.values())

    def is_past(self, ending: Ending) -> bool:
        """Whether a trial ended before anybody looked."""
        return ending.at < self._born

    @property
    def count(self) -> str:
        """How far the present phase is: `7/24`, or `confirming 4/15`."""
        if self.confirming is not None:
            return f"confirming {self.confirmed}/{self.confirming}"
        return f"{self.finished}/{self.sweep.trials if self.sweep else '?'}"

    def seconds_left(self) -> float | None:
        """A guess from what came through since the start; None before the first trial ended.

        None also while the sweep stops: that takes no time that trials would tell.
        """
        past = sum(trial.past for trial in self._ended.values())
        if self.stopping or self.sweep is None or self.finished == past:
            return None
        under_way = sum(self.progress(running) for running in self.running.values())
        later = self.sweep.confirming if self.confirming is None else self.confirming
        done = self.finished - past + under_way
        left = self.sweep.trials + later - past - done
        return max(0.0, (self._clock() - self._started) * left / done)

    def progress(self, running: Running) -> float:
        """The share of its budget that a trial has used."""
        if self.sweep is None or running.signals is None:
            return 0.0
        return running.signals.update / self.sweep.updates

    def start_sweep(self, sweep: SweepRecord) -> None:
        """See `Recorder`."""
        with self.lock:
            self.sweep = sweep
            self._started = self._clock()

    def real_picture(self, load: Callable[[], bytes]) -> None:
        """See `Recorder`."""

    def start_trial(self, trial: TrialRecord) -> None:
        """See `Recorder`."""
        with self.lock:
            self.running[trial.number] = Running(trial)
            self._ended.pop(trial.number, None)

    def report(self, number: int, signals: Signals, verdict: Verdict, at: int) -> None:
        """See `Recorder`."""
        with self.lock:
            running = self.running[number]
            running.signals, running.state = signals, verdict.state

    def picture(self, number: int, update: int, load: Callable[[], bytes]) -> None:
        """See `Recorder`."""

    def end_trial(self, ending: Ending) -> None:
        """See `Recorder`."""
        with self.lock:
            trial = self.running.pop(ending.number).trial
            confirms, value = trial.confirms is not None, ending.objective
            self._ended[ending.number] = Ended(ending.outcome, confirms, self.is_past(ending))
            ranks = ending.outcome is Outcome.COMPLETED and not confirms
            if ranks and value is not None and self._improves(value):
                self.best = (trial, value)

    def start_confirming(self, trials: int) -> None:
        """See `Recorder`."""
        with self.lock:
            self.confirming = trials

    def evidence(self, number: int, evidence: Evidence) -> None:
        """See `Recorder`."""

    def generator(self, best: BestGenerator) -> None:
        """See `Recorder`."""

    def wants_generator(self, number: int, register: str | None) -> bool:
        """See `Recorder`."""
        return False

    def end_sweep(self, outcomes: Mapping[int, Outcome], *, cancelled: bool) -> None:
        """See `Recorder`."""

    def wants(self, number: int, outcome: Outcome | None) -> bool:
        """See `Recorder`."""
        return True

    def rest(self) -> None:
        """See `Recorder`."""

    def hurry(self, seconds: float) -> None:
        """See `Recorder`; it may be a signal's handler, so it takes no lock and prints nothing."""
        self.stopping = True

    def close(self) -> None:
        """See `Recorder`."""

    def _improves(self, value: float) -> bool:
        if self.best is None or self.sweep is None:
            return True
        return value < self.best[1] if self.sweep.direction == "min" else value > self.best[1]


def show_time(seconds: float) -> str:
    """`1:05`, `2:03:04` or `−0:12`."""
    minutes, rest = divmod(abs(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    sign = "−" if round(seconds) < 0 else ""
    return sign + (f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}")


def show_value(value: object) -> str:
    """A parameter's value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def show_settings(values: Mapping[str, object]) -> str:
    """`loss=hinge d_lr=0.001 …`; what is off or does not apply is left out."""
    given = {name: value for name, value in values.items() if value is not None}
    return " ".join(f"{name}={show_value(value)}" for name, value in given.items())


def show_js(js: float | None) -> str:
    """A JS bound as a share of log 2, where it saturates."""
    return "–" if js is None else f"{js / LOG_2:.0%}"


def show_modes(modes: float | None, digits: int = 2) -> str:
    """Effective modes, or a dash where too few samples are good to say which modes they are of."""
    return show_number(modes or None, digits)


def show_share(share: float | None) -> str:
    """As a percentage, or a dash where it is not defined."""
    return "–" if share is None else f"{share:.0%}"


def show_number(value: float | None, digits: int = 3) -> str:
    """A signal, or a dash where it is not defined."""
    return "–" if value is None else f"{value:.{digits}g}"

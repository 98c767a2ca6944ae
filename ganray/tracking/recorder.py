"""What a sweep tells to whoever records or shows it, and a recorder that only remembers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ganray.trial import Ending, GeneratorSignature, Outcome, Signals, Verdict


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """A sweep, as it is recorded when it starts."""

    name: str
    study_id: str  # of the study: two sweeps of one name in different studies stay apart
    description: str | None
    sweep_file: str  # YAML
    objective: str
    direction: str
    searched: Sequence[str]
    updates: int  # of a full trial
    milestones: Sequence[int] = ()  # updates at which it leaves a picture
    trials: int  # of the search
    confirming: int = 0  # trials that may follow it
    gpus_per_trial: float
    params: Mapping[str, Any]  # data, networks, sampler … by dotted name
    environment: Mapping[str, Any]
    started: int  # ms since 1970


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial, as it is recorded when it starts."""

    number: int
    params: Mapping[str, Any]  # the whole configuration
    searched: Mapping[str, Any]
    started: int  # ms since 1970
    files: str = ""  # the folder or URL of its pictures and checkpoint
    confirms: int | None = None  # the trial of the search that it repeats with another seed

    @property
    def phase(self) -> str:
        """`search` or `confirm`."""
        return "search" if self.confirms is None else "confirm"


Load = Callable[[], bytes]  # reads a file, which may be far away


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a trial left on storage, beside the pictures of its milestones."""

    pictures: Mapping[str, Load]  # PNGs, by the name of the file: at its best, at its stop
    best_checkpoint: str = ""  # where it lies; "" if the objective was never defined


@dataclass(frozen=True, kw_only=True)
class ExportedGenerator:
    """A generator in a file of its own, for `torch.export.load`."""

    load: Load
    signature: GeneratorSignature


@dataclass(frozen=True, kw_only=True)
class BestGenerator:
    """That of the best trial of a sweep's search."""

    number: int  # of the trial
    params: Mapping[str, Any]  # its whole configuration
    exported: ExportedGenerator | None  # None: it could not be exported
    problem: str = ""  # then, why
    register: str | None = None  # the name to register it under


class Recorder(Protocol):
    """Hears of everything that happens to a sweep, in order, from one thread.

    No method blocks for long or raises, but where it says so: a sweep never waits for its record.
    All times come with what is told, so that a recorder may be told a sweep's past again, from
    `start_sweep` on, at any time: what it has heard before changes nothing.
    """

    @property
    def complete(self) -> bool:
        """Whether nothing that was told is lost: else, the sweep has to be told again."""

    def start_sweep(self, sweep: SweepRecord) -> None:
        """Called first; and again, before everything is told again."""

    def real_picture(self, load: Load) -> None:
        """Called after `start_sweep` with a way to read a PNG of real data, if there is one."""

    def start_trial(self, trial: TrialRecord) -> None:
        """Called for each trial; and again for one that goes on: its end, if any, is taken back."""

    def report(self, number: int, signals: Signals, verdict: Verdict, at: int) -> None:
        """Called after each report of a running trial; `at` is when, in ms since 1970."""

    def picture(self, number: int, update: int, load: Load) -> None:
        """Called with a way to read a PNG of samples, after the report that it belongs to."""

    def end_trial(self, ending: Ending) -> None:
        """Called for each trial that was started; it may go on after it was cancelled."""

    def start_confirming(self, trials: int) -> None:
        """Called after the search, if some of it is to be confirmed; 0: nothing completed."""

    def evidence(self, number: int, evidence: Evidence) -> None:
        """Called at most once for each trial, after its end; perhaps when no trial runs any more.

        Where something else than its health stopped a trial, only its worker can write this, when
        it takes up the next trial.
        """

    def generator(self, best: BestGenerator) -> None:
        """Called before the end of a sweep that was not stopped, if a trial completed."""

    def wants_generator(self, number: int, register: str | None) -> bool:
        """Whether the generator of the best trial is to be exported: False if it stands there.

        Args:
            number: of the trial.
            register: the name that it is to be registered under, if any.
        """

    def end_sweep(self, outcomes: Mapping[int, Outcome], *, cancelled: bool) -> None:
        """Called once, when no trial runs any more."""

    def wants(self, number: int, outcome: Outcome | None) -> bool:
        """Whether a trial of the past is to be told: False if it stands there as it ended.

        Called only while a sweep is told again; may block until what was told is delivered.

        Args:
            number: of the trial.
            outcome: that it has by now, if any.
        """

    def rest(self) -> None:
        """No trial runs any more: telling the past may wait for what is away as long as `close`."""

    def hurry(self, seconds: float) -> None:
        """From now on `close` has so much time in all, of which what is away gets a quarter.

        Called at any time, by any thread and by a signal handler.
        """

    def close(self) -> None:
        """Called last; may take a while to deliver what is left."""


@dataclass
class MemoryRecorder:
    """Remembers what it heard: for tests, and for sweeps that nobody tracks."""

    sweep: SweepRecord | None = None
    real: bytes | None = None  # the picture of real data
    trials: dict[int, TrialRecord] = field(default_factory=dict)
    reports: dict[int, list[Signals]] = field(default_factory=dict)
    verdicts: dict[int, list[Verdict]] = field(default_factory=dict)
    times: dict[int, list[int]] = field(default_factory=dict)  # of the reports
    pictures: dict[int, dict[int, bytes]] = field(default_factory=dict)
    endings: dict[int, Ending] = field(default_factory=dict)
    confirming: int | None = None
    kept: dict[int, dict[str, bytes]] = field(default_factory=dict)
    best_checkpoints: dict[int, str] = field(default_factory=dict)
    best: BestGenerator | None = None
    outcomes: Mapping[int, Outcome] | None = None
    cancelled: bool = False
    hurried: float | None = None  # seconds
    complete: bool = True
    closed: bool = False

    def start_sweep(self, sweep: SweepRecord) -> None:
        """See `Recorder`."""
        self.sweep = sweep

    def real_picture(self, load: Load) -> None:
        """See `Recorder`."""
        self.real = load()

    def start_trial(self, trial: TrialRecord) -> None:
        """See `Recorder`."""
        self.trials[trial.number] = trial
        self.endings.pop(trial.number, None)

    def report(self, number: int, signals: Signals, verdict: Verdict, at: int) -> None:
        """See `Recorder`."""
        heard = self.reports.setdefault(number, [])
        if any(signals.update == known.update for known in heard):
            return
        heard.append(signals)
        self.verdicts.setdefault(number, []).append(verdict)
        self.times.setdefault(number, []).append(at)

    def picture(self, number: int, update: int, load: Load) -> None:
        """See `Recorder`."""
        self.pictures.setdefault(number, {})[update] = load()

    def end_trial(self, ending: Ending) -> None:
        """See `Recorder`."""
        self.endings[ending.number] = ending

    def start_confirming(self, trials: int) -> None:
        """See `Recorder`."""
        self.confirming = trials

    def evidence(self, number: int, evidence: Evidence) -> None:
        """See `Recorder`."""
        self.kept[number] = {name: load() for name, load in evidence.pictures.items()}
        self.best_checkpoints[number] = evidence.best_checkpoint

    def generator(self, best: BestGenerator) -> None:
        """See `Recorder`."""
        self.best = best

    def wants_generator(self, number: int, register: str | None) -> bool:
        """See `Recorder`; nobody would ask it for one."""
        return False

    def end_sweep(self, outcomes: Mapping[int, Outcome], *, cancelled: bool) -> None:
        """See `Recorder`."""
        self.outcomes, self.cancelled = outcomes, cancelled

    def wants(self, number: int, outcome: Outcome | None) -> bool:
        """See `Recorder`."""
        return True

    def rest(self) -> None:
        """See `Recorder`."""

    def hurry(self, seconds: float) -> None:
        """See `Recorder`."""
        self.hurried = seconds

    def close(self) -> None:
        """See `Recorder`."""
        self.closed = True

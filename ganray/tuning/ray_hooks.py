"""The only code that subclasses Ray Tune's search and scheduling interfaces.

Both share one `Roster`. Tune retries nothing itself: a trial that goes on after a fault is given
out again, as a Tune trial of its own, and its worker finds its checkpoint.
"""

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from ganray.trial import Cause, Outcome, now_ms
from ganray.tuning.diagnosis import diagnose
from ganray.tuning.files import STORAGE_ERRORS, drop_checkpoint
from ganray.tuning.hosting import IN_ACTORS, Hosting
from ganray.tuning.places import (
    list_files,
    read_file,
    trial_location,
)
from ganray.tuning.roster import Roster, SweepLimits
from ganray.tuning.study import Assignment
from ganray.tuning.telling import evidence_of

LONGEST_LOOK = 5.0  # seconds between two looks at what runs; Tune looks several times a second


class StudySearch(Searcher):
    """Gives out the trials of the roster; how they end is the scheduler's business.

    Args:
        roster: the trials.
        hosting: where they train.
    """

    def __init__(self, roster: Roster, hosting: Hosting = IN_ACTORS) -> None:
        super().__init__()
        self.roster = roster
        self._hosting = hosting

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The Ray config of the next trial, that there is none for now, or that there is no more.

        Tune takes None for "ask again later".
        """
        assignment = self.roster.next()
        if assignment is not None:
            place = self._hosting.place(assignment.number, self.roster.running)
            return {**ray_config(assignment), **place}
        finished: Any = Searcher.FINISHED  # a string, against the interface's own type
        return cast(dict[str, Any], finished) if self.roster.is_done else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the scheduler hears of it, too."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is the record."""

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles its searcher with the experiment; nothing of it is read back."""
        return {}


class OutOfTime(Stopper):
    """Ends an experiment whose sweep has used up its hours, whether or not a trial runs."""

    def __init__(self, limits: SweepLimits) -> None:
        self._limits = limits

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never: of a single trial the study decides."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop all trials: whatever has no outcome by then is cancelled."""
        return self._limits.out_of_time


class StudyScheduler(FIFOScheduler):
    """Starts trials in the order in which they were asked for; stops those that the study ends.

    Args:
        roster: the trials.
        silence: seconds without a report after which a trial has crashed; None: it may take for
            ever.
        hosting: where the trials train.
    """

    def __init__(
        self, roster: Roster, silence: float | None = None, hosting: Hosting = IN_ACTORS
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.roster = roster
        self.hosting = hosting
        self._study = roster.study
        self._silence = silence
        self._waiting: deque[Trial] = deque()  # for an actor, and some that have one by now
        self._heard: dict[str, float] = {}  # when, by `_awake` and the identity of Tune's trial
        self._awake = 0.0  # seconds for which this process was there to hear of trials
        self._looked = time.monotonic()
        self._silent: set[str] = set()
        self._ended: dict[int, Outcome] = {}
        self._told: set[int] = set()  # of which recorders have the evidence
        self._cleaner = ThreadPoolExecutor(1, "ganray-cleaner")  # storage may be slow
        self._closing = self._is_away = False  # the latter: storage, when it last deleted something

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Note who waits: Tune's own scheduler looks through all trials that there ever were."""
        self._waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Who waits longest; called all the time, it sees who begins and who is silent, too."""
        self._look()
        for trial in tune_controller.get_live_trials():
            if trial.status == Trial.RUNNING:
                if self.hosting.begins_at_once:
                    self.roster.begin(_number(trial))
                if self._silence is not None:
                    self._watch(trial, self._silence)
        while self._waiting and self._waiting[0].status != Trial.PENDING:
            self._waiting.popleft()
        if self._waiting:
            return self._waiting[0]
        if self.roster.is_all_given:
            # it keeps one for a trial that may come, and with it a place that other sweeps wait for
            tune_controller._cleanup_cached_actors(force_all=True)
        return None

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Record a report, and stop the trial if that ends it."""
        self._heard[trial.trial_id] = self._awake
        number, signals = _number(trial), result["signals"]
        self.roster.begin(number)
        at = now_ms()
        decision = self._study.report(number, signals, at)
        if decision.is_new:
            for recorder in self.roster.recorders:
                recorder.report(number, signals, decision.verdict, at)
                for update, place in result.get("pictures", ()):
                    recorder.picture(number, update, partial(read_file, place))
        if decision.stop is not None:
            self._finish(number, decision.stop.outcome, decision.stop.reason)
            if "kept" in result:
                self._tell_evidence(number, result["kept"])
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Let a trial that failed go on later, or record its crash with the cause."""
        number = _number(trial)
        if trial.trial_id in self._silent:
            minutes = (self._silence or 0.0) / 60.0
            reason = f"reported nothing for {minutes:g} minutes (budget.silence_minutes)"
            self._finish(number, Outcome.CRASHED, reason, Cause.SILENT)
            return
        ending = self.roster.fail(number, *diagnose(_error(trial)))
        if ending is not None:
            self._ended[number] = ending.outcome

    def tell_evidence(self) -> None:
        """Tell recorders what trials left that ended before their workers could say so."""
        with contextlib.suppress(*STORAGE_ERRORS):  # out of reach: no more of it is asked
            for number in sorted(self._ended.keys() - self._told):
                folder = trial_location(self._study.spec, number)
                self._tell_evidence(number, list_files(folder))

    def close(self) -> None:
        """Wait for what is being deleted, unless storage is out of reach."""
        for number, outcome in self._ended.items():
            if outcome is Outcome.OUTRANKED:  # its worker saved it after it was stopped
                self._drop(number)
        self._closing = True
        self._cleaner.shutdown(wait=True)

    def _look(self) -> None:
        """Let time pass, but not all of a while in which this process heard of nobody.

        It may have waited for its storage, or slept with its machine.
        """
        now = time.monotonic()
        self._awake += min(now - self._looked, LONGEST_LOOK)
        self._looked = now

    def _watch(self, trial: Trial, silence: float) -> None:
        heard = self._heard.setdefault(trial.trial_id, self._awake)
        actor = trial.temporary_state.ray_actor
        is_silent = self._awake - heard > silence and trial.trial_id not in self._silent
        if not is_silent or actor is None:
            return
        if self.hosting.is_waiting(_number(trial)):
            self._heard[trial.trial_id] = self._awake
            return
        self._silent.add(trial.trial_id)
        ray.kill(actor)  # Tune hears of it as of any other death
        self.hosting.evict(_number(trial))

    def _tell_evidence(self, number: int, names: Sequence[str]) -> None:
        self._told.add(number)
        evidence = evidence_of(self._study, number, names)
        for recorder in self.roster.recorders:
            recorder.evidence(number, evidence)

    def _finish(
        self, number: int, outcome: Outcome, reason: str, cause: Cause | None = None
    ) -> None:
        ending = self.roster.finish(number, outcome, reason, cause)
        if ending is not None:
            self._ended[number] = ending.outcome
            if ending.outcome.is_pruned:
                self._drop(number)

    def _drop(self, number: int) -> None:
        self._cleaner.submit(self._delete, trial_location(self._study.spec, number))

    def _delete(self, folder: str) -> None:
        if not (self._closing and self._is_away):
            self._is_away = not drop_checkpoint(folder)

    def __getstate__(self) -> dict[str, Any]:
        """As in `StudySearch`."""
        return {}


@contextlib.contextmanager
def started_workers() -> Iterator[None]:
    """Let trials have the workers that Ray has started by now.

    Tune asks for workers with a variable in their environment that Lightning needs; Ray, to whom
    those that it has are others, would end them and start new ones.
    """
    given = dict(class_cache.DEFAULT_ENV_VARS)
    class_cache.DEFAULT_ENV_VARS.clear()
    try:
        yield
    finally:
        class_cache.DEFAULT_ENV_VARS.update(given)


def ray_config(assignment: Assignment) -> dict[str, Any]:
    """What a worker is told of a trial: see `GanTrial`."""
    return {
        "number": assignment.number,
        "trial_config": asdict(assignment.config),
        "launch": assignment.launches,
        "goes_on": assignment.launches > 1,
        "told": assignment.told,
        "alone": assignment.alone,
    }


def folder_name(trial: Trial) -> str:
    """The folder of a Tune trial, which has nothing but Tune's own files: `0017`, `0017-2`."""
    launch = int(trial.config.get("launch", 1))
    return f"{_number(trial):04d}" + (f"-{launch}" if launch > 1 else "")


def _number(trial: Trial) -> int:
    return int(trial.config["number"])


def _error(trial: Trial) -> BaseException:
    """What Tune got for the trial: pickled if its actor raised it or died, else in words alone."""
    if trial.pickled_error_file is None:
        return RayError(_last_words(trial))
    try:
        error: BaseException = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    except Exception:  # such as one of a class that only workers can import
        return RuntimeError(_last_words(trial))
    return error


def _last_words(trial: Trial) -> str:
    """Of the file to which Tune adds each error of a trial, under a heading."""
    try:
        text = Path(trial.error_file or "").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    return text.rpartition("\nFailure # ")[2].partition("\n")[2].strip() or "unknown"

"""The only code that calls Optuna's ask, report and tell: one sweep's durable record.

Every report, verdict and outcome is in the storage before anybody else hears of it, so that a
killed driver loses no decision.
"""

import math
import warnings
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Self
from uuid import uuid4

import optuna
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from ganray.errors import NameTakenError, UnknownSweepError
from ganray.health.endings import ended_with
from ganray.spec.models import Prune, SweepSpec
from ganray.trial import (
    Ending,
    Outcome,
    Signals,
    StopRecord,
    TrialConfig,
    Verdict,
    derive_seed,
)
from ganray.tuning.objective import final_objective
from ganray.tuning.places import study_location
from ganray.tuning.pruner import Stop, make_pruner, record_signals, signals_of
from ganray.tuning.space import fixed_point, make_sampler, suggest, trial_count
from ganray.tuning.storage import open_storage

_CONSTRAINT = "dead"  # > 0: the region is to be avoided
_AVOID = {Outcome.COLLAPSED, Outcome.DIVERGED}
_STATES = {
    Outcome.COMPLETED: TrialState.COMPLETE,
    Outcome.CRASHED: TrialState.FAIL,
    Outcome.COLLAPSED: TrialState.PRUNED,
    Outcome.STALLED: TrialState.PRUNED,
    Outcome.DIVERGED: TrialState.PRUNED,
    Outcome.OUTRANKED: TrialState.PRUNED,
}
_IDENTITY = {"spec", "id"}  # attributes of every study of ours, set as soon as it is made
# attributes of a trial: the grounds on which it was stopped, or would have been
_STOPPED, _AUDITED = "stop", "audited"

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A trial to be run."""

    number: int
    config: TrialConfig
    searched: dict[str, Any]
    confirms: int | None = None  # the trial of the search that it repeats with another seed


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a report: the judge's verdict, and the end of the trial if it has come."""

    verdict: Verdict
    stop: Stop | None


class SweepStudy:
    """One sweep's study: asks for trials, takes their reports, writes their outcomes."""

    SUFFIX = ""  # of the study's name

    def __init__(self, spec: SweepSpec, study: Study) -> None:
        self.spec = spec
        self._study = study
        self._pruner = make_pruner(spec.prune or Prune(), spec.budget.updates)
        self._running: dict[int, Trial] = {}

    @classmethod
    def refuse_taken(cls, spec: SweepSpec) -> None:
        """Check that the name is free, before anything that takes long.

        Raises:
            NameTakenError: the storage has a study of that name.
        """
        study = cls._find(spec)
        if study is not None and not _is_half_made(study):
            raise _taken(spec)

    @classmethod
    def create(cls, spec: SweepSpec) -> Self:
        """Start a sweep's record.

        Raises:
            NameTakenError: the storage has a study of that name.
        """
        minimize = spec.objective.direction == "min"
        direction = StudyDirection.MINIMIZE if minimize else StudyDirection.MAXIMIZE
        left, name = cls._find(spec), spec.name + cls.SUFFIX
        storage = open_storage(spec, create=True)
        if left is not None and _is_half_made(left):
            optuna.delete_study(study_name=name, storage=storage)
        try:
            study = optuna.create_study(study_name=name, storage=storage, direction=direction)
        except optuna.exceptions.DuplicatedStudyError:
            raise _taken(spec) from None
        study.set_user_attr("spec", spec.to_json())
        study.set_user_attr("id", uuid4().hex)
        return cls(spec, study)

    @classmethod
    def load(cls, spec: SweepSpec) -> Self:
        """Open the record of the sweep that has this specification's name and storage.

        Raises:
            UnknownSweepError: there is none.
        """
        study = cls._find(spec)
        if study is None or not study.user_attrs.keys() >= _IDENTITY:
            raise UnknownSweepError(
                f"no sweep named '{spec.name}' is recorded in {study_location(spec)}"
            )
        loaded = cls(SweepSpec.model_validate_json(study.user_attrs["spec"]), study)
        loaded._complete_endings()
        return loaded

    @property
    def id(self) -> str:
        """What tells this study from every other, also from one of the same name elsewhere."""
        found: str = self._study.user_attrs["id"]
        return found

    @property
    def size(self) -> int:
        """How many trials there are to be, asked for or not."""
        return trial_count(self.spec)

    @property
    def is_over(self) -> bool:
        """Whether every trial was asked for and ended by itself."""
        outcomes = self.outcomes().values()
        return len(outcomes) >= self.size and Outcome.CANCELLED not in outcomes

    def ask(self) -> Assignment | None:
        """The next trial; None when the sweep has had all of them."""
        number, is_waiting = self._next()
        if number >= self.size:
            return None
        point = fixed_point(self.spec, number) or {}
        if point and not is_waiting:  # a driver may have been killed between this line and `ask`
            self._study.enqueue_trial(point)
        self._study.sampler = make_sampler(self.spec, number)
        trial = self._study.ask()
        searched = suggest(trial, self.spec)
        entries = self.spec.search.space.entries
        fixed = {name: value for name, value in point.items() if name not in entries}
        config = self.spec.trial_config(trial.number, {**fixed, **searched})
        trial.set_user_attr("config", asdict(config))
        trial.set_user_attr("searched", searched)
        self._running[trial.number] = trial
        return Assignment(trial.number, config, searched)

    def report(self, number: int, signals: Signals) -> Decision:
        """Record one report and decide what becomes of the trial."""
        trial = self._trial(number)
        history = [*signals_of(self._frozen(number)), signals]
        verdict = self._pruner.verdict(history)
        record_signals(trial, signals, verdict)
        value = getattr(signals, self.spec.objective.metric)
        if value is not None and math.isfinite(value):
            trial.report(value, signals.update)
        stop = self._stop(trial, signals, verdict)
        if stop is not None and stop.outcome is not Outcome.COMPLETED:
            trial.set_user_attr(_STOPPED, asdict(stop.at(signals.update)))
        return Decision(verdict, stop)

    def finish(self, number: int, outcome: Outcome, reason: str = "") -> Ending | None:
        """Record how a trial ended; a cancelled trial stays RUNNING in Optuna.

        Returns:
            The ending as recorded; None if the trial had ended before: an outcome is written once.
        """
        if "outcome" in self._frozen(number).user_attrs:
            return None
        trial = self._trial(number)
        ending = self._ending(number, outcome, reason)
        trial.set_user_attr("outcome", ending.outcome.value)
        trial.set_user_attr("reason", ending.reason)
        if ending.objective is not None:
            trial.set_user_attr("objective", ending.objective)
        if ending.ended is not None:
            trial.set_user_attr("ending", ending.ended)
        self._running.pop(number, None)
        if ending.outcome is Outcome.CANCELLED:
            return ending
        self._tell(trial, ending.outcome, ending.objective)
        return ending

    def unfinished(self) -> list[int]:
        """Trials that were asked for and have no outcome."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [t.number for t in trials if "outcome" not in t.user_attrs]

    def outcomes(self) -> dict[int, Outcome]:
        """The outcome of every trial that has one."""
        trials = self._study.get_trials(deepcopy=False)
        return {
            t.number: Outcome(t.user_attrs["outcome"]) for t in trials if "outcome" in t.user_attrs
        }

    def best(self, count: int) -> list[Assignment]:
        """The best completed trials, best first: no two that differ in nothing but their seed."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = 1.0 if self.spec.objective.direction == "min" else -1.0
        found: dict[TrialConfig, Assignment] = {}
        for trial in sorted(trials, key=lambda t: (sign * t.user_attrs["objective"], t.number)):
            attributes = trial.user_attrs
            config = TrialConfig(**attributes["config"])
            assignment = Assignment(trial.number, config, attributes["searched"])
            found.setdefault(replace(config, seed=0), assignment)
        return list(found.values())[:count]

    def config(self, number: int) -> TrialConfig:
        """The configuration of a recorded trial.

        Raises:
            UnknownSweepError: the sweep has no such trial.
        """
        trials = self._study.get_trials(deepcopy=False)
        if not 0 <= number < len(trials) or "config" not in trials[number].user_attrs:
            raise UnknownSweepError(
                f"sweep '{self.spec.name}' has no trial {number}; it has {len(trials)}"
            )
        return TrialConfig(**trials[number].user_attrs["config"])

    def _next(self) -> tuple[int, bool]:
        """The number of the trial to be asked for, and whether its point waits in the study."""
        trials = self._study.get_trials(deepcopy=False)
        waiting = [t.number for t in trials if t.state is TrialState.WAITING]
        return (waiting[0], True) if waiting else (len(trials), False)

    def _stop(self, trial: Trial, signals: Signals, verdict: Verdict) -> Stop | None:
        if signals.nonfinite is not None:  # nothing left to train, whatever the pruning rules
            return Stop.of(verdict)
        if self.spec.prune is not None:
            frozen = self._frozen(trial.number)
            stop = self._pruner.decide(self._study, frozen, verdict)
            if stop is not None and not self._is_audited(trial.number):
                return stop
            if stop is not None and _AUDITED not in frozen.user_attrs:
                trial.set_user_attr(_AUDITED, asdict(stop.at(signals.update)))
        full = signals.update >= self.spec.budget.updates
        return Stop(Outcome.COMPLETED, "the full budget") if full else None

    def _tell(self, trial: Trial, outcome: Outcome, objective: float | None) -> None:
        if _CONSTRAINT not in self._frozen(trial.number).constraints:
            trial.set_constraint(_CONSTRAINT, 1.0 if outcome in _AVOID else 0.0)
        state = _STATES[outcome]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Constraints have been set")  # CMA-ES has no use
            value = objective if state is TrialState.COMPLETE else None
            self._study.tell(trial, value, state=state)

    def _complete_endings(self) -> None:
        """Tell Optuna of outcomes that a driver wrote just before it was killed."""
        for frozen in self._study.get_trials(states=(TrialState.RUNNING,)):
            outcome = frozen.user_attrs.get("outcome", Outcome.CANCELLED)
            if outcome != Outcome.CANCELLED:
                objective = frozen.user_attrs.get("objective")
                self._tell(self._trial(frozen.number), Outcome(outcome), objective)

    def _is_audited(self, number: int) -> bool:
        """Whether the trial belongs to the share that runs to the end, whatever the judge says."""
        share = self.spec.prune.audit if self.spec.prune else 0.0
        return derive_seed(self.spec.search.seed, number, "audit") < share * 2**31

    def _ending(self, number: int, outcome: Outcome, reason: str) -> Ending:
        frozen = self._frozen(number)
        history = signals_of(frozen)
        objective = final_objective(history, self.spec.objective.metric)
        if outcome is Outcome.COMPLETED and objective is None:
            outcome = Outcome.CRASHED
            reason = f"the objective {self.spec.objective.metric} was never defined"
        started = frozen.datetime_start or datetime.now()
        stop = _stop_record(frozen, _STOPPED)  # of another outcome, if the sweep was cancelled
        return Ending(
            number=number,
            outcome=outcome,
            reason=reason,
            objective=objective,
            history=history,
            stop=stop if stop is not None and stop.outcome is outcome else None,
            would_be=_stop_record(frozen, _AUDITED),
            wall_seconds=(datetime.now() - started).total_seconds(),
            ended=ended_with(outcome, history),
        )

    def _trial(self, number: int) -> Trial:
        if number not in self._running:
            self._running[number] = Trial(self._study, self._frozen(number)._trial_id)
        return self._running[number]

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    @classmethod
    def _find(cls, spec: SweepSpec) -> Study | None:
        """The study that has this name, whoever made it; makes nothing."""
        name = spec.name + cls.SUFFIX
        try:
            return optuna.load_study(study_name=name, storage=open_storage(spec, create=False))
        except (KeyError, FileNotFoundError):
            return None


def _stop_record(frozen: FrozenTrial, attribute: str) -> StopRecord | None:
    found = frozen.user_attrs.get(attribute)
    return None if found is None else StopRecord.from_dict(found)


def _is_half_made(study: Study) -> bool:
    """Whether a driver was killed while it made the study: there is nothing in it to lose."""
    attributes = study.user_attrs.keys()
    return attributes < _IDENTITY and not study.get_trials(deepcopy=False)


def _taken(spec: SweepSpec) -> NameTakenError:
    return NameTakenError(
        f"a sweep named '{spec.name}' exists in {study_location(spec)}; give this one "
        f"another name with --name, or see that one with: ganray summary {spec.name}"
    )

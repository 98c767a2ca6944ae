"""The only code that calls Optuna's ask, report and tell: one sweep's durable record.

Every report, verdict and outcome is in the storage before anybody else hears of it, so that a
killed driver loses no decision, and a later one goes on from the record alone. A driver may die
between any two lines here: what it left half done is completed when the study is loaded.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self
from uuid import uuid4

import optuna
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from ganray.errors import NameTakenError, UnknownSweepError
from ganray.health.endings import ended_with
from ganray.spec.models import Prune, SweepSpec
from ganray.trial import (
    Cause,
    Ending,
    Outcome,
    Signals,
    TrialConfig,
    Verdict,
    derive_seed,
    now_ms,
)
from ganray.tuning.entries import (
    AUDITED,
    FAULTS,
    LAUNCHES,
    OUTCOME,
    STOPPED,
    faults_of,
    is_half_asked,
    outcome_of,
    report_of,
    retries_of,
    seconds_occupied,
    started_at,
    stop_record,
)
from ganray.tuning.faults import Fault, tries_left
from ganray.tuning.objective import final_objective
from ganray.tuning.patient_storage import PatientStorage
from ganray.tuning.places import Located, settled, study_location
from ganray.tuning.pruner import Stop, make_pruner, record_signals, reports_of
from ganray.tuning.space import fixed_point, make_sampler, suggest, trial_count
from ganray.tuning.storage import open_storage
from ganray.tuning.unknown import unknown_sweep

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
_FIXED = "fixed_params"  # where Optuna keeps values that are not for its sampler to choose

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A trial to be run."""

    number: int
    config: TrialConfig
    searched: dict[str, Any]
    confirms: int | None = None  # the trial of the search that it repeats with another seed
    told: int = 0  # the update of the last report that the study has
    launches: int = 1  # 2 and more: it goes on after a break
    alone: bool = False  # it ran out of memory, perhaps for those beside it
    started: int = field(default=0, compare=False)  # the first time, ms since 1970


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a report: the judge's verdict, and the end of the trial if it has come."""

    verdict: Verdict
    stop: Stop | None
    is_new: bool = True  # False: the study had this report already


@dataclass(frozen=True, slots=True)
class RecordedTrial:
    """All that a study has of one trial."""

    assignment: Assignment
    reports: Sequence[tuple[Signals, Verdict, int]]  # each with its time, ms since 1970
    ending: Ending | None  # None: it runs, or was left by a driver that died


@dataclass(slots=True)
class _Running:
    """A trial that this process drives: what it would otherwise read again at every report."""

    trial: Trial
    history: list[Signals] = field(default_factory=list)
    audited: bool = False


class SweepStudy:
    """One sweep's study: asks for trials, takes their reports, writes their outcomes.

    One process drives a study at a time.

    Attributes:
        first: the number of its first trial.
    """

    SUFFIX = ""  # of the study's name
    OPENING = 0.0  # seconds that opening it waits for storage that is away

    def __init__(self, spec: SweepSpec, study: Study) -> None:
        self.spec = spec
        self.first = 0
        self._study = study
        self._storage = study._storage
        self._pruner = make_pruner(spec.prune or Prune(), spec.budget.updates)
        self._running: dict[int, _Running] = {}
        trials = study.get_trials(deepcopy=False)
        self._asked = len(trials)
        self._half_asked = [t.number for t in trials if is_half_asked(t)]
        found = ((t.number, outcome_of(t)) for t in trials)
        self._outcomes = {n: outcome for n, outcome in found if outcome is not None}

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
        spec = settled(spec)  # workers have working folders of their own
        minimize = spec.objective.direction == "min"
        direction = StudyDirection.MINIMIZE if minimize else StudyDirection.MAXIMIZE
        left, name = cls._find(spec), spec.name + cls.SUFFIX
        storage = open_storage(spec, create=True, opening=cls.OPENING)
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
    def load(cls, place: Located) -> Self:
        """Open the record of the sweep that has this name and storage.

        Raises:
            UnknownSweepError: there is none.
        """
        study = cls._find(place)
        if study is None or not study.user_attrs.keys() >= _IDENTITY:
            raise unknown_sweep(place)
        return cls._of(study)

    def again(self) -> Self:
        """The same record as it is now: another process may have written meanwhile."""
        return self._of(self._study)

    @classmethod
    def _of(cls, study: Study) -> Self:
        return cls(SweepSpec.model_validate_json(study.user_attrs["spec"]), study)

    @classmethod
    def exists(cls, place: Located) -> bool:
        """Whether there is one of that name."""
        study = cls._find(place)
        return study is not None and study.user_attrs.keys() >= _IDENTITY

    @property
    def id(self) -> str:
        """What tells this study from every other, also from one of the same name elsewhere."""
        found: str = self._study.user_attrs["id"]
        return found

    @property
    def record(self) -> Study:
        """The study in Optuna, for what else is kept there."""
        return self._study

    @property
    def asked(self) -> int:
        """How many trials were asked for."""
        return self._asked

    @property
    def description(self) -> dict[str, Any]:
        """What recorders were told of the sweep when it last started, as plain values."""
        found: dict[str, Any] = self._study.user_attrs["record"]
        return found

    def describe(self, record: dict[str, Any]) -> None:
        """Keep what recorders are told of the sweep."""
        self._study.set_user_attr("record", record)

    def hurry(self, seconds: float) -> None:
        """Wait no longer than that for storage that is away, from now on."""
        if isinstance(self._storage, PatientStorage):
            self._storage.hurry(seconds)

    def change(self, spec: SweepSpec) -> None:
        """Go on by another specification: of the same sweep, with more to use."""
        self._study.set_user_attr("spec", spec.to_json())
        self.spec = spec

    @property
    def size(self) -> int:
        """How many trials there are to be, asked for or not."""
        return trial_count(self.spec)

    @property
    def is_all_asked(self) -> bool:
        """Whether there is no trial left to be asked for."""
        return self._asked >= self.size and not any(n < self.size for n in self._half_asked)

    def has_ended(self, number: int) -> bool:
        """Whether the trial has an outcome."""
        return number - self.first in self._outcomes

    @property
    def is_over(self) -> bool:
        """Whether every trial was asked for and ended by itself."""
        outcomes = self._outcomes.values()
        return len(outcomes) >= self.size and Outcome.CANCELLED not in outcomes

    # --- asking -----------------------------------------------------------------------------------

    def ask(self) -> Assignment | None:
        """The next trial; None when the sweep has had all of them."""
        index = self._half_asked[0] if self._half_asked else self._asked
        if index >= self.size:
            return None
        trial = self._adopt(index) if self._half_asked else self._new_trial(index)
        assignment = self._assign(trial)
        if assignment.confirms is not None:
            trial.set_user_attr("confirms", assignment.confirms)
        trial.set_user_attr("searched", assignment.searched)
        assignment = replace(assignment, started=now_ms())
        trial.set_user_attr(LAUNCHES, [assignment.started])
        trial.set_user_attr("config", asdict(assignment.config))  # now it is whole
        self._half_asked = [n for n in self._half_asked if n != trial.number]
        self._running[assignment.number] = _Running(trial)
        return assignment

    def ask_again(self, number: int) -> Assignment:
        """A trial that goes on after a break; if it was cancelled, it is not any more."""
        frozen = self._frozen(number)
        trial = Trial(self._study, frozen._trial_id)
        if self._outcomes.pop(number - self.first, None) is not None:
            trial.set_user_attr(OUTCOME, None)
        trial.set_user_attr(LAUNCHES, [*frozen.user_attrs.get(LAUNCHES, []), now_ms()])
        return self._assignment(self._frozen(number))

    def begin(self, number: int) -> Assignment:
        """A trial that was asked for has its worker: its time counts from now."""
        frozen = self._frozen(number)
        launches = [*frozen.user_attrs.get(LAUNCHES, [])[:-1], now_ms()]
        self._storage.set_trial_user_attr(frozen._trial_id, LAUNCHES, launches)
        return self._assignment(self._frozen(number))

    def resumable(self) -> list[int]:
        """Trials that a sweep which goes on has to take up again: interrupted or cancelled."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [self.first + t.number for t in trials if not is_half_asked(t)]

    def _new_trial(self, index: int) -> Trial:
        trial_id = self._storage.create_new_trial(self._study._study_id)
        frozen = self._storage.get_trial(trial_id)
        # storage whose answer was lost may have made two
        self._half_asked += range(index + 1, frozen.number + 1)
        self._asked = frozen.number + 1
        return self._begin(frozen) if frozen.number == index else self._adopt(index)

    def _adopt(self, index: int) -> Trial:
        """A trial that the storage has, but that nobody configured."""
        frozen = self._frozen(self.first + index)
        if frozen.state is TrialState.WAITING:
            self._storage.set_trial_state_values(frozen._trial_id, TrialState.RUNNING)
        return self._begin(frozen)

    def _begin(self, frozen: FrozenTrial) -> Trial:
        """As `Study.ask`, which would look through all trials for one that waits."""
        point = self._fixed(frozen.number)
        if point or _FIXED in frozen.system_attrs:
            self._storage.set_trial_system_attr(frozen._trial_id, _FIXED, point)
        self._study.sampler = self._sampler(frozen.number)
        self._study._thread_local.cached_all_trials = None  # samplers see what was asked meanwhile
        return Trial(self._study, frozen._trial_id)

    def _fixed(self, index: int) -> dict[str, Any]:
        """The values that are not for a sampler to choose."""
        return fixed_point(self.spec, index) or {}

    def _sampler(self, index: int) -> BaseSampler:
        return make_sampler(self.spec, index)

    def _assign(self, trial: Trial) -> Assignment:
        """Choose what a new trial is."""
        searched = suggest(trial, self.spec)
        entries = self.spec.search.space.entries
        point = self._fixed(trial.number)
        fixed = {name: value for name, value in point.items() if name not in entries}
        config = self.spec.trial_config(trial.number, {**fixed, **searched})
        return Assignment(trial.number, config, searched)

    # --- reporting --------------------------------------------------------------------------------

    def report(self, number: int, signals: Signals, at: int | None = None) -> Decision:
        """Record one report and decide what becomes of the trial.

        A report that the study has already, told again after a break, changes nothing.

        Args:
            number: of the trial.
            signals: of the report.
            at: when, ms since 1970; None: now.
        """
        running = self._run(number)
        if any(s.update == signals.update for s in running.history):
            return replace(self._recorded_decision(number, signals.update), is_new=False)
        verdict = self._pruner.verdict([*running.history, signals])
        value = getattr(signals, self.spec.objective.metric)
        if value is not None and math.isfinite(value):
            _report_once(running.trial, value, signals.update)
        stop = self._stop(number, signals, verdict)
        if stop is not None and stop.outcome is not Outcome.COMPLETED:
            running.trial.set_user_attr(STOPPED, asdict(stop.at(signals.update)))
        record_signals(running.trial, signals, verdict, now_ms() if at is None else at)
        running.history.append(signals)
        return Decision(verdict, stop)

    def record_fault(self, number: int, cause: Cause, reason: str) -> int:
        """Record that a trial failed; how many tries it has left, each by `ask_again`."""
        running = self._run(number)
        update = running.history[-1].update if running.history else 0
        fault = Fault(cause, reason, update, now_ms())
        faults = [*faults_of(self._frozen(number)), fault]
        running.trial.set_user_attr(FAULTS, [asdict(f) for f in faults])
        return tries_left(faults)

    def finish(
        self, number: int, outcome: Outcome, reason: str = "", cause: Cause | None = None
    ) -> Ending | None:
        """Record how a trial ended; a cancelled trial stays RUNNING in Optuna.

        Returns:
            The ending as recorded; None if the trial had ended before: an outcome is written once.
        """
        if self.has_ended(number):
            return None
        trial, frozen = self._run(number).trial, self._frozen(number)
        ending = self._ending(frozen, outcome, reason, cause)
        for key, value in (
            ("reason", ending.reason),
            ("cause", ending.cause),
            ("objective", ending.objective),
            ("ending", ending.ended),
            ("ended", ending.at),
            (OUTCOME, ending.outcome.value),
        ):
            if value is not None or key in frozen.user_attrs:  # of when it was cancelled
                trial.set_user_attr(key, value)
        self._outcomes[number - self.first] = ending.outcome
        self._running.pop(number, None)
        if ending.outcome is not Outcome.CANCELLED:
            self._tell(trial, ending.outcome, ending.objective)
        return ending

    def settle(self) -> None:
        """End what a driver decided, or wrote in part, before it died; for the next driver only."""
        self._complete_endings()
        for number in self.resumable():
            history = self._run(number).history
            if not history or self.has_ended(number):
                continue
            stop = self._recorded_decision(number, history[-1].update).stop
            if stop is not None:
                self.finish(number, stop.outcome, stop.reason)

    # --- reading ----------------------------------------------------------------------------------

    def unfinished(self) -> list[int]:
        """Trials that were asked for and have no outcome."""
        return [n for n in self.resumable() if not self.has_ended(n)]

    def outcomes(self) -> dict[int, Outcome]:
        """The outcome of every trial that has one."""
        return {self.first + n: outcome for n, outcome in sorted(self._outcomes.items())}

    def recorded(self) -> Iterator[RecordedTrial]:
        """All trials, in the order of their numbers."""
        for frozen in self._study.get_trials(deepcopy=False):
            if not is_half_asked(frozen):
                yield self._recorded(frozen)

    def best(self, count: int) -> list[Assignment]:
        """The best completed trials, best first: no two that differ in nothing but their seed."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = 1.0 if self.spec.objective.direction == "min" else -1.0
        found: dict[TrialConfig, Assignment] = {}
        for trial in sorted(trials, key=lambda t: (sign * t.user_attrs["objective"], t.number)):
            assignment = self._assignment(trial)
            found.setdefault(replace(assignment.config, seed=0), assignment)
        return list(found.values())[:count]

    def config(self, number: int) -> TrialConfig:
        """The configuration of a recorded trial.

        Raises:
            UnknownSweepError: the sweep has no such trial.
        """
        trials = self._study.get_trials(deepcopy=False)
        index = number - self.first
        if not 0 <= index < len(trials) or is_half_asked(trials[index]):
            raise UnknownSweepError(
                f"sweep '{self.spec.name}' has no trial {number}; it has {self.first + len(trials)}"
            )
        return TrialConfig(**trials[index].user_attrs["config"])

    def _recorded(self, frozen: FrozenTrial) -> RecordedTrial:
        attributes = frozen.user_attrs
        reports = [report_of(record) for record in reports_of(frozen)]
        outcome = outcome_of(frozen)
        ending = None
        if outcome is not None:
            history = [signals for signals, _, _ in reports]
            cause = attributes.get("cause")
            ending = self._ending_of(
                frozen,
                history,
                outcome,
                attributes.get("reason", ""),
                attributes.get("objective"),
                at=attributes.get("ended", 0),
                cause=Cause(cause) if cause else None,
            )
        return RecordedTrial(self._assignment(frozen), reports, ending)

    def _assignment(self, frozen: FrozenTrial) -> Assignment:
        attributes = frozen.user_attrs
        reports = reports_of(frozen)
        return Assignment(
            number=self.first + frozen.number,
            config=TrialConfig(**attributes["config"]),
            searched=attributes["searched"],
            confirms=attributes.get("confirms"),
            told=reports[-1]["update"] if reports else 0,
            launches=len(attributes.get(LAUNCHES, [])) or 1,
            alone=any(fault.cause is Cause.OUT_OF_MEMORY for fault in faults_of(frozen)),
            started=started_at(frozen),
        )

    def _recorded_decision(self, number: int, update: int) -> Decision:
        """What followed from a report, when it was made."""
        frozen = self._frozen(number)
        record = next(r for r in reports_of(frozen) if r["update"] == update)
        signals, verdict, _ = report_of(record)
        stopped = stop_record(frozen, STOPPED)
        if stopped is not None and stopped.update == update:
            return Decision(verdict, Stop.from_record(stopped))
        return Decision(verdict, self._completion(signals))

    # --- how trials end ---------------------------------------------------------------------------

    def _stop(self, number: int, signals: Signals, verdict: Verdict) -> Stop | None:
        if signals.nonfinite is not None:  # nothing left to train, whatever the pruning rules
            return Stop.of(verdict)
        if self.spec.prune is not None and self._pruner.may_stop(verdict, signals.update):
            stop = self._pruner.decide(self._study, self._frozen(number), verdict)
            if stop is not None and not self._is_audited(number - self.first):
                return stop
            if stop is not None:
                self._audit(number, stop, signals.update)
        return self._completion(signals)

    def _completion(self, signals: Signals) -> Stop | None:
        full = signals.update >= self.spec.budget.updates
        return Stop(Outcome.COMPLETED, "the full budget") if full else None

    def _audit(self, number: int, stop: Stop, update: int) -> None:
        """Note what would have stopped a trial, the first time."""
        running = self._run(number)
        if not running.audited:
            running.trial.set_user_attr(AUDITED, asdict(stop.at(update)))
            running.audited = True

    def _is_audited(self, index: int) -> bool:
        """Whether the trial belongs to the share that runs to the end, whatever the judge says."""
        share = self.spec.prune.audit if self.spec.prune else 0.0
        return derive_seed(self.spec.search.seed, index, "audit") < share * 2**31

    def _tell(self, trial: Trial, outcome: Outcome, objective: float | None) -> None:
        if _CONSTRAINT not in self._storage.get_trial(trial._trial_id).constraints:
            trial.set_constraint(_CONSTRAINT, 1.0 if outcome in _AVOID else 0.0)
        state = _STATES[outcome]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Constraints have been set")  # CMA-ES has no use
            value = objective if state is TrialState.COMPLETE else None
            self._study.tell(trial, value, state=state)

    def _complete_endings(self) -> None:
        """Tell Optuna of outcomes that stand in the record already."""
        for frozen in self._study.get_trials(states=(TrialState.RUNNING,)):
            outcome = outcome_of(frozen)
            if outcome not in (None, Outcome.CANCELLED):
                objective = frozen.user_attrs.get("objective")
                self._tell(Trial(self._study, frozen._trial_id), outcome, objective)

    def _ending(
        self, frozen: FrozenTrial, outcome: Outcome, reason: str, cause: Cause | None
    ) -> Ending:
        history = self._run(self.first + frozen.number).history
        objective = final_objective(history, self.spec.objective.metric)
        if outcome is Outcome.COMPLETED and objective is None:
            outcome, cause = Outcome.CRASHED, Cause.EXCEPTION
            reason = f"the objective {self.spec.objective.metric} was never defined"
        return self._ending_of(
            frozen, history, outcome, reason, objective, at=now_ms(), cause=cause
        )

    def _ending_of(
        self,
        frozen: FrozenTrial,
        history: Sequence[Signals],
        outcome: Outcome,
        reason: str,
        objective: float | None,
        *,
        at: int,
        cause: Cause | None,
    ) -> Ending:
        stop = stop_record(frozen, STOPPED)  # of another outcome, if the sweep was cancelled
        return Ending(
            number=self.first + frozen.number,
            outcome=outcome,
            reason=reason,
            objective=objective,
            history=list(history),
            stop=stop if stop is not None and stop.outcome is outcome else None,
            would_be=stop_record(frozen, AUDITED),
            at=at,
            cause=cause,
            retries=retries_of(frozen),
            wall_seconds=seconds_occupied(frozen, at),
            ended=ended_with(outcome, list(history)),
        )

    def _run(self, number: int) -> _Running:
        if number not in self._running:
            frozen = self._frozen(number)
            self._running[number] = _Running(
                Trial(self._study, frozen._trial_id),
                [Signals.from_dict(record) for record in reports_of(frozen)],
                AUDITED in frozen.user_attrs,
            )
        return self._running[number]

    def _frozen(self, number: int) -> FrozenTrial:
        index = number - self.first
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(
            self._study._study_id, index
        )
        return self._storage.get_trial(trial_id)

    @classmethod
    def _find(cls, place: Located) -> Study | None:
        """The study that has this name, whoever made it; makes nothing."""
        name = place.name + cls.SUFFIX
        try:
            storage = open_storage(place, create=False, opening=cls.OPENING)
            return optuna.load_study(study_name=name, storage=storage)
        except (KeyError, FileNotFoundError):
            return None


def _report_once(trial: Trial, value: float, update: int) -> None:
    """A driver may have died between this and the rest of the report; then it is made again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The reported value is ignored")
        trial.report(value, update)


def _is_half_made(study: Study) -> bool:
    """Whether a driver was killed while it made the study: there is nothing in it to lose."""
    attributes = study.user_attrs.keys()
    return attributes < _IDENTITY and not study.get_trials(deepcopy=False)


def _taken(spec: SweepSpec) -> NameTakenError:
    return NameTakenError(
        f"a sweep named '{spec.name}' exists in {study_location(spec)}; give this one another name "
        f"with --name, go on with that one with `ganray resume {spec.name}`, or see it with "
        f"`ganray summary {spec.name}`"
    )

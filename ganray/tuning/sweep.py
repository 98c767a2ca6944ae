"""One start of a sweep, from its first trial to its last: what runs once Ray is there."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from ray import tune
from ray.exceptions import RayError

from ganray.data.dataset import Dataset
from ganray.spec.load import dump_sweep
from ganray.spec.models import SweepSpec
from ganray.tracking.environment import describe_environment
from ganray.tracking.recorder import BestGenerator, Recorder, SweepRecord
from ganray.trial import Outcome, now_ms
from ganray.tuning.attempts import begin_attempt, end_attempt, first_start, hours_used
from ganray.tuning.cluster import Aside
from ganray.tuning.confirm import ConfirmStudy, studies_of
from ganray.tuning.exporting import export_file, load_exporter
from ganray.tuning.generators import best_generator, wanted
from ganray.tuning.hosting import Engines, Processes, decided_slots
from ganray.tuning.interrupts import Interrupts
from ganray.tuning.lease import Lease
from ganray.tuning.places import results_location
from ganray.tuning.ray_hooks import (
    OutOfTime,
    StudyScheduler,
    StudySearch,
    folder_name,
    started_workers,
)
from ganray.tuning.real_picture import keep_real_picture
from ganray.tuning.result import SweepResult
from ganray.tuning.roster import Roster, SweepLimits
from ganray.tuning.session import milestones
from ganray.tuning.study import SweepStudy
from ganray.tuning.sync import tell_all, tell_start

# seconds that a sweep which is stopped waits for a study that is away, and to be recorded
HURRY, RECORDED_WITHIN = 5.0, 20.0


class Sweep:
    """One start of a sweep: all that its phases share.

    Args:
        study: of the search, new or loaded.
        dataset: the data.
        resources: of one trial.
        recorders: who hears of it.
        lease: the right to drive it.
    """

    def __init__(
        self,
        study: SweepStudy,
        dataset: Dataset,
        resources: dict[str, float],
        recorders: Sequence[Recorder],
        lease: Lease,
    ) -> None:
        self._study = study
        self._dataset = dataset
        self._resources = resources
        self._recorders = recorders
        self._lease = lease
        self._studies = [study]  # and that of the confirmation, once there is one
        self._limits = SweepLimits(None, 0)
        self._attempt = 0  # 0: it has not begun
        self._slots: int | None = None  # of an engine, once it has begun; None: no engines
        self._interrupts = Interrupts(self._hurry)
        self._best: BestGenerator | None = None
        self._exporter = Aside(export_file, load_exporter)
        self._is_told = False  # whether recorders know of the sweep

    def run(self) -> SweepResult:
        """Run it from its beginning to its end."""
        return self._drive(self._start)

    def go_on(self, spec: SweepSpec) -> SweepResult:
        """Go on with what was recorded before, by a specification that may give it more to use."""
        return self._drive(partial(self._take_up, spec))

    def _start(self) -> None:
        self._begin()
        tell_start(self._study, self._recorders)

    def _take_up(self, spec: SweepSpec) -> None:
        self._studies = studies_of(self._study)
        for study in self._studies:
            study.change(spec)
            study.settle()
        self._begin()
        tell_all(self._studies, self._recorders)

    def _begin(self) -> None:
        study = self._study
        self._attempt = begin_attempt(study.record, now_ms(), self._lease.last_beat_before)
        self._limits = self._new_limits()
        self._slots = decided_slots(study.spec, self._dataset, self._resources)
        record = _sweep_record(self._study, self._resources, self._dataset, self._slots or 1)
        self._study.describe(asdict(record))
        keep_real_picture(study.spec, self._dataset)

    def _drive(self, begin: Callable[[], None]) -> SweepResult:
        """Run what there is of it, once recorders know all that was before."""
        interrupted = True
        try:
            # Tune takes the first signal, this the next, or one between two phases
            with contextlib.suppress(KeyboardInterrupt), self._interrupts.caught():
                with self._interrupts.held():  # who hears of its beginning hears of its end
                    begin()
                self._is_told = True
                self._interrupts.check()
                self._run_phases()
                self._best = self._best_generator()
                interrupted = False
        finally:
            outcomes = self._end(interrupted)
        if not self._is_told:
            raise KeyboardInterrupt  # as before there was a study
        cancelled = interrupted or Outcome.CANCELLED in outcomes.values()
        return SweepResult(self._study.spec.name, outcomes, cancelled, self._limits.reason)

    def _run_phases(self) -> None:
        study, spec = self._study, self._study.spec
        self._run_trials(study, f"attempt-{self._attempt}")
        if spec.confirm.trials and study.is_over and self._limits.reason is None:
            self._interrupts.check()
            for confirming in self._studies[1:] or self._start_confirming():
                self._run_trials(confirming, f"confirm-{self._attempt}")

    def _best_generator(self) -> BestGenerator | None:
        """What recorders are to be told of it; a sweep that is being stopped takes no time for it.

        `ganray resume` and `ganray sync` make up for that.
        """
        if self._interrupts.happened:
            return None
        return best_generator(self._study, self._recorders, self._exporter)

    def _new_limits(self) -> SweepLimits:
        budget = self._study.spec.budget
        hours = None if budget.hours is None else budget.hours - hours_used(self._study.record)
        crashed = sum(outcome is Outcome.CRASHED for outcome in self._outcomes.values())
        return SweepLimits(hours, budget.failures, crashed)

    @property
    def _outcomes(self) -> dict[int, Outcome]:
        return {n: outcome for each in self._studies for n, outcome in each.outcomes().items()}

    def _start_confirming(self) -> Sequence[SweepStudy]:
        """Make the study that confirms what the search found; none if it found nothing."""
        found = [ConfirmStudy.create(self._study.spec)] if self._study.best(1) else []
        self._studies += found
        for recorder in self._recorders:
            recorder.start_confirming(sum(study.size for study in found))
        return found

    def _run_trials(self, study: SweepStudy, experiment: str) -> None:
        """Run all trials that a study asks for, as one Tune experiment."""
        spec = study.spec
        hosting = self._hosting(spec)
        roster = Roster(
            study,
            self._recorders,
            self._limits,
            hosting.capacity,
            again=study.resumable(),
            on_last=self._prepare_end,
            crowded=hosting.crowded,
        )
        minutes = spec.budget.silence_minutes
        scheduler = StudyScheduler(roster, None if minutes is None else 60.0 * minutes, hosting)
        with contextlib.closing(hosting), contextlib.closing(scheduler):
            try:
                with self._interrupts.by_tune():
                    name = f"{spec.name}/{experiment}"
                    run_experiment(hosting.trainable, scheduler, name, spec)
            except BaseException:
                self._hurry()  # storage that is away was waited for
                raise
            finally:
                if not self._lease.lost.is_set():
                    roster.cancel_unfinished(self._limits.reason or "the sweep was stopped")
                    scheduler.tell_evidence()

    def _prepare_end(self) -> None:
        """The last trials are under way: what will be exported of them is loaded meanwhile."""
        if wanted(self._study, self._recorders) is not None:
            with contextlib.suppress(RayError):  # it is told when the generator is exported
                self._exporter.start()

    def _hurry(self) -> None:
        """The sweep is being stopped: whoever waits for storage or a server gives up soon."""
        for study in self._studies:
            study.hurry(HURRY)
        for recorder in self._recorders:
            recorder.hurry(RECORDED_WITHIN)

    def _hosting(self, spec: SweepSpec) -> Processes | Engines:
        if self._slots is None:
            return Processes(spec, self._dataset, self._resources)
        return Engines(spec, self._dataset, self._resources, self._slots)

    def _end(self, interrupted: bool) -> dict[int, Outcome]:
        outcomes = self._outcomes
        if self._lease.lost.is_set():  # it is somebody else's now
            return outcomes
        if interrupted:  # not by a signal, perhaps
            self._hurry()
        with contextlib.ExitStack() as last:
            if self._is_told:
                last.callback(self._tell_end, outcomes, interrupted)
            if self._attempt:
                end_attempt(self._study.record, now_ms())
        return outcomes

    def _tell_end(self, outcomes: Mapping[int, Outcome], interrupted: bool) -> None:
        cancelled = interrupted or Outcome.CANCELLED in outcomes.values()
        behind = [r for r in self._recorders if not (r.complete or interrupted)]
        for recorder in behind:
            recorder.rest()
        if behind:
            tell_all(self._studies, behind)  # the store may be back
        for recorder in self._recorders:
            if self._best is not None:
                recorder.generator(self._best)
            recorder.end_sweep(outcomes, cancelled=cancelled)


def run_experiment(trainable: Any, scheduler: StudyScheduler, name: str, spec: SweepSpec) -> None:
    """Let Tune run what the roster gives out, until there is no more."""
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=StudySearch(scheduler.roster, scheduler.hosting),
            scheduler=scheduler,
            num_samples=-1,  # the roster says when there is no more: a trial may be given out twice
            reuse_actors=True,
            trial_dirname_creator=folder_name,
        ),
        run_config=tune.RunConfig(
            name=name,
            stop=OutOfTime(scheduler.roster.limits),
            storage_path=results_location(spec),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    with started_workers():
        tuner.fit()


def _sweep_record(
    study: SweepStudy, resources: Mapping[str, float], dataset: Dataset, slots: int
) -> SweepRecord:
    spec = study.spec
    search, budget = spec.search, spec.budget
    params: dict[str, Any] = {
        **{f"data.{key}": value for key, value in spec.data.model_dump().items()},
        **{f"networks.{key}": value for key, value in spec.networks.model_dump().items()},
        "search.sampler": search.sampler,
        "search.trials": search.trials,
        "search.seed": search.seed,
        "confirm.top": spec.confirm.top,
        "confirm.seeds": spec.confirm.seeds,
        "budget.updates": budget.updates,
        "budget.reports": budget.reports,
        "prune.risk": spec.prune.risk if spec.prune else None,
        "data.dataset": dataset.name,
        **{f"data.{key}": value for key, value in dataset.facts.items()},
    }
    return SweepRecord(
        name=spec.name,
        study_id=study.id,
        description=spec.description,
        sweep_file=dump_sweep(spec),
        objective=spec.objective.metric,
        direction=spec.objective.direction,
        searched=tuple(search.space.entries),
        updates=budget.updates,
        milestones=milestones(budget),
        trials=study.size,
        confirming=spec.confirm.trials,
        gpus_per_trial=resources["GPU"] / slots,
        params=params,
        environment={**describe_environment(), "resources": dict(resources), "seed": search.seed},
        started=first_start(study.record),
    )

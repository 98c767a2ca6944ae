"""An Optuna pruner that stops trials which are dead, by `health.judge`; no Ray needed."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from ganray.health.judge import judge
from ganray.health.rules import DEFAULT_RISK, HealthRules
from ganray.spec.models import Prune
from ganray.trial import Outcome, Signals, State, StopRecord, Verdict

_REPORT = "report:"
PATIENT_REPORTS = 4  # reports that `patient` grants a trial: a tenth of the default 40


@dataclass(frozen=True, slots=True)
class Stop:
    """That a trial should be stopped, as what, and on which grounds."""

    outcome: Outcome
    reason: str
    rule: str = ""  # of the judge; of a stock pruner its name
    thresholds: Mapping[str, float] = field(default_factory=dict)  # of that rule, by name
    recovery: float | None = None  # estimated probability that the trial still ends healthy

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        """What follows from the verdict that a trial is dead."""
        return cls(
            Outcome(verdict.state),  # of the same name
            verdict.reason,
            verdict.rule or verdict.state.value,
            dict(verdict.thresholds),
            verdict.recovery,
        )

    @classmethod
    def from_record(cls, record: StopRecord) -> Self:
        """The inverse of `at`."""
        return cls(
            record.outcome, record.reason, record.rule, dict(record.thresholds), record.recovery
        )

    def at(self, update: int) -> StopRecord:
        """The record of the stop that a report led to."""
        return StopRecord(
            update=update,
            outcome=self.outcome,
            reason=self.reason,
            rule=self.rule,
            thresholds=self.thresholds,
            recovery=self.recovery,
        )


class HealthPruner(BasePruner):
    """Prune trials that the judge finds dead; healthy ones go on to a stock pruner.

    Report signals with `record_signals` before `trial.should_prune()`:

        study = optuna.create_study(pruner=HealthPruner(HealthRules(budget=10_000)))
        ...
        record_signals(trial, signals)
        trial.report(signals.distance, signals.update)
        if trial.should_prune():
            raise optuna.TrialPruned()

    Args:
        rules: when a trial counts as dead.
        then: the pruner for healthy trials; None: they are never pruned.
        stops_dead: False: no verdict stops a trial, and `then` ranks all of them.
        ranks_from: the update before which `then` prunes nothing.
    """

    def __init__(
        self,
        rules: HealthRules,
        then: BasePruner | None = None,
        *,
        stops_dead: bool = True,
        ranks_from: int = 0,
    ) -> None:
        self.rules = rules
        self._stops_dead = stops_dead
        self._ranks_from = math.inf if then is None else ranks_from
        self._then = then or NopPruner()

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to stop the trial now."""
        return self.decide(study, trial, self.verdict(signals_of(trial))) is not None

    def verdict(self, history: Sequence[Signals]) -> Verdict:
        """What the judge says of the reports so far."""
        return judge(history, self.rules)

    def condemns(self, verdict: Verdict) -> bool:
        """Whether a verdict alone stops a trial, whatever the others do."""
        return self._stops_dead and verdict.state.is_dead

    def may_stop(self, verdict: Verdict, update: int) -> bool:
        """Whether `decide` is to be asked; else it finds nothing, whatever other trials did."""
        ranked = self._ranks(verdict) and update >= self._ranks_from
        return self.condemns(verdict) or ranked

    def _ranks(self, verdict: Verdict) -> bool:
        return verdict.state is State.HEALTHY or not self._stops_dead

    def decide(self, study: Study, trial: FrozenTrial, verdict: Verdict) -> Stop | None:
        """Why to stop a trial of which the judge says `verdict`, or None."""
        if self.condemns(verdict):
            return Stop.of(verdict)
        if self._ranks(verdict) and self._then.prune(study, trial):
            name = type(self._then).__name__
            return Stop(Outcome.OUTRANKED, f"worse than its peers at this step, by {name}", name)
        return None


def record_signals(
    trial: Trial, signals: Signals, verdict: Verdict | None = None, at: int | None = None
) -> None:
    """Write one report's signals into the study, where the pruner reads them.

    Args:
        trial: that made the report.
        signals: of the report.
        verdict: what the judge said of it.
        at: when, ms since 1970.
    """
    record: dict[str, Any] = signals.to_dict()
    if verdict is not None:
        record |= {"state": verdict.state.value, "reason": verdict.reason}
    if at is not None:
        record["at"] = at
    trial.set_user_attr(f"{_REPORT}{signals.update:010d}", record)


def reports_of(trial: FrozenTrial) -> list[dict[str, Any]]:
    """All reports of a trial as `record_signals` wrote them, oldest first."""
    keys = sorted(key for key in trial.user_attrs if key.startswith(_REPORT))
    return [trial.user_attrs[key] for key in keys]


def signals_of(trial: FrozenTrial) -> list[Signals]:
    """The signals of all reports of a trial that the study holds, oldest first."""
    return [Signals.from_dict(record) for record in reports_of(trial)]


def make_pruner(prune: Prune, budget: int, then: BasePruner | None = None) -> HealthPruner:
    """The pruner that a sweep file asks for.

    Args:
        prune: that part of the file.
        budget: updates of a full trial.
        then: in place of the stock pruner that the file names.
    """
    rules = HealthRules.for_risk(prune.risk or DEFAULT_RISK, budget)
    half = max(1, budget // 2)  # many GANs find their modes late: no ranking before
    then = then or _stock_pruner(prune.then, budget, half)
    ranks_from = 0 if prune.then == "wilcoxon" else half
    return HealthPruner(rules, then, stops_dead=prune.risk is not None, ranks_from=ranks_from)


def _stock_pruner(name: str, budget: int, half: int) -> BasePruner | None:
    match name:
        case "median":
            return MedianPruner(n_startup_trials=5, n_warmup_steps=half)
        case "percentile":
            return PercentilePruner(25.0, n_startup_trials=5, n_warmup_steps=half)
        case "successive_halving":
            return SuccessiveHalvingPruner(min_resource=half)
        case "hyperband":
            return HyperbandPruner(min_resource=half, max_resource=budget)
        case "patient":
            return patient(MedianPruner(n_startup_trials=5, n_warmup_steps=half))
        case "wilcoxon":
            return wilcoxon()
    return None


def patient(wrapped: BasePruner) -> BasePruner:
    """Asks another pruner only about trials that have stayed short of their best for a while."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PatientPruner(wrapped, patience=PATIENT_REPORTS)


def wilcoxon() -> BasePruner:
    """Stops trials that are worse than the best one, report by report, by a signed-rank test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return WilcoxonPruner()

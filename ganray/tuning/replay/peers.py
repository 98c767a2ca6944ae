"""Policies that compare trials: real Optuna pruners, in a study in memory."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator

import optuna
from optuna import pruners
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from ganray.spec.models import Prune
from ganray.trial import Outcome, Signals, Verdict
from ganray.tuning.objective import final_objective
from ganray.tuning.pruner import HealthPruner, make_pruner, patient, record_signals
from ganray.tuning.replay.histories import History
from ganray.tuning.replay.policies import Stopped

PERCENTILE = 25.0  # Optuna has no default for it; ours

optuna.logging.set_verbosity(optuna.logging.WARNING)


class WilcoxonPruner(pruners.WilcoxonPruner):
    """Optuna's, which answers the same question once: its test takes a millisecond."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__()
        self._answers: dict[object, bool] = {}

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """As Optuna's: it looks at nothing but the values of this trial and of the best one."""
        try:
            best = study.best_trial.intermediate_values
        except ValueError:  # there is none yet
            return False
        values = trial.intermediate_values.items()
        if all(best.get(step) == value for step, value in values):
            return False  # the best trial drawn again: no worse, by a test that takes a second
        question = (tuple(values), tuple(best.items()), study.direction)
        if question not in self._answers:
            self._answers[question] = super().prune(study, trial)
        return self._answers[question]


class Stock:
    """An Optuna pruner as its users get it: its own defaults, asked after every report."""

    measures = True
    alone = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._make = STOCK[name]
        self._pruners: dict[tuple[int, int], BasePruner] = {}

    def decide(self, histories: Iterable[History], seed: int = 0) -> Iterator[Stopped | None]:
        """See `Policy`."""
        study: Study | None = None
        for history in histories:
            study = study or _study(history, self._pruner(history), seed)
            yield _replay(study, history, self._ask)

    def _pruner(self, history: History) -> BasePruner:
        """What a pruner keeps depends on nothing but the budget and the first report."""
        key = (history.budget, _first_report(history))
        if key not in self._pruners:
            self._pruners[key] = self._make(history)
        return self._pruners[key]

    def _ask(self, study: Study, trial: Trial, history: History, index: int) -> Stopped | None:
        if not _report(trial, history, index) or not trial.should_prune():
            return None
        reason = f"worse than its peers at this step, by {type(study.pruner).__name__}"
        return Stopped(index, Outcome.OUTRANKED.value, reason, self.name)


class Filed:
    """What a `prune` section of a sweep file asks for: health rules, then a stock pruner."""

    measures = True

    def __init__(self, name: str, prune: Prune) -> None:
        self.name = name
        self.alone = prune.then == "none"
        self._prune = prune
        # by identity, kept alive beside it: resampled sweeps hold the same histories many times
        self._verdicts: dict[int, tuple[History, list[Verdict]]] = {}
        self._then = WilcoxonPruner() if prune.then == "wilcoxon" else None

    def decide(self, histories: Iterable[History], seed: int = 0) -> Iterator[Stopped | None]:
        """See `Policy`."""
        study: Study | None = None
        for history in histories:
            study = study or _study(
                history, make_pruner(self._prune, history.budget, self._then), seed
            )
            yield _replay(study, history, self._ask)

    def _ask(self, study: Study, trial: Trial, history: History, index: int) -> Stopped | None:
        pruner = study.pruner
        assert isinstance(pruner, HealthPruner), "made so in decide"
        record_signals(trial, history.reports[index])
        _report(trial, history, index)
        verdict = self._verdict(pruner, history, index)
        frozen = study.get_trials(deepcopy=False)[trial.number]
        stop = pruner.decide(study, frozen, verdict)
        if stop is None:
            return None
        ranked = stop.outcome is Outcome.OUTRANKED
        rule = self._prune.then if ranked else verdict.rule or verdict.state.value
        return Stopped(index, stop.outcome.value, stop.reason, rule)

    def _verdict(self, pruner: HealthPruner, history: History, index: int) -> Verdict:
        """The same verdict for the same history, once: judging takes longer than all else here."""
        _, known = self._verdicts.setdefault(id(history), (history, []))
        while len(known) <= index:
            known.append(pruner.verdict(history.reports[: len(known) + 1]))
        return known[index]


Ask = Callable[[Study, Trial, History, int], Stopped | None]


def _study(history: History, pruner: BasePruner, seed: int) -> Study:
    """Empty, in memory; its name is what Hyperband draws brackets by."""
    smaller = history.direction == "min"
    direction = StudyDirection.MINIMIZE if smaller else StudyDirection.MAXIMIZE
    return optuna.create_study(study_name=f"replay-{seed}", direction=direction, pruner=pruner)


def _replay(study: Study, history: History, ask: Ask) -> Stopped | None:
    """One trial, report by report, up to its recorded end or its stop; then told to the study."""
    trial = study.ask()
    stop = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that one trial has and another lacks
        for index, signals in enumerate(history.reports):
            if signals.nonfinite is None:  # then the trial ends by itself
                stop = ask(study, trial, history, index)
            if stop is not None:
                break
    value = final_objective(history.reports, history.metric)
    if stop is None and history.is_full and not history.ended_nonfinite and value is not None:
        study.tell(trial, value)
    else:
        study.tell(trial, state=TrialState.PRUNED)
    return stop


def _report(trial: Trial, history: History, index: int) -> bool:
    """Whether there was an objective to report."""
    signals = history.reports[index]
    value = getattr(signals, history.metric)
    if value is None or not math.isfinite(value):
        return False
    trial.report(value, signals.update)
    return True


def _first_report(history: History) -> int:
    """In updates: the least that a trial takes before it can be compared."""
    first: Signals = history.reports[0]
    return max(1, first.update)


# Optuna's defaults; where it has none, or counts from 1 update, what is sensible in updates
STOCK: dict[str, Callable[[History], BasePruner]] = {
    "median": lambda _: MedianPruner(),
    "percentile": lambda _: PercentilePruner(PERCENTILE),
    "successive_halving": lambda h: SuccessiveHalvingPruner(min_resource=_first_report(h)),
    "hyperband": lambda h: HyperbandPruner(min_resource=_first_report(h), max_resource=h.budget),
    "patient": lambda _: patient(MedianPruner()),
    "wilcoxon": lambda _: WilcoxonPruner(),
}

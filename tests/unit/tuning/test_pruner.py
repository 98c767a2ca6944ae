"""The pruner by itself: a plain Optuna study in memory, no Ray, no sweep file."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import optuna
import pytest
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
from optuna.trial import FrozenTrial, Trial, TrialState

from ganray.health.judge import judge
from ganray.health.recovery import RecoveryModel
from ganray.health.rules import HealthRules
from ganray.spec.models import Prune
from ganray.trial import LOG_2, Outcome, Signals, State, StopRecord, Verdict
from ganray.tuning.pruner import HealthPruner, Stop, make_pruner, record_signals, signals_of
from tests.conftest import signals_at

BUDGET = 1_000
WEIGHTS = {"modes": 4.0, "nearness": 2.0, "quality": 0.0, "overlap": 1.0, "motion": 0.0}
MODEL = RecoveryModel(early=WEIGHTS, late=WEIGHTS, bias=(0.0, -6.0), calibration=(-3.0,))
# a hopeless trial is stopped at 60 % of the budget, three reports after it became so
RULES = HealthRules(
    budget=BUDGET, model=MODEL, hopeless=-2.0, doubted=-1.0, trusted=1.0, patience=0.2
)

GOOD = {"distance": 0.1, "modes": 8.0, "mode_ratio": 1.0, "high_quality": 0.9, "js": 0.1}
ONE_MODE = {"distance": 1.8, "modes": 1.0, "mode_ratio": 0.125, "high_quality": 0.9, "js": 0.6}
SEPARABLE = {"distance": 1.5, "mode_ratio": 0.0, "high_quality": 0.0, "js": 0.99 * LOG_2}
NOT_FINITE = {"nonfinite": "loss of D"}

# what each tenth of the budget reports -> at which update the trial is to be stopped, and as what
HISTORIES: dict[str, tuple[Sequence[dict[str, Any]], int | None, Outcome | None]] = {
    "healthy": ([GOOD] * 10, None, None),
    "not finite at the first report": ([NOT_FINITE], 100, Outcome.DIVERGED),
    "not finite later": ([*[GOOD] * 4, NOT_FINITE], 500, Outcome.DIVERGED),
    "collapsed from the start": ([ONE_MODE] * 10, 600, Outcome.COLLAPSED),
    "peaked, then collapsed": ([*[GOOD] * 5, *[ONE_MODE] * 5], 800, Outcome.COLLAPSED),
    "collapsed too late to be sure": ([*[GOOD] * 8, *[ONE_MODE] * 2], None, None),
    "collapsed, then recovered": ([*[ONE_MODE] * 5, *[GOOD] * 5], None, None),
    "told apart from the start": ([SEPARABLE] * 10, 500, Outcome.STALLED),
    "told apart, then caught up": ([*[SEPARABLE] * 4, *[GOOD] * 6], None, None),
}


class Always(BasePruner):
    """Prunes whatever it is asked about, and remembers of whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        self.asked.append(trial.number)
        return True


def report(trial: Trial, signals: Signals) -> None:
    record_signals(trial, signals)
    if signals.distance is not None:
        trial.report(signals.distance, signals.update)


@pytest.mark.parametrize("name", HISTORIES)
def test_trial_is_pruned_when_it_is_dead_and_not_before(name: str) -> None:
    history, stopped_at, outcome = HISTORIES[name]
    study = optuna.create_study(pruner=HealthPruner(RULES))
    trial = study.ask()
    pruned_at = []
    for index, values in enumerate(history):
        report(trial, signals_at(100 * (index + 1), **values))
        if trial.should_prune():
            pruned_at.append(100 * (index + 1))
    assert pruned_at[:1] == ([] if stopped_at is None else [stopped_at])
    if outcome is not None:
        dead = signals_of(study.trials[0])[: stopped_at // 100]
        assert judge(dead, RULES).state.value == outcome.value


def test_dead_trial_may_be_stopped_the_way_optuna_shows_it() -> None:
    def objective(trial: Trial) -> float:
        for update in range(100, BUDGET + 1, 100):
            values = ONE_MODE if trial.number == 1 else GOOD
            report(trial, signals_at(update, **values))
            if trial.should_prune():
                raise optuna.TrialPruned
        return 0.1

    study = optuna.create_study(pruner=HealthPruner(RULES))
    study.optimize(objective, n_trials=3)
    assert [trial.state for trial in study.trials] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.COMPLETE,
    ]
    assert study.trials[1].last_step == 600


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (State.WARMING_UP, None),
        (State.HEALTHY, Outcome.OUTRANKED),
        (State.SUSPECT, None),
        (State.COLLAPSED, Outcome.COLLAPSED),
        (State.STALLED, Outcome.STALLED),
        (State.DIVERGED, Outcome.DIVERGED),
    ],
)
def test_only_healthy_trials_are_ranked(state: State, outcome: Outcome | None) -> None:
    stock = Always()
    pruner = HealthPruner(RULES, stock)
    study = optuna.create_study()
    study.ask()
    stop = pruner.decide(study, study.trials[0], Verdict(state, "why"))
    assert (stop.outcome if stop else None) is outcome
    assert stock.asked == ([0] if state is State.HEALTHY else [])
    if stop is not None and outcome is not Outcome.OUTRANKED:
        assert stop == Stop(outcome, "why", rule=state.value)  # where the judge names no rule


def test_outranked_trial_is_told_by_whom() -> None:
    study = optuna.create_study()
    study.ask()
    stop = HealthPruner(RULES, Always()).decide(study, study.trials[0], Verdict(State.HEALTHY))
    assert stop == Stop(Outcome.OUTRANKED, "worse than its peers at this step, by Always", "Always")


def test_stop_carries_the_grounds_of_the_verdict() -> None:
    study = optuna.create_study()
    study.ask()
    verdict = Verdict(State.COLLAPSED, "few modes", "few_modes", {"mode_ratio": 0.35}, 0.01)
    stop = HealthPruner(RULES).decide(study, study.trials[0], verdict)
    assert stop == Stop(Outcome.COLLAPSED, "few modes", "few_modes", {"mode_ratio": 0.35}, 0.01)
    record = stop.at(600)
    assert record == StopRecord.from_dict(json.loads(json.dumps(asdict(record))))
    assert (record.update, record.outcome, record.recovery) == (600, Outcome.COLLAPSED, 0.01)


def stopped_at(then: str, peers: list[float], distance: float) -> int | None:
    """The update at which a trial is pruned whose peers ended with these distances."""
    study = optuna.create_study(study_name="s", pruner=make_pruner(Prune(then=then), BUDGET))
    for value in [*peers, distance]:
        trial = study.ask()
        for update in range(50, BUDGET + 1, 50):
            report(trial, signals_at(update, **{**GOOD, "distance": value}))
            if trial.should_prune() and trial.number == len(peers):
                return update
        study.tell(trial, value)
    return None


@pytest.mark.parametrize(
    ("then", "peers", "update"),
    [
        ("median", [0.1] * 4, None),  # too few to compare with
        ("median", [0.1] * 5, 500),
        ("median", [0.1, 0.1, 0.3, 0.3, 0.3], None),  # in the better half
        ("percentile", [0.1] * 4, None),
        ("percentile", [0.1, 0.1, 0.3, 0.3, 0.3], 500),  # not in the best quarter
        ("percentile", [0.1, 0.3, 0.3, 0.3, 0.3], None),
        ("successive_halving", [0.1] * 4, 500),
        ("successive_halving", [0.3] * 4, None),
        ("hyperband", [0.1] * 4, 500),
        ("hyperband", [0.3] * 4, None),
        ("patient", [0.1] * 4, None),
        ("patient", [0.1] * 5, None),  # a plateau is no step back
        ("wilcoxon", [0.1], 200),  # at once, and against a single peer
        ("wilcoxon", [0.3], None),
        ("none", [0.1] * 9, None),
    ],
)
def test_trial_worse_than_its_peers_is_stopped_by_the_stock_pruner(
    then: str, peers: list[float], update: int | None
) -> None:
    assert stopped_at(then, peers, distance=0.2) == update


def test_signals_come_back_from_the_study_as_they_were() -> None:
    study = optuna.create_study()
    trial = study.ask()
    history = [
        signals_at(update, distance=0.1 + 0.2, modes=1e-300, nonfinite="loss of D")
        for update in (5, 40, 300, 2_000, 10_000)
    ]
    for signals in (history[3], history[0], history[4], history[2], history[1]):
        record_signals(trial, signals, Verdict(State.SUSPECT, "few modes"))
    trial.set_user_attr("config", {"loss": "hinge"})
    assert signals_of(study.trials[0]) == history


def test_verdict_stands_beside_the_signals() -> None:
    study = optuna.create_study()
    trial = study.ask()
    record_signals(trial, signals_at(10), Verdict(State.SUSPECT, "few modes"))
    (record,) = study.trials[0].user_attrs.values()
    assert (record["state"], record["reason"]) == ("suspect", "few modes")


def test_verdict_is_that_of_the_judge() -> None:
    history = [signals_at(100 * (i + 1), **ONE_MODE) for i in range(7)]
    assert HealthPruner(RULES).verdict(history) == judge(history, RULES)


def test_trial_without_a_report_is_not_pruned() -> None:
    study = optuna.create_study(pruner=HealthPruner(RULES, Always()))
    assert not study.ask().should_prune()


def test_larger_risk_stops_no_later() -> None:
    stopped = []
    for risk in (0.001, 0.02, 0.1, 0.3):
        study = optuna.create_study(pruner=make_pruner(Prune(risk=risk, then="none"), BUDGET))
        trial = study.ask()
        for update in range(20, BUDGET + 1, 20):
            report(trial, signals_at(update, **SEPARABLE, velocity=0.05))
            if trial.should_prune():
                break
        stopped.append(update)
    assert stopped == sorted(stopped, reverse=True)
    assert stopped[0] > stopped[-1]


@pytest.mark.parametrize(
    ("then", "kind"),
    [
        ("median", MedianPruner),
        ("percentile", PercentilePruner),
        ("successive_halving", SuccessiveHalvingPruner),
        ("hyperband", HyperbandPruner),
        ("patient", PatientPruner),
        ("wilcoxon", WilcoxonPruner),
        ("none", NopPruner),
    ],
)
def test_sweep_file_names_the_stock_pruner(then: str, kind: type[BasePruner]) -> None:
    pruner = make_pruner(Prune(then=then), BUDGET)
    assert type(pruner._then) is kind


@pytest.mark.parametrize("risk", [None, 0.02])
@pytest.mark.parametrize(
    "then", ["median", "percentile", "successive_halving", "hyperband", "patient"]
)
def test_stock_pruner_that_is_not_asked_would_have_stopped_nothing(
    then: str, risk: float | None
) -> None:
    pruner = make_pruner(Prune(then=then, risk=risk), BUDGET)
    study = optuna.create_study(study_name="s", pruner=pruner)
    healthy, stopped = Verdict(State.HEALTHY), set()
    for number in range(12):
        trial = study.ask()
        for update in range(50, BUDGET + 1, 50):
            trial.report(0.1 * (1 + number), update)
            frozen = study.get_trials(deepcopy=False)[number]
            if pruner.decide(study, frozen, healthy) is not None:
                stopped.add(update)
        study.tell(trial, 0.1 * (1 + number))
    assert stopped or then == "patient"  # it takes more reports than these
    assert all(pruner.may_stop(healthy, update) for update in stopped)
    assert not pruner.may_stop(healthy, 50)


def test_whoever_is_dead_may_be_stopped_at_once() -> None:
    dead, suspect = Verdict(State.COLLAPSED), Verdict(State.SUSPECT)
    assert make_pruner(Prune(then="none"), BUDGET).may_stop(dead, 50)
    assert not make_pruner(Prune(then="none"), BUDGET).may_stop(Verdict(State.HEALTHY), BUDGET)
    assert not make_pruner(Prune(then="median"), BUDGET).may_stop(suspect, BUDGET)
    assert not make_pruner(Prune(then="median", risk=None), BUDGET).may_stop(dead, 50)
    assert make_pruner(Prune(then="median", risk=None), BUDGET).may_stop(dead, BUDGET)
    assert make_pruner(Prune(then="wilcoxon"), BUDGET).may_stop(Verdict(State.HEALTHY), 50)


@pytest.mark.parametrize(
    "then", ["median", "percentile", "successive_halving", "hyperband", "patient", "wilcoxon"]
)
@pytest.mark.parametrize("budget", [1, 10, 10_000])
def test_every_stock_pruner_works_in_a_study_of_any_budget(then: str, budget: int) -> None:
    study = optuna.create_study(
        study_name="s",
        pruner=make_pruner(Prune(then=then), budget),
    )
    for number in range(12):
        trial = study.ask()
        for update in sorted({max(1, budget // 4), max(1, budget // 2), budget}):
            report(trial, signals_at(update, **{**GOOD, "distance": 0.1 + 0.01 * number}))
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, 0.1 + 0.01 * number)
    assert study.best_value == pytest.approx(0.1)


@pytest.mark.parametrize(("slope", "stopped"), [(-0.0001, None), (0.0001, 500)])
def test_patient_pruner_stops_trials_that_fall_back(slope: float, stopped: int | None) -> None:
    study = optuna.create_study(pruner=make_pruner(Prune(then="patient"), BUDGET))
    found = []
    for number in range(6):
        trial = study.ask()
        for update in range(50, BUDGET + 1, 50):
            distance = 0.1 if number < 5 else 0.8 + slope * update
            report(trial, signals_at(update, **{**GOOD, "distance": distance}))
            found += [(number, update)] if trial.should_prune() else []
        study.tell(trial, 0.1)
    assert found[:1] == ([(5, stopped)] if stopped else [])


@pytest.mark.parametrize("values", [ONE_MODE, SEPARABLE, NOT_FINITE])
def test_without_health_rules_no_verdict_stops_a_trial(values: dict[str, Any]) -> None:
    study = optuna.create_study(pruner=make_pruner(Prune(risk=None, then="none"), BUDGET))
    trial = study.ask()
    for update in range(100, BUDGET + 1, 100):
        report(trial, signals_at(update, **values))
        assert not trial.should_prune()


@pytest.mark.parametrize("values", [GOOD, ONE_MODE, SEPARABLE])
def test_without_health_rules_every_trial_is_ranked(values: dict[str, Any]) -> None:
    study = optuna.create_study()
    trial = study.ask()
    stock = Always()
    pruner = make_pruner(Prune(risk=None), BUDGET, then=stock)
    for update in range(100, BUDGET + 1, 100):
        record_signals(trial, signals_at(update, **values))
    verdict = pruner.verdict(signals_of(study.trials[0]))
    stop = pruner.decide(study, study.trials[0], verdict)
    assert (stop and stop.outcome, stock.asked) == (Outcome.OUTRANKED, [0])

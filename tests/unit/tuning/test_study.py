"""The durable record: every report, verdict and outcome is in the study, once, and stays there."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna._gp import batched_lbfgsb
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ganray.errors import NameTakenError, UnknownSweepError
from ganray.health.judge import judge
from ganray.health.rules import HealthRules
from ganray.spec.models import SweepSpec
from ganray.trial import LOG_2, Ending, Outcome, State, StopRecord
from ganray.tuning.pruner import Stop, signals_of
from ganray.tuning.storage import open_storage
from ganray.tuning.study import Assignment, Decision, SweepStudy
from tests.conftest import signals_at, small_spec

ENDED = [outcome for outcome in Outcome if outcome is not Outcome.CANCELLED]
STATES = {
    Outcome.COMPLETED: TrialState.COMPLETE,
    Outcome.COLLAPSED: TrialState.PRUNED,
    Outcome.STALLED: TrialState.PRUNED,
    Outcome.DIVERGED: TrialState.PRUNED,
    Outcome.OUTRANKED: TrialState.PRUNED,
    Outcome.CRASHED: TrialState.FAIL,
    Outcome.CANCELLED: TrialState.RUNNING,
}
# dead by any weights that a fit may give
HOPELESS = {"distance": 3.0, "js": 0.99 * LOG_2, "velocity": 0.01}
ONE_MODE = {**HOPELESS, "modes": 0.4, "mode_ratio": 0.05, "high_quality": 0.4}
SEPARABLE = {**HOPELESS, "mode_ratio": 0.0, "high_quality": 0.0}


def in_memory(spec: SweepSpec) -> tuple[SweepStudy, Study]:
    """The sweep's study, and what Optuna has of it."""
    study = optuna.create_study(
        direction="minimize" if spec.objective.direction == "min" else "maximize"
    )
    return SweepStudy(spec, study), study


def ask(study: SweepStudy) -> Assignment:
    asked = study.ask()
    assert asked is not None
    return asked


def run_to_the_end(study: SweepStudy, number: int, **values: Any) -> Decision:
    """Ten reports of the same values; the last is the whole budget of `small_spec`."""
    for update in range(10, 101, 10):
        decision = study.report(number, signals_at(update, **values))
        if decision.stop is not None:
            break
    return decision


def frozen(spec: SweepSpec) -> list[FrozenTrial]:
    """The trials as the storage has them, read by a fresh connection."""
    storage = open_storage(spec, create=False)
    return optuna.load_study(study_name=spec.name, storage=storage).trials


# --- asking ---------------------------------------------------------------------------------------


def test_trial_is_recorded_with_its_whole_configuration(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path, trainer={"d_lr": 0.25}))
    asked = ask(study)
    assert asked.number == 0
    assert (asked.config.loss, asked.config.d_lr) == (asked.searched["loss"], 0.25)
    assert study.config(0) == asked.config
    assert record.trials[0].user_attrs["searched"] == asked.searched


def test_sweep_ends_after_its_trials(tmp_path: Path) -> None:
    study, _ = in_memory(small_spec(tmp_path, search={"trials": 3}))
    assert [ask(study).number for _ in range(3)] == [0, 1, 2]
    assert study.ask() is None


def test_trial_that_nobody_asked_for_is_unknown(tmp_path: Path) -> None:
    study, _ = in_memory(small_spec(tmp_path))
    ask(study)
    for number in (1, -1):
        with pytest.raises(UnknownSweepError, match=f"'small' has no trial {number}; it has 1"):
            study.config(number)


# --- reports and decisions ------------------------------------------------------------------------


def test_report_reads_the_record_only_where_peers_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database would have to answer for it, and what is written behind be there."""
    study, _ = in_memory(small_spec(tmp_path, prune={"then": "median"}))
    read: list[int] = []
    find = SweepStudy._frozen
    monkeypatch.setattr(
        SweepStudy, "_frozen", lambda self, number: read.append(update) or find(self, number)
    )
    ask(study)
    healthy = {"distance": 0.01, "modes": 8.0, "mode_ratio": 1.0, "high_quality": 1.0}
    for update in range(10, 100, 10):
        assert study.report(0, signals_at(update, **healthy)).verdict.state is not State.SUSPECT
    assert read
    assert min(read) >= 50


def test_report_is_in_the_record_with_its_verdict(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path))
    number = ask(study).number
    signals = signals_at(20, distance=0.1 + 0.2, js=1e-300)
    decision = study.report(number, signals)
    assert decision == Decision(judge([signals], HealthRules(budget=100)), None)
    assert decision.verdict.state is State.HEALTHY
    (trial,) = record.trials
    assert signals_of(trial) == [signals]
    assert trial.user_attrs["report:0000000020"]["state"] == "healthy"
    assert trial.intermediate_values == {20: 0.1 + 0.2}


def test_full_budget_completes_a_trial(tmp_path: Path) -> None:
    study, _ = in_memory(small_spec(tmp_path))
    number = ask(study).number
    assert study.report(number, signals_at(99, distance=0.1)).stop is None
    decision = study.report(number, signals_at(100, distance=0.1))
    assert decision.stop == Stop(Outcome.COMPLETED, "the full budget")


@pytest.mark.parametrize(
    ("values", "outcome", "reason"),
    [
        (ONE_MODE, Outcome.COLLAPSED, "covers 0.4 of 8 modes, in doubt for "),
        (
            SEPARABLE,
            Outcome.STALLED,
            "stay far from real data (distance 3.00), in doubt for ",
        ),
        ({"nonfinite": "loss of D"}, Outcome.DIVERGED, "loss of D not finite at update 10"),
    ],
)
def test_dead_trial_is_stopped_with_the_reason(
    values: dict[str, Any], outcome: Outcome, reason: str, tmp_path: Path
) -> None:
    study, record = in_memory(small_spec(tmp_path))
    stop = run_to_the_end(study, ask(study).number, **values).stop
    assert stop is not None
    assert stop.outcome is outcome
    assert reason in stop.reason
    assert signals_of(record.trials[0])[-1].update < study.spec.budget.updates


@pytest.mark.parametrize("values", [ONE_MODE, SEPARABLE])
def test_without_pruning_a_dead_trial_runs_to_its_end(
    values: dict[str, Any], tmp_path: Path
) -> None:
    study, record = in_memory(small_spec(tmp_path, prune=None))
    number = ask(study).number
    decision = run_to_the_end(study, number, **values)
    assert decision.stop == Stop(Outcome.COMPLETED, "the full budget")
    assert decision.verdict.state.is_dead  # it is judged, and that is recorded
    ending = study.finish(number, Outcome.COMPLETED)
    assert ending is not None
    assert not ending.audited
    assert record.trials[0].user_attrs["report:0000000100"]["state"] == decision.verdict.state.value


def test_without_pruning_what_is_not_finite_is_stopped_all_the_same(tmp_path: Path) -> None:
    study, _ = in_memory(small_spec(tmp_path, prune=None))
    decision = study.report(ask(study).number, signals_at(10, nonfinite="weights of G"))
    reason = "weights of G not finite at update 10"
    assert decision.stop is not None
    assert replace(decision.stop, thresholds={}, recovery=None) == Stop(
        Outcome.DIVERGED, reason, rule="nonfinite"
    )


def test_grounds_of_a_stop_are_in_the_record_before_the_trial_ends(tmp_path: Path) -> None:
    spec = small_spec(tmp_path)
    study = SweepStudy.create(spec)
    number = ask(study).number
    stop = run_to_the_end(study, number, **ONE_MODE).stop
    assert stop is not None
    last = signals_of(frozen(spec)[0])[-1]
    assert frozen(spec)[0].user_attrs["stop"] == {
        "update": last.update,
        "outcome": "collapsed",
        "reason": stop.reason,
        "rule": stop.rule,
        "thresholds": stop.thresholds,
        "recovery": stop.recovery,
    }
    ending = SweepStudy.load(spec).finish(number, stop.outcome, stop.reason)
    assert ending is not None
    assert ending.stop == stop.at(last.update)
    assert ending.grounds(ending.stop)["signals"] == last.to_dict()


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.CRASHED])
def test_trial_that_ends_otherwise_than_by_its_stop_has_none(
    outcome: Outcome, tmp_path: Path
) -> None:
    study, _ = in_memory(small_spec(tmp_path))
    number = ask(study).number
    run_to_the_end(study, number, **ONE_MODE)
    ending = study.finish(number, outcome, "the sweep was stopped")
    assert ending is not None
    assert ending.stop is None


def test_trial_of_full_budget_was_not_stopped(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path))
    number = ask(study).number
    run_to_the_end(study, number, distance=0.1)
    ending = study.finish(number, Outcome.COMPLETED)
    assert ending is not None
    assert ending.stop is None
    assert "stop" not in record.trials[0].user_attrs


def test_trial_worse_than_its_peers_is_outranked(tmp_path: Path) -> None:
    study, _ = in_memory(small_spec(tmp_path, search={"trials": 7}))
    for _ in range(6):
        number = ask(study).number
        run_to_the_end(study, number, distance=0.1)
        study.finish(number, Outcome.COMPLETED)
    stop = run_to_the_end(study, ask(study).number, distance=0.2).stop
    assert stop is not None
    assert stop.outcome is Outcome.OUTRANKED
    assert "MedianPruner" in stop.reason
    assert stop.rule == "MedianPruner"


# --- audit ----------------------------------------------------------------------------------------


def test_audited_trial_runs_to_its_end_and_is_marked_once(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path, prune={"audit": 1.0}))
    number = ask(study).number
    assert run_to_the_end(study, number, **ONE_MODE).stop == Stop(
        Outcome.COMPLETED, "the full budget"
    )
    marked = record.trials[0].user_attrs["audited"]
    assert marked["update"] < 100
    assert marked["outcome"] == "collapsed"
    assert "covers 0.4 of 8 modes" in marked["reason"]
    ending = study.finish(number, Outcome.COMPLETED)
    assert ending is not None
    assert (ending.outcome, ending.audited) == (Outcome.COMPLETED, True)
    assert ending.would_be == StopRecord.from_dict(marked)
    assert ending.stop is None
    assert ending.ended == "bad"


def test_audited_trial_that_would_have_been_outranked_runs_on(tmp_path: Path) -> None:
    spec = small_spec(tmp_path, search={"trials": 7}, prune={"audit": 1.0})
    study, _ = in_memory(spec)
    for _ in range(6):
        number = ask(study).number
        run_to_the_end(study, number, distance=0.05, mode_ratio=1.0)
        study.finish(number, Outcome.COMPLETED)
    number = ask(study).number
    decision = run_to_the_end(study, number, distance=0.09, mode_ratio=0.95)
    assert decision.stop == Stop(Outcome.COMPLETED, "the full budget")
    ending = study.finish(number, Outcome.COMPLETED)
    assert ending is not None
    assert ending.would_be is not None
    assert (ending.would_be.outcome, ending.would_be.rule) == (Outcome.OUTRANKED, "MedianPruner")
    assert ending.would_be.update < 100
    assert ending.ended == "healthy"


def test_healthy_trial_is_not_marked_as_audited(tmp_path: Path) -> None:
    study, _ = in_memory(small_spec(tmp_path, prune={"audit": 1.0}))
    number = ask(study).number
    run_to_the_end(study, number, distance=0.1)
    ending = study.finish(number, Outcome.COMPLETED)
    assert ending is not None
    assert not ending.audited


def test_audited_trial_that_is_not_finite_is_stopped(tmp_path: Path) -> None:
    study, _ = in_memory(small_spec(tmp_path, prune={"audit": 1.0}))
    stop = study.report(ask(study).number, signals_at(10, nonfinite="loss of D")).stop
    assert stop is not None
    assert stop.outcome is Outcome.DIVERGED


def test_trial_that_was_not_let_run_has_no_ending_of_its_own(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path))
    stopped, infinite, full = (ask(study).number for _ in range(3))
    study.report(stopped, signals_at(90, distance=0.1, mode_ratio=1.0))
    study.report(infinite, signals_at(10, nonfinite="loss of D"))
    study.report(full, signals_at(100, distance=0.1, mode_ratio=1.0))
    ends = [
        study.finish(number, outcome)
        for number, outcome in (
            (stopped, Outcome.OUTRANKED),
            (infinite, Outcome.DIVERGED),
            (full, Outcome.COMPLETED),
        )
    ]
    assert [ending and ending.ended for ending in ends] == [None, "bad", "healthy"]
    assert [t.user_attrs.get("ending") for t in record.trials] == [None, "bad", "healthy"]


def test_share_of_audited_trials_is_as_asked_for_and_the_same_again(tmp_path: Path) -> None:
    audited = []
    for _ in range(2):
        spec = small_spec(tmp_path, search={"trials": 100}, prune={"audit": 0.3})
        study, _ = in_memory(spec)
        ran_on = set()
        for number in range(100):
            ask(study)
            stop = run_to_the_end(study, number, **ONE_MODE).stop
            if stop is not None and stop.outcome is Outcome.COMPLETED:
                ran_on.add(number)
        audited.append(ran_on)
    assert audited[0] == audited[1]
    assert len(audited[0]) == pytest.approx(30, abs=14)  # three standard deviations


# --- endings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", list(Outcome))
def test_outcome_is_recorded_as_a_state_of_optuna(outcome: Outcome, tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path))
    number = ask(study).number
    study.report(number, signals_at(10, distance=0.25))
    ending = study.finish(number, outcome, "why")
    assert isinstance(ending, Ending)
    assert (ending.number, ending.outcome, ending.reason) == (0, outcome, "why")
    assert ending.objective == 0.25
    assert ending.history == [signals_at(10, distance=0.25)]
    (trial,) = record.trials
    assert trial.state is STATES[outcome]
    assert (trial.user_attrs["outcome"], trial.user_attrs["reason"]) == (outcome.value, "why")
    assert trial.user_attrs["objective"] == 0.25
    assert study.outcomes() == {0: outcome}
    assert study.unfinished() == []


def test_only_a_completed_trial_has_a_value_for_the_sampler(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path, search={"trials": 10}))
    for outcome in ENDED:
        number = ask(study).number
        run_to_the_end(study, number, distance=0.25)
        study.finish(number, outcome)
    done = [trial for trial in record.trials if trial.state is TrialState.COMPLETE]
    assert [trial.value for trial in done] == [0.25]
    failed = [trial for trial in record.trials if trial.state is TrialState.FAIL]
    assert [trial.value for trial in failed] == [None]


def test_every_ended_trial_carries_the_same_constraint_key(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path, search={"trials": 10}))
    for outcome in Outcome:
        number = ask(study).number
        study.report(number, signals_at(10, distance=0.1))
        study.finish(number, outcome)
    avoided = {Outcome.COLLAPSED, Outcome.DIVERGED}
    for outcome, trial in zip(Outcome, record.trials, strict=True):
        if outcome is Outcome.CANCELLED:
            assert trial.constraints == {}
        else:
            assert trial.constraints == {"dead": 1.0 if outcome in avoided else 0.0}


def test_objective_is_the_median_of_the_last_three_reports(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path))
    number = ask(study).number
    for update, distance in [(70, 0.01), (80, 0.5), (90, 0.2), (100, 0.3)]:
        study.report(number, signals_at(update, distance=distance))
    ending = study.finish(number, Outcome.COMPLETED)
    assert ending is not None
    assert ending.objective == record.trials[0].value == 0.3


@pytest.mark.parametrize(
    ("last", "objective"),
    [
        ([0.5, None, 0.25], statistics.median([0.5, 0.25])),
        ([None, None, 0.25], 0.25),
        ([0.5], 0.5),
    ],
)
def test_objective_leaves_out_reports_where_it_is_not_defined(
    last: list[float | None], objective: float, tmp_path: Path
) -> None:
    study, _ = in_memory(small_spec(tmp_path))
    number = ask(study).number
    for index, distance in enumerate(last):
        study.report(number, signals_at(10 * (index + 1), distance=distance))
    ending = study.finish(number, Outcome.COMPLETED)
    assert ending is not None
    assert ending.objective == objective


def test_trial_whose_objective_was_never_defined_crashed(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path))
    number = ask(study).number
    run_to_the_end(study, number, modes=1.0)
    ending = study.finish(number, Outcome.COMPLETED)
    assert ending is not None
    assert (ending.outcome, ending.objective) == (Outcome.CRASHED, None)
    assert ending.reason == "the objective distance was never defined"
    assert record.trials[0].state is TrialState.FAIL
    assert "objective" not in record.trials[0].user_attrs


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_objective_that_is_not_finite_ends_the_trial_as_crashed(
    value: float, tmp_path: Path
) -> None:
    study, record = in_memory(small_spec(tmp_path))
    number = ask(study).number
    run_to_the_end(study, number, distance=value)
    ending = study.finish(number, Outcome.COMPLETED)
    assert ending is not None
    assert ending.outcome is Outcome.CRASHED
    assert record.trials[0].state is TrialState.FAIL
    assert study.unfinished() == []


def test_trial_that_crashed_before_its_first_report_has_an_ending(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path))
    ending = study.finish(ask(study).number, Outcome.CRASHED, "OutOfMemoryError: 2 GiB")
    assert ending is not None
    assert (ending.objective, list(ending.history)) == (None, [])
    assert record.trials[0].state is TrialState.FAIL


def test_outcome_is_written_once(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path))
    number = ask(study).number
    study.report(number, signals_at(10, distance=0.1))
    assert study.finish(number, Outcome.COLLAPSED, "first") is not None
    assert study.finish(number, Outcome.CRASHED, "second") is None
    assert study.outcomes() == {0: Outcome.COLLAPSED}
    assert record.trials[0].user_attrs["reason"] == "first"
    assert record.trials[0].state is TrialState.PRUNED


def test_unfinished_trials_are_those_without_an_outcome(tmp_path: Path) -> None:
    study, _ = in_memory(small_spec(tmp_path))
    for _ in range(4):
        ask(study)
    study.finish(1, Outcome.CRASHED)
    study.finish(2, Outcome.CANCELLED)
    assert study.unfinished() == [0, 3]
    assert study.outcomes() == {1: Outcome.CRASHED, 2: Outcome.CANCELLED}


def test_objective_may_be_maximised(tmp_path: Path) -> None:
    spec = small_spec(tmp_path, objective={"metric": "modes"})
    study = SweepStudy.create(spec)
    for modes in (2.0, 7.0, 5.0):
        number = ask(study).number
        study.report(number, signals_at(100, modes=modes, distance=1.0 / modes))
        study.finish(number, Outcome.COMPLETED)
    found = optuna.load_study(study_name="small", storage=open_storage(spec, create=False))
    assert (found.best_trial.number, found.best_value) == (1, 7.0)


def test_wall_time_is_counted_until_the_end(tmp_path: Path) -> None:
    study, record = in_memory(small_spec(tmp_path))
    number = ask(study).number
    ending = study.finish(number, Outcome.CRASHED)
    (trial,) = record.trials
    assert ending is not None
    assert trial.duration is not None
    assert 0.0 <= ending.wall_seconds <= trial.duration.total_seconds() + 0.002


# --- the record lasts -----------------------------------------------------------------------------


def journal(folder: Path) -> dict[str, str]:
    return {"results": str(folder / "results")}


def database(folder: Path) -> dict[str, str]:
    return {"study": f"sqlite:///{folder / 'study.db'}", "results": str(folder / "results")}


storages = pytest.mark.parametrize("storage", [journal, database], ids=["journal", "sqlite"])


@storages
def test_study_that_is_opened_again_has_every_signal_verdict_and_outcome(
    storage: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    spec = small_spec(tmp_path, storage=storage(tmp_path), search={"trials": 6})
    study = SweepStudy.create(spec)
    asked = [ask(study) for _ in range(4)]
    decisions = [study.report(0, signals_at(u, **ONE_MODE)) for u in (10, 20, 40, 60)]
    study.report(1, signals_at(100, distance=0.1 + 0.2, js=1e-300))
    study.finish(0, Outcome.COLLAPSED, "few modes")
    study.finish(1, Outcome.COMPLETED)
    study.finish(2, Outcome.CANCELLED, "the sweep was stopped")

    again = SweepStudy.load(spec)
    assert again.spec == spec
    assert [again.config(a.number) for a in asked] == [a.config for a in asked]
    assert again.outcomes() == {
        0: Outcome.COLLAPSED,
        1: Outcome.COMPLETED,
        2: Outcome.CANCELLED,
    }
    assert again.unfinished() == [3]
    trials = frozen(spec)
    assert [signals_of(trial) for trial in trials] == [
        [signals_at(u, **ONE_MODE) for u in (10, 20, 40, 60)],
        [signals_at(100, distance=0.1 + 0.2, js=1e-300)],
        [],
        [],
    ]
    reports = [value for key, value in trials[0].user_attrs.items() if key.startswith("report:")]
    assert [r["state"] for r in reports] == [d.verdict.state.value for d in decisions]
    assert [r["reason"] for r in reports] == [d.verdict.reason for d in decisions]
    assert trials[1].value == 0.1 + 0.2
    assert [trial.state for trial in trials] == [
        TrialState.PRUNED,
        TrialState.COMPLETE,
        TrialState.RUNNING,
        TrialState.RUNNING,
    ]
    # and it goes on: a trial that ran takes reports, and the next one is new
    again.report(3, signals_at(100, distance=0.5))
    assert again.finish(3, Outcome.COMPLETED) is not None
    assert ask(again).number == 4
    assert again.finish(0, Outcome.COMPLETED) is None


@storages
def test_name_is_taken_once(storage: Callable[[Path], dict[str, str]], tmp_path: Path) -> None:
    spec = small_spec(tmp_path, storage=storage(tmp_path))
    SweepStudy.create(spec)
    with pytest.raises(NameTakenError, match=r"a sweep named 'small' exists in .*--name"):
        SweepStudy.create(spec)


@storages
@pytest.mark.parametrize("written", [[], ["spec"]])
def test_kill_while_the_study_is_made_leaves_the_name_free(
    written: list[str], storage: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    spec = small_spec(tmp_path, storage=storage(tmp_path), objective={"metric": "modes"})
    half = optuna.create_study(study_name="small", storage=open_storage(spec, create=True))
    for name in written:
        half.set_user_attr(name, "{}")
    with pytest.raises(UnknownSweepError, match="no sweep named 'small' is recorded in"):
        SweepStudy.load(spec)
    SweepStudy.refuse_taken(spec)
    made = SweepStudy.create(spec)
    loaded = SweepStudy.load(spec)
    assert (loaded.spec, loaded.id) == (spec, made.id)
    found = optuna.load_study(study_name="small", storage=open_storage(spec, create=False))
    assert found.direction is StudyDirection.MAXIMIZE  # of the new sweep, not of what was left
    with pytest.raises(NameTakenError, match="small"):
        SweepStudy.create(spec)


@pytest.mark.parametrize("content", ["trial", "attribute"])
def test_study_that_somebody_else_made_is_neither_read_nor_replaced(
    content: str, tmp_path: Path
) -> None:
    spec = small_spec(tmp_path)
    theirs = optuna.create_study(study_name="small", storage=open_storage(spec, create=True))
    if content == "trial":
        theirs.ask()
    else:
        theirs.set_user_attr("owner", "them")
    with pytest.raises(UnknownSweepError, match="small"):
        SweepStudy.load(spec)
    for claim in (SweepStudy.refuse_taken, SweepStudy.create):
        with pytest.raises(NameTakenError, match="small"):
            claim(spec)
    kept = optuna.load_study(study_name="small", storage=open_storage(spec, create=False))
    assert (len(kept.trials), kept.user_attrs) == (len(theirs.trials), theirs.user_attrs)


def test_refusal_of_a_taken_name_tells_both_ways_out(tmp_path: Path) -> None:
    spec = small_spec(tmp_path)
    SweepStudy.create(spec)
    with pytest.raises(NameTakenError, match=r"--name, .*ganray summary small"):
        SweepStudy.create(spec)


@storages
def test_taken_name_can_be_asked_for_before_anything_starts(
    storage: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    spec = small_spec(tmp_path, storage=storage(tmp_path))
    SweepStudy.refuse_taken(spec)
    SweepStudy.create(spec)
    with pytest.raises(NameTakenError, match="a sweep named 'small' exists in"):
        SweepStudy.refuse_taken(spec)
    SweepStudy.refuse_taken(spec.model_copy(update={"name": "other"}))


def test_asking_for_a_free_name_creates_nothing(tmp_path: Path) -> None:
    SweepStudy.refuse_taken(small_spec(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_study_keeps_an_identity_that_no_other_has(tmp_path: Path) -> None:
    specs = [small_spec(tmp_path / place) for place in ("a", "b")]
    made = [SweepStudy.create(spec).id for spec in specs]
    assert made[0] != made[1]
    assert [SweepStudy.load(spec).id for spec in specs] == made


@storages
def test_sweep_that_was_never_recorded_is_unknown(
    storage: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    spec = small_spec(tmp_path, storage=storage(tmp_path))
    with pytest.raises(UnknownSweepError, match=r"no sweep named 'small' is recorded in .*study"):
        SweepStudy.load(spec)
    SweepStudy.create(spec)
    other = spec.model_copy(update={"name": "other"})
    with pytest.raises(UnknownSweepError, match="no sweep named 'other' is recorded in"):
        SweepStudy.load(other)


def test_looking_for_an_unknown_sweep_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnknownSweepError, match="small"):
        SweepStudy.load(small_spec(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_kill_between_outcome_and_state_is_healed_by_the_next_driver(tmp_path: Path) -> None:
    spec = small_spec(tmp_path)
    study = SweepStudy.create(spec)
    number = ask(study).number
    study.report(number, signals_at(10, distance=0.1))

    class Killed(BaseException):
        pass

    def killed(*arguments: object, **options: object) -> None:
        raise Killed

    study._study.tell = killed
    with pytest.raises(Killed):
        study.finish(number, Outcome.COLLAPSED, "few modes")

    again = SweepStudy.load(spec)
    assert frozen(spec)[0].state is TrialState.RUNNING  # to look changes nothing
    again.settle()
    assert again.finish(number, Outcome.CANCELLED, "the sweep was stopped") is None
    assert again.outcomes() == {0: Outcome.COLLAPSED}
    assert frozen(spec)[0].state is TrialState.PRUNED


def test_kill_between_setting_a_point_aside_and_asking_for_it_loses_no_point(
    tmp_path: Path,
) -> None:
    space = {"d_steps": [1, 2, 3, 4, 5]}
    spec = small_spec(tmp_path, search={"sampler": "grid", "space": space, "trials": 5})
    SweepStudy.create(spec)
    storage = open_storage(spec, create=False)
    half_asked = optuna.load_study(study_name="small", storage=storage)
    first = ask(in_memory(spec)[0]).searched
    half_asked.enqueue_trial(first)

    study, points = SweepStudy.load(spec), []
    while (asked := study.ask()) is not None:
        points.append(asked.config.d_steps)
    assert sorted(points) == [1, 2, 3, 4, 5]
    assert all(trial.state is not TrialState.WAITING for trial in frozen(spec))


# --- samplers on real studies ---------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_sampler_goes_on_after_trials_that_ended_in_every_way(sampler: str, tmp_path: Path) -> None:
    space = {
        "loss": ["hinge", "lsgan"],
        "d_lr": {"low": 1e-5, "high": 1e-1, "log": True},
        "g_lr": {"low": 1e-5, "high": 1e-1, "log": True},
        "weight_clip": {"low": 0.01, "high": 1.0, "when": {"loss": ["lsgan"]}},
    }
    spec = small_spec(tmp_path, search={"sampler": sampler, "space": space, "trials": 40})
    study, record = in_memory(spec)
    others = iter(outcome for outcome in Outcome if outcome is not Outcome.COMPLETED)
    for index in range(18):
        number = ask(study).number
        outcome = Outcome.COMPLETED if index % 3 else next(others)
        if outcome is not Outcome.CRASHED:
            study.report(number, signals_at(100, distance=0.1 + 0.01 * index))
        study.finish(number, outcome)
    assert set(study.outcomes().values()) == set(Outcome)
    points = {tuple(trial.params.items()) for trial in record.trials}
    assert len(points) == 18


def test_gp_sampler_has_all_that_it_needs() -> None:
    """Without greenlet Optuna prints a warning and optimises one start after another."""
    assert batched_lbfgsb._greenlet_imports.is_successful()


def test_first_point_may_set_what_is_not_searched(tmp_path: Path) -> None:
    search = {"first": [{"loss": "hinge", "g_steps": 3}], "space": {"loss": ["hinge", "lsgan"]}}
    study = SweepStudy.create(small_spec(tmp_path, search=search))
    first, second = ask(study), ask(study)
    assert (first.config.g_steps, first.searched) == (3, {"loss": "hinge"})
    assert second.config.g_steps == 1


def test_value_of_a_first_point_that_does_not_apply_is_left_out(tmp_path: Path) -> None:
    clip = {"low": 0.1, "high": 1.0, "when": {"loss": ["lsgan"]}}
    search = {
        "first": [{"weight_clip": 0.5}] * 12,
        "space": {"loss": ["hinge", "lsgan"], "weight_clip": clip},
    }
    study = SweepStudy.create(small_spec(tmp_path, search={**search, "trials": 12}))
    configs = [ask(study).config for _ in range(12)]
    assert {c.weight_clip for c in configs if c.loss == "hinge"} == {None}
    assert {c.weight_clip for c in configs if c.loss == "lsgan"} == {0.5}

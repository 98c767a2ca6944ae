"""The second study of a sweep: which configurations run again, with which seeds, to which end."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from ganray.errors import NameTakenError, UnknownSweepError
from ganray.health.judge import judge
from ganray.health.rules import HealthRules
from ganray.spec.models import SweepSpec
from ganray.trial import Outcome, State
from ganray.tuning.confirm import ConfirmStudy, find_config, fresh_seeds
from ganray.tuning.pruner import Stop
from ganray.tuning.storage import open_storage
from ganray.tuning.study import Assignment, SweepStudy
from tests.conftest import signals_at, small_spec

ONE_MODE = {"distance": 0.8, "modes": 1.0, "mode_ratio": 0.125, "high_quality": 0.9, "js": 0.3}
LRS = {"d_lr": {"low": 1e-5, "high": 1e-1, "log": True}}


def confirming(folder: Path, top: int = 2, seeds: int = 2, **parts: Any) -> SweepSpec:
    search = {"trials": 6, "space": {"loss": ["hinge", "lsgan"], **LRS}, **parts.pop("search", {})}
    return small_spec(folder, confirm={"top": top, "seeds": seeds}, search=search, **parts)


def searched(
    spec: SweepSpec, *ends: float | Outcome, metric: str = "distance"
) -> tuple[SweepStudy, list[Assignment]]:
    """A search whose trials ended so, one after another: at an objective, or otherwise."""
    study, asked = SweepStudy.create(spec), []
    for end in ends:
        asked.append(study.ask())
        value = 0.0 if isinstance(end, Outcome) else end
        study.report(asked[-1].number, signals_at(100, **{metric: value}))
        study.finish(asked[-1].number, end if isinstance(end, Outcome) else Outcome.COMPLETED)
    return study, asked


def all_of(study: ConfirmStudy) -> list[Assignment]:
    asked = []
    while (assignment := study.ask()) is not None:
        asked.append(assignment)
    return asked


# --- which ----------------------------------------------------------------------------------------


def test_best_completed_trials_are_confirmed_each_with_as_many_seeds(tmp_path: Path) -> None:
    spec = confirming(tmp_path, top=2, seeds=3)
    _, trials = searched(spec, 0.5, 0.2, Outcome.COLLAPSED, 0.3, Outcome.CRASHED, 0.4)
    asked = all_of(ConfirmStudy.create(spec))
    assert [a.confirms for a in asked] == [1, 3] * 3  # all alike, if the sweep ends early
    for again in asked:
        original = trials[again.confirms]
        assert again.searched == original.searched
        assert replace(again.config, seed=original.config.seed) == original.config
        assert again.config.seed != original.config.seed
    assert len({again.config.seed for again in asked}) == 6


def test_largest_objective_is_the_best_where_it_is_maximised(tmp_path: Path) -> None:
    spec = confirming(tmp_path, top=1, seeds=1, objective={"metric": "modes"})
    searched(spec, 2.0, 7.0, 5.0, metric="modes")
    assert [a.confirms for a in all_of(ConfirmStudy.create(spec))] == [1]


def test_where_fewer_completed_fewer_are_confirmed(tmp_path: Path) -> None:
    spec = confirming(tmp_path, top=3, seeds=2)
    searched(spec, Outcome.STALLED, 0.5, Outcome.DIVERGED)
    study = ConfirmStudy.create(spec)
    assert study.size == 2
    assert [a.confirms for a in all_of(study)] == [1, 1]


def test_configurations_that_differ_in_nothing_but_the_seed_are_confirmed_once(
    tmp_path: Path,
) -> None:
    grid = {"sampler": "grid", "space": {"loss": ["hinge", "lsgan"], "seed": [1, 2]}}
    spec = confirming(tmp_path, top=3, seeds=1, search=grid)
    _, trials = searched(spec, 0.4, 0.3, 0.2, 0.1)
    again = all_of(ConfirmStudy.create(spec))
    assert sorted(a.config.loss for a in again) == ["hinge", "lsgan"]
    assert again[0].confirms == 3
    better = {trials[a.number].config.loss: a.number for a in trials}  # the later one
    assert {a.config.loss: a.confirms for a in again} == better
    for a in again:  # what is recorded as searched is what was trained with
        assert a.searched["seed"] == a.config.seed not in (1, 2)


def test_search_is_over_when_all_its_trials_ended_by_themselves(tmp_path: Path) -> None:
    study, _ = searched(confirming(tmp_path / "a", search={"trials": 2}), 0.5)
    assert not study.is_over
    study.ask()
    assert not study.is_over
    study.finish(1, Outcome.CRASHED)
    assert study.is_over
    stopped, _ = searched(confirming(tmp_path / "b", search={"trials": 1}), Outcome.CANCELLED)
    assert not stopped.is_over


# --- seeds ----------------------------------------------------------------------------------------


@given(number=st.integers(0, 999), index=st.integers(0, 4), seed=st.integers(0, 2**31 - 1))
def test_fresh_seeds_are_different_and_never_the_one_that_won(
    number: int, index: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spec = confirming(tmp_path_factory.getbasetemp(), search={"seed": seed})
    plain = fresh_seeds(spec, number, -1, 6)
    assert len(set(plain)) == 6
    assert fresh_seeds(spec, number, plain[index], 5) == [s for s in plain if s != plain[index]]


def test_fresh_seeds_are_the_same_again_and_others_for_another_trial_or_sweep(
    tmp_path: Path,
) -> None:
    one, other = (confirming(tmp_path, search={"seed": seed}) for seed in (0, 1))
    assert fresh_seeds(one, 3, 0, 5) == fresh_seeds(one, 3, 0, 5)
    assert set(fresh_seeds(one, 3, 0, 5)).isdisjoint(fresh_seeds(one, 4, 0, 5))
    assert set(fresh_seeds(one, 3, 0, 5)).isdisjoint(fresh_seeds(other, 3, 0, 5))


# --- how they run ---------------------------------------------------------------------------------


def test_numbers_go_on_after_those_of_the_search(tmp_path: Path) -> None:
    spec = confirming(tmp_path, top=1, seeds=3)
    searched(spec, 0.5, 0.2, 0.3)
    study = ConfirmStudy.create(spec)
    assert [a.number for a in all_of(study)] == [3, 4, 5]
    study.report(4, signals_at(100, distance=0.25))
    ending = study.finish(4, Outcome.COMPLETED)
    assert ending is not None
    assert (ending.number, ending.objective) == (4, 0.25)
    assert study.outcomes() == {4: Outcome.COMPLETED}
    assert study.unfinished() == [3, 5]
    assert study.finish(4, Outcome.CRASHED) is None


def test_confirming_trial_runs_its_whole_budget_and_is_judged_all_the_same(tmp_path: Path) -> None:
    spec = confirming(tmp_path, top=1, seeds=1, prune={"risk": 0.5, "then": "median"})
    searched(spec, *[0.1] * 6)
    study = ConfirmStudy.create(spec)
    number = all_of(study)[0].number
    history = [signals_at(update, **ONE_MODE) for update in range(10, 101, 10)]
    decisions = [study.report(number, signals) for signals in history]
    assert [d.stop for d in decisions[:-1]] == [None] * 9
    assert decisions[-1].stop == Stop(Outcome.COMPLETED, "the full budget")
    rules = HealthRules.for_risk(0.5, 100)  # the sweep's own
    verdicts = [judge(history[: count + 1], rules) for count in range(len(history))]
    assert [d.verdict for d in decisions] == verdicts
    assert verdicts[3].state is State.COLLAPSED
    ending = study.finish(number, Outcome.COMPLETED)
    assert ending is not None
    assert (ending.ended, ending.audited) == ("bad", False)


def test_confirming_trial_that_is_not_finite_is_stopped(tmp_path: Path) -> None:
    spec = confirming(tmp_path, top=1, seeds=1)
    searched(spec, 0.1)
    study = ConfirmStudy.create(spec)
    stop = study.report(all_of(study)[0].number, signals_at(10, nonfinite="loss of D")).stop
    assert stop is not None
    assert stop.outcome is Outcome.DIVERGED


# --- the record -----------------------------------------------------------------------------------


def test_confirmation_is_a_study_of_its_own_beside_the_search(tmp_path: Path) -> None:
    spec = confirming(tmp_path, top=1, seeds=2)
    _, trials = searched(spec, 0.5, 0.2)
    study = ConfirmStudy.create(spec)
    asked = all_of(study)
    study.report(2, signals_at(100, distance=0.3))
    study.finish(2, Outcome.COMPLETED)
    study.finish(3, Outcome.CRASHED, "no memory")
    storage = open_storage(spec, create=False)
    record = {s: optuna.load_study(study_name=s, storage=storage).trials for s in names(spec)}
    assert [t.params for t in record["small.confirm"]] == [trials[1].searched] * 2
    assert [t.state for t in record["small.confirm"]] == [TrialState.COMPLETE, TrialState.FAIL]
    assert [t.user_attrs["confirms"] for t in record["small.confirm"]] == [1, 1]
    assert len(record["small"]) == 2  # the sampler of the search learns nothing of it
    again = ConfirmStudy.load(spec)
    assert again.outcomes() == {2: Outcome.COMPLETED, 3: Outcome.CRASHED}
    assert [again.config(a.number) for a in asked] == [a.config for a in asked]
    assert again.ask() is None


def names(spec: SweepSpec) -> list[str]:
    return optuna.get_all_study_names(open_storage(spec, create=False))


def test_study_that_is_opened_again_goes_on_where_it_was(tmp_path: Path) -> None:
    spec = confirming(tmp_path, top=2, seeds=2)
    searched(spec, 0.5, 0.2)
    whole = all_of(ConfirmStudy.create(spec))
    other = confirming(tmp_path / "other", top=2, seeds=2)
    searched(other, 0.5, 0.2)
    ConfirmStudy.create(other).ask()
    # a driver was killed between setting a point aside and asking for it
    half = optuna.load_study(study_name="small.confirm", storage=open_storage(other, create=False))
    half.enqueue_trial(whole[1].searched)
    assert all_of(ConfirmStudy.load(other)) == whole[1:]
    assert all(t.state is TrialState.RUNNING for t in half.trials)


def test_every_trial_of_a_sweep_is_found_by_its_number(tmp_path: Path) -> None:
    spec = confirming(tmp_path, top=1, seeds=2)
    _, trials = searched(spec, 0.5, 0.2)
    with pytest.raises(UnknownSweepError, match="'small' has no trial 2; it has 2"):
        find_config(spec, 2)
    again = all_of(ConfirmStudy.create(spec))
    found = [find_config(spec, number) for number in range(4)]
    assert [config for _, config in found] == [a.config for a in [*trials, *again]]
    assert all(sweep == spec for sweep, _ in found)
    for number in (4, -1):
        with pytest.raises(UnknownSweepError, match=f"'small' has no trial {number}; it has"):
            find_config(spec, number)


def test_confirmation_that_was_left_behind_keeps_its_name(tmp_path: Path) -> None:
    spec = confirming(tmp_path)
    searched(spec, 0.5)
    ConfirmStudy.create(spec)
    optuna.delete_study(study_name="small", storage=open_storage(spec, create=False))
    SweepStudy.refuse_taken(spec)
    with pytest.raises(NameTakenError, match="small"):
        ConfirmStudy.refuse_taken(spec)

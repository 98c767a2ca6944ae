"""A driver may die between any two lines; the next one goes on from the study alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import Trial

from ganray.spec.models import SweepSpec
from ganray.trial import Cause, Outcome, TrialConfig
from ganray.tuning import study as module
from ganray.tuning.study import Assignment, SweepStudy
from tests.conftest import signals_at, small_spec

ONE_MODE = {
    "distance": 3.0,
    "js": 0.69,
    "velocity": 0.01,
    "modes": 0.4,
    "mode_ratio": 0.05,
    "high_quality": 0.4,
}


class Killed(BaseException):
    """What SIGKILL does, as far as the study can tell."""


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    space = {"loss": ["hinge", "lsgan"], "d_lr": {"low": 1e-4, "high": 1e-1, "log": True}}
    return small_spec(tmp_path, search={"space": space, "trials": 4, "first": [{"d_lr": 1e-3}]})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    time = [1_000_000]
    monkeypatch.setattr(module, "now_ms", lambda: time[0])
    return time


def ask(study: SweepStudy) -> Assignment:
    asked = study.ask()
    assert asked is not None
    return asked


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int) -> None:
    """Let the n-th call of a storage write be the one that the process dies in, before it."""
    original = getattr(owner, name)
    calls = [0]

    def dies(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] >= call:
            raise Killed
        return original(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, dies)


def configs(spec: SweepSpec) -> list[TrialConfig]:
    study = SweepStudy.load(spec)
    return [study.config(number) for number in range(study.size)]


@pytest.mark.parametrize("call", [1, 2, 3, 4])
@pytest.mark.parametrize("number", [0, 1])
def test_kill_in_the_middle_of_asking_loses_no_trial_and_makes_none_twice(
    number: int, call: int, spec: SweepSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = small_spec(tmp_path / "whole", search=spec.search.model_dump(exclude_unset=True))
    whole = SweepStudy.create(expected)
    while whole.ask() is not None:
        pass
    study = SweepStudy.create(spec)
    for _ in range(number):
        ask(study)
    with monkeypatch.context() as patch:
        kill_at(patch, Trial, "set_user_attr", call)
        if call < 4:
            with pytest.raises(Killed):
                study.ask()
        else:
            ask(study)
    again = SweepStudy.load(spec)
    known = again.resumable()
    assert known == list(range(number + (call == 4)))
    new = []
    while (asked := again.ask()) is not None:
        new.append(asked.number)
    assert [*known, *new] == [0, 1, 2, 3]
    assert configs(spec) == configs(expected)
    assert len(optuna.load_study(study_name="small", storage=again._storage).trials) == 4


@pytest.mark.parametrize("doubled", range(4))
def test_trial_that_storage_made_twice_changes_no_configuration(
    doubled: int, spec: SweepSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the first try was lost, the trial was not."""
    expected = small_spec(tmp_path / "whole", search=spec.search.model_dump(exclude_unset=True))
    whole = SweepStudy.create(expected)
    while whole.ask() is not None:
        pass
    study = SweepStudy.create(spec)
    storage = type(study._storage)
    create = storage.create_new_trial
    asked = []
    for turn in range(4):
        with monkeypatch.context() as patch:
            if turn == doubled:
                patch.setattr(
                    storage,
                    "create_new_trial",
                    lambda *given, **more: (create(*given, **more), create(*given, **more))[1],
                )
            asked.append(ask(study).number)
    assert sorted(asked) == [0, 1, 2, 3]
    assert study.ask() is None
    assert study.is_all_asked
    assert configs(spec) == configs(expected)
    again = SweepStudy.load(spec)
    assert again.is_all_asked
    assert again.resumable() == [0, 1, 2, 3]


def test_report_that_is_told_again_changes_nothing(spec: SweepSpec) -> None:
    study = SweepStudy.create(spec)
    number = ask(study).number
    first = study.report(number, signals_at(10, distance=0.5))
    assert first.is_new
    again = study.report(number, signals_at(10, distance=0.5))
    assert (again.is_new, again.verdict.state, again.stop) == (False, first.verdict.state, None)
    study = SweepStudy.load(spec)
    again = study.report(number, signals_at(10, distance=0.4))
    assert not again.is_new
    assert study.report(number, signals_at(20, distance=0.5)).is_new
    (recorded,) = study.recorded()
    assert [(s.update, s.distance) for s, _, _ in recorded.reports] == [(10, 0.5), (20, 0.5)]


def until_stopped(study: SweepStudy, number: int, **values: Any) -> Outcome:
    for update in range(10, 101, 10):
        decision = study.report(number, signals_at(update, **values))
        if decision.stop is not None:
            return decision.stop.outcome
    raise AssertionError("nothing stopped it")


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ({"distance": 0.1, "mode_ratio": 1.0}, Outcome.COMPLETED),
        (ONE_MODE, Outcome.COLLAPSED),
        ({"nonfinite": "loss of D"}, Outcome.DIVERGED),
    ],
)
def test_trial_that_was_decided_but_not_ended_is_ended_without_a_worker(
    values: dict[str, Any], outcome: Outcome, spec: SweepSpec
) -> None:
    study = SweepStudy.create(spec)
    decided, running, silent = (ask(study).number for _ in range(3))
    assert until_stopped(study, decided, **values) is outcome
    study.report(running, signals_at(10, distance=0.5))
    study = SweepStudy.load(spec)  # the driver died before `finish`
    study.settle()
    assert study.outcomes() == {decided: outcome}
    assert study.resumable() == [running, silent]


def test_stop_that_is_told_again_stops_again(spec: SweepSpec) -> None:
    study = SweepStudy.create(spec)
    number = ask(study).number
    until_stopped(study, number, **ONE_MODE)
    last = study._run(number).history[-1]
    decision = SweepStudy.load(spec).report(number, last)
    assert decision.stop is not None
    assert (decision.stop.outcome, decision.is_new) == (Outcome.COLLAPSED, False)
    assert decision.stop.rule
    assert decision.stop.thresholds


@pytest.mark.parametrize("call", range(1, 6))
def test_kill_in_the_middle_of_a_report_or_an_ending_is_made_good(
    call: int, spec: SweepSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_report(study: SweepStudy) -> None:
        decision = study.report(0, signals_at(100, distance=0.25, mode_ratio=1.0))
        if decision.stop is not None:
            study.finish(0, decision.stop.outcome, decision.stop.reason)

    study = SweepStudy.create(spec)
    ask(study)
    study.report(0, signals_at(50, distance=0.5, mode_ratio=1.0))
    with monkeypatch.context() as patch:
        kill_at(patch, Trial, "set_user_attr", call)
        with pytest.raises(Killed):
            last_report(study)
    study = SweepStudy.load(spec)
    study.settle()
    if study.resumable():
        study.ask_again(0)
        last_report(study)
    (recorded,) = study.recorded()
    assert recorded.ending is not None
    assert (recorded.ending.outcome, recorded.ending.objective) == (Outcome.COMPLETED, 0.375)
    assert [s.update for s, _, _ in recorded.reports] == [50, 100]
    (trial,) = study.record.trials
    assert (trial.state.name, trial.value) == ("COMPLETE", 0.375)


def test_cancelled_trial_that_goes_on_has_no_trace_of_its_former_end(
    spec: SweepSpec, clock: list[int]
) -> None:
    study = SweepStudy.create(spec)
    number = ask(study).number
    clock[0] += 7_000
    study.report(number, signals_at(10, distance=0.5, mode_ratio=1.0))
    clock[0] += 1_000
    study.finish(number, Outcome.CANCELLED, "the sweep was stopped")
    clock[0] += 3_600_000
    study = SweepStudy.load(spec)
    assert study.outcomes() == {number: Outcome.CANCELLED}
    again = study.ask_again(number)
    assert (again.told, again.launches) == (10, 2)
    assert again.config == study.config(number)
    assert study.outcomes() == {}
    assert SweepStudy.load(spec).outcomes() == {}
    clock[0] += 5_000
    study.report(number, signals_at(20, nonfinite="loss of D"))
    ending = study.finish(number, Outcome.DIVERGED, "loss of D not finite")
    assert ending is not None
    assert ending.wall_seconds == pytest.approx(12.0)  # 7 up to its last report, then 5
    (recorded,) = SweepStudy.load(spec).recorded()
    assert recorded.ending == ending
    assert recorded.assignment.started == 1_000_000
    assert [at for _, _, at in recorded.reports] == [1_007_000, 4_613_000]


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [(o, None) for o in Outcome if o is not Outcome.CRASHED]
    + [(Outcome.CRASHED, cause) for cause in Cause],
)
def test_what_is_recorded_is_what_was_told(
    outcome: Outcome, cause: Cause | None, spec: SweepSpec
) -> None:
    study = SweepStudy.create(spec)
    asked = ask(study)
    told = []
    for update in (50, 100):
        signals = signals_at(update, distance=1 / 3, mode_ratio=0.75)
        told.append((signals, study.report(asked.number, signals, at=update).verdict, update))
    ending = study.finish(asked.number, outcome, "why", cause)
    running = ask(study)
    ended, unended = SweepStudy.load(spec).recorded()
    assert (ended.assignment.config, ended.assignment.searched) == (asked.config, asked.searched)
    assert [(s, v.state, v.reason, at) for s, v, at in ended.reports] == [
        (s, v.state, v.reason, at) for s, v, at in told
    ]
    assert ended.ending == ending
    assert (unended.assignment.number, unended.ending) == (running.number, None)


def test_no_step_of_a_trial_reads_all_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a sweep costs per trial must not grow, but for samplers and pruners that compare."""
    search = {"trials": 20, "first": [{"loss": "lsgan"}]}
    spec = small_spec(tmp_path, search=search, prune={"risk": 0.02, "then": "none"})
    study = SweepStudy.create(spec)

    def refuse(*_: Any, **__: Any) -> Callable[..., None]:
        raise AssertionError("all trials were read")

    monkeypatch.setattr(type(study._storage), "get_all_trials", refuse)
    asked = [ask(study) for _ in range(20)]
    assert [each.number for each in asked] == list(range(20))
    assert asked[0].config.loss == "lsgan"
    for number in range(20):
        outcome = until_stopped(study, number, distance=0.1, mode_ratio=1.0)
        assert study.finish(number, outcome) is not None
    assert len(study._run(3).history) == 10


def test_sampler_sees_the_trials_that_were_asked_for_meanwhile(tmp_path: Path) -> None:
    """TPE keeps what it read: the trials that run have to be among them, or it repeats itself."""
    seen: list[int] = []

    class Looks(optuna.samplers.RandomSampler):
        def sample_relative(self, study: Any, *given: Any) -> dict[str, Any]:
            seen.append(len(study._get_trials(deepcopy=False, use_cache=True)))
            return super().sample_relative(study, *given)

    study = SweepStudy.create(small_spec(tmp_path))
    study._sampler = lambda index: Looks(index)  # type: ignore[method-assign]
    for _ in range(3):
        ask(study)
    assert seen == [1, 2, 3]

"""What follows what in a sweep; the running of trials, which needs Ray, is left out."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from ray.exceptions import GetTimeoutError

from ganray.data.pictures import draw_real
from ganray.data.registry import load_dataset
from ganray.errors import NameTakenError, SpecError, SweepRunningError, UnknownSweepError
from ganray.spec.models import SweepSpec
from ganray.tracking.recorder import MemoryRecorder
from ganray.trial import GeneratorSignature, Outcome, now_ms
from ganray.tuning import driver
from ganray.tuning import sweep as running
from ganray.tuning.attempts import hours_used
from ganray.tuning.cluster import Aside
from ganray.tuning.confirm import ConfirmStudy
from ganray.tuning.places import trial_location
from ganray.tuning.result import SweepResult
from ganray.tuning.roster import SweepLimits
from ganray.tuning.storage import open_storage
from ganray.tuning.study import SweepStudy
from tests.conftest import signals_at, small_spec

Run = Callable[[SweepStudy, SweepLimits], None]  # what runs the trials of a study
RESOURCES = {"CPU": 1.0, "GPU": 0.0}


def ending(outcome: Outcome) -> Run:
    """Every trial ends so."""

    def run(study: SweepStudy, limits: SweepLimits) -> None:
        while limits.reason is None and (asked := study.ask()) is not None:
            study.report(asked.number, signals_at(100, distance=0.1))
            study.finish(asked.number, outcome)
            limits.crashed += outcome is Outcome.CRASHED

    return run


def rest(study: SweepStudy, limits: SweepLimits) -> None:
    """All trials that were left complete, old ones first."""
    for number in study.resumable():
        study.ask_again(number)
        study.report(number, signals_at(100, distance=0.1))
        study.finish(number, Outcome.COMPLETED)
    ending(Outcome.COMPLETED)(study, limits)


def two_then_killed(study: SweepStudy, limits: SweepLimits) -> None:
    """One trial completes, one reports, and nothing more is ever heard."""
    for outcome in (Outcome.COMPLETED, None):
        asked = study.ask()
        study.report(asked.number, signals_at(100 if outcome else 10, distance=0.1))
        if outcome is not None:
            study.finish(asked.number, outcome)
    raise Killed


class Killed(BaseException):
    """As far as the study can tell."""


def interrupted(study: SweepStudy, limits: SweepLimits) -> None:
    raise KeyboardInterrupt


def failing(study: SweepStudy, limits: SweepLimits) -> None:
    raise OSError("no space left")


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[SweepResult, MemoryRecorder]]:
    """A whole sweep, whose phases go as given; every one of them must come."""

    def play(spec: SweepSpec, *phases: Run) -> tuple[SweepResult, MemoryRecorder]:
        coming = iter(zip(("attempt-1", "confirm-1"), phases, strict=False))

        def run_trials(self: Any, study: SweepStudy, experiment: str) -> None:
            name, run = next(coming)
            assert experiment == name
            run(study, self._limits)

        monkeypatch.setattr(running.Sweep, "_run_trials", run_trials)
        memory = MemoryRecorder()
        dataset = load_dataset(spec.data.model_dump())
        study = SweepStudy.create(spec)
        try:
            with driver._leased(study) as lease:
                result = running.Sweep(study, dataset, RESOURCES, [memory], lease).run()
        finally:
            assert memory.outcomes is not None
        assert next(coming, None) is None
        assert memory.outcomes == result.outcomes
        assert memory.cancelled is result.cancelled
        return result, memory

    return play


@pytest.fixture
def resume(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[SweepResult, MemoryRecorder]]:
    """Go on with a recorded sweep, whose phases go as given."""

    def resume(
        spec: SweepSpec, *phases: Run, settings: Sequence[str] = ()
    ) -> tuple[SweepResult, MemoryRecorder, list[str]]:
        coming, names = iter(phases), []

        def run_trials(self: Any, study: SweepStudy, experiment: str) -> None:
            names.append(experiment)
            next(coming)(study, self._limits)

        monkeypatch.setattr(running.Sweep, "_run_trials", run_trials)
        monkeypatch.setattr(driver, "joined", lambda meanwhile: contextlib.nullcontext())
        monkeypatch.setattr(driver, "trial_resources", lambda spec: RESOURCES)
        memory = MemoryRecorder()
        result = driver.resume_sweep(spec, settings, [memory])
        assert next(coming, None) is None
        return result, memory, names

    return resume


def studies(spec: SweepSpec) -> list[str]:
    return optuna.get_all_study_names(open_storage(spec, create=False))


def confirming(folder: Path, **parts: Any) -> SweepSpec:
    space = {"d_lr": {"low": 1e-4, "high": 1e-2}}
    search = {"space": space, "trials": 3}
    return small_spec(folder, search=search, confirm={"top": 2, "seeds": 2}, **parts)


def test_recorders_are_given_a_picture_of_real_data_at_the_start(
    tmp_path: Path, play, resume
) -> None:
    spec = small_spec(tmp_path)
    with pytest.raises(Killed):
        play(spec, two_then_killed)
    dataset = load_dataset(spec.data.model_dump())
    assert resume(spec, rest)[1].real == draw_real(dataset)


def test_sweep_whose_storage_is_full_runs_without_a_picture_of_real_data(
    tmp_path: Path, play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(folder: str, name: str, content: bytes) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr("ganray.tuning.real_picture.write_file", full)
    result, memory = play(small_spec(tmp_path), ending(Outcome.COMPLETED))
    assert (len(result.outcomes), memory.real) == (4, None)
    assert "the picture of real data is not kept: no space left on device" in caplog.text


def test_nothing_is_confirmed_unless_asked_for(tmp_path: Path, play) -> None:
    spec = small_spec(tmp_path)
    result, memory = play(spec, ending(Outcome.COMPLETED))
    assert (len(result.outcomes), memory.confirming) == (4, None)
    assert studies(spec) == ["small"]
    assert memory.sweep.confirming == 0


def test_finished_search_is_confirmed(tmp_path: Path, play) -> None:
    spec = confirming(tmp_path)
    result, memory = play(spec, ending(Outcome.COMPLETED), ending(Outcome.COMPLETED))
    assert result.outcomes == dict.fromkeys(range(7), Outcome.COMPLETED)
    assert (result.cancelled, result.reason) == (False, None)
    assert (memory.sweep.trials, memory.sweep.confirming, memory.confirming) == (3, 4, 4)
    assert memory.sweep.params["confirm.top"] == memory.sweep.params["confirm.seeds"] == 2
    assert ConfirmStudy.load(spec).is_over


# --- the best generator ---------------------------------------------------------------------------

SIGNATURE = GeneratorSignature(latent_dim=16, shape=(2,))


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders whose generators are exported, as a recorder of every sweep wants them."""
    folders: list[str] = []

    def call(self: Aside[str, GeneratorSignature], folder: str) -> GeneratorSignature:
        folders.append(folder)
        return SIGNATURE

    monkeypatch.setattr(Aside, "__call__", call)
    monkeypatch.setattr(MemoryRecorder, "wants_generator", lambda self, number, register: True)
    return folders


def test_best_generator_is_exported_once_when_all_trials_have_ended(
    tmp_path: Path, play, exports: list[str]
) -> None:
    spec = confirming(tmp_path)
    result, memory = play(spec, ending(Outcome.COMPLETED), ending(Outcome.COMPLETED))
    assert exports == [trial_location(spec, 0)]  # the first of equals
    assert memory.best.number == 0
    assert memory.best.exported.signature == SIGNATURE
    assert not result.cancelled


@pytest.mark.parametrize("last", [interrupted, ending(Outcome.STALLED)])
def test_sweep_that_is_stopped_or_completed_nothing_takes_no_time_for_a_generator(
    last: Run, tmp_path: Path, play, exports: list[str]
) -> None:
    _, memory = play(confirming(tmp_path), last)
    assert (exports, memory.best) == ([], None)


def test_signal_that_ends_the_last_trials_in_order_leaves_the_generator_to_others(
    tmp_path: Path, play, exports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.Interrupts, "happened", True)  # Tune has taken it
    _, memory = play(small_spec(tmp_path), ending(Outcome.COMPLETED))
    assert (exports, memory.best) == ([], None)


def test_sweep_that_goes_on_makes_up_for_a_generator_that_is_missing(
    tmp_path: Path, play, resume, exports: list[str]
) -> None:
    spec = small_spec(tmp_path)
    _, memory = play(spec, interrupted)
    assert memory.best is None
    _, memory, _ = resume(spec, rest)
    assert (memory.best.number, len(exports)) == (0, 1)


def test_generator_that_cannot_be_exported_fails_no_sweep(
    tmp_path: Path, play, exports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(self: Aside[str, GeneratorSignature], folder: str) -> None:
        raise GetTimeoutError("Get timed out")

    monkeypatch.setattr(Aside, "__call__", call)
    result, memory = play(small_spec(tmp_path), ending(Outcome.COMPLETED))
    assert (result.cancelled, result.reason) == (False, None)
    assert memory.best.problem == "GetTimeoutError: Get timed out"


def test_search_that_completed_nothing_confirms_nothing_and_ends_in_order(
    tmp_path: Path, play
) -> None:
    spec = confirming(tmp_path)
    result, memory = play(spec, ending(Outcome.STALLED))
    assert (result.cancelled, result.reason, memory.confirming) == (False, None, 0)
    assert studies(spec) == ["small"]


def test_search_that_was_stopped_is_not_confirmed(tmp_path: Path, play) -> None:
    result, memory = play(confirming(tmp_path), ending(Outcome.CANCELLED))
    assert (result.cancelled, memory.confirming) == (True, None)


def test_search_that_ended_early_is_not_confirmed(tmp_path: Path, play) -> None:
    spec = confirming(tmp_path, budget={"updates": 100, "reports": 10, "failures": 0})

    def crash_last(study: SweepStudy, limits: SweepLimits) -> None:
        ending(Outcome.COMPLETED)(study, limits)
        limits.crashed += 1

    result, memory = play(spec, crash_last)
    assert result.reason == "1 trials crashed, more than budget.failures 0"
    assert memory.confirming is None


@pytest.mark.parametrize("phases", [0, 1])
def test_interrupt_ends_the_sweep_as_cancelled(phases: int, tmp_path: Path, play) -> None:
    before = [ending(Outcome.COMPLETED)] * phases
    result, _ = play(confirming(tmp_path), *before, interrupted)
    assert result.cancelled
    assert len(result.outcomes) == 3 * phases


def test_recorders_hear_of_the_end_whatever_happens(tmp_path: Path, play) -> None:
    with pytest.raises(OSError, match="no space left"):
        play(confirming(tmp_path), ending(Outcome.COMPLETED), failing)


def test_name_with_a_confirmation_left_behind_is_refused_at_once(tmp_path: Path) -> None:
    spec = confirming(tmp_path)
    SweepStudy.create(spec)
    ConfirmStudy.create(spec)
    optuna.delete_study(study_name="small", storage=open_storage(spec, create=False))
    with pytest.raises(NameTakenError, match="small"):
        driver.run_sweep(spec, [])
    assert studies(spec) == ["small.confirm"]


# --- going on -------------------------------------------------------------------------------------


def killed(spec: SweepSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep whose driver was killed when one trial had completed and one had reported."""
    study = SweepStudy.create(spec)
    dataset = load_dataset(spec.data.model_dump())
    with driver._leased(study) as lease, monkeypatch.context() as patch:
        patch.setattr(running.Sweep, "_end", lambda self, interrupted: {})
        patch.setattr(
            running.Sweep, "_run_trials", lambda self, study, _: two_then_killed(study, None)
        )
        sweep = running.Sweep(study, dataset, RESOURCES, [], lease)
        with pytest.raises(Killed):
            sweep.run()


def test_killed_sweep_goes_on_and_tells_recorders_all_of_it(
    tmp_path: Path, resume, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = confirming(tmp_path, prune=None)
    killed(spec, monkeypatch)
    result, memory, names = resume(spec, rest, rest)
    assert names == ["attempt-2", "confirm-2"]
    assert result.outcomes == dict.fromkeys(range(7), Outcome.COMPLETED)
    assert not result.cancelled
    assert memory.sweep.name == "small"
    assert memory.endings[0].outcome is Outcome.COMPLETED
    assert [s.update for s in memory.reports[1]] == [10]
    assert memory.closed


def test_stopped_sweep_takes_more_trials_and_repeats_none(tmp_path: Path, play, resume) -> None:
    spec = small_spec(tmp_path, prune=None)
    play(spec, ending(Outcome.COMPLETED))
    asked: list[int] = []

    def noting(study: SweepStudy, limits: SweepLimits) -> None:
        asked.extend(study.resumable())
        while (new := study.ask()) is not None:
            asked.append(new.number)
            study.report(new.number, signals_at(100, distance=0.1))
            study.finish(new.number, Outcome.COMPLETED)

    result, memory, _ = resume(spec, noting, settings=["search.trials=6"])
    assert asked == [4, 5]
    assert len(result.outcomes) == 6
    assert memory.sweep.trials == 6
    assert SweepStudy.load(spec).spec.search.trials == 6


def test_sweep_that_is_over_may_go_on_and_has_nothing_to_do(tmp_path: Path, play, resume) -> None:
    spec = small_spec(tmp_path)
    first, _ = play(spec, ending(Outcome.COMPLETED))
    result, memory, _ = resume(spec, ending(Outcome.COMPLETED))
    assert result.outcomes == first.outcomes
    assert set(memory.endings) == {0, 1, 2, 3}


def test_hours_and_failures_are_those_of_the_whole_sweep(
    tmp_path: Path, play, resume, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = {"updates": 100, "reports": 10, "hours": 2.0, "failures": 1}
    clock = [1_000_000]
    monkeypatch.setattr(running, "now_ms", lambda: clock[0])

    def crash_two(study: SweepStudy, limits: SweepLimits) -> None:
        clock[0] += 3_600_000
        for _ in range(2):
            study.finish(study.ask().number, Outcome.CRASHED)
            limits.crashed += 1

    spec = small_spec(tmp_path, budget=budget)
    assert play(spec, crash_two)[0].reason == "2 trials crashed, more than budget.failures 1"
    clock[0] += 10 * 3_600_000
    seen: list[Any] = []

    def look(study: SweepStudy, limits: SweepLimits) -> None:
        seen.append((limits.crashed, limits.reason, limits._ends - time.monotonic()))

    resume(spec, look, settings=["budget.failures=3"])
    ((crashed, reason, seconds),) = seen
    assert (crashed, reason) == (2, None)
    assert seconds == pytest.approx(3_600, abs=5.0)


def test_confirmation_goes_on_by_what_was_changed_with_its_crashes_and_its_ends(
    tmp_path: Path, play, resume
) -> None:
    """One confirming trial crashed; one had its last report when the driver was killed."""

    def crash_and_die(study: SweepStudy, limits: SweepLimits) -> None:
        study.finish(study.ask().number, Outcome.CRASHED)
        study.report(study.ask().number, signals_at(100, distance=0.1))
        raise Killed

    spec = confirming(tmp_path)
    with pytest.raises(Killed):
        play(spec, ending(Outcome.COMPLETED), crash_and_die)
    seen: list[Any] = []

    def look(study: SweepStudy, limits: SweepLimits) -> None:
        seen.append((study.spec.search.concurrency, study.spec.prune, limits.crashed))
        ending(Outcome.COMPLETED)(study, limits)

    settings = ["search.concurrency=7", "budget.failures=9"]
    result, memory, names = resume(spec, look, look, settings=settings)
    assert names == ["attempt-2", "confirm-2"]
    assert [(concurrency, crashed) for concurrency, _, crashed in seen] == [(7, 1), (7, 1)]
    assert (seen[0][1] is None, seen[1][1] is None) == (False, True)
    assert memory.endings[4].outcome is Outcome.COMPLETED
    assert memory.endings[3].outcome is Outcome.CRASHED
    assert len(result.outcomes) == 7


def test_signal_at_the_very_end_of_the_search_is_heard_before_the_confirmation(
    tmp_path: Path, play
) -> None:
    def complete(study: SweepStudy, limits: SweepLimits) -> None:
        ending(Outcome.COMPLETED)(study, limits)
        monkeypatch.setattr(running.Interrupts, "check", lambda self: interrupted(None, None))

    with pytest.MonkeyPatch.context() as monkeypatch:
        result, memory = play(confirming(tmp_path), complete)
    assert (result.cancelled, memory.confirming) == (True, None)


def test_signal_while_a_sweep_begins_ends_it_in_order(tmp_path: Path, play) -> None:
    def told(self: MemoryRecorder, sweep: Any) -> None:
        self.sweep = sweep
        signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(MemoryRecorder, "start_sweep", told)
        result, memory = play(confirming(tmp_path))
    assert (result.cancelled, memory.cancelled, result.outcomes) == (True, True, {})


def test_hours_between_a_kill_and_a_start_that_failed_do_not_count(
    tmp_path: Path, resume, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec(tmp_path, prune=None)
    with monkeypatch.context() as patch:
        killed(spec, patch)
    clock = [now_ms() + 240 * 3_600_000]
    monkeypatch.setattr(running, "now_ms", lambda: clock[0])
    with monkeypatch.context() as patch:
        patch.setattr(SweepStudy, "settle", lambda self: interrupted(None, None))
        with pytest.raises(KeyboardInterrupt):
            resume(spec)
    resume(spec, rest)
    assert hours_used(SweepStudy.load(spec).record) < 0.1


def test_driver_that_was_replaced_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec(tmp_path)
    study, memory = SweepStudy.create(spec), MemoryRecorder()
    dataset = load_dataset(spec.data.model_dump())
    monkeypatch.setattr(running, "run_experiment", lambda *given: None)
    with driver._leased(study) as lease:
        sweep = running.Sweep(study, dataset, RESOURCES, [memory], lease)
        sweep._start()
        study.ask()
        lease.lost.set()
        sweep._run_trials(study, "attempt-1")
        before = dict(study.record.user_attrs)
        assert sweep._end(interrupted=True) == {}
    assert study.record.user_attrs == before
    assert SweepStudy.load(spec).unfinished() == [0]
    assert memory.outcomes is None


def test_recorders_are_closed_before_ray_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, closed = small_spec(tmp_path), []

    @contextlib.contextmanager
    def joined(meanwhile: Sequence[str]) -> Iterator[None]:
        yield
        closed.append(memory.closed)

    monkeypatch.setattr(driver, "joined", joined)
    monkeypatch.setattr(driver, "trial_resources", lambda spec: RESOURCES)
    monkeypatch.setattr(running.Sweep, "_run_trials", lambda self, study, name: None)
    for drive in (driver.run_sweep, partial(driver.resume_sweep, settings=())):
        memory = MemoryRecorder()
        drive(spec, recorders=[memory])
    assert closed == [True, True]


def test_running_sweep_is_not_run_twice(tmp_path: Path) -> None:
    spec = small_spec(tmp_path)
    memory = MemoryRecorder()
    with (
        driver._leased(SweepStudy.create(spec)),
        pytest.raises(SweepRunningError, match="small"),
    ):
        driver.resume_sweep(spec, [], [memory])
    assert memory.closed


def test_unknown_sweep_cannot_go_on(tmp_path: Path) -> None:
    memory = MemoryRecorder()
    with pytest.raises(UnknownSweepError, match="no sweep named 'small'"):
        driver.resume_sweep(small_spec(tmp_path), [], [memory])
    assert memory.closed


def test_change_that_makes_it_another_sweep_is_refused_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec(tmp_path)
    SweepStudy.create(spec)
    monkeypatch.setattr(driver, "joined", lambda meanwhile: pytest.fail("Ray was started"))
    with pytest.raises(SpecError, match=r"budget\.updates"):
        driver.resume_sweep(spec, ["budget.updates=77"], [])


# --- a record that is behind ----------------------------------------------------------------------


def test_recorder_that_lost_something_is_told_everything_at_the_end(
    tmp_path: Path, play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, memory = play(small_spec(tmp_path / "whole"), ending(Outcome.COMPLETED))
    assert memory.trials == {}  # here, no scheduler tells of them
    behind = MemoryRecorder(complete=False)
    monkeypatch.setitem(globals(), "MemoryRecorder", lambda: behind)
    play(small_spec(tmp_path / "behind"), ending(Outcome.COMPLETED))
    assert list(behind.endings) == [0, 1, 2, 3]
    assert behind.hurried is None


def test_sweep_that_is_stopped_has_no_time_for_a_store_that_is_away(
    tmp_path: Path, play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = MemoryRecorder(complete=False)
    monkeypatch.setitem(globals(), "MemoryRecorder", lambda: behind)
    play(small_spec(tmp_path), interrupted)
    assert (behind.hurried, behind.trials) == (running.RECORDED_WITHIN, {})


def test_what_is_exported_loads_while_the_last_trials_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(Aside, "start", lambda self: started.append(True))
    study = SweepStudy.create(small_spec(tmp_path))
    with driver._leased(study) as lease:
        dataset = load_dataset(study.spec.data.model_dump())
        sweep = running.Sweep(study, dataset, RESOURCES, [MemoryRecorder()], lease)
        monkeypatch.setattr(MemoryRecorder, "wants_generator", lambda *_: True)
        sweep._prepare_end()
        assert not started  # there is no best trial yet
        first = study.ask()
        assert first is not None
        study.report(first.number, signals_at(100, distance=0.1))
        study.finish(first.number, Outcome.COMPLETED)
        sweep._prepare_end()
    assert started

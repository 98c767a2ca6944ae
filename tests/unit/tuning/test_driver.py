"""What follows what in a sweep; the running of trials, which needs Ray, is left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from ganray.data.registry import load_dataset
from ganray.errors import NameTakenError
from ganray.spec.models import SweepSpec
from ganray.tracking.recorder import MemoryRecorder
from ganray.trial import Outcome
from ganray.tuning import driver
from ganray.tuning.confirm import ConfirmStudy
from ganray.tuning.driver import SweepResult
from ganray.tuning.ray_hooks import SweepLimits
from ganray.tuning.storage import open_storage
from ganray.tuning.study import SweepStudy
from tests.conftest import signals_at, small_spec

Run = Callable[[SweepStudy, SweepLimits], None]
RESOURCES = {"CPU": 1.0, "GPU": 0.0}


def ending(outcome: Outcome) -> Run:
    """Every trial ends so."""

    def run(study: SweepStudy, limits: SweepLimits) -> None:
        while limits.reason is None and (asked := study.ask()) is not None:
            study.report(asked.number, signals_at(100, distance=0.1))
            study.finish(asked.number, outcome)
            limits.crashed += outcome is Outcome.CRASHED

    return run


def interrupted(study: SweepStudy, limits: SweepLimits) -> None:
    raise KeyboardInterrupt


def failing(study: SweepStudy, limits: SweepLimits) -> None:
    raise OSError("no space left")


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[SweepResult, MemoryRecorder]]:
    """A whole sweep, whose phases go as given; every one of them must come."""

    def play(spec: SweepSpec, *phases: Run) -> tuple[SweepResult, MemoryRecorder]:
        coming = iter(zip(("attempt-1", "confirm-1"), phases, strict=False))

        def run_trials(study: SweepStudy, experiment: str, *rest: Any) -> None:
            name, run = next(coming)
            assert experiment == name
            run(study, rest[-1])

        monkeypatch.setattr(driver, "_run_trials", run_trials)
        monkeypatch.setattr(driver.tune, "with_parameters", lambda trainable, **given: trainable)
        memory = MemoryRecorder()
        dataset = load_dataset(spec.data.model_dump())
        try:
            result = driver._run(SweepStudy.create(spec), dataset, RESOURCES, [memory])
        finally:
            assert memory.outcomes is not None
        assert next(coming, None) is None
        assert memory.outcomes == result.outcomes
        assert memory.cancelled is result.cancelled
        return result, memory

    return play


def studies(spec: SweepSpec) -> list[str]:
    return optuna.get_all_study_names(open_storage(spec, create=False))


def confirming(folder: Path, **parts: Any) -> SweepSpec:
    space = {"d_lr": {"low": 1e-4, "high": 1e-2}}
    search = {"space": space, "trials": 3}
    return small_spec(folder, search=search, confirm={"top": 2, "seeds": 2}, **parts)


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

"""Trials side by side in one process: each as if it were alone, whatever the others do."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ganray.data.dataset import Dataset
from ganray.data.gaussians import ring
from ganray.gan.cohort import Cohort
from ganray.spec.models import Resources, SweepSpec
from ganray.trial import Signals, TrialConfig
from ganray.tuning import engine as module
from ganray.tuning.engine import Engine
from ganray.tuning.faults import TrialLostError
from ganray.tuning.session import Session
from ganray.tuning.worker import Worker, Workplace
from tests.conftest import small_spec

pytestmark = pytest.mark.timeout(60)

PLAIN = TrialConfig(batch_size=16, latent_dim=4)
CONFIGS = {
    0: replace(PLAIN, loss="lsgan", d_steps=2, seed=1),
    1: replace(PLAIN, loss="wgan", weight_clip=0.1, seed=2),
    2: replace(PLAIN, loss="hinge", g_steps=3, ema=0.9, seed=3),
}
REPORTS = 6


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return ring(train_size=200)


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    return small_spec(tmp_path, budget={"updates": 10 * REPORTS, "reports": REPORTS}, prune=None)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as found:
        yield found


@pytest.fixture
def build(spec: SweepSpec, dataset: Dataset) -> Callable[[int], Engine]:
    return lambda slots: Engine(spec.to_json(), dataset, slots)


def config_of(number: int, **more: Any) -> dict[str, Any]:
    return {"number": number, "trial_config": asdict(CONFIGS[number]), **more}


def untimed(told: dict[str, Any]) -> Signals:
    signals: Signals = told["signals"]
    return replace(signals, seconds=0.0, measure_seconds=None, updates_per_second=None)


def alone(spec: SweepSpec, dataset: Dataset, number: int) -> list[Signals]:
    """What a trial reports in a process of its own."""
    worker = Workplace(spec.to_json(), dataset).begin(config_of(number))
    return [untimed(worker.next_report()) for _ in range(REPORTS)]


def whole(engine: Engine, number: int) -> list[Signals]:
    """A trial from its first report to its leave, as its proxy has it run."""
    found = [untimed(engine.step(number, config_of(number)))]
    found += [untimed(engine.step(number, None)) for _ in range(REPORTS - 1)]
    engine.leave(number)
    return found


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_each_trial_is_as_it_would_be_alone(
    slots: int, spec: SweepSpec, dataset: Dataset, build, threads: ThreadPoolExecutor
) -> None:
    """They come and go at different times, as there are fewer slots than trials, or not."""
    engine = build(slots)
    found = list(threads.map(lambda number: whole(engine, number), range(3)))
    assert found == [alone(spec, dataset, number) for number in range(3)]


def test_trial_without_a_slot_is_ready_and_waits_for_one_to_leave(
    build, threads: ThreadPoolExecutor
) -> None:
    engine = build(1)
    engine.step(0, config_of(0))
    second = threads.submit(engine.step, 1, config_of(1))
    eventually(lambda: engine.is_waiting(1))
    assert not engine.is_waiting(0)
    engine.step(0, None)
    assert not second.done()
    engine.leave(0)
    assert second.result(20.0)["signals"].update == 10
    assert not engine.is_waiting(1)


def test_trial_that_waits_may_leave(build, threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    engine = build(1)
    engine.step(0, config_of(0))
    second = threads.submit(engine.step, 1, config_of(1))
    eventually(lambda: engine.is_waiting(1))
    engine.leave(1)
    with pytest.raises(TrialLostError, match="trial 1 is not"):
        second.result(20.0)
    assert not (tmp_path / "results/small/trials/0001").exists()  # it did nothing
    engine.leave(0)
    assert engine.step(2, config_of(2))["signals"].update == 10  # there was one slot, and still is


def test_error_is_of_one_trial_alone(
    spec: SweepSpec, dataset: Dataset, build, threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = alone(spec, dataset, 0)
    engine = build(2)
    next_report = Session.next_report

    def fail(self: Session) -> Signals:
        if self.trainer.config.loss == "wgan" and len(self.history) == 2:
            raise MemoryError("not here")
        return next_report(self)

    monkeypatch.setattr(Session, "next_report", fail)
    beside = threads.submit(whole, engine, 0)
    with pytest.raises(MemoryError, match="not here"):
        whole(engine, 1)
    assert beside.result(20.0) == expected
    with pytest.raises(TrialLostError):
        engine.step(1, None)
    assert [each.result(20.0) for each in both(engine, threads)] == ["done", "done"]


def both(engine: Engine, threads: ThreadPoolExecutor) -> list["Future[str]"]:
    """Two trials that each end only if the other one trains, too: no slot is lost."""
    met = threading.Barrier(2)

    def meet(number: int) -> str:
        engine.step(number, config_of(number))
        met.wait(20.0)
        engine.leave(number)
        return "done"

    return [threads.submit(meet, number) for number in (0, 2)]


def test_files_of_a_trial_that_leaves_are_written(build, tmp_path: Path) -> None:
    engine = build(1)
    engine.step(0, config_of(0))
    engine.leave(0)
    engine.leave(0)
    names = {path.name for path in (tmp_path / "results/small/trials/0000").iterdir()}
    assert {"best.pt", "checkpoint.pt", "stop.png"} <= names


def test_trial_that_is_launched_again_goes_on_from_its_earlier_self(
    spec: SweepSpec, dataset: Dataset, build
) -> None:
    """Its proxy died, and nobody told the engine."""
    expected = alone(spec, dataset, 0)
    engine = build(1)
    first = [untimed(engine.step(0, config_of(0))), untimed(engine.step(0, None))]
    again = [untimed(engine.step(0, config_of(0, goes_on=True, told=10)))]
    again += [untimed(engine.step(0, None)) for _ in range(REPORTS - 2)]
    assert first == expected[:2]
    assert again == expected[1:]


def test_trial_that_hangs_is_the_end_of_its_engine(
    build, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, goes_on = threading.Event(), threading.Event()
    monkeypatch.setattr(module, "HUNG", 0.1)
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    monkeypatch.setattr(Session, "next_report", lambda self: goes_on.wait(20.0))
    engine = build(1)
    threads.submit(engine.step, 0, config_of(0))
    eventually(lambda: not engine.is_waiting(0) and 0 in engine._seats)
    threads.submit(engine.evict, 0)
    assert ended.wait(20.0)
    goes_on.set()


def test_trial_that_was_only_slow_is_let_go(build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("the engine ended"))
    engine = build(1)
    engine.step(0, config_of(0))
    engine.evict(0)
    engine.evict(0)
    assert engine.step(1, config_of(1))["signals"].update == 10


def test_trial_of_an_engine_that_has_begun_anew_is_lost(build) -> None:
    with pytest.raises(TrialLostError, match="trial 7 is not"):
        build(1).step(7, None)


def test_slot_of_a_trial_that_fails_while_it_is_told_to_leave_is_free_once(
    build, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, goes_on = threading.Event(), threading.Event()

    def fail(self: Session) -> Signals:
        told.set()
        goes_on.wait(20.0)
        raise ValueError("the trial's own")

    engine = build(1)
    engine.step(0, config_of(0))
    with monkeypatch.context() as patch:
        patch.setattr(Session, "next_report", fail)
        failing = threads.submit(engine.step, 0, None)
        told.wait(20.0)
        leaving = threads.submit(engine.leave, 0)
        eventually(lambda: engine._seats[0].has_left)
        goes_on.set()
        with pytest.raises(ValueError, match="own"):
            failing.result(20.0)
        leaving.result(20.0)
    engine.step(1, config_of(1))
    waiting = threads.submit(engine.step, 2, config_of(2))
    eventually(lambda: engine.is_waiting(2))
    engine.leave(1)
    assert waiting.result(20.0)["signals"].update == 10


def test_error_after_which_the_gpu_takes_no_work_is_the_end_of_the_engine(
    build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    def end(code: int) -> None:
        raise SystemExit(code)

    engine = build(1)
    engine.step(0, config_of(0))
    monkeypatch.setattr(Session, "next_report", fail)
    monkeypatch.setattr(module, "check_gpu", fail)
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(SystemExit):
        engine.step(0, None)


def test_trial_works_on_a_stream_of_its_own(build, monkeypatch: pytest.MonkeyPatch) -> None:
    streams, current, seen = iter("ab"), ["default"], []

    @contextmanager
    def on_stream(stream: str) -> Iterator[None]:
        current.append(stream)
        yield
        current.pop()

    next_report, leave = Session.next_report, Worker.leave
    monkeypatch.setattr(module, "new_stream", lambda: next(streams))
    monkeypatch.setattr(module, "on_stream", on_stream)
    monkeypatch.setattr(
        Session, "next_report", lambda self: seen.append(current[-1]) or next_report(self)
    )
    monkeypatch.setattr(Worker, "leave", lambda self: seen.append(current[-1]) or leave(self))
    engine = build(2)
    for number in (0, 1, 0):
        engine.step(number, None if number in engine._seats else config_of(number))
    engine.leave(1)
    engine.leave(0)
    assert seen == ["a", "b", "a", "b", "a"]


def test_engine_has_small_workspaces_for_each_thread_and_stream(
    build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it uses the GPU; whoever has set another size keeps it."""
    name = "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.setenv(name, "")
    monkeypatch.delenv(name)
    build(1)
    assert os.environ[name] == ":16:8"
    monkeypatch.setenv(name, ":4096:8")
    build(1)
    assert os.environ[name] == ":4096:8"


# --- trials that step together --------------------------------------------------------------------


@pytest.fixture
def fused(spec: SweepSpec, dataset: Dataset) -> Callable[[int], Engine]:
    resources = {"slots_per_gpu": 3, "fused": True}
    together = spec.model_copy(update={"resources": Resources(**resources)})
    return lambda slots: Engine(together.to_json(), dataset, slots)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each tick had to do with."""
    found: list[int] = []
    tick = Cohort.tick

    def counted(self: Cohort, left: dict[int, int]) -> dict[int, int]:
        found.append(len(left))
        return tick(self, left)

    monkeypatch.setattr(Cohort, "tick", counted)
    return found


def test_fused_trials_are_those_that_they_are_alone_up_to_rounding(
    spec: SweepSpec, dataset: Dataset, fused, threads, rows: list[int]
) -> None:
    expected = [alone(spec, dataset, number) for number in range(3)]
    engine = fused(3)
    found = list(threads.map(lambda number: whole(engine, number), range(3)))
    assert max(rows) > 1
    for mine, its in zip(found, expected, strict=True):
        for one, other in zip(mine, its, strict=True):
            assert one.d_loss == pytest.approx(other.d_loss, abs=1e-3)
            assert one.g_loss == pytest.approx(other.g_loss, abs=1e-3)
            assert one.distance == pytest.approx(other.distance, abs=1e-2)


def test_trial_that_cannot_step_with_others_trains_beside_them(
    spec: SweepSpec, dataset: Dataset, fused, threads, rows: list[int], monkeypatch
) -> None:
    monkeypatch.setitem(CONFIGS, 1, replace(CONFIGS[1], penalty="r1"))
    expected = alone(spec, dataset, 1)
    engine = fused(3)
    found = list(threads.map(lambda number: whole(engine, number), range(3)))
    assert found[1] == expected
    assert 0 < max(rows) <= 2


def test_fused_trial_that_leaves_has_its_checkpoint_and_its_row_goes_to_the_next(
    spec: SweepSpec, dataset: Dataset, fused
) -> None:
    engine = fused(1)
    first = [untimed(engine.step(0, config_of(0)))]
    engine.leave(0)
    whole(engine, 1)
    again = untimed(engine.step(0, config_of(0, goes_on=True, told=10)))
    expected = alone(spec, dataset, 0)
    assert first[0].d_loss == pytest.approx(expected[0].d_loss, rel=1e-3)
    assert again.update == expected[1].update
    assert again.d_loss == pytest.approx(expected[1].d_loss, rel=1e-3)


def test_update_of_all_that_fails_is_the_end_of_their_engine(
    fused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whose fault it was, and all go on from their checkpoints."""

    def fail(self: Cohort, left: dict[int, int]) -> dict[int, int]:
        raise MemoryError

    def end(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(Cohort, "tick", fail)
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(SystemExit):
        fused(1).step(0, config_of(0))


def test_fused_trial_without_memory_to_leave_leaves_its_slot(
    fused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_tensors: object) -> None:
        raise MemoryError

    engine = fused(1)
    engine.step(0, config_of(0))
    with monkeypatch.context() as patch:
        patch.setattr("ganray.gan.cohort.move_out", fail)
        engine.leave(0)
    assert engine.step(1, config_of(1))["signals"].update == 10

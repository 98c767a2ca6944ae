"""A cohort whose trials are advanced by threads of their own."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from ganray.gan import shared_cohort
from ganray.gan.cohort import Cohort
from ganray.gan.real import RealData
from ganray.gan.shared_cohort import SharedCohort
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig

pytestmark = [pytest.mark.usefixtures("one_thread", "in_float64"), pytest.mark.timeout(60)]

MLP = {"name": "mlp", "width": 12, "depth": 1}
CONFIG = TrialConfig(batch_size=16, latent_dim=3, d_lr=1e-3, g_lr=2e-3)
TRIALS: list[dict[str, object]] = [
    {"loss": "wgan", "d_steps": 3, "weight_clip": 0.1},
    {"loss": "hinge"},
    {"loss": "fgan_kl", "g_steps": 2, "ema": 0.9},
    {"loss": "relativistic_average"},
]
CHUNKS = (3, 1, 0, 10, 6)


@pytest.fixture(scope="module")
def data(in_float64: None) -> RealData:
    return RealData(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) + 3.0)


def trainers(data: RealData) -> list[GanTrainer]:
    return [
        GanTrainer(replace(CONFIG, seed=seed, **changes), MLP, data)
        for seed, changes in enumerate(TRIALS)
    ]


def shared(data: RealData, size: int = len(TRIALS)) -> SharedCohort:
    return SharedCohort(size, CONFIG, MLP, data)


def in_threads(*calls: Callable[[], object]) -> None:
    """All at once; raises what any of them raises."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(call) for call in calls]:
            done.result(timeout=30)


def weights(of: GanTrainer) -> torch.Tensor:
    parts = [p.detach().flatten() for side in of.players.values() for p in side.parameters]
    return torch.cat(parts).clone()


def in_chunks(trainer: GanTrainer) -> Callable[[], None]:
    def advance() -> None:
        for updates in CHUNKS:
            trainer.advance(updates)
            trainer.snapshot().generate(torch.zeros(2, 3))

    return advance


def test_threads_that_advance_their_trials_get_what_one_after_the_other_gets(data):
    """Which ticks they share is left to chance, and does not matter: bit for bit."""
    together, expected = shared(data), trainers(data)
    alone = Cohort(len(TRIALS), CONFIG, MLP, data)
    rows = [alone.join(each) for each in expected]
    for row in rows:
        alone.advance({row: sum(CHUNKS)})
    found = trainers(data)
    for each in found:
        together.join(each)
    in_threads(*map(in_chunks, found))
    for mine, its in zip(found, expected, strict=True):
        assert mine.update == sum(CHUNKS)
        assert torch.equal(weights(mine), weights(its))


def test_trials_that_wait_together_share_their_ticks(data, monkeypatch):
    together, found, ticks = shared(data), trainers(data), []
    for each in found:
        together.join(each)
    tick = Cohort.tick
    monkeypatch.setattr(
        Cohort, "tick", lambda self, left: ticks.append(set(left)) or tick(self, left)
    )
    begin = threading.Barrier(len(found))

    def advance(trainer: GanTrainer) -> None:
        begin.wait()
        trainer.advance(200)

    in_threads(*[lambda each=each: advance(each) for each in found])
    assert {0, 1, 2, 3} in ticks
    assert len(ticks) < 2 * 200


def test_trials_come_and_go_while_others_train_on(data):
    """Each of eight trials trains in one of three rows, joining when one is free."""
    together = shared(data, size=3)
    rows = threading.Semaphore(3)
    expected, found = [*trainers(data), *trainers(data)], [*trainers(data), *trainers(data)]

    def live(trainer: GanTrainer) -> None:
        with rows:
            row = together.join(trainer)
            in_chunks(trainer)()
            assert together.leave(row) is trainer

    in_threads(*[lambda each=each: live(each) for each in found])
    assert together.free == [0, 1, 2]
    for mine, its in zip(found, expected, strict=True):
        its.advance(sum(CHUNKS))
        torch.testing.assert_close(weights(mine), weights(its), rtol=1e-9, atol=1e-12)
        assert mine.updater is None


def test_a_state_is_loaded_in_a_pause_in_which_nobody_makes_updates(data, monkeypatch):
    together, (busy, target, *_), source = shared(data), trainers(data), trainers(data)[1]
    for each in (busy, target):
        together.join(each)
    source.advance(9)
    saved, ticking, begun = source.state_dict(), threading.Event(), threading.Event()
    tick = Cohort.tick

    def told(self: Cohort, left: dict[int, int]) -> dict[int, int]:
        ticking.set()
        begun.set()
        found = tick(self, left)
        ticking.clear()
        return found

    def load() -> None:
        begun.wait()
        for _ in range(20):
            with together.paused():
                before = busy.update
                target.load_state_dict(saved)
                time.sleep(0.002)  # in which there would be a tick
                assert not ticking.is_set()
                assert busy.update == before

    monkeypatch.setattr(Cohort, "tick", told)
    in_threads(lambda: busy.advance(300), load)
    assert torch.equal(weights(target), weights(source))


class FakeStream:
    """Notes who waits for whom."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    def wait_stream(self, awaited: "FakeStream") -> None:
        self.notes.append(f"{self.name} waits for {awaited.name}")


def test_streams_wait_for_each_other_where_a_trial_goes_between_them(data, monkeypatch):
    notes: list[str] = []
    of_cohort, of_trial = FakeStream("cohort", notes), FakeStream("trial", notes)
    places = {"new_stream": lambda: of_cohort, "current_stream": lambda: of_trial}
    for name, fake in places.items():
        monkeypatch.setattr(shared_cohort, name, fake)
    monkeypatch.setattr(
        shared_cohort, "on_stream", lambda stream: nullcontext(notes.append(f"on {stream.name}"))
    )
    together, [trainer, *_] = shared(data), trainers(data)
    row = together.join(trainer)
    there_and_back = ["trial waits for cohort", "cohort waits for trial"]
    assert notes == there_and_back
    notes.clear()
    trainer.advance(1)
    assert notes == ["cohort waits for trial", "on cohort", "trial waits for cohort"]
    notes.clear()
    together.leave(row)
    assert notes == there_and_back


def test_a_failure_of_an_update_is_told_to_all_and_keeps_nobody_waiting(data, monkeypatch):
    together, found = shared(data), trainers(data)
    for each in found:
        together.join(each)
    begin = threading.Barrier(len(found))

    def fail(self: Cohort, left: object) -> None:
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr(Cohort, "tick", fail)
    errors: list[BaseException] = []

    def advance(trainer: GanTrainer) -> None:
        begin.wait()
        try:
            trainer.advance(5)
        except RuntimeError as error:
            errors.append(error.__cause__ or error)

    in_threads(*[lambda each=each: advance(each) for each in found])
    assert [str(error) for error in errors] == ["too much"] * len(found)

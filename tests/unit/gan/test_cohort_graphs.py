"""Cohorts whose updates are recorded train as those without graphs: bit for bit.

On the CPU the recorder is that of `tests.recording`, in float64; on a GPU it is the real one.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ganray.gan.cohort import Cohort
from ganray.gan.graphs import Update
from ganray.gan.real import RealData
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig
from tests.recording import OperationRecorder, recording_on_the_cpu

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = {"name": "mlp", "width": 12, "depth": 2}
CONFIG = TrialConfig(batch_size=16, latent_dim=3, d_lr=1e-3, g_lr=2e-3, graphs="on")
BUDGET = 80
MIXED: list[dict[str, object]] = [
    {"d_steps": 3, "weight_clip": 0.2, "loss": "wgan", "d_grad_clip": 0.5, "ema": 0.9},
    {"loss": "relativistic_average", "g_steps": 2, "beta1": 0.9, "weight_decay": 0.1},
    {"loss": "fgan_jeffrey", "g_grad_clip": 0.05, "instance_noise": 0.3, "lr_schedule": "cosine"},
    {"loss": "relativistic_paired", "instance_noise": 0.5, "warmup_d_steps": 4, "warmup_rounds": 2},
    {"weight_clip": 0.1, "g_weight_clip": 0.2, "weight_clip_scope": "weights", "momentum": 0.5},
]


class CountingRecorder(OperationRecorder):
    """Counts the recordings of all that are of its kind."""

    made = 0

    def __call__(self, update: Update) -> Update:
        CountingRecorder.made += 1
        return super().__call__(update)


@pytest.fixture
def recordings(in_float64: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Trials on the CPU can be recorded; how often that was done."""
    monkeypatch.setattr(CountingRecorder, "made", 0)
    with recording_on_the_cpu(CountingRecorder):
        yield lambda: CountingRecorder.made


def points(device: str = "cpu") -> RealData:
    draws = torch.Generator().manual_seed(0)
    return RealData(torch.randn(64, 2, generator=draws) + 3.0, device=device)


@pytest.fixture
def data(in_float64: None) -> RealData:
    return points()


def trainer(data: RealData, **changes: object) -> GanTrainer:
    return GanTrainer(replace(CONFIG, **changes), MLP, data, BUDGET)


def mixed(data: RealData, graphs: str = "on") -> list[GanTrainer]:
    return [trainer(data, **each, seed=seed, graphs=graphs) for seed, each in enumerate(MIXED)]


def cohort(data: RealData, size: int = 5, graphs: str = "on") -> Cohort:
    return Cohort(size, replace(CONFIG, graphs=graphs), MLP, data)


def weights(of: GanTrainer) -> Tensor:
    sides = of.players.values()
    return torch.cat([p.detach().flatten() for side in sides for p in side.parameters])


def remembered(of: GanTrainer) -> list[Tensor]:
    """Weights, what optimisers remember, random numbers, the average of G."""
    found = [weights(of), of.rng.get_state()]
    for side in of.players.values():
        found += [t.clone() for each in side.optimizer.state_dict().values() for t in each]
    if of.parts.average is not None:
        found += [p.clone() for p in of.parts.average.module.parameters()]
    return found


def lives(together: Cohort, trainers: list[GanTrainer]) -> None:
    """They come and go: one joins late, another leaves early, and a row is used again."""
    *first, late = trainers
    rows = [together.join(each) for each in first]
    together.advance(dict.fromkeys(rows, 17))
    early = together.leave(rows.pop(1))
    rows.append(together.join(late))
    together.advance(dict.fromkeys(rows, 20))
    assert early.update == 17


def need_equal(found: list[GanTrainer], expected: list[GanTrainer]) -> None:
    for mine, its in zip(found, expected, strict=True):
        assert mine.snapshot().d == its.snapshot().d
        assert mine.snapshot().g == its.snapshot().g
        for a, b in zip(remembered(mine), remembered(its), strict=True):
            torch.testing.assert_close(a, b, rtol=0.0, atol=0.0, check_device=False)


def test_trials_that_come_and_go_are_those_of_a_cohort_without_graphs(data, recordings):
    eager, recorded = mixed(data, "off"), mixed(data)
    lives(cohort(data, size=4, graphs="off"), eager)
    together = cohort(data, size=4)
    lives(together, recorded)
    assert together.is_recorded
    need_equal(recorded, eager)


def test_row_goes_to_the_next_trial_without_a_recording(data, recordings):
    together, rows, left = cohort(data, size=2), [], []
    for seed, loss in enumerate(("hinge", "lsgan", "lsgan", "hinge", "hinge")):
        if len(rows) == 2:
            left.append(together.leave(rows.pop(0)))
        rows.append(together.join(trainer(data, loss=loss, seed=seed)))
        together.advance(dict.fromkeys(rows, 10))
    assert recordings() == 2 * 2  # of D and of G, as each loss came first
    for seed, each in enumerate(left):
        alone = trainer(data, loss=each.config.loss, seed=seed, graphs="off")
        alone.advance(each.update)
        torch.testing.assert_close(weights(each), weights(alone), rtol=1e-9, atol=1e-12)


def test_what_an_update_lacks_is_recorded_when_it_comes(data, recordings):
    together = cohort(data, size=4)
    counts = []
    for changes in ({}, {"ema": 0.9}, {"instance_noise": 0.1}, {"ema": 0.5, "d_steps": 2}):
        row = together.join(trainer(data, **changes))
        together.advance({row: 8})
        counts.append(recordings())
    assert counts == [2, 3, 5, 5]  # D has no average


def test_losses_that_nobody_has_are_forgotten_when_there_are_more_than_rows(data, recordings):
    """As with a divergence whose parameter is searched: not all can be computed for ever."""
    together = cohort(data, size=1)
    for seed, alpha in enumerate((0.2, 0.4, 0.6, 0.2)):
        changes = {"loss": "fgan_alpha", "alpha": alpha, "seed": seed}
        recorded, eager = trainer(data, **changes), trainer(data, **changes, graphs="off")
        row = together.join(recorded)
        together.advance({row: 12})
        together.leave(row)
        eager.advance(12)
        torch.testing.assert_close(weights(recorded), weights(eager), rtol=1e-9, atol=1e-12)
    assert recordings() == 2 * 4


def test_losses_that_were_forgotten_and_come_again_are_recorded_again(data, recordings):
    """Between, others had the rows, and made no update."""
    together, alone = cohort(data, size=2), trainer(data, loss="lsgan", seed=3, graphs="off")
    for losses, updates in ((("hinge", "lsgan"), 4), (("wgan", "minimax"), 0), (("lsgan",) * 2, 8)):
        trainers = [trainer(data, loss=loss, seed=3) for loss in losses]
        rows = [together.join(each) for each in trainers]
        together.advance(dict.fromkeys(rows, updates))
        for row in rows:
            together.leave(row)
    alone.advance(8)
    for each in trainers:
        torch.testing.assert_close(weights(each), weights(alone), rtol=1e-9, atol=1e-12)


def test_recording_leaves_no_trace_in_rows_that_wait(data, recordings):
    together = cohort(data, size=5)
    waiting = mixed(data)[:4]
    rows = [together.join(each) for each in waiting]
    together.advance(dict.fromkeys(rows, 11))
    before, count = [remembered(each) for each in waiting], recordings()
    together.advance({together.join(trainer(data, loss="fgan_kl", seed=9)): 6})
    assert recordings() == count + 2
    for each, state in zip(waiting, before, strict=True):
        assert all(map(torch.equal, remembered(each), state))


@pytest.mark.parametrize(("graphs", "level"), [("on", logging.WARNING), ("auto", logging.INFO)])
def test_where_recording_fails_a_cohort_goes_on_without_and_says_why(
    data, recordings, graphs, level, monkeypatch, caplog
):
    def fail(_self: CountingRecorder, update: Update) -> Update:
        update()
        raise RuntimeError("no room\nat all")

    monkeypatch.setattr(CountingRecorder, "__call__", fail)
    caplog.set_level(logging.INFO, "ganray.gan")
    eager, failed = mixed(data, "off"), mixed(data, graphs)
    lives(cohort(data, size=4, graphs="off"), eager)
    together = cohort(data, size=4, graphs=graphs)
    lives(together, failed)
    assert not together.is_recorded
    need_equal(failed, eager)
    [told] = [record for record in caplog.records if record.name == "ganray.gan"]
    assert told.levelno == level
    assert told.getMessage().endswith("recording failed: no room")


def test_cohort_that_cannot_be_recorded_again_goes_on_without(data, recordings, monkeypatch):
    record = CountingRecorder.__call__

    def fail_later(self: CountingRecorder, update: Update) -> Update:
        if CountingRecorder.made == 2:
            raise RuntimeError("no room")
        return record(self, update)

    monkeypatch.setattr(CountingRecorder, "__call__", fail_later)
    together, alone = cohort(data, size=2), trainer(data, loss="lsgan", graphs="off")
    first, late = trainer(data, loss="hinge"), trainer(data, loss="lsgan")
    together.advance({together.join(first): 4})
    assert together.is_recorded
    together.advance({together.join(late): 8})
    assert not together.is_recorded
    alone.advance(8)
    torch.testing.assert_close(weights(late), weights(alone), rtol=1e-9, atol=1e-12)


def test_trial_that_has_graphs_of_its_own_does_not_join(data, recordings):
    alone = trainer(data)
    alone.advance(2)
    assert alone.is_recorded
    with pytest.raises(ValueError, match="recorded where its tensors are now"):
        cohort(data).join(alone)


def test_trial_in_a_row_makes_no_graphs_of_its_own(data, recordings):
    together, under_test, eager = cohort(data), trainer(data), trainer(data, graphs="off")
    row = together.join(under_test)
    under_test.advance(3)
    together.leave(row)
    under_test.advance(3)
    assert not under_test.is_recorded
    eager.advance(6)
    torch.testing.assert_close(weights(under_test), weights(eager), rtol=0.0, atol=0.0)


# --- on a GPU -------------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize(("updates", "rtol"), [(2, 1e-5), (20, 1e-4)])
def test_on_a_gpu_a_recorded_cohort_trains_as_one_without(updates, rtol, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    on_gpu = points("cuda")
    eager, recorded = mixed(on_gpu, "off"), mixed(on_gpu)
    for graphs, trainers in (("off", eager), ("on", recorded)):
        together = cohort(on_gpu, graphs=graphs)
        rows = [together.join(each) for each in trainers]
        together.advance(dict.fromkeys(rows, updates))
        assert together.is_recorded == (graphs == "on")
    for mine, its in zip(recorded, eager, strict=True):
        torch.testing.assert_close(weights(mine), weights(its), rtol=rtol, atol=0.01 * rtol)

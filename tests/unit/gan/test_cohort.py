"""Trials that step together train as each would alone, and no row feels its neighbours."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ganray.gan.checkpoint import dump, load
from ganray.gan.cohort import Cohort
from ganray.gan.losses import FGAN_GENERATORS, LOSS_NAMES
from ganray.gan.optimizers import OPTIMIZERS
from ganray.gan.player import NORM_EVERY, Side
from ganray.gan.real import RealData
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig

pytestmark = pytest.mark.usefixtures("one_thread", "in_float64")

MLP = {"name": "mlp", "width": 12, "depth": 2}
CONFIG = TrialConfig(batch_size=16, latent_dim=3, d_lr=1e-3, g_lr=2e-3, seed=5)
BUDGET = 80
SIZE = 5
DIVERGING = {"d_lr": 1e200, "loss": "lsgan"}

# Trials that differ in all that may differ in a cohort.
MIXED: list[dict[str, object]] = [
    {"d_steps": 3, "weight_clip": 0.2, "loss": "wgan", "d_grad_clip": 0.5, "ema": 0.9},
    {"loss": "relativistic_average", "g_steps": 2, "beta1": 0.9, "beta2": 0.9, "weight_decay": 0.1},
    {"loss": "fgan_jeffrey", "g_grad_clip": 0.05, "instance_noise": 0.3, "lr_schedule": "cosine"},
    {"loss": "relativistic_paired", "instance_noise": 0.5, "warmup_d_steps": 4, "warmup_rounds": 2},
    {"weight_clip": 0.1, "g_weight_clip": 0.2, "weight_clip_scope": "weights", "momentum": 0.5},
]


@pytest.fixture(scope="module")
def data(in_float64) -> RealData:
    return RealData(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) + 3.0)


def trainer(data: RealData, networks=MLP, **changes: object) -> GanTrainer:
    return GanTrainer(replace(CONFIG, **changes), networks, data, BUDGET)


def mixed(data: RealData, networks=MLP) -> list[GanTrainer]:
    return [trainer(data, networks, **changes, seed=seed) for seed, changes in enumerate(MIXED)]


def cohort(data: RealData, networks=MLP, size: int = SIZE, **changes: object) -> Cohort:
    return Cohort(size, replace(CONFIG, **changes), networks, data)


def tensors(of: GanTrainer) -> list[Tensor]:
    """All that it goes on from: weights, what optimisers remember, averages, random numbers."""
    found: list[Tensor] = []

    def collect(value: object) -> None:
        if isinstance(value, Tensor):
            found.append(value.clone())
        elif isinstance(value, dict):
            for item in value.values():
                collect(item)
        elif isinstance(value, list):
            for item in value:
                collect(item)

    collect(of.state_dict())
    return found


def counters(of: GanTrainer) -> tuple[object, ...]:
    seen = of.snapshot()
    turns = of.state_dict()["turns"]
    return seen.update, seen.d_updates, seen.g_updates, seen.images, seen.nonfinite, turns


def assert_alike(fused: GanTrainer, alone: GanTrainer) -> None:
    assert counters(fused) == counters(alone)
    for mine, its in zip(tensors(fused), tensors(alone), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-12)
    for mine, its in zip(sides(fused), sides(alone), strict=True):
        assert (mine is None) == (its is None)
        assert mine is None or mine == pytest.approx(its, rel=1e-9, abs=1e-12)


def sides(of: GanTrainer) -> list[float | None]:
    seen = of.snapshot()
    return [getattr(side, name) for side in (seen.d, seen.g) for name in Side.__slots__]


def assert_equal(before: list[Tensor], after: list[Tensor]) -> None:
    """Bit for bit."""
    pairs = zip(before, after, strict=True)
    assert [torch.equal(a.nan_to_num(9.0), b.nan_to_num(9.0)) for a, b in pairs].count(False) == 0


# --- as alone -------------------------------------------------------------------------------------


def test_trials_that_come_and_go_train_as_each_would_alone(data):
    """One joins when the others have made 17 updates, another leaves at 23."""
    fused, alone = mixed(data), mixed(data)
    together = cohort(data)
    late, early = fused[3], fused[1]
    rows = {together.join(each): each for each in fused if each is not late}
    together.advance(dict.fromkeys(rows, 17))
    rows[together.join(late)] = late
    together.advance(dict.fromkeys(rows, 6))
    [row] = [row for row, each in rows.items() if each is early]
    assert together.leave(row) is early
    early.advance(27)
    del rows[row]
    together.advance(dict.fromkeys(rows, 27))
    for each, other in zip(fused, alone, strict=True):
        for updates in (6, 27) if each is late else (17, 6, 27):
            other.advance(updates)
        assert_alike(each, other)


@pytest.mark.parametrize("d_optimizer", OPTIMIZERS)
@pytest.mark.parametrize("g_optimizer", OPTIMIZERS)
def test_every_optimiser_moves_as_it_does_alone(data, d_optimizer, g_optimizer):
    kind = {"d_optimizer": d_optimizer, "g_optimizer": g_optimizer}
    settings = [{}, {"weight_decay": 0.1}, {"momentum": 0.7, "weight_decay": 0.2}]
    fused, alone = ([trainer(data, **kind, **more) for more in settings] for _ in range(2))
    together = cohort(data, **kind)
    together.advance({together.join(each): 12 for each in fused})
    for each, other in zip(fused, alone, strict=True):
        other.advance(12)
        assert_alike(each, other)


@pytest.mark.parametrize("generator", FGAN_GENERATORS)
def test_every_loss_is_as_alone_beside_all_others(data, generator):
    games = [{"loss": loss, "fgan_generator": generator} for loss in LOSS_NAMES]
    games += [{"loss": "fgan_alpha", "alpha": alpha} for alpha in (-1.0, 0.3, 2.0)]
    fused, alone = ([trainer(data, **game) for game in games] for _ in range(2))
    together = cohort(data, size=len(games))
    together.advance({together.join(each): 20 for each in fused})
    for each, other in zip(fused, alone, strict=True):
        other.advance(20)
        assert_alike(each, other)


@pytest.mark.parametrize(
    "networks",
    [
        {"name": "mlp", "width": 5, "depth": 0},
        {"name": "mlp", "width": 7, "d_width": 9, "d_depth": 3},
        {"name": "mlp", "width": 6, "d_activation": "maxout", "init_std": 0.5},
    ],
)
@pytest.mark.parametrize("shape", [(3,), (1, 4, 4)])
def test_every_fully_connected_network_is_as_alone(networks, shape, in_float64):
    samples = torch.rand(40, *shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    data = RealData(samples)
    fused, alone = ([trainer(data, networks, seed=seed) for seed in (0, 1)] for _ in range(2))
    together = cohort(data, networks, size=3)
    together.advance({together.join(each): 10 for each in fused})
    for each, other in zip(fused, alone, strict=True):
        other.advance(10)
        assert_alike(each, other)


def test_averages_of_a_stretch_are_of_that_stretch_alone(data):
    fused, alone = (trainer(data, d_grad_clip=0.5) for _ in range(2))
    together = cohort(data)
    row = together.join(fused)
    for updates in (5, 2 * NORM_EVERY + 3, 1, 0):
        together.advance({row: updates})
        alone.advance(updates)
        assert_alike(fused, alone)


def test_a_snapshot_of_a_trial_in_a_row_is_that_of_the_trial_alone(data):
    fused, alone = (trainer(data, ema=0.9) for _ in range(2))
    together = cohort(data)
    together.advance({together.join(fused): 9})
    alone.advance(9)
    latents = torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    mine, its = fused.snapshot(), alone.snapshot()
    for name in ("generate", "generate_average"):
        torch.testing.assert_close(getattr(mine, name)(latents), getattr(its, name)(latents))
    torch.testing.assert_close(mine.discriminate(data.samples), its.discriminate(data.samples))


# --- rows and their neighbours, bit for bit -------------------------------------------------------


def run(together: Cohort, order: list[GanTrainer | None], updates: int = 30) -> None:
    """All of them, in rows of that order; None is a row that somebody has left."""
    rows = [together.join(each or trainer(together._data)) for each in order]
    assert rows == list(range(len(order)))
    for row in rows:
        if order[row] is None:
            together.leave(row)
    together.advance({row: updates for row in rows if order[row] is not None})


@pytest.mark.parametrize("networks", [MLP, {"name": "mlp", "width": 7, "depth": 1}], ids=str)
def test_it_does_not_matter_which_row_a_trial_is_in(data, networks):
    straight, turned = mixed(data, networks), mixed(data, networks)
    run(cohort(data, networks), straight)
    run(cohort(data, networks), [turned[place] for place in (3, 0, 4, 2, 1)])
    for one, other in zip(straight, turned, strict=True):
        assert_equal(tensors(one), tensors(other))


@pytest.mark.parametrize(
    "others",
    [
        [{"seed": 9}, {"loss": "hinge"}, {"d_lr": 0.1}, {"ema": 0.5}],
        [DIVERGING] * 4,
        [None] * 4,
    ],
    ids=["others", "diverging", "empty"],
)
def test_it_does_not_matter_who_the_neighbours_are(data, others):
    for place, changes in enumerate(MIXED):
        found = []
        for neighbours in ([{"seed": seed} for seed in range(4)], others):
            under_test = trainer(data, **changes)
            around = [None if each is None else trainer(data, **each) for each in neighbours]
            run(cohort(data), [*around[:place], under_test, *around[place:]])
            diverged = [each.nonfinite is not None for each in around if each is not None]
            assert all(diverged) == (neighbours[0] in (None, DIVERGING))
            found.append(tensors(under_test))
        assert_equal(*found)


def test_a_trial_that_diverges_is_told_so_and_makes_no_more_updates(data):
    fused = trainer(data, **DIVERGING)
    together = cohort(data)
    row = together.join(fused)
    together.advance({row: 20})
    assert fused.snapshot().nonfinite is not None
    before = tensors(fused)
    together.advance({row: 20})
    assert fused.update == 20
    assert_equal(tensors(fused), before)


def test_rows_that_are_not_asked_stay_as_they_are(data):
    waiting, moving = mixed(data), mixed(data)
    together = cohort(data, size=2 * SIZE)
    rows = [together.join(each) for each in waiting]
    together.advance(dict.fromkeys(rows, 11))  # so that optimisers and averages are under way
    before = [tensors(each) for each in waiting]
    together.advance({together.join(each): 30 for each in moving})
    for each, state in zip(waiting, before, strict=True):
        assert_equal(tensors(each), state)


def test_rows_may_be_asked_for_different_numbers_of_updates(data):
    fused, alone = mixed(data), mixed(data)
    together = cohort(data)
    wanted = {together.join(each): 4 + 3 * place for place, each in enumerate(fused)}
    together.advance(wanted)
    for each, other, updates in zip(fused, alone, wanted.values(), strict=True):
        other.advance(updates)
        assert_alike(each, other)


# --- coming and going -----------------------------------------------------------------------------


def test_a_trial_that_leaves_is_saved_loaded_and_rejoins_goes_on_as_if_nothing_had_been(data):
    networks = MLP
    for changes in MIXED:
        whole, broken = (trainer(data, **changes) for _ in range(2))
        together, other = cohort(data), cohort(data)
        row = together.join(whole)
        together.advance({row: 14})
        together.advance({row: 16})

        row = other.join(broken)
        other.advance({row: 14})
        other.leave(row)
        saved = load(dump(broken, networks))
        resumed = trainer(data, **changes)
        resumed.load_state_dict(saved["state"])
        other.advance({other.join(resumed): 16})
        assert counters(resumed) == counters(whole)
        assert_equal(tensors(resumed), tensors(whole))


def test_nothing_of_a_trial_is_left_in_its_row(data):
    """Of one whose weights were clipped, say."""
    together, second, alone = cohort(data, size=1), trainer(data, d_lr=0.1), trainer(data, d_lr=0.1)
    row = together.join(trainer(data, weight_clip=0.01, g_weight_clip=0.01, ema=0.9))
    together.advance({row: 5})
    together.leave(row)
    together.advance({together.join(second): 9})
    alone.advance(9)
    assert_alike(second, alone)


def test_a_trial_without_memory_to_leave_leaves_its_row(data, monkeypatch):
    def fail(_tensors: object) -> None:
        raise torch.OutOfMemoryError

    together = cohort(data, size=1)
    row = together.join(trainer(data))
    with monkeypatch.context() as patch:
        patch.setattr("ganray.gan.cohort.move_out", fail)
        with pytest.raises(torch.OutOfMemoryError):
            together.leave(row)
    assert together.join(trainer(data)) == row


def test_a_state_may_be_loaded_into_a_trial_in_its_row(data):
    source, target = trainer(data, seed=1, ema=0.9), trainer(data, ema=0.9)
    source.advance(7)
    together = cohort(data)
    row = together.join(target)
    target.load_state_dict(source.state_dict())
    together.advance({row: 9})
    source.advance(9)
    assert_alike(target, source)


def test_a_trial_that_left_has_nothing_in_common_with_its_row(data):
    first, second = trainer(data), trainer(data, seed=1)
    together = cohort(data, size=1)
    together.leave(together.join(first))
    before = tensors(first)
    together.advance({together.join(second): 5})
    assert_equal(tensors(first), before)
    first.advance(3)
    alone = trainer(data)
    alone.advance(3)
    assert_equal(tensors(first), tensors(alone))


def test_a_checkpoint_of_a_row_holds_that_row_alone(data):
    sizes = []
    for size in (1, 20):
        fused = trainer(data, ema=0.9)
        cohort(data, size=size).join(fused)
        sizes.append(len(dump(fused, MLP)))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def test_a_trainer_in_a_row_may_still_make_updates_by_itself(data):
    fused, alone = trainer(data), trainer(data)
    together = cohort(data)
    row = together.join(fused)
    together.advance({row: 4})
    fused.advance(5)
    together.advance({row: 6})
    for updates in (4, 5, 6):
        alone.advance(updates)
    assert_alike(fused, alone)


# --- who may join ---------------------------------------------------------------------------------


def test_a_cohort_that_is_full_says_so(data):
    together = cohort(data, size=1)
    together.join(trainer(data))
    with pytest.raises(ValueError, match="all 1 rows are taken"):
        together.join(trainer(data))


def test_nobody_has_two_rows(data):
    together, twice = cohort(data), trainer(data)
    together.join(twice)
    with pytest.raises(ValueError, match="in row 0"):
        together.join(twice)


def test_what_is_of_another_kind_is_refused_with_what_differs(data):
    together = cohort(data)
    for changes in ({"batch_size": 8}, {"latent_dim": 4}, {"g_optimizer": "sgd"}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            together.join(trainer(data, **changes))
    with pytest.raises(ValueError, match="does not fit"):
        together.join(trainer(data, {**MLP, "width": 13}))
    with pytest.raises(ValueError, match="other data"):
        together.join(trainer(RealData(data.samples)))
    assert len(together.free) == SIZE


def test_nobody_is_told_for_a_row_that_is_empty(data):
    together = cohort(data)
    for call in (lambda: together.advance({2: 1}), lambda: together.leave(2)):
        with pytest.raises(ValueError, match="nobody is in row 2"):
            call()

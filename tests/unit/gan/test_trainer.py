"""The trainer: who is updated when, and that nothing but the configuration decides the weights.

"Equal" is bit for bit throughout.
"""

import io
import math
import statistics
import time
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ganray.gan.base import Snapshot
from ganray.gan.losses import LOSS_NAMES
from ganray.gan.optimizers import OPTIMIZERS
from ganray.gan.player import Side
from ganray.gan.real import RealData
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = {"name": "mlp", "width": 12, "depth": 1}
CONV = {"name": "conv", "width": 2}
CONFIG = TrialConfig(batch_size=8, latent_dim=3, d_lr=1e-3, g_lr=1e-3, seed=5)
NO_LEARNING = {"d_lr": 0.0, "g_lr": 0.0}

# of both players: rows of the f-GAN family that are the non-saturating GAN again
SAME_GRADIENTS = ("non_saturating", "fgan_gan", "fgan_js")

every_loss = pytest.mark.parametrize("loss", sorted(LOSS_NAMES))


def points(count: int = 64) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(0)) + 3.0


def images(count: int = 64) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0


def trainer(config: TrialConfig = CONFIG, *, conv: bool = False, **changes: object) -> GanTrainer:
    config = replace(config, **changes)
    return GanTrainer(config, CONV if conv else MLP, RealData(images() if conv else points()))


def players(of: GanTrainer) -> tuple[nn.Module, nn.Module]:
    """D and G."""
    return of.networks.discriminator, of.networks.generator


def state(of: GanTrainer) -> list[Tensor]:
    """All weights and buffers, D's first."""
    return [t.detach().clone() for p in players(of) for t in p.state_dict().values()]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    pairs = zip(a, b, strict=True)
    return all(torch.equal(x, y) or torch.allclose(x, y, 0.0, 0.0, True) for x, y in pairs)


def weights(of: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in of.parameters()])


def after(updates: int, **changes: object) -> list[Tensor]:
    """The state of a trainer that nobody disturbed."""
    alone = trainer(**changes)
    alone.advance(updates)
    return state(alone)


def ratio(snapshot: Snapshot) -> tuple[int, int, int]:
    return snapshot.update, snapshot.d_updates, snapshot.g_updates


# --- alternation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 1), (3, 2), (1, 4), (5, 1)])
def test_each_update_changes_the_one_network_whose_turn_it_is(d_steps, g_steps):
    under_test = trainer(d_steps=d_steps, g_steps=g_steps)
    turns = ""
    for _ in range(2 * (d_steps + g_steps) + 1):
        d, g = (weights(n) for n in players(under_test))
        under_test.advance(1)
        new_d, new_g = (weights(n) for n in players(under_test))
        turns += "D" * (not torch.equal(d, new_d)) + "G" * (not torch.equal(g, new_g))
    cycle = "D" * d_steps + "G" * g_steps
    assert turns == 2 * cycle + "D"


def test_g_s_update_leaves_d_s_gradients_alone_and_d_trains_on():
    under_test = trainer()
    under_test.advance(1)
    before = gradient_norm(under_test, "d")
    under_test.advance(1)
    assert gradient_norm(under_test, "d") == before > 0.0
    assert all(p.requires_grad for p in under_test.networks.discriminator.parameters())


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 1), (3, 2), (1, 4), (5, 1)])
def test_counters_follow_the_turns_in_chunks_of_any_size(d_steps, g_steps):
    under_test = trainer(d_steps=d_steps, g_steps=g_steps)
    assert ratio(under_test.snapshot()) == (0, 0, 0)
    update = 0
    for chunk in (1, 1, 2, 4, 7, 3, 10, 1):
        under_test.advance(chunk)
        update += chunk
        cycle = "D" * d_steps + "G" * g_steps
        turns = (cycle * update)[:update]
        snapshot = under_test.snapshot()
        assert ratio(snapshot) == (update, turns.count("D"), turns.count("G"))
        assert under_test.d_updates == snapshot.d_updates
        assert snapshot.images == 8 * turns.count("D")


@pytest.mark.parametrize("conv", [False, True])
def test_chunks_do_not_matter(conv):
    under_test = trainer(conv=conv, d_steps=3, g_steps=2)
    for chunk in (1, 4, 0, 7, 2):
        under_test.advance(chunk)
    assert equal(state(under_test), after(14, conv=conv, d_steps=3, g_steps=2))


# --- nothing else matters -------------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clipping", [False, True])
def test_trainers_that_take_turns_train_as_each_would_alone(loss, optimizer, clipping):
    clips = {"d_grad_clip": 0.5, "g_grad_clip": 0.1, "weight_clip": 0.3, "g_weight_clip": 0.4}
    options = {"loss": loss, "optimizer": optimizer, **(clips if clipping else {})}
    first, second = trainer(**options), trainer(**options, seed=6, d_steps=2)
    for chunk in (1, 2, 5, 4):
        first.advance(chunk)
        second.advance(chunk)
    assert equal(state(first), after(12, **options))
    assert equal(state(second), after(12, **options, seed=6, d_steps=2))


def test_each_part_of_the_configuration_that_the_last_test_turned_on_matters():
    base = after(12)
    others = [
        {"optimizer": "rmsprop"},
        {"d_grad_clip": 1e-9},
        {"g_grad_clip": 1e-9},
        {"weight_clip": 0.01},
        {"g_weight_clip": 0.01},
        {"seed": 6},
        {"d_lr": 2e-3},
        {"g_lr": 2e-3},
        {"beta1": 0.9},
        {"beta2": 0.9},
        {"batch_size": 9},
        *({"loss": loss} for loss in LOSS_NAMES if loss not in SAME_GRADIENTS),
    ]
    assert [change for change in others if equal(base, after(12, **change))] == []


@pytest.mark.parametrize("side", ["d", "g"])
def test_a_learning_rate_is_that_of_its_own_player(side):
    under_test = trainer(**{**NO_LEARNING, f"{side}_lr": 1e-3})
    before = [weights(n) for n in players(under_test)]
    under_test.advance(10)
    unchanged = [
        torch.equal(a, weights(b)) for a, b in zip(before, players(under_test), strict=True)
    ]
    assert unchanged == [side != "d", side != "g"]


def test_adam_s_first_step_is_the_learning_rate_and_rmsprop_s_ten_times_that():
    """Closed forms: g/|g| for Adam; g/sqrt((1-α)g²) with α = 0.99 for RMSprop."""
    for optimizer, size in (("adam", 1e-4), ("rmsprop", 1e-3)):
        under_test = trainer(optimizer=optimizer, d_lr=1e-4, loss="lsgan")
        before = weights(under_test.networks.discriminator)
        under_test.advance(1)
        moved = (weights(under_test.networks.discriminator) - before).abs()
        assert moved.max().item() == pytest.approx(size, rel=1e-2)


@pytest.mark.parametrize("conv", [False, True])
def test_the_global_random_state_is_neither_read_nor_changed(conv):
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        under_test = trainer(conv=conv)
        under_test.advance(6)
        under_test.snapshot().generate(torch.zeros(2, 3))
        assert torch.equal(torch.get_rng_state(), before)
        states.append(state(under_test))
    assert equal(*states)


@pytest.mark.parametrize("conv", [False, True])
def test_measuring_does_not_change_training(conv):
    under_test = trainer(conv=conv)
    for _ in range(4):
        under_test.advance(3)
        snapshot = under_test.snapshot()
        samples = snapshot.generate(torch.full((30, 3), 2.0))
        snapshot.discriminate(samples)
        under_test.state_dict()
    assert equal(state(under_test), after(12, conv=conv))


def test_a_snapshot_evaluates_without_gradients_and_by_running_statistics():
    under_test = trainer(conv=True)
    under_test.advance(4)
    snapshot = under_test.snapshot()
    latents = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    samples = snapshot.generate(latents)
    assert samples.shape == (6, 1, 8, 8)
    assert not samples.requires_grad
    assert snapshot.discriminate(samples).shape == (6,)
    # batch statistics would make one sample depend on its neighbours
    assert torch.allclose(snapshot.generate(latents[:1]), samples[:1], atol=1e-5)
    assert under_test.networks.generator.training
    assert under_test.networks.discriminator.training


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("conv", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("done", [2, 4])  # in D's turn, in G's
def test_a_resumed_trainer_goes_on_as_if_nothing_had_happened(tmp_path, conv, optimizer, done):
    options = {"optimizer": optimizer, "d_steps": 3, "g_steps": 2, "d_grad_clip": 0.5}
    first = trainer(conv=conv, **options)
    first.advance(done)
    torch.save(first.state_dict(), tmp_path / "trainer.pt")
    resumed = trainer(conv=conv, **options)
    resumed.load_state_dict(torch.load(tmp_path / "trainer.pt", weights_only=True))

    assert equal(state(resumed), state(first))
    assert counters_and_averages(resumed) == counters_and_averages(first)
    assert resumed.seconds == first.seconds
    assert resumed.snapshot().updates_per_second == first.snapshot().updates_per_second
    first.advance(9)
    resumed.advance(9)
    assert equal(state(resumed), state(first))
    assert counters_and_averages(resumed) == counters_and_averages(first)
    assert equal(state(resumed), after(done + 9, conv=conv, **options))


def counters_and_averages(of: GanTrainer) -> tuple[object, ...]:
    s = of.snapshot()
    return s.update, s.d_updates, s.g_updates, s.images, s.nonfinite, s.d, s.g


def test_a_trainer_that_diverged_stays_so_when_resumed():
    first = trainer(d_lr=1e38)
    first.advance(6)
    resumed = trainer(d_lr=1e38)
    resumed.load_state_dict(reread(first.state_dict()))
    before = state(resumed)
    resumed.advance(3)
    assert resumed.snapshot().nonfinite == first.snapshot().nonfinite is not None
    assert resumed.update == 6
    assert equal(before, state(resumed))


def reread(saved: dict[str, object]) -> dict[str, object]:
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# --- clipping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["d", "g"])
def test_a_weight_clip_bounds_its_own_player_after_each_update(side):
    clip = {"weight_clip" if side == "d" else "g_weight_clip": 0.01}
    under_test = trainer(**clip, d_lr=0.1, g_lr=0.1)
    under_test.advance(2)  # one update of each
    for _ in range(4):
        under_test.advance(1)
        largest = [weights(n).abs().max().item() for n in players(under_test)]
        clipped, free = largest if side == "d" else largest[::-1]
        assert clipped == pytest.approx(0.01)
        assert free > 0.1


@pytest.mark.parametrize("side", ["d", "g"])
def test_a_gradient_clip_bounds_its_own_player_and_reports_the_norm_before(side):
    free, clipped = trainer(), trainer(**{f"{side}_grad_clip": 1e-3})
    updates = 1 if side == "d" else 2  # up to its first update all is equal
    for under_test in (free, clipped):
        under_test.advance(updates)
    mine, other = (clipped.snapshot().d, clipped.snapshot().g)[:: 1 if side == "d" else -1]
    assert mine.grad_norm == side_of(free, side).grad_norm > 1e-2
    assert mine.clipped == 1.0
    assert other.clipped is None
    assert gradient_norm(clipped, side) == pytest.approx(1e-3, rel=1e-2)
    assert gradient_norm(free, side) == pytest.approx(mine.grad_norm, rel=1e-5)
    assert side_of(free, side).clipped is None


def side_of(of: GanTrainer, side: str) -> Side:
    return getattr(of.snapshot(), side)


def gradient_norm(of: GanTrainer, side: str) -> float:
    network = of.networks.discriminator if side == "d" else of.networks.generator
    return math.sqrt(sum(float(p.grad.square().sum()) for p in network.parameters()))


@pytest.mark.parametrize("side", ["d", "g"])
def test_averages_are_the_means_over_the_side_s_own_updates(side):
    """Without learning, clipping changes nothing, so single updates show what goes into a mean."""
    single = trainer(**NO_LEARNING, d_steps=2, g_steps=3)
    losses, norms = [], []
    for update in range(20):
        single.advance(1)
        if (update % 5 < 2) == (side == "d"):
            losses.append(side_of(single, side).loss)
            norms.append(side_of(single, side).grad_norm)
    bound = statistics.median_low(norms)  # a norm that is equal to the bound is not clipped
    whole = trainer(**NO_LEARNING, d_steps=2, g_steps=3, **{f"{side}_grad_clip": bound})
    whole.advance(20)
    averages = side_of(whole, side)
    assert averages.loss == pytest.approx(statistics.fmean(losses), rel=1e-5)
    assert averages.grad_norm == pytest.approx(statistics.fmean(norms), rel=1e-5)
    assert averages.clipped == pytest.approx(0.5)


def test_averages_begin_anew_with_each_advance_and_are_none_without_an_update():
    under_test = trainer(d_steps=3, g_steps=3, d_grad_clip=1.0, g_grad_clip=1.0)
    assert under_test.snapshot().d == under_test.snapshot().g == Side()
    under_test.advance(3)
    assert under_test.snapshot().g == Side()
    assert None not in vars_of(under_test.snapshot().d)
    under_test.advance(3)
    assert under_test.snapshot().d == Side()
    assert None not in vars_of(under_test.snapshot().g)


def vars_of(side: Side) -> tuple[float | None, ...]:
    return side.loss, side.grad_norm, side.clipped


# --- what is learned ------------------------------------------------------------------------------


@every_loss
def test_d_learns_to_score_real_data_above_fakes(loss):
    under_test = trainer(loss=loss, g_lr=0.0, d_lr=1e-2)
    under_test.advance(120)
    snapshot = under_test.snapshot()
    latents = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    real, fake = snapshot.discriminate(points()), snapshot.discriminate(snapshot.generate(latents))
    assert (real[:, None] > fake[None]).float().mean().item() > 0.95


@every_loss
def test_g_learns_to_raise_d_s_logit(loss):
    under_test = trainer(loss=loss, d_lr=0.0, g_lr=1e-2)
    latents = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    before = under_test.snapshot()
    start = before.discriminate(before.generate(latents)).mean().item()
    under_test.advance(120)
    after_training = under_test.snapshot()
    end = after_training.discriminate(after_training.generate(latents)).mean().item()
    assert end > start + 0.1


def test_d_sees_the_whole_training_data_and_fresh_standard_normal_latents():
    """Without learning, the mean WGAN loss is E D(G(z)) - E D(x) over exactly those."""
    under_test = trainer(loss="wgan", **NO_LEARNING, batch_size=64, d_steps=1000)
    under_test.advance(1000)
    snapshot = under_test.snapshot()
    latents = torch.randn(50_000, 3, generator=torch.Generator().manual_seed(1))
    real = snapshot.discriminate(points())
    fake = snapshot.discriminate(snapshot.generate(latents))
    expected = (fake.mean() - real.mean()).item()
    error = math.sqrt((real.var() + fake.var()).item() / 64_000)
    assert snapshot.d.loss == pytest.approx(expected, abs=5 * error)
    assert abs(expected) > 20 * error  # else any loss would pass


def test_g_s_side_of_a_loss_that_compares_sees_real_logits():
    """By its own logits twice, it would have log 2 = softplus(f - f) throughout."""
    under_test = trainer(loss="relativistic_paired", d_lr=1e-2, d_steps=30)
    under_test.advance(31)
    assert under_test.snapshot().g.loss > math.log(2.0) + 0.01


# --- when things go wrong -------------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("side", ["d", "g"])
def test_a_huge_learning_rate_is_named_and_ends_the_updates(loss, side):
    under_test = trainer(loss=loss, **{f"{side}_lr": 1e38})
    under_test.advance(10)
    nonfinite = under_test.snapshot().nonfinite
    assert nonfinite in {f"{w} of {n}" for w in ("loss", "gradient norm", "weights") for n in "DG"}
    before, update = state(under_test), under_test.update
    under_test.advance(10)
    assert under_test.update == update == 10
    assert under_test.snapshot().nonfinite == nonfinite
    assert equal(before, state(under_test))


@pytest.mark.parametrize(("side", "index"), [("D", 1), ("G", 0)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_named_by_its_network(side, index, value):
    under_test = trainer()
    under_test.advance(4)
    assert under_test.snapshot().nonfinite is None
    with torch.no_grad():
        next(under_test.networks[index].parameters())[0, 0] = value
    under_test.advance(0)
    assert under_test.snapshot().nonfinite == f"weights of {side}"


def test_a_loss_that_is_not_finite_is_named_even_where_weights_still_are():
    bad = points()
    bad[:] = math.nan
    under_test = GanTrainer(replace(CONFIG, **NO_LEARNING), MLP, RealData(bad))
    under_test.advance(1)
    assert under_test.snapshot().nonfinite == "loss of D"
    assert under_test.snapshot().d.loss is None


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="batch_size 65 is more than the 64 training samples"):
        trainer(batch_size=65)
    trainer(batch_size=64).advance(1)


# --- time -----------------------------------------------------------------------------------------


def test_seconds_add_up_and_speed_is_that_of_the_last_advance():
    under_test = trainer()
    assert under_test.snapshot().updates_per_second is None
    assert under_test.snapshot().seconds == 0.0
    start = time.perf_counter()
    under_test.advance(10)
    first = under_test.snapshot()
    assert 0.0 < first.seconds <= time.perf_counter() - start
    assert first.updates_per_second == pytest.approx(10 / first.seconds)
    under_test.advance(5)
    second = under_test.snapshot()
    assert second.updates_per_second == pytest.approx(5 / (second.seconds - first.seconds))

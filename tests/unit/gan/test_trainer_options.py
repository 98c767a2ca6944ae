"""What a trial may switch on in the trainer, each seen from outside by what it changes."""

import io
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ganray.gan.base import Trainer, evaluated
from ganray.gan.losses import GanLoss, make_loss
from ganray.gan.real import RealData
from ganray.gan.trainer import GanTrainer, make_trainer
from ganray.trial import TrialConfig

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = {"name": "mlp", "width": 12, "depth": 1}
CONV = {"name": "conv", "width": 2}
CONFIG = TrialConfig(batch_size=8, latent_dim=3, d_lr=1e-3, g_lr=1e-3, seed=5)
FROZEN = {"d_lr": 0.0, "g_lr": 0.0}
CLASSES = 4


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clusters(count: int = 256) -> RealData:
    """Four tight clusters on the axes, each a class of its own."""
    labels = torch.arange(count) % CLASSES
    angles = labels * (2.0 * math.pi / CLASSES)
    centres = torch.stack([angles.cos(), angles.sin()], 1)
    return RealData(centres + 0.05 * torch.randn(count, 2, generator=rng()), labels, CLASSES)


def images(channels: int = 1) -> RealData:
    shape = (64, channels, 8, 8)
    pictures = torch.randint(256, shape, generator=rng(), dtype=torch.uint8)
    return RealData(pictures, torch.arange(64) % CLASSES, CLASSES)


def trainer(data: RealData | None = None, budget: int | None = 100, **changes: object) -> Trainer:
    config = replace(CONFIG, **changes)
    data = clusters() if data is None else data
    return make_trainer(config, MLP if len(data.shape) == 1 else CONV, data, budget)


def weights(of: Trainer, side: str = "g") -> Tensor:
    return torch.cat([p.detach().flatten() for p in of.players[side].parameters])


def trained(updates: int = 12, **changes: object) -> Tensor:
    under_test = trainer(**changes)
    under_test.advance(updates)
    return torch.cat([weights(under_test, side) for side in under_test.players])


def every_option(data: RealData) -> list[dict[str, object]]:
    """Each of a trial's options in a value that is not the default."""
    shared = [
        {"penalty": "r1"},
        {"penalty": "r1", "penalty_weight": 1.0},
        {"penalty": "r1", "penalty_schedule": "linear"},
        {"penalty": "r1", "penalty_schedule": "linear", "penalty_final": 0.5},
        {"penalty": "r2"},
        {"penalty": "r1_r2"},
        {"penalty": "wgan_gp"},
        {"penalty": "dragan"},
        {"penalty": "lecam"},
        {"simultaneous": True},
        {"warmup_d_steps": 3},
        {"warmup_d_steps": 3, "warmup_rounds": 1},
        {"warmup_d_steps": 3, "warmup_rounds": 0, "warmup_every": 2},
        {"weight_clip": 0.01},
        {"weight_clip": 0.01, "weight_clip_scope": "weights"},
        {"spectral_norm": True},
        {"d_optimizer": "sgd"},
        {"g_optimizer": "sgd"},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"weight_decay": 0.1},
        {"lr_schedule": "linear"},
        {"lr_schedule": "cosine"},
        {"lr_schedule": "cosine", "lr_final": 0.5},
        {"pack": 2},
        {"instance_noise": 0.5},
        {"conditioning": "concat"},
        {"conditioning": "projection"},
        {"conditioning": "acgan"},
        {"conditioning": "acgan", "class_weight": 0.5},
        {"conditioning": "sgan"},
        {"conditioning": "sgan", "labelled": 0.1},
        {"dtype": "bf16"},
        {"model": "vae"},
        {"model": "vae", "kl_weight": 0.1},
        {"model": "vae", "conditioning": "concat"},
        {"model": "autoencoder"},
    ]
    of_images = [{"diffaugment": "color"}, {"diffaugment": "translation,cutout"}]
    return [*shared, *of_images] if len(data.shape) == 3 else shared


@pytest.mark.parametrize("data", [clusters(), images()], ids=["vectors", "images"])
def test_every_option_changes_what_is_learned_and_no_two_alike(data):
    found = {str(options): trained(data=data, **options) for options in every_option(data)}
    found["{}"] = trained(data=data)
    names = list(found)
    alike = [
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if found[a].shape == found[b].shape and torch.equal(found[a], found[b])
    ]
    assert alike == []
    assert all(weights.isfinite().all() for weights in found.values())


@pytest.mark.parametrize("data", [clusters(), images()], ids=["vectors", "images"])
def test_with_every_option_a_checkpoint_goes_on_as_if_nothing_had_happened(data):
    for options in every_option(data):
        first, resumed = trainer(data=data, **options), trainer(data=data, **options)
        first.advance(6)
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        resumed.load_state_dict(torch.load(file, weights_only=True))
        for under_test in (first, resumed):
            under_test.advance(6)
        for side in first.players:
            assert torch.equal(weights(first, side), weights(resumed, side)), options


# --- turns ----------------------------------------------------------------------------------------


def test_a_warm_up_gives_d_more_turns_in_the_first_rounds():
    under_test = trainer(warmup_d_steps=5, warmup_rounds=2, d_steps=1, g_steps=1)
    turns = []
    for _ in range(16):
        before = under_test.d_updates
        under_test.advance(1)
        turns.append("d" if under_test.d_updates > before else "g")
    assert "".join(turns) == "dddddg" * 2 + "dg" * 2


def test_simultaneous_updates_take_both_gradients_before_either_network_moves():
    """By SGD with rate 1, G moves by minus its gradient at D's old weights, on the same latents."""
    options = {"optimizer": "sgd", "d_lr": 100.0, "g_lr": 1.0, "simultaneous": True}
    frozen = trainer(**options | {"d_lr": 0.0})
    moving = trainer(**options)
    for under_test in (frozen, moving):
        under_test.advance(2)
    assert torch.equal(weights(frozen), weights(moving))
    assert not torch.equal(weights(frozen, "d"), weights(moving, "d"))
    in_turns = trainer(**options | {"simultaneous": False})
    in_turns.advance(2)
    assert not torch.equal(weights(in_turns), weights(moving))


def test_simultaneous_updates_come_in_pairs():
    under_test = trainer(simultaneous=True)
    with pytest.raises(ValueError, match="come in pairs; got 3"):
        under_test.advance(3)


# --- schedules ------------------------------------------------------------------------------------


def test_a_schedule_ends_where_it_says_and_steps_shrink_with_it():
    steps = []
    under_test = trainer(lr_schedule="linear", lr_final=0.0, optimizer="sgd", budget=20)
    for _ in range(10):
        before = weights(under_test)
        under_test.advance(2)
        steps.append(float((weights(under_test) - before).norm()))
    assert steps[-1] < 0.2 * steps[0]
    under_test.advance(2)  # past the budget, where the rate is 0
    assert under_test.players["g"].optimizer.lr == 0.0


@pytest.mark.parametrize(
    "options",
    [
        {"lr_schedule": "linear"},
        {"penalty": "r1", "penalty_schedule": "cosine"},
        {"instance_noise": 0.1},
    ],
)
def test_what_depends_on_the_budget_needs_it(options):
    with pytest.raises(ValueError, match="needs the budget of the trial"):
        trainer(budget=None, **options)


def test_a_penalty_s_weight_follows_its_schedule():
    """With frozen networks and samples all alike, the means of two D updates tell the factor."""
    options = {"penalty": "r1", "penalty_schedule": "linear", "penalty_final": 0.0, **FROZEN}
    under_test = trainer(data=RealData(torch.ones(64, 2)), budget=20, **options)
    under_test.advance(4)  # D's are updates 0 and 2: factors 1 and 0.9
    first = under_test.snapshot().d.penalty
    under_test.advance(12)
    under_test.advance(4)  # updates 16 and 18: factors 0.2 and 0.1
    assert first > 0.0
    assert under_test.snapshot().d.penalty == pytest.approx(first * 0.15 / 0.95, rel=1e-5)


def test_a_penalty_is_reported_beside_the_loss_with_its_weight():
    light, heavy = (
        trainer(penalty="r1", penalty_weight=weight, **FROZEN) for weight in (1.0, 10.0)
    )
    for under_test in (light, heavy):
        under_test.advance(20)
    assert heavy.snapshot().d.penalty == pytest.approx(10.0 * light.snapshot().d.penalty, rel=1e-5)
    assert heavy.snapshot().d.loss == light.snapshot().d.loss
    assert trainer().snapshot().d.penalty is None


def test_no_weight_given_means_the_weight_of_the_source():
    given = trained(penalty="wgan_gp", penalty_weight=10.0)
    assert torch.equal(trained(penalty="wgan_gp"), given)


# --- what D sees ----------------------------------------------------------------------------------


def test_instance_noise_is_in_units_of_the_data_and_ends_at_zero(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "ganray.gan.trainer.add_instance_noise",
        lambda samples, std, draws: seen.append(std) or samples,
    )
    data = clusters()
    under_test = trainer(data=data, instance_noise=0.5, budget=4)
    under_test.advance(4)
    std = float(data.samples.std())
    shares = sorted({round(s / (0.5 * std), 6) for s in seen}, reverse=True)
    assert shares == [1.0, 0.75, 0.5, 0.25]


def test_a_packed_d_judges_whole_packs_and_says_so():
    under_test = trainer(pack=3)
    under_test.advance(4)
    snapshot = under_test.snapshot()
    assert snapshot.is_joint
    assert snapshot.images == 2 * 8 * 3
    assert snapshot.discriminate(torch.zeros(20, 2)).shape == (6,)  # two samples are left over
    samples = torch.randn(6, 2, generator=rng())
    both = snapshot.discriminate(samples)
    assert torch.allclose(snapshot.discriminate(samples[3:]), both[1:])


def test_more_samples_than_fit_at_once_are_evaluated_in_chunks():
    under_test = trainer(pack=3, conditioning="concat")
    snapshot = under_test.snapshot()
    samples, conditions = torch.randn(999, 2, generator=rng()), torch.eye(4)[torch.arange(999) % 4]
    logits = snapshot.discriminate(samples, conditions)
    assert logits.shape == (333,)
    assert torch.allclose(snapshot.discriminate(samples[-3:], conditions[-3:]), logits[-1:])
    latents = torch.randn(999, 3, generator=rng())
    drawn = snapshot.generate(latents, conditions)
    assert torch.allclose(snapshot.generate(latents[500:501], conditions[500:501]), drawn[500:501])


@pytest.mark.parametrize(
    ("samples", "pack", "logits"), [(241, 2, 120), (242, 3, 80), (482, 4, 120)]
)
def test_what_is_left_over_behind_whole_chunks_and_packs_is_left_out(samples, pack, logits):
    drawn = torch.randn(samples, 2, generator=rng())
    judged = trainer(pack=pack).snapshot().discriminate(drawn)
    assert judged.shape == (logits,)
    whole = trainer(pack=pack).snapshot().discriminate(drawn[: logits * pack])
    assert torch.equal(judged, whole)


def half_frozen() -> nn.Sequential:
    """In training, but for a norm that its author keeps in evaluation mode."""
    return nn.Sequential(
        nn.Linear(2, 4), nn.BatchNorm1d(4).eval(), nn.Dropout(0.5), nn.Linear(4, 1)
    )


def modes(of: nn.Module) -> list[bool]:
    return [part.training for part in of.modules()]


def test_evaluation_sets_every_part_s_mode_back_to_its_own():
    network, seen = half_frozen(), []
    before, mean = modes(network), network[1].running_mean.clone()

    def call(samples: Tensor, _conditions: Tensor | None) -> Tensor:
        seen.append(modes(network))
        return network(samples)

    evaluated(network, call)(torch.ones(5, 2))
    assert before == [True, True, False, True, True]
    assert seen == [[False] * 5]
    assert modes(network) == before
    assert torch.equal(network[1].running_mean, mean)


def test_evaluation_that_fails_sets_modes_back_too():
    network = half_frozen()

    def call(_samples: Tensor, _conditions: Tensor | None) -> Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        evaluated(network, call)(torch.ones(5, 2))
    assert modes(network) == [True, True, False, True, True]


def test_measuring_keeps_the_frozen_parts_of_d_frozen():
    under_test = trainer()
    d = under_test.networks.discriminator
    d.trunk.append(nn.BatchNorm1d(d.trunk.features).eval())
    before = modes(d)
    under_test.snapshot().discriminate(torch.ones(5, 2))
    assert modes(d) == before
    assert {True, False} == set(before)


def test_a_d_with_batch_norm_gives_no_logits_as_it_judges_batches():
    normed = GanTrainer(CONFIG, {**MLP, "d_norm": "batch"}, clusters())
    assert normed.snapshot().discriminate is None
    of_g_alone = GanTrainer(CONFIG, {**MLP, "g_norm": "batch"}, clusters())
    assert of_g_alone.snapshot().discriminate is not None


# --- the average of G -----------------------------------------------------------------------------


def test_the_average_of_g_follows_by_the_ramped_decay():
    """Two G updates: decay 1/10, then 2/11."""
    under_test = trainer(ema=0.999)
    start = weights(under_test).double()
    under_test.advance(2)
    first = weights(under_test).double()
    under_test.advance(2)
    second = weights(under_test).double()
    expected = 2 / 11 * (0.1 * start + 0.9 * first) + 9 / 11 * second
    state = under_test.state_dict()["average"]["module"]
    averaged = torch.cat([p.flatten() for p in state.values()])
    assert torch.allclose(averaged.double(), expected, atol=1e-7)


def test_samples_are_of_g_itself_and_the_average_has_its_own():
    under_test = trainer(ema=0.9)
    under_test.advance(20)
    snapshot = under_test.snapshot()
    latents = torch.randn(5, 3, generator=rng())
    assert not torch.equal(snapshot.generate(latents), snapshot.generate_average(latents))
    assert torch.equal(trained(20), trained(20, ema=0.9))  # it changes no training
    assert trainer().snapshot().generate_average is None


# --- conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("conditioning", ["concat", "projection", "acgan"])
def test_a_conditional_g_draws_what_it_is_told(conditioning):
    options = {"d_lr": 3e-3, "g_lr": 3e-3, "batch_size": 64}
    under_test = trainer(conditioning=conditioning, **options)
    under_test.advance(3_000)
    told = torch.arange(200) % CLASSES
    snapshot = under_test.snapshot()
    conditions = torch.nn.functional.one_hot(told, CLASSES).float()
    drawn = snapshot.generate(torch.randn(200, 3, generator=rng(1)), conditions)
    centres = torch.stack([clusters().samples[k::CLASSES].mean(0) for k in range(CLASSES)])
    nearest = torch.cdist(drawn, centres).argmin(1)
    assert (nearest == told).float().mean().item() > 0.9
    assert snapshot.is_conditional


def test_conditions_may_be_vectors():
    """G is told a point and learns to draw near it."""
    points = torch.randn(512, 2, generator=rng())
    noise = 0.05 * torch.randn(512, 2, generator=rng(1))
    data = RealData(points + noise, conditions=points)
    config = replace(CONFIG, conditioning="concat", batch_size=64, d_lr=1e-2, g_lr=1e-2)
    under_test = GanTrainer(config, {**MLP, "width": 32}, data)
    under_test.advance(600)
    told = torch.randn(200, 2, generator=rng(2))
    drawn = under_test.snapshot().generate(torch.randn(200, 3, generator=rng(3)), told)
    correlation = torch.corrcoef(torch.stack([drawn.flatten(), told.flatten()]))[0, 1]
    assert correlation.item() > 0.95


def shown_to_d(under_test: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, ...]]:
    """What D is called with, call by call: samples, and their conditions."""
    d, calls = under_test.players["d"].network, []
    forward = d.forward
    monkeypatch.setattr(d, "forward", lambda *inputs: calls.append(inputs) or forward(*inputs))
    return calls


def are_told_their_own(samples: Tensor, told: Tensor) -> bool:
    """Whether real samples are shown with the conditions of the clusters that they are of."""
    centres = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    return torch.equal(torch.cdist(samples, centres).argmin(1), told.argmax(1))


@pytest.mark.parametrize("conditioning", ["concat", "projection"])
@pytest.mark.parametrize("loss", ["non_saturating", "relativistic_paired", "relativistic_average"])
def test_in_one_update_fakes_are_told_what_the_real_samples_are(conditioning, loss, monkeypatch):
    under_test = trainer(conditioning=conditioning, loss=loss)
    calls = shown_to_d(under_test, monkeypatch)
    under_test.advance(1)
    (real, of_real), (_fake, of_fake) = calls
    assert torch.equal(of_real, of_fake)
    assert are_told_their_own(real.detach(), of_real)
    calls.clear()
    under_test.advance(1)
    if loss == "non_saturating":
        assert len(calls) == 1
        return
    (_fake, of_fake), (real, of_real) = calls
    assert torch.equal(of_real, of_fake)
    assert are_told_their_own(real, of_real)


def test_g_is_told_the_conditions_that_d_is_shown_with_its_samples(monkeypatch):
    under_test = trainer(conditioning="concat")
    calls, told = shown_to_d(under_test, monkeypatch), []
    under_test.players["g"].network.register_forward_hook(
        lambda _network, inputs, _samples: told.append(inputs[1])
    )
    under_test.advance(2)
    assert torch.equal(told[0], calls[1][1])  # D's update: a real batch, then a fake one
    assert torch.equal(told[1], calls[2][1])  # G's
    assert not torch.equal(told[0], told[1])


@pytest.mark.parametrize("conditioning", ["acgan", "sgan"])
def test_a_class_head_learns_the_classes_of_real_data(conditioning):
    under_test = trainer(conditioning=conditioning, d_lr=3e-3, batch_size=64)
    under_test.advance(800)
    snapshot, data = under_test.snapshot(), clusters()
    found = snapshot.classify(data.samples, None).argmax(1)
    assert (found == data.labels).float().mean().item() > 0.95
    assert snapshot.is_conditional is (conditioning == "acgan")
    assert not snapshot.is_joint


def test_sgan_sees_no_more_labels_than_it_may(monkeypatch):
    data = clusters()
    seen = []
    read = RealData.labels_at
    monkeypatch.setattr(
        RealData, "labels_at", lambda self, picked: seen.append(picked) or read(self, picked)
    )
    under_test = trainer(data=data, conditioning="sgan", labelled=0.1)
    under_test.advance(40)
    assert max(int(picked.max()) for picked in seen[1::2]) == 25  # a tenth of 256


@pytest.mark.parametrize(
    ("conditioning", "data", "missing"),
    [
        ("concat", RealData(torch.zeros(64, 2)), "needs data with conditions"),
        ("acgan", RealData(torch.zeros(64, 2), conditions=torch.ones(64, 3)), "data with labels"),
    ],
)
def test_conditioning_without_the_data_for_it_is_refused(conditioning, data, missing):
    with pytest.raises(ValueError, match=missing):
        trainer(data=data, conditioning=conditioning)


# --- precision and layout -------------------------------------------------------------------------


def test_bf16_computes_losses_and_penalties_in_fp32_and_stays_near_fp32():
    options = {"penalty": "r1_r2", "loss": "relativistic_paired"}
    wide, narrow = trained(40, **options), trained(40, dtype="bf16", **options)
    assert narrow.dtype == torch.float32
    assert 0.0 < float((wide - narrow).norm() / wide.norm()) < 0.05
    under_test = trainer(dtype="bf16", **options)
    under_test.advance(4)
    assert under_test.players["d"].sums["loss"].dtype == torch.float32


@pytest.mark.parametrize("conditioning", ["none", "acgan"])
def test_in_bf16_networks_give_bf16_and_losses_are_given_fp32(conditioning, monkeypatch):
    given, classes = [], []
    make, entropy = make_loss, torch.nn.functional.cross_entropy

    def recorded(side: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda real, fake: given.extend([real.dtype, fake.dtype]) or side(real, fake)

    def make_recorded(*arguments: object, **options: object) -> GanLoss:
        loss = make(*arguments, **options)
        return loss._replace(
            discriminator=recorded(loss.discriminator), generator=recorded(loss.generator)
        )

    monkeypatch.setattr("ganray.gan.trainer.make_loss", make_recorded)
    monkeypatch.setattr(
        "ganray.gan.trainer.F.cross_entropy",
        lambda logits, labels: classes.append(logits.dtype) or entropy(logits, labels),
    )
    under_test, outputs = trainer(dtype="bf16", conditioning=conditioning), []
    under_test.networks.discriminator.register_forward_hook(
        lambda _network, _inputs, judgement: outputs.append(judgement[0].dtype)
    )
    under_test.networks.generator.register_forward_hook(
        lambda _network, _inputs, samples: outputs.append(samples.dtype)
    )
    under_test.advance(2)
    assert outputs == [torch.bfloat16] * 5
    assert given == [torch.float32] * 4
    assert classes == [torch.float32] * (3 if conditioning == "acgan" else 0)


@pytest.mark.parametrize("is_last", [False, True])
def test_samples_are_laid_out_for_d_as_the_trial_says(is_last, monkeypatch):
    under_test = trainer(data=images(3), channels_last=is_last)
    calls = shown_to_d(under_test, monkeypatch)
    under_test.advance(2)
    layout = torch.channels_last if is_last else torch.contiguous_format
    assert len(calls) == 3
    assert all(samples.is_contiguous(memory_format=layout) for samples, _ in calls)


def test_channels_last_changes_the_layout_and_hardly_the_result():
    plain, last = (trained(data=images(3), channels_last=is_last) for is_last in (False, True))
    assert torch.allclose(plain, last, atol=1e-4)
    under_test = trainer(data=images(3), channels_last=True)
    convolutions = [w for w in under_test.players["d"].parameters if w.ndim == 4]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in convolutions)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's compiler warns of its own doings
def test_compiled_networks_train_alike_and_are_saved_under_their_own_names(monkeypatch):
    """By a backend that needs no C++ compiler: the way through `torch.compile` is tested."""
    compiled = partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr("ganray.gan.player.torch.compile", compiled)
    under_test, plain = trainer(compile=True), trainer()
    for each in (under_test, plain):
        each.advance(8)
    assert torch.allclose(weights(under_test), weights(plain), atol=1e-6)
    states = (each.state_dict()["players"]["g"]["network"] for each in (under_test, plain))
    assert list(next(states)) == list(next(states))


def test_both_networks_are_compiled_if_the_trial_says_so(monkeypatch):
    calls = []

    def counted(network: nn.Module) -> Callable[..., object]:
        return lambda *inputs: calls.append(network) or network(*inputs)

    monkeypatch.setattr("ganray.gan.player.torch.compile", counted)
    under_test = trainer(compile=True)
    under_test.advance(2)
    generator, discriminator = under_test.networks
    assert calls == [generator, discriminator, discriminator, generator, discriminator]
    calls.clear()
    trainer().advance(2)
    assert calls == []

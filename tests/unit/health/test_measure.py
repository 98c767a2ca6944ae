"""Signals of generators and discriminators made up to be known: perfect, noisy, collapsed, …

The snapshot is the real record of a trial; only its two functions are made up.
"""

import math
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ganray.data.dataset import Dataset
from ganray.data.gaussians import GaussianModes, gaussian_1d, grid, ring
from ganray.gan.base import Snapshot
from ganray.gan.networks import build_networks
from ganray.gan.player import Side
from ganray.gan.real import RealData
from ganray.gan.trainer import GanTrainer
from ganray.health.measure import SAMPLES, Bench, Meter
from ganray.trial import LOG_2, SIGNALS, Signals, TrialConfig, derive_seed

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = {"name": "mlp", "width": 32, "depth": 2}
LATENT_DIM = 4

# What depends on the samples, and what on D's logits too.
OF_SAMPLES = {
    "distance",
    "sliced_distance",
    "energy_distance",
    "sliced_wasserstein",
    "modes",
    "mode_ratio",
    "modes_covered",
    "high_quality",
    "mode_kl",
    "probe_js",
    "probe_auc",
    "diversity",
    "extent",
    "velocity",
}
OF_DISCRIMINATOR = {"js", "auc", "overfit_gap"}

Generate = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module")
def bench(ring8) -> Bench:
    return Bench(ring8, MLP)


def undecided(samples: Tensor) -> Tensor:
    return torch.zeros(len(samples))


def gives(samples: np.ndarray | Tensor) -> Generate:
    """A generator that gives these samples, whatever the latents."""
    return lambda latents: torch.as_tensor(samples[: len(latents)])


def fresh(seed: int = 99, modes: int = 8) -> np.ndarray:
    """Samples of the ring that are in neither of its banks."""
    return ring(seed=seed, train_size=SAMPLES, modes=modes).train


def snapshot(generate: Generate, discriminate: Generate = undecided, **changes: object) -> Snapshot:
    plain = Snapshot(
        update=30,
        d_updates=20,
        g_updates=10,
        images=2560,
        seconds=1.5,
        updates_per_second=20.0,
        nonfinite=None,
        d=Side(loss=1.25, penalty=0.125, grad_norm=0.5),
        g=Side(loss=0.75, clipped=0.25),
        generate=lambda latents, _conditions: generate(latents),
        discriminate=lambda samples, _conditions: discriminate(samples),
    )
    return replace(plain, **changes)


def measure(bench: Bench, generate: Generate, discriminate: Generate = undecided) -> Signals:
    return Meter(bench, LATENT_DIM).measure(snapshot(generate, discriminate))


def defined(signals: Signals) -> set[str]:
    return {name for name in SIGNALS if getattr(signals, name) is not None}


def values(signals: Signals) -> dict[str, float]:
    """What the samples and D decide, without the time that measuring took."""
    return {n: v for n, v in signals.to_dict().items() if n != "measure_seconds"}


# --- generators -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [99, 100, 101])
def test_a_perfect_generator(bench, seed):
    found = measure(bench, gives(fresh(seed)))
    assert found.distance == pytest.approx(0.0, abs=0.02)
    assert found.sliced_distance == pytest.approx(0.0, abs=0.12)
    assert found.energy_distance == pytest.approx(0.0, abs=0.02)
    assert found.modes == pytest.approx(8.0, abs=0.2)
    assert found.mode_ratio == pytest.approx(1.0, abs=0.025)
    assert found.modes_covered == 8.0
    assert found.high_quality == pytest.approx(1.0 - math.exp(-4.5), abs=0.015)
    assert found.mode_kl == pytest.approx(0.0, abs=0.03)
    assert found.probe_js == pytest.approx(0.0, abs=0.03)
    assert found.probe_auc == pytest.approx(0.5, abs=0.06)
    assert found.diversity == pytest.approx(1.0, abs=0.05)
    assert found.extent == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_an_untrained_generator_is_at_distance_1(bench, seed):
    generator = build_networks(MLP, (2,), LATENT_DIM, seed).generator
    with torch.no_grad():
        found = measure(bench, generator)
    assert found.distance == pytest.approx(1.0, abs=0.25)
    assert found.sliced_distance == pytest.approx(1.0, abs=0.25)
    assert found.high_quality < 0.2


def test_untrained_generators_with_batch_norm_are_at_distance_1_as_the_trainer_shows_them(digits10):
    conv = {"name": "conv", "width": 4}
    train, bench = torch.tensor(digits10.train), Bench(digits10, conv)
    found = []
    for seed in range(6):
        trainer = GanTrainer(TrialConfig(latent_dim=LATENT_DIM, seed=seed), conv, RealData(train))
        found.append(Meter(bench, LATENT_DIM).measure(trainer.snapshot()).distance)
    assert np.mean(found) == pytest.approx(1.0, abs=0.1)


def test_distance_is_the_share_of_the_way_from_real_data_to_an_untrained_generator(bench):
    """On the line between the anchors, whatever the samples."""
    found = measure(bench, gives(fresh() + np.float32(0.7)))
    energy, sliced = bench.distances(torch.tensor(fresh() + np.float32(0.7)))
    real, untrained = bench.real_anchor, bench.untrained_anchor(LATENT_DIM)
    assert found.energy_distance == pytest.approx(energy, rel=1e-5)
    assert found.sliced_wasserstein == pytest.approx(sliced, rel=1e-5)
    assert found.distance == pytest.approx((energy - real[0]) / (untrained[0] - real[0]))
    assert found.sliced_distance == pytest.approx((sliced - real[1]) / (untrained[1] - real[1]))
    assert untrained[0] > 0.2 > 0.02 > abs(real[0])


def test_real_training_data_are_at_distance_0_exactly(bench, ring8):
    assert measure(bench, gives(ring8.train)).distance == pytest.approx(0.0, abs=1e-6)


def test_a_generator_of_one_perfect_mode(bench):
    centre = np.array([1.0, 0.0], dtype=np.float32)
    noise = np.random.default_rng(0).normal(0.0, 0.02, (SAMPLES, 2)).astype(np.float32)
    found = measure(bench, gives(centre + noise))
    assert found.modes == pytest.approx(1.0, abs=1e-6)
    assert found.mode_ratio == pytest.approx(1.0 / 8.0, abs=0.005)
    assert found.modes_covered == 1.0
    assert found.high_quality == pytest.approx(0.989, abs=0.015)
    assert found.mode_kl == pytest.approx(math.log(8.0), abs=0.1)
    assert found.diversity == pytest.approx(0.02 * math.sqrt(math.pi) / 1.275, rel=0.1)
    assert 0.5 < found.distance < 2.0


def test_a_generator_of_half_the_modes(bench, ring8):
    samples = fresh()
    half = samples[ring8.counter.classify(samples).mode < 4]
    found = measure(bench, gives(np.concatenate([half, half, half])))
    assert found.modes == pytest.approx(4.0, abs=0.1)
    assert found.modes_covered == 4.0


@pytest.mark.parametrize("modes", [4, 25, 64, 100])
def test_a_perfect_generator_of_many_modes_has_them_however_few_samples_there_are_for_each(modes):
    bench = Bench(grid(modes=modes, train_size=2000), MLP)
    found = measure(bench, gives(grid(modes=modes, train_size=SAMPLES, seed=9).train))
    assert found.mode_ratio == pytest.approx(1.0, abs=0.1)


def test_noise_over_all_modes_has_no_quality_and_covers_nothing(bench):
    noise = np.random.default_rng(0).uniform(-1.5, 1.5, (SAMPLES, 2)).astype(np.float32)
    found = measure(bench, gives(noise))
    assert found.high_quality == pytest.approx(8 * math.pi * 0.06**2 / 9.0, abs=0.01)
    assert found.modes_covered == found.modes == 0.0  # one lucky sample a mode is no mode
    assert found.probe_auc > 0.9
    assert found.probe_js > 0.6 * LOG_2


def test_samples_all_at_one_point_far_away(bench):
    found = measure(bench, gives(np.full((SAMPLES, 2), 30.0, dtype=np.float32)))
    assert found.diversity == 0.0
    assert found.modes == found.mode_ratio == found.modes_covered == found.high_quality == 0.0
    assert found.mode_kl is None
    assert found.extent == pytest.approx(30.0 / 1.05, rel=0.05)
    assert found.distance > 10.0


def test_a_measure_in_one_dimension():
    bench = Bench(gaussian_1d(train_size=2000), MLP)
    perfect = measure(bench, gives(gaussian_1d(seed=5).train))
    assert perfect.distance == pytest.approx(0.0, abs=0.01)
    assert perfect.extent == pytest.approx(1.0, abs=0.2)
    shifted = measure(bench, gives(gaussian_1d(seed=5, mean=5.0).train))
    assert shifted.sliced_wasserstein == pytest.approx(1.0, abs=0.15)
    assert shifted.modes == 1.0


def test_a_measure_of_images(digits10):
    bench = Bench(digits10, MLP)
    perfect = measure(bench, gives(digits10.heldout[::-1].copy()))
    assert bench.count == 500
    assert perfect.distance == pytest.approx(0.0, abs=0.05)
    assert perfect.modes == pytest.approx(10.0, abs=0.2)
    noise = np.random.default_rng(0).uniform(-1, 1, (500, 1, 8, 8)).astype(np.float32)
    assert measure(bench, gives(noise)).high_quality == 0.0


# --- discriminators -------------------------------------------------------------------------------


def near_the_ring(samples: Tensor) -> Tensor:
    """A D that knows the distribution, not the samples: the distance to the nearest mode."""
    angles = 2 * math.pi * torch.arange(8) / 8
    centres = torch.stack([angles.cos(), angles.sin()], 1)
    return -torch.cdist(samples, centres).amin(1)


def remembers(bank: np.ndarray) -> Generate:
    """A D that knows the samples of a bank and nothing else."""
    known = {row.tobytes() for row in bank}
    return lambda samples: torch.tensor([float(r.tobytes() in known) for r in samples.numpy()])


def test_a_d_that_knows_the_distribution_does_not_overfit(bench):
    noise = np.random.default_rng(0).uniform(-1.5, 1.5, (SAMPLES, 2)).astype(np.float32)
    found = measure(bench, gives(noise), near_the_ring)
    assert found.overfit_gap == pytest.approx(0.0, abs=0.02)
    assert found.auc > 0.98
    assert found.js > 0.85 * LOG_2


def test_a_d_that_memorised_the_training_data_overfits_wholly(bench, ring8):
    found = measure(bench, gives(fresh()), remembers(ring8.train))
    assert found.overfit_gap == pytest.approx(1.0, abs=1e-6)
    assert found.auc == 0.5  # all the same to it: held-out data are as unknown as generated
    assert found.js == pytest.approx(0.0, abs=1e-9)


def test_the_overfit_gap_is_the_share_of_d_s_margin_that_held_out_data_lack(bench, ring8):
    """(D(train) - D(held-out)) / (D(train) - D(fake)) = (3 - 2.5) / (3 - 1) here."""
    of_train, of_heldout = remembers(ring8.train), remembers(ring8.heldout)
    found = measure(bench, gives(fresh()), lambda s: 1.0 + 2.0 * of_train(s) + 1.5 * of_heldout(s))
    assert found.overfit_gap == pytest.approx(0.25, rel=1e-5)


def test_a_d_that_is_right_about_held_out_data_has_no_gap(bench, ring8):
    everything = np.concatenate([ring8.train, ring8.heldout])
    found = measure(bench, gives(fresh()), remembers(everything))
    assert found.overfit_gap == pytest.approx(0.0, abs=1e-6)
    assert found.auc == 1.0
    assert LOG_2 - 0.005 < found.js <= LOG_2


def test_a_d_that_takes_fakes_for_real_has_an_auc_of_0(bench):
    noise = np.random.default_rng(0).uniform(5, 6, (SAMPLES, 2)).astype(np.float32)
    assert measure(bench, gives(noise), lambda s: -near_the_ring(s)).auc == 0.0


def test_a_d_that_says_the_same_of_everything(bench):
    found = measure(bench, gives(fresh()))
    assert (found.auc, found.overfit_gap) == (0.5, None)
    assert found.js == pytest.approx(0.0, abs=1e-12)


def test_overfitting_and_auc_do_not_depend_on_the_scale_of_logits(bench):
    noise = np.random.default_rng(0).uniform(-1.5, 1.5, (SAMPLES, 2)).astype(np.float32)
    plain = measure(bench, gives(noise), near_the_ring)
    scaled = measure(bench, gives(noise), lambda s: 100.0 * near_the_ring(s) - 7.0)
    assert scaled.overfit_gap == pytest.approx(plain.overfit_gap, abs=1e-3)
    assert scaled.auc == pytest.approx(plain.auc, abs=1e-3)
    assert scaled.js == pytest.approx(plain.js, abs=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite_leave_out_what_rests_on_them(bench, value):
    found = measure(bench, gives(fresh()), lambda s: torch.full((len(s),), value))
    assert not defined(found) & OF_DISCRIMINATOR
    assert defined(found) >= OF_SAMPLES - {"velocity"}


def test_logits_of_packs_or_of_samples_with_conditions_have_names_of_their_own(bench):
    noise = np.random.default_rng(0).uniform(-1.5, 1.5, (SAMPLES, 2)).astype(np.float32)
    alone = measure(bench, gives(noise), near_the_ring)
    joint = Meter(bench, LATENT_DIM).measure(snapshot(gives(noise), near_the_ring, is_joint=True))
    assert (joint.joint_js, joint.joint_auc) == (alone.js, alone.auc)
    assert joint.overfit_gap == alone.overfit_gap
    assert (joint.js, joint.auc, alone.joint_js, alone.joint_auc) == (None,) * 4


def test_without_logits_nothing_is_said_of_d(bench):
    found = report(bench, discriminate=None)
    assert not defined(found) & (OF_DISCRIMINATOR | {"joint_js", "joint_auc"})
    assert defined(found) >= OF_SAMPLES - {"velocity"}


# --- classes and conditions -----------------------------------------------------------------------

CENTRES = torch.tensor([[math.cos(a), math.sin(a)] for a in np.arange(8) * math.pi / 4]).float()


def as_told(_latents: Tensor, told: Tensor) -> Tensor:
    """A generator that draws the centre of the mode that it is told."""
    return CENTRES[told.argmax(1)]


def report(bench: Bench, **changes: object) -> Signals:
    """Of a perfect generator and an undecided D, but for what is changed."""
    return Meter(bench, LATENT_DIM).measure(replace(snapshot(gives(fresh())), **changes))


def test_class_accuracy_is_the_share_of_held_out_data_whose_class_d_tells(bench):
    """This one takes every sample of class 0 for one of class 1."""

    def classify(samples: Tensor, _conditions: Tensor | None) -> Tensor:
        nearest = torch.cdist(samples, CENTRES).argmin(1)
        return torch.nn.functional.one_hot(nearest.clamp_min(1), 8).float()

    expected = float((bench.labels != 0).mean())
    assert report(bench, classify=classify).class_accuracy == pytest.approx(expected, abs=1e-9)
    assert 0.8 < expected < 0.95
    assert report(bench).class_accuracy is None


def test_condition_accuracy_is_the_share_of_good_samples_that_are_as_told(bench):
    """A quarter of another class, and a quarter of the right one, but too far off to be good."""

    def generate(latents: Tensor, told: Tensor) -> Tensor:
        samples = as_told(latents, told)
        quarter = len(samples) // 4
        samples[:quarter] = CENTRES[(told[:quarter].argmax(1) + 3) % 8]
        samples[quarter : 2 * quarter] *= 0.5
        return samples

    found = report(bench, generate=generate, is_conditional=True)
    assert found.condition_accuracy == pytest.approx(2.0 / 3.0, abs=1e-9)
    assert report(bench, generate=as_told, is_conditional=True).condition_accuracy == 1.0


def test_condition_accuracy_is_of_generators_that_are_told_modes(bench, ring8):
    assert report(bench, generate=as_told).condition_accuracy is None
    other = Bench(replace(ring8, classes=9), MLP)  # whose modes are not its classes
    assert report(other, generate=as_told, is_conditional=True).condition_accuracy is None
    nowhere = {"generate": lambda latents, _told: torch.zeros(len(latents), 2)}
    assert report(bench, **nowhere, is_conditional=True).condition_accuracy is None


def test_without_labels_nothing_is_said_of_classes(ring8):
    bare = Bench(replace(ring8, labels=None, heldout_labels=None, classes=0), MLP)
    told = []
    found = report(
        bare,
        generate=lambda latents, conditions: told.append(conditions) or latents[:, :2],
        classify=lambda samples, _: torch.zeros(len(samples), 8),
        is_conditional=True,
    )
    assert (found.class_accuracy, found.condition_accuracy) == (None, None)
    assert told == [None]
    assert bare.inputs(LATENT_DIM, 10)[1] is None


def test_d_is_told_the_conditions_of_the_samples_it_judges(bench, ring8):
    judged = []

    def discriminate(samples: Tensor, told: Tensor) -> Tensor:
        judged.append((samples, told.argmax(1).numpy()))
        return torch.zeros(len(samples))

    report(bench, generate=as_told, discriminate=discriminate)
    (real, of_real), (fake, of_fake), (train, of_train) = judged
    assert np.array_equal(of_real, ring8.heldout_labels[:SAMPLES])
    assert np.array_equal(of_train, ring8.labels[: SAMPLES // 2])
    for samples, told in judged:
        assert np.array_equal(torch.cdist(samples, CENTRES).argmin(1).numpy(), told)
    assert (len(real), len(fake), len(train)) == (SAMPLES, SAMPLES, SAMPLES // 2)
    assert np.array_equal(of_fake, of_real)


# --- an average of G's weights, a way back from samples -------------------------------------------


def test_the_distance_of_the_average_is_its_own_on_the_same_scale(bench):
    far, moved = torch.full((SAMPLES, 2), 3.0), torch.tensor(fresh() + np.float32(0.7))
    found = [
        report(bench, generate=lambda *_: far, generate_average=lambda *_, average=average: average)
        for average in (torch.tensor(fresh()), moved)
    ]
    assert found[0].ema_distance == pytest.approx(0.0, abs=0.02)
    assert found[1].ema_distance == measure(bench, gives(moved)).distance
    assert found[1].distance == found[0].distance > 1.5
    assert report(bench).ema_distance is None


def test_the_average_draws_from_the_same_latents_as_told(bench):
    asked = []

    def generate(latents: Tensor, told: Tensor) -> Tensor:
        asked.append((latents, told))
        return as_told(latents, told)

    report(bench, generate=generate, generate_average=generate)
    assert torch.equal(asked[0][0], asked[1][0])
    assert torch.equal(asked[0][1], asked[1][1])


def test_reconstruction_is_the_mean_squared_error_on_held_out_data(bench, ring8):
    """Each coordinate of held-out samples comes back 0.3 off, others unchanged."""
    is_heldout = remembers(ring8.heldout)

    def reconstruct(samples: Tensor, told: Tensor) -> Tensor:
        assert np.array_equal(told.argmax(1).numpy(), ring8.heldout_labels[:SAMPLES])
        return samples + 0.3 * is_heldout(samples)[:, None]

    assert report(bench, reconstruct=reconstruct).reconstruction == pytest.approx(0.09, rel=1e-4)
    assert report(bench).reconstruction is None


# --- what is not finite ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite_are_named_and_measured_no_further(bench, value):
    samples = fresh()
    samples[5, 1] = value
    found = measure(bench, gives(samples))
    assert found.nonfinite == "samples"
    assert not defined(found) & (OF_SAMPLES | OF_DISCRIMINATOR)
    assert (found.d_loss, found.update) == (1.25, 30)


def test_what_the_trainer_named_first_stays_named(bench):
    samples = np.full((SAMPLES, 2), math.nan, dtype=np.float32)
    for given in (samples, fresh()):
        found = Meter(bench, LATENT_DIM).measure(snapshot(gives(given), nonfinite="loss of D"))
        assert found.nonfinite == "loss of D"
        assert not defined(found) & (OF_SAMPLES | OF_DISCRIMINATOR)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e10, 1e20, 1e38])
def test_every_signal_is_none_or_finite(bench, scale):
    samples = torch.tensor(fresh()).clamp(-1, 1) * scale
    meter = Meter(bench, LATENT_DIM)
    for _ in range(2):
        found = meter.measure(snapshot(gives(samples), lambda s: s[:, 0]))
        for field in fields(Signals):
            value = getattr(found, field.name)
            assert value is None or isinstance(value, str) or math.isfinite(value), field.name


@pytest.mark.parametrize("scale", [1e3, 1e15, 1e20, 1e38])
def test_exploded_samples_that_are_still_finite_have_an_extent_and_never_look_real(bench, scale):
    samples = torch.tensor(fresh()).clamp(-1, 1) * scale
    found = measure(bench, gives(samples))
    assert found.extent == pytest.approx(scale / 1.05, rel=0.1)
    assert found.high_quality in (None, 0.0)
    assert found.distance is None or found.distance > 100.0
    assert found.probe_auc is None or found.probe_auc > 0.95
    assert found.probe_js is None or found.probe_js > 0.9 * LOG_2


# --- report by report -----------------------------------------------------------------------------


def test_velocity_is_the_mean_motion_since_the_last_report_over_the_spread_of_real_data(bench):
    meter = Meter(bench, LATENT_DIM)
    samples = torch.tensor(fresh())
    assert meter.measure(snapshot(gives(samples))).velocity is None
    assert meter.measure(snapshot(gives(samples))).velocity == 0.0
    moved = samples + torch.tensor([0.3, -0.4])
    found = meter.measure(snapshot(gives(moved))).velocity
    assert found == pytest.approx(0.5 / bench.spread, rel=1e-4)
    again = meter.measure(snapshot(gives(moved + torch.tensor([3.0, 4.0])))).velocity
    assert again == pytest.approx(5.0 / bench.spread, rel=1e-4)


def test_the_spread_of_real_data_is_their_mean_distance(bench, ring8):
    """Two points of a unit circle are 4/π = 1.273 apart on average; here of eight, and blurred."""
    chords = [2 * math.sin(math.pi * k / 8) for k in range(8)]
    assert bench.spread == pytest.approx(sum(chords) / 8, rel=0.02)


def test_the_same_latents_give_the_same_signals(bench, ring8):
    trainer = GanTrainer(
        TrialConfig(latent_dim=LATENT_DIM), MLP, RealData(torch.tensor(ring8.train))
    )
    trainer.advance(6)
    first, second = Meter(bench, LATENT_DIM), Meter(Bench(ring8, MLP), LATENT_DIM)
    assert values(first.measure(trainer.snapshot())) == values(second.measure(trainer.snapshot()))
    assert first.measure(trainer.snapshot()).velocity == 0.0


def test_measuring_neither_reads_nor_changes_the_global_random_state(ring8):
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(values(measure(Bench(ring8, MLP), lambda z: z[:, :2])))
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1]


def test_the_bench_s_latents_are_fixed_standard_normal_and_handed_to_the_generator(bench):
    latents = bench.latents(LATENT_DIM)
    assert latents.shape == (SAMPLES, LATENT_DIM)
    assert torch.equal(latents, bench.latents(LATENT_DIM))
    assert latents.mean().item() == pytest.approx(0.0, abs=0.06)
    assert latents.std().item() == pytest.approx(1.0, abs=0.05)
    meter = Meter(bench, LATENT_DIM)
    meter.measure(snapshot(lambda z: z[:, :2]))
    assert np.array_equal(meter.samples, latents[:, :2].numpy())


def test_what_training_says_is_passed_on(bench):
    found = measure(bench, gives(fresh()))
    assert (found.update, found.d_updates, found.g_updates, found.images) == (30, 20, 10, 2560)
    assert (found.seconds, found.updates_per_second) == (1.5, 20.0)
    assert (found.d_loss, found.d_grad_norm, found.d_clipped) == (1.25, 0.5, None)
    assert (found.g_loss, found.g_grad_norm, found.g_clipped) == (0.75, None, 0.25)
    assert 0.0 < found.measure_seconds < 60.0


def test_there_are_no_samples_before_the_first_measure(bench):
    with pytest.raises(ValueError, match="nothing was measured yet"):
        _ = Meter(bench, LATENT_DIM).samples


# --- the bench ------------------------------------------------------------------------------------


def test_the_untrained_anchor_is_that_of_the_latent_dimension_asked_for(bench):
    assert bench.untrained_anchor(2) == bench.untrained_anchor(2) != bench.untrained_anchor(64)


def test_the_untrained_anchor_is_the_median_of_three_generators(bench):
    """Here the first one is the median of neither distance."""
    latent_dim = 3
    found = []
    for index in range(3):
        seed = derive_seed("untrained", index)
        generator = build_networks(MLP, (2,), latent_dim, seed).generator
        with torch.no_grad():
            found.append(bench.distances(generator(bench.latents(latent_dim))))
    medians = [sorted(column)[1] for column in zip(*found, strict=True)]
    assert bench.untrained_anchor(latent_dim) == pytest.approx(tuple(medians), rel=1e-6)
    assert found[0][0] != medians[0]


def test_inputs_are_told_the_conditions_of_all_held_out_data(ring8):
    """In the order of their classes: the first 800 would all be of the first two."""
    order = np.argsort(ring8.heldout_labels, kind="stable")
    labels = ring8.heldout_labels[order]
    own = Bench(replace(ring8, heldout=ring8.heldout[order], heldout_labels=labels), MLP)
    shares = np.bincount(labels, minlength=8) / len(labels)
    assert len(labels) == 5_000
    latents, told = own.inputs(LATENT_DIM, 5_000)
    assert latents.shape == (5_000, LATENT_DIM)
    assert told.mean(0).tolist() == pytest.approx(shares.tolist(), abs=1e-6)
    again = own.inputs(LATENT_DIM, 5_100)[1]  # more than there are: from the first one again
    assert torch.equal(again[5_000:], told[:100])


def test_a_small_data_set_is_measured_by_as_many_samples_as_it_has():
    dataset = ring(train_size=301)
    small = Bench(dataset, MLP)
    assert small.count == 300
    assert torch.equal(small.heldout, torch.tensor(dataset.heldout[:300]))
    found = measure(small, gives(fresh()), near_the_ring)
    assert found.distance == pytest.approx(0.0, abs=0.05)


def test_all_that_samples_and_d_decide_is_defined_for_an_ordinary_trial(bench):
    meter = Meter(bench, LATENT_DIM)
    for _ in range(2):
        found = meter.measure(snapshot(gives(fresh()), near_the_ring))
    assert defined(found) >= (OF_SAMPLES | OF_DISCRIMINATOR) - {"overfit_gap"}
    assert isinstance(bench.dataset, Dataset)


def test_one_stray_sample_is_no_explosion(bench):
    samples = fresh()
    samples[7] = 1000.0
    assert measure(bench, gives(samples)).extent == pytest.approx(1.0, abs=0.1)


def test_overfit_gap_is_left_out_where_d_cannot_tell(bench):
    found = measure(bench, gives(fresh()), lambda samples: samples[:, 0])
    assert found.overfit_gap is None


def test_modes_of_real_data_leave_out_what_is_near_no_mode(ring8):
    bench = Bench(replace(ring8, counter=GaussianModes(ring8.counter.centres, 0.001)), MLP)
    assert bench.mode_counts.sum() < 0.1 * len(ring8.heldout)

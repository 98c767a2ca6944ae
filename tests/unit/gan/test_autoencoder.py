"""Autoencoder and VAE: their losses in closed form, and what they learn beside a GAN."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ganray.gan.autoencoder import (
    AutoencoderTrainer,
    calibrated_reconstruction,
    gaussian_kl,
)
from ganray.gan.real import RealData
from ganray.gan.trainer import make_trainer
from ganray.trial import TrialConfig

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = {"name": "mlp", "width": 32, "depth": 2}
CONFIG = TrialConfig(model="vae", batch_size=64, latent_dim=2, g_lr=1e-3, seed=3)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def line(count: int = 1_000) -> Tensor:
    """Points on a slanted line in the plane."""
    along = torch.randn(count, 1, generator=rng())
    return torch.cat([along, 0.5 * along + 0.05 * torch.randn(count, 1, generator=rng(1))], 1)


def trained(updates: int, **changes: object) -> AutoencoderTrainer:
    under_test = make_trainer(replace(CONFIG, **changes), MLP, RealData(line()))
    assert isinstance(under_test, AutoencoderTrainer)
    under_test.advance(updates)
    return under_test


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 1.0), (2.0, 1.0), (0.0, 0.25), (-1.0, 3.0)])
def test_gaussian_kl_in_closed_form(mean, variance):
    means = torch.full((2, 3), mean, dtype=torch.float64)
    logs = torch.full((2, 3), math.log(variance), dtype=torch.float64)
    one = 0.5 * (mean**2 + variance - math.log(variance) - 1.0)
    assert gaussian_kl(means, logs).tolist() == pytest.approx([3 * one, 3 * one])


def test_gaussian_kl_is_what_integration_says():
    mean, variance = 0.7, 0.4
    x = torch.linspace(-9.0, 9.0, 20_001, dtype=torch.float64)
    p = torch.exp(-0.5 * (x - mean) ** 2 / variance) / math.sqrt(2.0 * math.pi * variance)
    log_ratio = -0.5 * (x - mean) ** 2 / variance - 0.5 * math.log(variance) + 0.5 * x**2
    expected = torch.trapezoid(p * log_ratio, x).item()
    tensors = torch.tensor([[mean]]).double(), torch.tensor([[variance]]).double().log()
    assert gaussian_kl(*tensors).item() == pytest.approx(expected, rel=1e-6)


def test_the_calibrated_loss_is_the_likelihood_at_the_variance_that_fits_best():
    """min over σ² of D/2 log σ² + ‖x - x̂‖² / 2σ² is D/2 log MSE + D/2, here without the D/2."""
    samples, decoded = (torch.randn(8, 3, generator=rng(s), dtype=torch.float64) for s in (0, 1))
    squared = (samples - decoded).square().sum(1).mean()
    variances = torch.linspace(0.1, 20.0, 200_001, dtype=torch.float64)
    best = (1.5 * variances.log() + squared / (2.0 * variances)).min().item()
    assert calibrated_reconstruction(samples, decoded).item() + 1.5 == pytest.approx(best, abs=1e-8)


def test_the_calibrated_loss_of_a_perfect_copy_is_finite():
    samples = torch.ones(4, 2)
    assert math.isfinite(calibrated_reconstruction(samples, samples).item())


def test_a_vae_draws_samples_like_the_data():
    snapshot = trained(3_000).snapshot()
    drawn = snapshot.generate(torch.randn(2_000, 2, generator=rng(2)))
    assert drawn.std(0).tolist() == pytest.approx(line().std(0).tolist(), rel=0.2)
    off_the_line = (drawn[:, 1] - 0.5 * drawn[:, 0]).std().item()
    assert off_the_line < 0.1


def test_an_autoencoder_copies_better_than_a_vae_and_draws_worse():
    vae, plain = (trained(3_000, model=model).snapshot() for model in ("vae", "autoencoder"))
    errors = [(s.reconstruct(line()) - line()).square().mean().item() for s in (vae, plain)]
    assert errors[1] < errors[0] < 0.05
    latents = torch.randn(2_000, 2, generator=rng(2))
    widths = [abs(math.log(float(s.generate(latents).std() / line().std()))) for s in (vae, plain)]
    assert widths[0] < widths[1]


def test_a_larger_weight_of_the_kl_draws_codes_to_the_prior():
    light, heavy = (trained(500, kl_weight=weight).snapshot() for weight in (0.01, 10.0))
    assert heavy.g.penalty / 10.0 < light.g.penalty / 0.01
    assert trained(2, model="autoencoder").snapshot().g.penalty is None


def test_every_update_is_one_of_the_generator_s_side():
    snapshot = trained(7).snapshot()
    assert (snapshot.update, snapshot.d_updates, snapshot.g_updates) == (7, 0, 7)
    assert snapshot.images == 7 * 64
    assert snapshot.discriminate is None
    assert snapshot.d.loss is None
    assert snapshot.g.loss is not None


def test_what_stops_being_finite_is_named():
    under_test = trained(20, g_lr=1e38)
    assert under_test.snapshot().nonfinite is not None

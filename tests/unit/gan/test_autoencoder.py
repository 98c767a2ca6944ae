"""Autoencoder and VAE: their losses in closed form, and what they learn beside a GAN."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ganray.gan.autoencoder import (
    AutoencoderTrainer,
    calibrated_reconstruction,
    gaussian_kl,
)
from ganray.gan.base import Snapshot
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


@pytest.fixture(scope="module")
def learned() -> dict[str, Snapshot]:
    """What each model has learned of the line, by its name."""
    return {m: trained(500, model=m, g_lr=5e-3).snapshot() for m in ("vae", "autoencoder")}


def test_a_vae_draws_samples_like_the_data(learned):
    drawn = learned["vae"].generate(torch.randn(2_000, 2, generator=rng(2)))
    assert drawn.std(0).tolist() == pytest.approx(line().std(0).tolist(), rel=0.2)
    off_the_line = (drawn[:, 1] - 0.5 * drawn[:, 0]).std().item()
    assert off_the_line < 0.1


def test_an_autoencoder_copies_better_than_a_vae_and_draws_worse(learned):
    vae, plain = learned["vae"], learned["autoencoder"]
    errors = [(s.reconstruct(line()) - line()).square().mean().item() for s in (vae, plain)]
    assert errors[1] < errors[0] < 0.05
    latents = torch.randn(2_000, 2, generator=rng(2))
    widths = [abs(math.log(float(s.generate(latents).std() / line().std()))) for s in (vae, plain)]
    assert widths[0] < 0.5 * widths[1]


def test_codes_of_boundless_variance_give_finite_losses():
    under_test = trained(0)
    with torch.no_grad():
        under_test.encoder.head.bias[CONFIG.latent_dim :] = 1e3  # whose exponential is infinite
    under_test.advance(1)
    snapshot = under_test.snapshot()
    assert snapshot.nonfinite is None
    assert math.isfinite(snapshot.g.loss)
    assert math.isfinite(snapshot.g.penalty)
    assert snapshot.g.penalty > 1e3


@pytest.mark.parametrize("model", ["vae", "autoencoder"])
def test_bf16_stays_near_fp32(model):
    wide, narrow = (trained(20, model=model, dtype=dtype) for dtype in ("fp32", "bf16"))
    before, after = (
        torch.cat([p.detach().flatten() for p in t.players["g"].parameters]) for t in (wide, narrow)
    )
    assert after.dtype == torch.float32
    assert 0.0 < float((before - after).norm() / before.norm()) < 0.05


def test_the_losses_of_a_bf16_vae_are_of_fp32_outputs(monkeypatch):
    seen = []

    def recorded(name: str, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        def record(first: Tensor, second: Tensor) -> Tensor:
            seen.extend([first.dtype, second.dtype])
            return loss(first, second)

        monkeypatch.setattr(f"ganray.gan.autoencoder.{name}", record)

    recorded("gaussian_kl", gaussian_kl)
    recorded("calibrated_reconstruction", calibrated_reconstruction)
    under_test, halves = trained(0, dtype="bf16"), []
    for half in (under_test.encoder, under_test.decoder):
        half.register_forward_hook(lambda _network, _inputs, output: halves.append(output.dtype))
    under_test.advance(1)
    assert halves == [torch.bfloat16] * 2
    assert seen == [torch.float32] * 4


def test_both_halves_are_compiled_if_the_trial_says_so(monkeypatch):
    calls = []

    def counted(network: nn.Module) -> Callable[..., Tensor]:
        return lambda *inputs: calls.append(network) or network(*inputs)

    monkeypatch.setattr("ganray.gan.player.torch.compile", counted)
    under_test = trained(2, compile=True)
    assert calls == [under_test.encoder, under_test.decoder] * 2
    calls.clear()
    trained(2)
    assert calls == []


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

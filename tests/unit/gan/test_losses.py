"""Losses against the formulas of their papers, worked out here with `math` alone."""

import math

import pytest
import torch

from ganray.gan.losses import LOSSES, GanLoss

REAL = (-3.0, -0.5, 0.3, 1.0, 2.5)
FAKE = (1.5, -2.0, 0.7, -1.0, 0.0)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def logistic(r: float, f: float) -> float:
    return -math.log(sigmoid(r)) - math.log(1.0 - sigmoid(f))


# The papers' formulas for one pair of logits: D's side, G's side.
FORMULAS = {
    "minimax": (logistic, lambda f: math.log(1.0 - sigmoid(f))),
    "non_saturating": (logistic, lambda f: -math.log(sigmoid(f))),
    "lsgan": (lambda r, f: 0.5 * (r - 1) ** 2 + 0.5 * f**2, lambda f: 0.5 * (f - 1) ** 2),
    "wgan": (lambda r, f: f - r, lambda f: -f),
    "hinge": (lambda r, f: max(0.0, 1 - r) + max(0.0, 1 + f), lambda f: -f),
}

# Derivatives by hand: of D's side by the real and the fake logit, of G's side by the fake logit.
SLOPES = {
    "minimax": (lambda r: -sigmoid(-r), sigmoid, lambda f: -sigmoid(f)),
    "non_saturating": (lambda r: -sigmoid(-r), sigmoid, lambda f: -sigmoid(-f)),
    "lsgan": (lambda r: r - 1.0, lambda f: f, lambda f: f - 1.0),
    "wgan": (lambda r: -1.0, lambda f: 1.0, lambda f: -1.0),
    "hinge": (lambda r: -1.0 * (r < 1), lambda f: 1.0 * (f > -1), lambda f: -1.0),
}

TINY = math.exp(-50.0)  # softplus(-50) and sigmoid(-50), to 22 digits

# Logits (real, fake) -> D's value, and fake -> G's value, where the formulas above would overflow
# or lose everything to rounding.
EXTREMES = {
    "minimax": {
        (50.0, -50.0): (2 * TINY, -TINY),
        (-50.0, 50.0): (100.0, -50.0),
    },
    "non_saturating": {
        (50.0, -50.0): (2 * TINY, 50.0),
        (-50.0, 50.0): (100.0, TINY),
    },
    "lsgan": {
        (50.0, -50.0): (0.5 * 49**2 + 0.5 * 50**2, 0.5 * 51**2),
        (-50.0, 50.0): (0.5 * 51**2 + 0.5 * 50**2, 0.5 * 49**2),
    },
    "wgan": {(50.0, -50.0): (-100.0, 50.0), (-50.0, 50.0): (100.0, -50.0)},
    "hinge": {(50.0, -50.0): (0.0, 50.0), (-50.0, 50.0): (102.0, -50.0)},
}

every_loss = pytest.mark.parametrize("name", sorted(LOSSES))


def logits(*values: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def slope(loss: torch.Tensor, by: torch.Tensor) -> list[float]:
    (gradient,) = torch.autograd.grad(loss, by, retain_graph=True)
    return gradient.tolist()


def test_every_loss_has_a_formula_here():
    assert set(LOSSES) == set(FORMULAS) == set(SLOPES) == set(EXTREMES)


@every_loss
def test_both_sides_are_the_mean_of_the_papers_formula(name):
    of_d, of_g = FORMULAS[name]
    real, fake = logits(*REAL), logits(*FAKE)
    expected_d = sum(of_d(r, f) for r, f in zip(REAL, FAKE, strict=True)) / len(REAL)
    expected_g = sum(of_g(f) for f in FAKE) / len(FAKE)
    assert LOSSES[name].discriminator(real, fake).item() == pytest.approx(expected_d, rel=1e-12)
    assert LOSSES[name].generator(real, fake).item() == pytest.approx(expected_g, rel=1e-12)


@every_loss
@pytest.mark.parametrize("logit", [*REAL, *FAKE])
def test_each_term_is_the_papers_formula(name, logit):
    of_d, of_g = FORMULAS[name]
    for r, f in ((logit, 0.25), (0.25, logit)):
        value = LOSSES[name].discriminator(logits(r), logits(f)).item()
        assert value == pytest.approx(of_d(r, f), rel=1e-12, abs=1e-15)
    value = LOSSES[name].generator(logits(0.25), logits(logit)).item()
    assert value == pytest.approx(of_g(logit), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_value_of_the_game_is_two_log_two_where_d_cannot_tell(name):
    undecided = logits(0.0, 0.0)
    assert LOSSES[name].discriminator(undecided, undecided).item() == pytest.approx(math.log(4.0))


@every_loss
def test_gradients_are_the_derivatives_worked_out_by_hand(name):
    by_real, by_fake, of_g = SLOPES[name]
    values = (-50.0, -3.0, -0.5, 0.3, 2.0, 50.0)
    count = len(values)
    real, fake = logits(*values), logits(*values[::-1])
    loss = LOSSES[name].discriminator(real, fake)
    generator_loss = LOSSES[name].generator(real, fake)

    def expected(derivative, at):
        return pytest.approx([derivative(x) / count for x in at], rel=1e-9, abs=1e-30)

    assert slope(loss, real) == expected(by_real, values)
    assert slope(loss, fake) == expected(by_fake, values[::-1])
    assert slope(generator_loss, fake) == expected(of_g, values[::-1])


@every_loss
@pytest.mark.parametrize("at", [(50.0, -50.0), (-50.0, 50.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_at_logits_of_50_are_exact_and_their_gradients_finite(name, at, dtype):
    expected_d, expected_g = EXTREMES[name][at]
    real, fake = (logits(x, dtype=dtype) for x in at)
    loss = LOSSES[name].discriminator(real, fake)
    generator_loss = LOSSES[name].generator(real, fake)
    assert loss.item() == pytest.approx(expected_d, rel=1e-6, abs=1e-30)
    assert generator_loss.item() == pytest.approx(expected_g, rel=1e-6, abs=1e-30)
    for gradient in (slope(loss, real), slope(loss, fake), slope(generator_loss, fake)):
        assert math.isfinite(gradient[0])


def test_non_saturating_gradient_survives_a_winning_d_and_the_minimax_gradient_does_not():
    fake = logits(-50.0)
    kept = LOSSES["non_saturating"].generator(fake, fake)
    lost = LOSSES["minimax"].generator(fake, fake)
    assert slope(kept, fake) == pytest.approx([-1.0], abs=1e-12)
    assert slope(lost, fake) == pytest.approx([-TINY], rel=1e-9)


@every_loss
def test_a_larger_logit_means_more_real(name):
    loss = LOSSES[name]
    zero, up = logits(0.0, 0.0), logits(0.1, 0.1)
    assert loss.discriminator(up, zero) < loss.discriminator(zero, zero)
    assert loss.discriminator(zero, up) > loss.discriminator(zero, zero)
    assert loss.generator(zero, up) < loss.generator(zero, zero)


@every_loss
def test_a_generator_that_claims_not_to_use_real_logits_does_not(name):
    loss: GanLoss = LOSSES[name]
    assert not loss.generator_uses_real
    fake = logits(*FAKE)
    assert loss.generator(logits(*REAL), fake) == loss.generator(fake, fake)


@every_loss
@pytest.mark.parametrize("side", ["discriminator", "generator"])
@pytest.mark.parametrize(
    ("real", "fake", "shapes"),
    [
        ((4,), (4, 1), r"real \[4\], fake \[4, 1\]"),
        ((4, 1), (4,), r"real \[4, 1\], fake \[4\]"),
        ((4, 1), (4, 1), r"real \[4, 1\], fake \[4, 1\]"),
        ((4,), (1,), r"real \[4\], fake \[1\]"),
        ((), (), r"real \[\], fake \[\]"),
    ],
)
def test_shapes_that_would_broadcast_are_refused(name, side, real, fake, shapes):
    with pytest.raises(ValueError, match=shapes):
        getattr(LOSSES[name], side)(torch.zeros(real), torch.zeros(fake))

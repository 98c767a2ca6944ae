"""Losses against the formulas of their papers, worked out here with `math` alone."""

import math
from typing import get_args

import numpy as np
import pytest
import scipy.special
import torch

from ganray.gan.losses import FGAN_GENERATORS, LOSS_NAMES, LOSSES, GanLoss, make_loss
from ganray.spec.names import FganGeneratorName, FganName, LossName

REAL = (-3.0, -0.5, 0.3, 1.0, 2.5)
FAKE = (1.5, -2.0, 0.7, -1.0, 0.0)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def logistic(r: float, f: float) -> float:
    return -math.log(sigmoid(r)) - math.log(1.0 - sigmoid(f))


def pairwise(r: float, f: float) -> float:
    return -math.log(sigmoid(r - f))


def omega(v: float) -> float:
    return float(scipy.special.wrightomega(1.0 - v))


# The papers' formulas for one pair of logits: D's side, G's side. The relativistic average is that
# of pairs where there is but one.
FORMULAS = {
    "minimax": (logistic, lambda r, f: math.log(1.0 - sigmoid(f))),
    "non_saturating": (logistic, lambda r, f: -math.log(sigmoid(f))),
    "lsgan": (lambda r, f: 0.5 * (r - 1) ** 2 + 0.5 * f**2, lambda r, f: 0.5 * (f - 1) ** 2),
    "wgan": (lambda r, f: f - r, lambda r, f: -f),
    "hinge": (lambda r, f: max(0.0, 1 - r) + max(0.0, 1 + f), lambda r, f: -f),
    "relativistic_paired": (pairwise, lambda r, f: pairwise(f, r)),
    "relativistic_average": (pairwise, lambda r, f: pairwise(f, r)),
}

# Derivatives by hand: of D's side by the real and the fake logit, of G's side by the fake logit.
SLOPES = {
    "minimax": (lambda r, f: -sigmoid(-r), lambda r, f: sigmoid(f), lambda r, f: -sigmoid(f)),
    "non_saturating": (
        lambda r, f: -sigmoid(-r),
        lambda r, f: sigmoid(f),
        lambda r, f: -sigmoid(-f),
    ),
    "lsgan": (lambda r, f: r - 1.0, lambda r, f: f, lambda r, f: f - 1.0),
    "wgan": (lambda r, f: -1.0, lambda r, f: 1.0, lambda r, f: -1.0),
    "hinge": (lambda r, f: -1.0 * (r < 1), lambda r, f: 1.0 * (f > -1), lambda r, f: -1.0),
    "relativistic_paired": (
        lambda r, f: -sigmoid(f - r),
        lambda r, f: sigmoid(f - r),
        lambda r, f: -sigmoid(r - f),
    ),
}

# For each f-GAN loss T = g(v), f*(T) and their derivatives by v; alpha is a half.
FGAN = {
    "fgan_kl": (lambda v: v, lambda v: math.exp(v - 1), lambda v: 1.0, lambda v: math.exp(v - 1)),
    "fgan_reverse_kl": (
        lambda v: -math.exp(-v),
        lambda v: v - 1,
        lambda v: math.exp(-v),
        lambda v: 1.0,
    ),
    "fgan_pearson": (
        lambda v: v,
        lambda v: v**2 / 4 + v if v > -2 else -1.0,
        lambda v: 1.0,
        lambda v: max(0.0, v / 2 + 1),
    ),
    "fgan_neyman": (
        lambda v: 1 - math.exp(-v),
        lambda v: 2 - 2 * math.exp(-v / 2),
        lambda v: math.exp(-v),
        lambda v: math.exp(-v / 2),
    ),
    "fgan_hellinger": (
        lambda v: 1 - math.exp(-v),
        lambda v: math.exp(v) - 1,
        lambda v: math.exp(-v),
        math.exp,
    ),
    "fgan_jeffrey": (
        lambda v: v,
        lambda v: omega(v) + 1 / omega(v) + v - 2,
        lambda v: 1.0,
        lambda v: 1 / omega(v),
    ),
    "fgan_js": (
        lambda v: math.log(2 * sigmoid(v)),
        lambda v: -math.log(2 - 2 * sigmoid(v)),
        lambda v: sigmoid(-v),
        sigmoid,
    ),
    "fgan_gan": (
        lambda v: math.log(sigmoid(v)),
        lambda v: -math.log(1 - sigmoid(v)),
        lambda v: sigmoid(-v),
        sigmoid,
    ),
    "fgan_tv": (
        lambda v: math.tanh(v) / 2,
        lambda v: math.tanh(v) / 2,
        lambda v: 0.5 / math.cosh(v) ** 2,
        lambda v: 0.5 / math.cosh(v) ** 2,
    ),
    "fgan_alpha": (
        lambda v: 2 + math.log(sigmoid(v)),
        lambda v: -4 / math.log(sigmoid(v)) - 2,
        lambda v: sigmoid(-v),
        lambda v: 4 * sigmoid(-v) / math.log(sigmoid(v)) ** 2,
    ),
}


def fgan_formulas(name: str, generator: str):
    g, h, g_slope, h_slope = FGAN[name]
    of_g, slope_of_g = (g, g_slope) if generator == "heuristic" else (h, h_slope)
    return (lambda r, f: h(f) - g(r), lambda r, f: -of_g(f)), (
        lambda r, f: -g_slope(r),
        lambda r, f: h_slope(f),
        lambda r, f: -slope_of_g(f),
    )


CASES: dict[str, GanLoss] = dict(LOSSES)
for fgan in FGAN:
    for side in ("heuristic", "saturating"):
        CASES[f"{fgan} {side}"] = make_loss(fgan, fgan_generator=side)
        FORMULAS[f"{fgan} {side}"], SLOPES[f"{fgan} {side}"] = fgan_formulas(fgan, side)

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
    "relativistic_paired": {(50.0, -50.0): (TINY**2, 100.0), (-50.0, 50.0): (100.0, TINY**2)},
    "relativistic_average": {(50.0, -50.0): (TINY**2, 100.0), (-50.0, 50.0): (100.0, TINY**2)},
    "fgan_js saturating": {
        (50.0, -50.0): (-2 * math.log(2) + 2 * TINY, math.log(2) - TINY),
        (-50.0, 50.0): (100.0 - 2 * math.log(2), math.log(2) - 50.0),
    },
    "fgan_gan saturating": {
        (50.0, -50.0): (2 * TINY, -TINY),
        (-50.0, 50.0): (100.0, -50.0),
    },
    "fgan_pearson heuristic": {
        (50.0, -50.0): (-51.0, 50.0),
        (-50.0, 50.0): (50.0 + 625.0 + 50.0, -50.0),
    },
    "fgan_tv heuristic": {(50.0, -50.0): (-1.0, 0.5), (-50.0, 50.0): (1.0, -0.5)},
    # beyond 20 the exponential goes on as its tangent
    "fgan_kl saturating": {
        (50.0, -50.0): (
            -(20 + math.log(31)) + math.exp(-51),
            -math.exp(-51),
        ),
        (-50.0, 50.0): (50.0 + 31 * math.exp(19), -31 * math.exp(19)),
    },
}

every_loss = pytest.mark.parametrize("name", sorted(CASES))


def logits(*values: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def slope(loss: torch.Tensor, by: torch.Tensor) -> list[float]:
    (gradient,) = torch.autograd.grad(loss, by, retain_graph=True)
    return gradient.tolist()


def test_every_loss_has_a_formula_here():
    assert set(CASES) == set(FORMULAS) == {*SLOPES, "relativistic_average"}
    assert set(LOSSES) <= set(EXTREMES)


@pytest.mark.parametrize("name", sorted(SLOPES))
def test_both_sides_are_the_mean_of_the_papers_formula(name):
    of_d, of_g = FORMULAS[name]
    real, fake = logits(*REAL), logits(*FAKE)
    expected_d = sum(of_d(r, f) for r, f in zip(REAL, FAKE, strict=True)) / len(REAL)
    expected_g = sum(of_g(r, f) for r, f in zip(REAL, FAKE, strict=True)) / len(FAKE)
    assert CASES[name].discriminator(real, fake).item() == pytest.approx(expected_d, rel=1e-12)
    assert CASES[name].generator(real, fake).item() == pytest.approx(expected_g, rel=1e-12)


@every_loss
@pytest.mark.parametrize("logit", [*REAL, *FAKE])
def test_each_term_is_the_papers_formula(name, logit):
    of_d, of_g = FORMULAS[name]
    for r, f in ((logit, 0.25), (0.25, logit)):
        value = CASES[name].discriminator(logits(r), logits(f)).item()
        assert value == pytest.approx(of_d(r, f), rel=1e-12, abs=1e-14)
    value = CASES[name].generator(logits(0.25), logits(logit)).item()
    assert value == pytest.approx(of_g(0.25, logit), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_value_of_the_game_is_two_log_two_where_d_cannot_tell(name):
    undecided = logits(0.0, 0.0)
    assert CASES[name].discriminator(undecided, undecided).item() == pytest.approx(math.log(4.0))


@pytest.mark.parametrize("name", sorted(SLOPES))
def test_gradients_are_the_derivatives_worked_out_by_hand(name):
    wide = (-50.0,) if name in LOSSES else ()  # f-GAN logits are bent there
    values = (*wide, -3.0, -0.5, 0.3, 2.0, *(-x for x in wide))
    pairs = list(zip(values, values[::-1], strict=True))
    real, fake = logits(*values), logits(*values[::-1])
    loss = CASES[name].discriminator(real, fake)
    generator_loss = CASES[name].generator(real, fake)

    def expected(derivative):
        return pytest.approx([derivative(*p) / len(pairs) for p in pairs], rel=1e-9, abs=1e-30)

    by_real, by_fake, of_g = SLOPES[name]
    assert slope(loss, real) == expected(by_real)
    assert slope(loss, fake) == expected(by_fake)
    assert slope(generator_loss, fake) == expected(of_g)


@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_relativistic_average_compares_with_the_mean_of_the_other_batch(side):
    real, fake = logits(*REAL), logits(*FAKE)
    # G's side is D's with the roles exchanged
    up, down = (REAL, FAKE) if side == "discriminator" else (FAKE, REAL)
    above = np.array([sigmoid(x - np.mean(down)) for x in up])
    below = np.array([sigmoid(x - np.mean(up)) for x in down])
    loss = getattr(CASES["relativistic_average"], side)(real, fake)
    expected = -0.5 * np.mean(np.log(above)) - 0.5 * np.mean(np.log(1 - below))
    assert loss.item() == pytest.approx(expected, rel=1e-12)

    of_up, of_down = (real, fake) if side == "discriminator" else (fake, real)
    by_up = -0.5 * ((1 - above) + np.mean(below)) / len(up)
    by_down = 0.5 * (below + np.mean(1 - above)) / len(down)
    assert slope(loss, of_up) == pytest.approx(by_up.tolist(), rel=1e-12)
    assert slope(loss, of_down) == pytest.approx(by_down.tolist(), rel=1e-12)


@pytest.mark.parametrize("name", ["relativistic_paired", "relativistic_average"])
def test_relativistic_losses_are_log_two_where_d_cannot_tell(name):
    undecided = logits(0.7, 0.7)
    for side in (CASES[name].discriminator, CASES[name].generator):
        assert side(undecided, undecided).item() == pytest.approx(math.log(2.0))


@pytest.mark.parametrize("name", sorted(EXTREMES))
@pytest.mark.parametrize("at", [(50.0, -50.0), (-50.0, 50.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_at_logits_of_50_are_exact_and_their_gradients_finite(name, at, dtype):
    expected_d, expected_g = EXTREMES[name][at]
    real, fake = (logits(x, dtype=dtype) for x in at)
    loss = CASES[name].discriminator(real, fake)
    generator_loss = CASES[name].generator(real, fake)
    assert loss.item() == pytest.approx(expected_d, rel=1e-6, abs=1e-30)
    assert generator_loss.item() == pytest.approx(expected_g, rel=1e-6, abs=1e-30)
    for gradient in (slope(loss, real), slope(loss, fake), slope(generator_loss, fake)):
        assert math.isfinite(gradient[0])


@every_loss
def test_gradients_at_logits_of_50_are_finite_and_keep_their_direction_in_float32(name):
    values = (-50.0, -20.0, 20.0, 50.0)
    real = logits(*(r for r in values for _ in values), dtype=torch.float32)
    fake = logits(*values * len(values), dtype=torch.float32)
    loss, generator_loss = (
        side(real, fake) for side in (CASES[name].discriminator, CASES[name].generator)
    )
    assert math.isfinite(loss.item())
    assert math.isfinite(generator_loss.item())
    rises = [*slope(loss, fake)]
    falls = [*slope(loss, real), *slope(generator_loss, fake)]
    assert np.isfinite(rises + falls).all()
    if name != "lsgan":  # which pulls logits back that lie beyond its labels
        assert min(rises) >= 0
        assert max(falls) <= 0


def test_non_saturating_gradient_survives_a_winning_d_and_the_minimax_gradient_does_not():
    fake = logits(-50.0)
    kept = LOSSES["non_saturating"].generator(fake, fake)
    lost = LOSSES["minimax"].generator(fake, fake)
    assert slope(kept, fake) == pytest.approx([-1.0], abs=1e-12)
    assert slope(lost, fake) == pytest.approx([-TINY], rel=1e-9)


@every_loss
def test_a_larger_logit_means_more_real(name):
    loss = CASES[name]
    zero, up = logits(0.0, 0.0), logits(0.1, 0.1)
    assert loss.discriminator(up, zero) < loss.discriminator(zero, zero)
    assert loss.discriminator(zero, up) > loss.discriminator(zero, zero)
    assert loss.generator(zero, up) < loss.generator(zero, zero)


@every_loss
def test_generator_uses_real_logits_if_and_only_if_it_says_so(name):
    loss: GanLoss = CASES[name]
    fake = logits(*FAKE)
    same = loss.generator(logits(*REAL), fake) == loss.generator(fake, fake)
    assert loss.generator_uses_real == (not same) == name.startswith("relativistic")


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
        getattr(CASES[name], side)(torch.zeros(real), torch.zeros(fake))


# --- the level at which D is undecided ------------------------------------------------------------

ALPHA_LEVEL = -math.log(math.exp(2.0) - 1.0)
LEVELS = {
    "minimax": 0.0,
    "non_saturating": 0.0,
    "lsgan": 0.5,
    "wgan": None,
    "hinge": 0.0,
    "relativistic_paired": None,
    "relativistic_average": None,
    **{name: {"fgan_kl": 1.0, "fgan_alpha": ALPHA_LEVEL}.get(name, 0.0) for name in FGAN},
}


@every_loss
def test_threshold_is_the_logit_of_a_d_that_cannot_tell(name):
    """Between equal distributions the best D says the threshold everywhere."""
    loss, expected = CASES[name], LEVELS[name.split()[0]]
    assert loss.threshold == (expected if expected is None else pytest.approx(expected))
    if loss.threshold is None:
        return

    def of_equals(v: float) -> float:
        return loss.discriminator(logits(v), logits(v)).item()

    best = of_equals(loss.threshold)
    for away in (0.01, 0.3, 2.0, 5.0):
        assert best <= min(of_equals(loss.threshold + s * away) for s in (-1, 1)) + 1e-12


@every_loss
def test_loss_without_a_threshold_is_one_that_a_constant_on_all_logits_leaves_alone(name):
    loss, real, fake = CASES[name], logits(*REAL), logits(*FAKE)
    before, after = (loss.discriminator(real + c, fake + c).item() for c in (0.0, 0.7))
    assert (loss.threshold is None) == (after == pytest.approx(before, rel=1e-9))


# --- relatives ------------------------------------------------------------------------------------

WIDE_REAL = (*REAL, -50.0, 50.0)
WIDE_FAKE = (*FAKE, 50.0, -50.0)


def outcome(side, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    """The value of one side of a loss, and its gradients by both logits."""
    real, fake = logits(*WIDE_REAL, dtype=dtype), logits(*WIDE_FAKE, dtype=dtype)
    loss = side(real, fake)
    by = torch.autograd.grad(loss, (real, fake), allow_unused=True, materialize_grads=True)
    return (loss.detach(), *by)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("generator", "original"), [("heuristic", "non_saturating"), ("saturating", "minimax")]
)
def test_fgan_gan_is_the_original_game(generator, original, dtype):
    fgan, old = make_loss("fgan_gan", fgan_generator=generator), LOSSES[original]
    for ours, theirs in zip(fgan[:2], old[:2], strict=True):
        for found, expected in zip(outcome(ours, dtype), outcome(theirs, dtype), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-7, atol=0.0)


@pytest.mark.parametrize("generator", ["heuristic", "saturating"])
def test_fgan_js_has_the_gradients_of_fgan_gan(generator):
    js, gan = (make_loss(name, fgan_generator=generator) for name in ("fgan_js", "fgan_gan"))
    for ours, theirs in zip(js[:2], gan[:2], strict=True):
        for found, expected in zip(outcome(ours)[1:], outcome(theirs)[1:], strict=True):
            assert torch.equal(found, expected)


def test_heuristic_gradient_survives_a_winning_d_and_the_saturating_gradient_does_not():
    fake = logits(-50.0)
    kept, lost = (
        make_loss("fgan_kl", fgan_generator=side).generator(fake, fake)
        for side in ("heuristic", "saturating")
    )
    assert slope(kept, fake) == [-1.0]
    assert slope(lost, fake) == pytest.approx([-math.exp(-51.0)], rel=1e-9)


def test_paired_generator_keeps_its_gradient_while_d_wins():
    fake = logits(-50.0)
    loss = LOSSES["relativistic_paired"].generator(logits(50.0), fake)
    assert slope(loss, fake) == pytest.approx([-1.0], abs=1e-12)


# --- names ----------------------------------------------------------------------------------------


def test_every_name_of_a_sweep_file_can_be_made():
    assert get_args(LossName) == LOSS_NAMES
    for name in get_args(LossName):
        assert make_loss(name).discriminator(logits(0.0), logits(0.0)).shape == ()
    assert set(get_args(FganName)) == set(FGAN) == set(LOSS_NAMES) - set(LOSSES)
    assert get_args(FganGeneratorName) == FGAN_GENERATORS


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_fixed_loss_is_made_as_it_is_whatever_the_fgan_settings(name):
    assert make_loss(name, fgan_generator="saturating", alpha=0.0) is LOSSES[name]


@pytest.mark.parametrize("name", sorted(FGAN))
def test_heuristic_is_the_default(name):
    fake = logits(*FAKE)
    found = make_loss(name).generator(fake, fake)
    assert found == make_loss(name, fgan_generator="heuristic").generator(fake, fake)


def test_alpha_two_is_half_of_pearson():
    loss = make_loss("fgan_alpha", fgan_generator="saturating", alpha=2.0)
    pearson = make_loss("fgan_pearson", fgan_generator="saturating")
    real, fake = logits(*REAL), logits(*FAKE)
    for ours, theirs in zip(loss[:2], pearson[:2], strict=True):
        expected = 0.5 * theirs(2.0 * real, 2.0 * fake)  # T is twice the other's
        torch.testing.assert_close(ours(real, fake), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("hinj", {}, "unknown loss 'hinj'; known: minimax, .*hinge, .*fgan_kl"),
        ("fgan_js", {"fgan_generator": "magic"}, "'magic'; known: heuristic, saturating"),
        ("fgan_alpha", {"alpha": 1.0}, "neither 0 nor 1; got 1.0"),
    ],
)
def test_what_no_loss_can_be_made_of_is_refused(name, settings, told):
    with pytest.raises(ValueError, match=told):
        make_loss(name, **settings)

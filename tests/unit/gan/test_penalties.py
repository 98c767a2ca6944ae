"""Penalties on critics whose gradients are known: w·x has w everywhere, ½ x'Ax has Ax."""

import copy
import math
from typing import get_args

import pytest
import torch
from torch import nn

from ganray.gan.penalties import PENALTIES, Judged, LeCam, dragan, r1, r1_r2, r2, wgan_gp
from ganray.spec.names import PenaltyName

SHAPES = [(2,), (3, 4, 4)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=["vectors", "images"])
of_gradients = pytest.mark.parametrize("name", sorted(set(PENALTIES) - {"lecam"}))
every_penalty = pytest.mark.parametrize("name", sorted(PENALTIES))


class Linear(nn.Module):
    """w·x over all of a sample."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return (samples * self.weight).flatten(1).sum(1)


class Quadratic(nn.Module):
    """½ x'Ax for vectors, A symmetric."""

    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(matrix)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return 0.5 * ((samples @ self.weight) * samples).sum(1)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=draws(seed), dtype=dtype)


def judged(critic, real: torch.Tensor, fake: torch.Tensor) -> Judged:
    real, fake = (x.detach().clone().requires_grad_() for x in (real, fake))
    return Judged(critic, real, fake, critic(real), critic(fake))


def smooth_critic(dtype: torch.dtype = torch.float64) -> nn.Module:
    """A network that is not linear, with weights that do not depend on the global generator."""
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)).to(dtype)
    with torch.no_grad():
        for seed, parameter in enumerate(network.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=seed))
    return network


# --- values in closed form ------------------------------------------------------------------------


@every_shape
def test_on_a_linear_critic_every_penalty_is_a_function_of_the_norm_of_its_weight(shape):
    weight = normal(*shape, seed=3)
    norm = math.sqrt(sum(w * w for w in weight.flatten().tolist()))
    what = judged(Linear(weight), normal(5, *shape, seed=1), normal(5, *shape, seed=2))
    for slope_penalty in (wgan_gp, dragan):
        assert slope_penalty(what, draws()).item() == pytest.approx((norm - 1) ** 2, rel=1e-10)
    assert r1(what, draws()).item() == pytest.approx(norm**2 / 2, rel=1e-12)
    assert r2(what, draws()).item() == pytest.approx(norm**2 / 2, rel=1e-12)
    assert r1_r2(what, draws()).item() == pytest.approx(norm**2, rel=1e-12)


def test_on_a_quadratic_critic_r1_is_at_the_real_and_r2_at_the_fake_samples():
    matrix = torch.tensor([[2.0, 1.0], [1.0, -3.0]], dtype=torch.float64)
    real = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)  # Ax: (2, 1), (2, -6)
    fake = torch.tensor([[1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)  # Ax: (3, -2), (0, 0)
    what = judged(Quadratic(matrix), real, fake)
    assert r1(what, draws()).item() == pytest.approx(0.5 * (5 + 40) / 2, rel=1e-12)
    assert r2(what, draws()).item() == pytest.approx(0.5 * (13 + 0) / 2, rel=1e-12)
    assert r1_r2(what, draws()).item() == pytest.approx(0.5 * (5 + 40 + 13) / 2, rel=1e-12)


@pytest.mark.parametrize("count", [1, 4, 64])
@every_shape
def test_norms_are_of_each_sample_and_never_of_the_batch(shape, count):
    size = torch.Size(shape).numel()
    unit = torch.full(shape, 1 / math.sqrt(size), dtype=torch.float64)
    what = judged(Linear(unit), normal(count, *shape, seed=1), normal(count, *shape, seed=2))
    for slope_penalty in (wgan_gp, dragan):  # over the batch the norm would be sqrt(count)
        assert slope_penalty(what, draws()).item() == pytest.approx(0.0, abs=1e-18)
    assert r1(what, draws()).item() == pytest.approx(0.5, rel=1e-12)


def test_wgan_gp_averages_over_samples_of_different_slope():
    critic = Quadratic(torch.eye(2, dtype=torch.float64))  # the slope at x is ‖x‖
    same = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.float64)
    what = judged(critic, same, same)  # nothing lies between, whatever is drawn
    assert wgan_gp(what, draws()).item() == pytest.approx((16 + 1) / 2, rel=1e-10)


# --- where the slope is taken ---------------------------------------------------------------------


class Witness(Linear):
    """Keeps what it was last asked about."""

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        self.seen = samples.detach().clone()
        return super().forward(samples)


@every_shape
def test_wgan_gp_looks_on_the_segment_between_each_pair_with_one_share_per_pair(shape):
    real, fake = normal(200, *shape, seed=1), normal(200, *shape, seed=2)
    witness = Witness(normal(*shape, seed=3))
    wgan_gp(judged(witness, real, fake), draws(5))
    shares = ((witness.seen - fake) / (real - fake)).flatten(1)
    assert torch.allclose(shares, shares[:, :1].expand_as(shares), atol=1e-9)
    shares = shares[:, 0]
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert len(shares.unique()) == 200
    assert shares.mean().item() == pytest.approx(0.5, abs=4 / math.sqrt(12 * 200))
    assert shares.var().item() == pytest.approx(1 / 12, rel=0.25)


@every_shape
def test_dragan_looks_above_real_samples_by_at_most_half_their_standard_deviation(shape):
    real = 3.0 + 2.0 * normal(200, *shape, seed=1)
    witness = Witness(normal(*shape, seed=3))
    dragan(judged(witness, real, normal(200, *shape, seed=2)), draws(5))
    moved = (witness.seen - real).flatten(1) / (0.5 * real.numpy().std())
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert len(moved[0].unique()) == moved.shape[1]  # each coordinate has its own noise
    # E ε U = 1/4; E (ε U)² = 1/9; two coordinates of one sample share ε: E ε² U U' = 1/12.
    assert moved.mean().item() == pytest.approx(1 / 4, abs=0.06)
    assert moved.square().mean().item() == pytest.approx(1 / 9, abs=0.03)
    assert (moved[:, 0] * moved[:, 1]).mean().item() == pytest.approx(1 / 12, abs=0.025)


def test_dragan_takes_the_deviation_of_the_batch_itself_and_not_an_estimate():
    real = torch.tensor([[0.0, 2.0]], dtype=torch.float64)  # deviation 1; estimated, sqrt(2)
    witness = Witness(normal(2))
    reached = []
    for seed in range(200):
        dragan(judged(witness, real, real), draws(seed))
        reached.append((witness.seen - real).max().item())
    assert 0.4 < max(reached) <= 0.5


@pytest.mark.parametrize("name", ["wgan_gp", "dragan"])
def test_what_made_the_samples_gets_no_gradient(name):
    what = judged(smooth_critic(), normal(4, 3, seed=1), normal(4, 3, seed=2))
    PENALTIES[name]()(what, draws()).backward()
    assert what.real.grad is None
    assert what.fake.grad is None


@pytest.mark.parametrize("name", ["wgan_gp", "dragan"])
def test_the_generator_alone_decides_the_draws(name):
    critic = Quadratic(torch.tensor([[2.0, 1.0], [1.0, -3.0]], dtype=torch.float64))
    what = judged(critic, normal(8, 2, seed=1), normal(8, 2, seed=2))
    penalty = PENALTIES[name]()
    first = penalty(what, draws(7))
    torch.rand(3)
    assert penalty(what, draws(7)) == first
    assert penalty(what, draws(8)) != first


def test_wgan_gp_refuses_pairs_of_different_shape():
    critic = Linear(normal(2))
    with pytest.raises(ValueError, match=r"real \[4, 2\], fake \[1, 2\]"):
        wgan_gp(judged(critic, normal(4, 2), normal(1, 2)), draws())


# --- gradients with respect to D ------------------------------------------------------------------


@of_gradients
def test_gradients_of_the_critics_weights_agree_with_finite_differences(name):
    critic = smooth_critic()
    real, fake = normal(6, 3, seed=11), normal(6, 3, seed=12)

    def value() -> torch.Tensor:
        return PENALTIES[name]()(judged(critic, real, fake), draws(7))

    weights = list(critic.parameters())
    gradients = torch.autograd.grad(value(), weights, allow_unused=True)
    assert gradients[3] is None  # a shift of all logits has no slope

    def moved(weight: torch.Tensor, index: int, by: float) -> float:
        flat = weight.data.view(-1)
        flat[index] += by
        found = value().item()
        flat[index] -= by
        return found

    step = 1e-5
    for weight, gradient in zip(weights[:3], gradients, strict=False):
        for index in range(weight.numel()):
            numeric = (moved(weight, index, step) - moved(weight, index, -step)) / (2 * step)
            assert gradient.view(-1)[index].item() == pytest.approx(numeric, rel=1e-5, abs=1e-8)


@of_gradients
@every_shape
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_critic_without_slope_has_finite_gradients(name, shape, dtype):
    critic = Linear(torch.zeros(shape, dtype=dtype))
    what = judged(critic, normal(4, *shape, dtype=dtype), normal(4, *shape, dtype=dtype))
    value = PENALTIES[name]()(what, draws())
    (gradient,) = torch.autograd.grad(value, critic.weight)
    assert value.item() == pytest.approx(1.0 if name in {"wgan_gp", "dragan"} else 0.0, abs=1e-5)
    assert gradient.isfinite().all()


@every_penalty
def test_gradients_asked_for_are_the_only_ones_needed(name):
    penalty = PENALTIES[name]()
    critic = smooth_critic()
    real, fake = normal(6, 3, seed=11), normal(6, 3, seed=12)
    real.requires_grad_(penalty.needs_real_gradient)
    fake.requires_grad_(penalty.needs_fake_gradient)
    what = Judged(critic, real, fake, critic(real), critic(fake))
    value = penalty(what, draws())
    torch.autograd.backward(value, inputs=list(critic.parameters()))
    assert value.shape == ()
    assert real.grad is None
    assert fake.grad is None


@pytest.mark.parametrize("name", ["r1", "r2", "r1_r2"])
def test_r1_and_r2_ask_the_critic_nothing_more(name):
    what = judged(smooth_critic(), normal(6, 3), normal(6, 3))
    PENALTIES[name]()(what._replace(critic=lambda _: pytest.fail("asked")), draws())


# --- precision ------------------------------------------------------------------------------------


@every_penalty
def test_a_penalty_is_float32_though_the_critic_runs_in_bfloat16(name):
    critic = smooth_critic(torch.float32)
    real, fake = (normal(6, 3, seed=s, dtype=torch.float32) for s in (11, 12))
    exact = PENALTIES[name]()(judged(critic, real, fake), draws(7))
    with torch.autocast("cpu", torch.bfloat16):
        what = judged(critic, real, fake)
        value = PENALTIES[name]()(what, draws(7))
    assert what.real_logits.dtype == torch.bfloat16
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=0.05)
    value.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in critic.parameters())


def test_squares_of_bfloat16_gradients_are_summed_in_float32():
    ones = torch.ones(1000, dtype=torch.bfloat16)  # 257 is not a bfloat16 number, nor is 1000
    samples = torch.zeros(2, 1000, dtype=torch.bfloat16, requires_grad=True)
    logits = (samples * ones).sum(1)
    value = r1(Judged(Linear(ones), samples, samples, logits, logits), draws())
    assert value.dtype == torch.float32
    assert value.item() == 500.0


@every_penalty
def test_a_penalty_keeps_float64(name):
    what = judged(smooth_critic(), normal(6, 3), normal(6, 3))
    assert PENALTIES[name]()(what, draws()).dtype == torch.float64


# --- LeCam ----------------------------------------------------------------------------------------


def said(real: list[float], fake: list[float]) -> Judged:
    """Only logits: LeCam looks at nothing else."""
    nothing = torch.zeros(0)
    logits = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (real, fake)]
    return Judged(lambda _: pytest.fail("asked"), nothing, nothing, *logits)


STEPS = [([1.0, 3.0], [-1.0, 0.0]), ([4.0, 0.0], [0.5, 1.5]), ([0.0, -1.0], [2.0, -3.0])]


def expected_lecam() -> list[float]:
    """Anchors of decay 0.99 as weighted means of all batch means so far, newest 1, then 0.99, …"""
    values = []
    for last in range(3):
        weights = [0.99 ** (last - i) for i in range(last + 1)]
        anchor_real, anchor_fake = (
            sum(w * sum(s[side]) / 2 for w, s in zip(weights, STEPS, strict=False)) / sum(weights)
            for side in (0, 1)
        )
        real, fake = STEPS[last]
        values.append(
            sum((r - anchor_fake) ** 2 for r in real) / 2
            + sum((f - anchor_real) ** 2 for f in fake) / 2
        )
    return values


def test_lecam_over_three_updates_by_hand():
    lecam = LeCam().double()
    values = [lecam(said(*step), draws()).item() for step in STEPS]
    assert values == pytest.approx(expected_lecam(), rel=1e-9)
    # First: anchors 2 and -1/2, so ((1.5² + 3.5²) + (3² + 2²)) / 2.
    assert values[0] == pytest.approx((1.5**2 + 3.5**2 + 3.0**2 + 2.0**2) / 2, rel=1e-9)


def test_lecam_pulls_logits_towards_anchors_that_carry_no_gradient():
    what = said([1.0, 3.0], [-1.0, 0.0])
    LeCam().double()(what, draws()).backward()
    # d/dr of (r - a_F)² / 2 samples is r - a_F, with a_F = -1/2 as if it were a number.
    assert what.real_logits.grad.tolist() == pytest.approx([1.5, 3.5], rel=1e-9)
    assert what.fake_logits.grad.tolist() == pytest.approx([-3.0, -2.0], rel=1e-9)


def test_lecam_goes_on_from_its_state():
    lecam = LeCam().double()
    lecam(said(*STEPS[0]), draws())
    state = copy.deepcopy(lecam.state_dict())
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    lecam(said(*STEPS[1]), draws())
    other = LeCam().double()
    other.load_state_dict(state)
    values = [other(said(*step), draws()).item() for step in STEPS[1:]]
    assert values == pytest.approx(expected_lecam()[1:], rel=1e-9)


# --- the registry ---------------------------------------------------------------------------------


def test_the_names_are_those_of_a_sweep_file():
    assert {"none", *PENALTIES} == set(get_args(PenaltyName))


def test_every_penalty_has_the_weight_of_its_source():
    weights = {name: make().default_weight for name, make in PENALTIES.items()}
    assert weights == {
        "wgan_gp": 10.0,
        "dragan": 10.0,
        "r1": 10.0,
        "r2": 10.0,
        "r1_r2": 10.0,
        "lecam": 0.3,
    }


def test_two_trainers_share_no_memory():
    one, other = PENALTIES["lecam"](), PENALTIES["lecam"]()
    one(said(*STEPS[0]), draws())
    assert other.state_dict()["memory"].tolist() == [0.0, 0.0, 0.0]


@every_penalty
def test_state_is_plain_tensors_and_nothing_to_train(name):
    penalty = PENALTIES[name]()
    assert not list(penalty.parameters())
    assert (name == "lecam") == bool(penalty.state_dict())

"""Optimisers against one or two steps worked out by hand."""

import math
from typing import get_args

import pytest
import torch
from torch.nn import Parameter

from ganray.gan.optimizers import OPTIMIZERS, make_optimizer
from ganray.spec.names import OptimizerName
from ganray.trial import TrialConfig

START = 2.0
GRADIENTS = (0.5, -0.25)
BETA1, BETA2, MOMENTUM, DECAY = 0.3, 0.8, 0.6, 0.1
D_LR, G_LR = 0.05, 0.01
EPS = 1e-8


def by_adam(lr: float, decay: float, *, decoupled: bool) -> float:
    x, m, v = START, 0.0, 0.0
    for t, slope in enumerate(GRADIENTS, start=1):
        gradient = slope if decoupled else slope + decay * x
        x -= lr * decay * x if decoupled else 0.0
        m = BETA1 * m + (1 - BETA1) * gradient
        v = BETA2 * v + (1 - BETA2) * gradient**2
        x -= lr * (m / (1 - BETA1**t)) / (math.sqrt(v / (1 - BETA2**t)) + EPS)
    return x


def by_rmsprop(lr: float, decay: float) -> float:
    x, v, motion = START, 0.0, 0.0
    for slope in GRADIENTS:
        gradient = slope + decay * x
        v = 0.99 * v + 0.01 * gradient**2
        motion = MOMENTUM * motion + gradient / (math.sqrt(v) + EPS)
        x -= lr * motion
    return x


def by_sgd(lr: float, decay: float) -> float:
    x, motion = START, 0.0
    for slope in GRADIENTS:
        motion = MOMENTUM * motion + slope + decay * x
        x -= lr * motion
    return x


EXPECTED = {
    "adam": lambda lr, decay: by_adam(lr, decay, decoupled=False),
    "adamw": lambda lr, decay: by_adam(lr, decay, decoupled=True),
    "rmsprop": by_rmsprop,
    "sgd": by_sgd,
}


def after_two_steps(config: TrialConfig, side: str) -> float:
    parameter = Parameter(torch.tensor([START], dtype=torch.float64))
    optimizer = make_optimizer(config, [parameter], side)
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    return parameter.item()


def config(**options) -> TrialConfig:
    shared = {"beta1": BETA1, "beta2": BETA2, "momentum": MOMENTUM, "d_lr": D_LR, "g_lr": G_LR}
    return TrialConfig(**{**shared, **options})


def test_the_names_are_those_of_a_sweep_file():
    assert set(OPTIMIZERS) == set(get_args(OptimizerName)) == set(EXPECTED)


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize("name", sorted(EXPECTED))
@pytest.mark.parametrize(("side", "lr"), [("d", D_LR), ("g", G_LR)])
def test_two_steps_are_those_of_the_formula(name, side, lr, decay):
    moved = after_two_steps(config(optimizer=name, weight_decay=decay), side)
    assert moved == pytest.approx(EXPECTED[name](lr, decay), rel=1e-9)


def test_formulas_here_tell_the_optimisers_apart():
    places = [formula(D_LR, DECAY) for formula in EXPECTED.values()]
    gaps = [abs(a - b) for i, a in enumerate(places) for b in places[:i]]
    assert min(gaps) > 1e-4


def test_a_side_may_have_its_own_optimiser():
    both = config(optimizer="adam", d_optimizer="rmsprop", g_optimizer="sgd")
    assert after_two_steps(both, "d") == pytest.approx(by_rmsprop(D_LR, 0.0), rel=1e-9)
    assert after_two_steps(both, "g") == pytest.approx(by_sgd(G_LR, 0.0), rel=1e-9)
    one = config(optimizer="sgd", g_optimizer="adamw")
    assert after_two_steps(one, "d") == pytest.approx(by_sgd(D_LR, 0.0), rel=1e-9)


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"rmsprop"}))
def test_fused_steps_are_used_where_there_are_any(name):
    optimizer = make_optimizer(config(optimizer=name), [Parameter(torch.zeros(1))], "d")
    assert optimizer.defaults["fused"]

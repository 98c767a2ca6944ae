"""Optimisers against one or two steps worked out by hand."""

import math
import subprocess
import sys
from functools import partial
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


CLASSES = {
    "adam": partial(torch.optim.Adam, betas=(BETA1, BETA2), fused=True),
    "adamw": partial(torch.optim.AdamW, betas=(BETA1, BETA2), fused=True),
    "rmsprop": partial(torch.optim.RMSprop, momentum=MOMENTUM),
    "sgd": partial(torch.optim.SGD, momentum=MOMENTUM, fused=True),
}


def a_few_weights() -> list[Parameter]:
    random = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(shape, generator=random)) for shape in ((3, 4), (4,), (1,))]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_steps_are_bit_for_bit_those_of_the_class_in_torch(name):
    ours, theirs = a_few_weights(), a_few_weights()
    optimizer = make_optimizer(config(optimizer=name, weight_decay=DECAY), ours, "d")
    reference = CLASSES[name](theirs, lr=D_LR, weight_decay=DECAY)
    for step in range(5):
        for mine, its in zip(ours, theirs, strict=True):
            skipped = step == 2 and mine.ndim == 2  # a weight that this loss does not reach
            gradient = None if skipped else torch.sin(mine.detach() + step)
            mine.grad, its.grad = gradient, gradient
        optimizer.step()
        reference.step()
        assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_optimiser_goes_on_from_its_state(name):
    through, first, second = a_few_weights(), a_few_weights(), a_few_weights()
    whole = make_optimizer(config(optimizer=name), through, "d")
    before, after = (make_optimizer(config(optimizer=name), w, "d") for w in (first, second))
    for step in range(6):
        halves, weights = (before, first) if step < 3 else (after, second)
        if step == 3:
            for mine, its in zip(second, first, strict=True):
                mine.data.copy_(its)
            after.load_state_dict(before.state_dict())
        for optimizer, moved in ((whole, through), (halves, weights)):
            for weight in moved:
                weight.grad = torch.cos(weight.detach())
            optimizer.step()
    assert all(map(torch.equal, through, second))


def test_training_does_not_import_the_compiler():
    script = """
import sys, torch
from ganray.gan.real import RealData
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig
for name in ("adam", "adamw", "rmsprop", "sgd"):
    config = TrialConfig(optimizer=name, batch_size=4, latent_dim=2)
    GanTrainer(config, {"name": "mlp", "width": 4}, RealData(torch.zeros(8, 2))).advance(2)
assert "torch._dynamo" not in sys.modules, "a second and 100 MB of every process"
"""
    subprocess.run([sys.executable, "-c", script], check=True)

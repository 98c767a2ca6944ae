"""The Gaussian that an f-GAN learns is the one that minimises its divergence."""

import math
from collections.abc import Iterator

import pytest
import torch

from tests.benchmarks.fgan import OVERLAPPING, SEPARATED, Learned, experiment

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def learned(mixture, row: str, updates: int) -> Learned:
    (trial,) = experiment(mixture, [row], seeds=[0], updates=updates)
    return trial


def test_kl_learns_the_moments_of_the_mixture() -> None:
    trial = learned(OVERLAPPING, "KL", updates=4_000)
    variance = 0.2 * 1.5**2 + 0.8 * 1.0**2 + 0.2 * 0.8 * 4.0**2
    assert trial.best[:2] == pytest.approx((0.2 * -2.0 + 0.8 * 2.0, math.sqrt(variance)), abs=1e-4)
    assert trial.fit[:2] == pytest.approx(trial.best[:2], abs=0.06)
    assert 0.0 <= trial.gap < 0.003
    assert trial.bound == pytest.approx(trial.fit.value, abs=0.006)


def test_reverse_kl_sits_on_one_mode() -> None:
    trial = learned(SEPARATED, "reverse KL", updates=4_000)
    assert trial.fit[:2] == pytest.approx((2.0, 1.0), abs=0.1)
    # -log 0.6: the one mode is all of Q and that share of P
    assert trial.fit.value == pytest.approx(-math.log(0.6), abs=0.01)
    assert trial.bound == pytest.approx(trial.fit.value, abs=0.006)


def test_kl_covers_both_modes() -> None:
    trial = learned(SEPARATED, "KL", updates=6_000)
    moments = 0.4 * -6.0 + 0.6 * 2.0, math.sqrt(1.0 + 0.4 * 0.6 * 8.0**2)
    assert trial.fit[:2] == pytest.approx(moments, abs=0.25)
    assert 0.0 <= trial.gap < 0.01

"""Losses of many rows at once: each row's is its own, whatever the others are."""

import math

import pytest
import torch
from torch import Tensor

from ganray.gan.losses import LOSS_NAMES, LossFunction, make_loss
from ganray.gan.row_losses import slopes

pytestmark = pytest.mark.usefixtures("in_float64")

SIDES = [make_loss(name)[side] for name in LOSS_NAMES for side in (0, 1)]


def logits(scale: float = 3.0, *, seed: int) -> Tensor:
    shape = (len(SIDES), 6)
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def owners(*losses: LossFunction) -> dict[LossFunction, Tensor]:
    return {loss: torch.tensor([[each is loss] for each in losses]) for loss in losses}


def alone(loss: LossFunction, real: Tensor, fake: Tensor) -> list[Tensor]:
    both = [real.clone().requires_grad_(), fake.clone().requires_grad_()]
    value = loss(*both)
    return [value.detach(), *torch.autograd.grad(value, both, materialize_grads=True)]


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_every_row_has_the_loss_and_the_slopes_of_its_own_loss_alone(scale):
    real, fake = logits(scale, seed=0), logits(scale, seed=1)
    found = slopes(owners(*SIDES), real, fake)
    for row, loss in enumerate(SIDES):
        expected = alone(loss, real[row], fake[row])
        for mine, its in zip((part[row] for part in found), expected, strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-12)


def test_what_another_row_s_loss_makes_of_a_row_never_shows():
    """Least squares have infinite slopes where those of the hinge are 0 or 1."""
    hinge, squares = make_loss("hinge").discriminator, make_loss("lsgan").discriminator
    real = torch.tensor([[math.inf, 2.0], [math.nan, 1.0], [0.5, 0.2]])
    fake = -real
    found = slopes(owners(hinge, squares, squares), real, fake)
    for row in (0, 2):
        for mine, its in zip(
            found, alone((hinge, squares)[row > 0], real[row], fake[row]), strict=True
        ):
            assert torch.equal(mine[row], its)
    assert found.by_real[1].isnan().tolist() == [True, False]


def test_a_row_that_no_loss_is_named_for_has_no_slope():
    real, fake = logits(seed=0), logits(seed=1)
    found = slopes({SIDES[0]: torch.arange(len(SIDES)).unsqueeze(1) == 3}, real, fake)
    rest = [row for row in range(len(SIDES)) if row != 3]
    assert not any(part[rest].any() for part in found)
    assert found.by_real[3].all()


def test_trials_of_one_loss_share_its_functions():
    """Else a cohort would take the slopes of each f-GAN's functions apart."""
    for name in LOSS_NAMES:
        assert make_loss(name) == make_loss(name)

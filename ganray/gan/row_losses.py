"""Losses of many rows, each with its own, and their slopes by the logits.

All that a network needs of a loss is its slope by each logit: what comes before is the same for all
rows. Slopes of each loss are taken for all rows and chosen from afterwards, so that shapes do not
depend on who has which, and what is infinite in one row reaches no other.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import vmap

from ganray.gan.losses import LossFunction


class Slopes(NamedTuple):
    """A loss in every row, and its slopes by the logits; 0 in rows that no loss was named for."""

    loss: Tensor  # [K]
    by_real: Tensor  # [K, B]
    by_fake: Tensor  # [K, B]


class RowLosses:
    """Which loss each of K rows has.

    What a row had before is remembered, as others may have it again, until there is more of that
    than there are rows.

    Args:
        size: K.
        device: of the logits.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        # made once, as what is given up may be read for a while by what is under way
        self._unused = list(torch.zeros(size, size, 1, dtype=torch.bool, device=device))
        self._wanted: dict[LossFunction, Tensor] = {}  # in which rows, [K, 1]

    @property
    def known(self) -> frozenset[LossFunction]:
        """All that rows have, or had."""
        return frozenset(self._wanted)

    def assign(self, losses: Sequence[LossFunction | None]) -> bool:
        """Say which loss each row has; those known before are noted where they were noted.

        Args:
            losses: of all rows; None: nobody is there.

        Returns:
            Whether others were forgotten.
        """
        new = [loss for loss in dict.fromkeys(losses) if loss is not None]
        forgets = len(self.known.union(new)) > len(losses)
        for loss in self.known.difference(new) if forgets else ():
            self._unused.append(self._wanted.pop(loss))
        for loss in new:
            if loss not in self._wanted:
                self._wanted[loss] = self._unused.pop()
        for loss, rows in self._wanted.items():
            rows.copy_(torch.tensor([[each is loss] for each in losses]))
        return forgets

    def slopes(self, losses: Iterable[LossFunction], real: Tensor, fake: Tensor) -> Slopes:
        """`slopes` of these of the known losses, each in its rows."""
        return slopes({loss: self._wanted[loss] for loss in losses}, real, fake)


def slopes(losses: Mapping[LossFunction, Tensor], real: Tensor, fake: Tensor) -> Slopes:
    """Of each row's own loss.

    Args:
        losses: in which rows each is wanted, [K, 1], bool.
        real: logits of real samples, [K, B].
        fake: logits of generated samples, [K, B].
    """
    found = Slopes(real.new_zeros(len(real)), torch.zeros_like(real), torch.zeros_like(fake))
    for loss, wanted in losses.items():
        loss_slopes = _slopes(loss, real, fake)
        found = Slopes(
            torch.where(wanted.squeeze(1), loss_slopes.loss, found.loss),
            torch.where(wanted, loss_slopes.by_real, found.by_real),
            torch.where(wanted, loss_slopes.by_fake, found.by_fake),
        )
    return found


def _slopes(loss: LossFunction, real: Tensor, fake: Tensor) -> Slopes:
    logits = [logits.detach().requires_grad_() for logits in (real, fake)]
    values: Tensor = vmap(loss)(*logits)
    by_real, by_fake = torch.autograd.grad(values.sum(), logits, materialize_grads=True)
    return Slopes(values.detach(), by_real, by_fake)

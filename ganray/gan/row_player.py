"""One side of K trials: `ganray.gan.player` over rows.

Whatever is written, is written to the rows that move; the others keep every bit. Nothing is
multiplied by a mask, which would carry what is not finite in one row to another.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ganray.gan.optimizers import OPTIMIZERS
from ganray.gan.player import Player
from ganray.gan.row_optimizers import ROW_OPTIMIZERS
from ganray.gan.row_settings import Settings
from ganray.gan.rows import RowNetwork

SUMS = ("loss", "grad_norm", "clipped")  # of `Player.sums`; without penalties, that sum stays 0
BESIDE_THE_NORM = 1e-6  # as torch has it where it clips gradients


class RowPlayer:
    """The networks of one side, with their optimiser, their clipping and their averages.

    Args:
        size: K.
        network: one like them, on their device.
        optimizer: name of their optimiser.
    """

    def __init__(self, size: int, network: nn.Module, optimizer: str) -> None:
        self.network = RowNetwork(size, network)
        weights = self.network.weights
        self._optimizer = ROW_OPTIMIZERS[optimizer]
        self._slots = {name: torch.zeros_like(weights) for name in OPTIMIZERS[optimizer].SLOTS}
        # a count for each parameter, as optimisers have it
        self._counts = weights.new_zeros(size, len(self.network.layout.shapes))
        self._bounds = torch.full_like(weights, math.inf)
        self._sums = {name: weights.new_zeros(size) for name in SUMS}

    # --- who is in a row --------------------------------------------------------------------------

    def places(self, row: int, player: Player) -> Iterator[tuple[Tensor, Tensor]]:
        """Each of a player's tensors, and where in a row it goes."""
        state = player.optimizer.state_dict()
        yield from zip(player.parameters, self._parts(self.network.weights, row), strict=True)
        for name, slot in self._slots.items():
            yield from zip(state[name], self._parts(slot, row), strict=True)
        yield from zip(state["count"], self._counts[row], strict=True)

    def begin(self, row: int, player: Player) -> None:
        """Take down what is a player's own and no tensor of it; nothing is summed up yet."""
        self._bounds[row] = math.inf
        if player.weight_clip is not None:
            bounds = zip(player.parameters, self._parts(self._bounds, row), strict=True)
            clippable = set(player.clippable)
            for bound in (bound for parameter, bound in bounds if parameter in clippable):
                bound.fill_(player.weight_clip)
        for sums in self._sums.values():
            sums[row] = 0.0

    def settle(self, row: int, player: Player) -> None:
        """Add to a player's own sums what was summed up for it, and begin anew."""
        for name, sums in self._sums.items():
            player.sums[name] += sums[row]
            sums[row] = 0.0

    def _parts(self, flat: Tensor, row: int) -> list[Tensor]:
        return self.network.layout.split(flat[row])

    # --- a step of the rows that move -------------------------------------------------------------

    @torch.no_grad()
    def move(self, gradient: Tensor, loss: Tensor, of: Settings[Tensor]) -> None:
        """Clip the gradient, take the optimiser's step, clip the weights.

        Args:
            gradient: [K, P].
            loss: [K].
            of: who moves, and how.
        """
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        clipped = _clipped(gradient, norm, of.grad_clip)
        weights, slots = self.network.weights, tuple(self._slots.values())
        moved, moved_slots = self._optimizer.move(weights, clipped, slots, of)
        moves = of.moves > 0.0
        _write(moves, weights, moved.clamp(-self._bounds, self._bounds))
        for slot, moved_slot in zip(slots, moved_slots, strict=True):
            _write(moves, slot, moved_slot)
        if self._optimizer.counts:
            self._counts += of.moves
        self._sum(loss, norm, of)

    def _sum(self, loss: Tensor, norm: Tensor, of: Settings[Tensor]) -> None:
        measured = of.is_measured > 0.0
        _add(self._sums["loss"], of.moves > 0.0, loss.unsqueeze(1))
        _add(self._sums["grad_norm"], measured, norm)
        _add(self._sums["clipped"], measured, (norm > of.grad_clip).to(norm.dtype))


def _clipped(gradient: Tensor, norm: Tensor, bound: Tensor) -> Tensor:
    """The gradient, in rows that have a bound no longer than that."""
    scale = (bound / (norm + BESIDE_THE_NORM)).clamp(max=1.0)
    return torch.where(bound.isinf(), gradient, scale * gradient)


def _write(moves: Tensor, kept: Tensor, moved: Tensor) -> None:
    torch.where(moves, moved, kept, out=kept)


def _add(sums: Tensor, counts: Tensor, values: Tensor) -> None:
    sums += torch.where(counts, values, 0.0).squeeze(1)

"""The average of a network's weights along its training."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of a network's weights; buffers are those of the last update.

    The decay ramps up: it is min(decay, (1 + n) / (10 + n)) after n updates, so that the untrained
    weights are soon forgotten.

    Args:
        module: the network at the start; it is copied.
        decay: per update, in [0, 1). The average reaches back about 1 / (1 - decay) updates, but
            never more than a ninth of all so far: .999 needs 9,000 updates to differ from .9999.

    Raises:
        ValueError: the decay is not in [0, 1).

    Source: Polyak & Juditsky 1992 for averaging; the ramp is that of TensorFlow's
    ExponentialMovingAverage.
    """

    module: nn.Module  # the averaged network, in evaluation mode, without gradients

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay of an average must be in [0, 1); got {decay}")
        self.decay = decay
        self.updates = 0
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @property
    def next_decay(self) -> float:
        """The decay of the next update."""
        return min(self.decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the network as it is now."""
        averages: list[Tensor] = list(self.module.parameters())
        weights: list[Tensor] = list(module.parameters())
        torch._foreach_lerp_(averages, weights, 1.0 - self.next_decay)
        for mine, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(buffer)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs; tensors are the live ones."""
        return {"updates": self.updates, "module": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that an average of a like network gave."""
        self.updates = state["updates"]
        self.module.load_state_dict(state["module"])

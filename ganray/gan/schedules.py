"""Whose turn it is, and how a value changes while a trial goes on."""

import math
from collections.abc import Callable, Mapping
from typing import Literal

from ganray.trial import TrialConfig

Turn = Literal["d", "g"]
TURNS: tuple[Turn, ...] = ("d", "g")  # of a round


class Turns:
    """The order of updates: in each round `d_steps` of D, then `g_steps` of G.

    In a warm-up round D has `warmup_d_steps` instead. The first `warmup_rounds` are such, and every
    round, 0 included, whose number is a multiple of `warmup_every`. The authors of WGAN have 100
    turns of D in the first 25 rounds and in every 500th, else 5.

    Args:
        config: the trial's parameters, of which it needs those named above.

    Raises:
        ValueError: a number of turns, or `warmup_every`, is below 1.

    Source: Arjovsky et al. 2017, the authors' code (arXiv 1701.07875).
    """

    def __init__(self, config: TrialConfig) -> None:
        names = ("d_steps", "g_steps", "warmup_d_steps", "warmup_every")
        counts = {name: getattr(config, name) for name in names}
        if wrong := {name: n for name, n in counts.items() if n is not None and n < 1}:
            raise ValueError(f"turns must be at least 1; got {wrong}")
        self._config = config
        self._start(0, 0)

    def d_steps(self, number: int) -> int:
        """D's turns in the round of that number, counted from 0."""
        config = self._config
        if config.warmup_d_steps is None:
            return config.d_steps
        every = config.warmup_every
        warm = number < config.warmup_rounds or (every is not None and number % every == 0)
        return config.warmup_d_steps if warm else config.d_steps

    @property
    def upcoming(self) -> Turn:
        """Whose update is next."""
        is_round_over = self._step == self._round_length  # the next one begins with D
        return "d" if is_round_over or self._step < self._d_turns else "g"

    def next(self) -> Turn:
        """Whose update is next; goes on to the one after it."""
        if self._step == self._round_length:
            self._start(self._round + 1, 0)
        self._step += 1
        return "d" if self._step <= self._d_turns else "g"

    def state_dict(self) -> dict[str, int]:
        """Where in the order we are."""
        return {"round": self._round, "step": self._step}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from there."""
        self._start(state["round"], state["step"])

    def _start(self, number: int, step: int) -> None:
        self._round, self._step = number, step
        self._d_turns = self.d_steps(number)
        self._round_length = self._d_turns + self._config.g_steps


def factor(name: str, progress: float, final: float) -> float:
    """What a value is multiplied by: 1 at the start, `final` at the end, unless it is constant.

    Args:
        name: one of `SCHEDULES`.
        progress: share of the trial that is over; what lies outside [0, 1] counts as its end.
        final: the factor at progress 1; a constant schedule never gets there.
    """
    gone = SCHEDULES[name](min(max(progress, 0.0), 1.0))
    return (1.0 - gone) + gone * final


def constant(_progress: float) -> float:
    """Stays where it is."""
    return 0.0


def linear(progress: float) -> float:
    """Goes at one speed."""
    return progress


def cosine(progress: float) -> float:
    """Slow at both ends. Source: Loshchilov & Hutter 2017, equation 5 (arXiv 1608.03983)."""
    return 0.5 * (1.0 - math.cos(math.pi * progress))


# The share of the way that is gone, from the share of the time that is over.
SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
}

"""A policy that looks at nothing: what stopping as often, as early, at random would do."""

import random
from collections.abc import Iterable, Iterator, Sequence

from ganray.trial import Outcome, derive_seed
from ganray.tuning.replay.histories import History
from ganray.tuning.replay.policies import Stopped


class Chance:
    """Stops as many trials as another policy does, after the same shares of their budgets.

    Args:
        name: of this policy.
        model: the other policy's name.
        stops: of each trial, the share of its budget at which the other stopped it, or None. They
            are dealt out in random order, another for each sweep, and again when all are dealt.
    """

    measures = True
    alone = False  # but for the deal, it would be

    def __init__(self, name: str, model: str, stops: Sequence[float | None]) -> None:
        self.name = name
        self._model = model
        self._stops = list(stops)

    def decide(self, histories: Iterable[History], seed: int = 0) -> Iterator[Stopped | None]:
        """See `Policy`."""
        deck: list[float | None] = []
        for deal, history in enumerate(histories):
            if not deck:
                rng = random.Random(derive_seed("deal", history.source, seed, deal))
                deck = rng.sample(self._stops, len(self._stops))
            yield self._stop(history, deck.pop())

    def _stop(self, history: History, share: float | None) -> Stopped | None:
        if share is None:
            return None
        for index, signals in enumerate(history.reports):
            if signals.nonfinite is None and signals.update >= share * history.budget:
                reason = f"at random, as often and as early as {self._model}"
                return Stopped(index, Outcome.OUTRANKED.value, reason, self.name)
        return None

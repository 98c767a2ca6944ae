"""What a policy's best trial is worth beside that of an unpruned sweep of equal compute."""

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ganray.trial import derive_seed
from ganray.tuning.objective import final_objective
from ganray.tuning.replay.catalogue import decide
from ganray.tuning.replay.histories import History, Tell, by_source
from ganray.tuning.replay.intervals import Interval, quantiles
from ganray.tuning.replay.policies import Policy, Stopped

SIZES = (16, 32)  # trials whose unpruned cost is the compute
RESAMPLES = 1_000
SHARE_OF_PEERS = 10  # policies that compare trials take so many times fewer resamples


@dataclass(frozen=True, slots=True)
class Regret:
    """Best objective by the policy minus best without pruning, on the same streams of trials."""

    trials: int  # whose cost is the compute
    median: float  # above 0: worse than without pruning
    interval: Interval  # the middle 95 % of resamples
    resamples: int


def regrets(
    policy: Policy, histories: Sequence[History], resamples: int, tell: Tell = lambda *_: None
) -> list[Regret]:
    """Resample sweeps from histories and run a policy over each until its compute is spent.

    Trials are drawn with replacement from one sweep at a time, each sweep equally often, in a
    stream as long as needed; histories that were cut short are left out. A trial counts once it
    ran to the end. If none did, the worst end of the sweep stands for the best.

    Args:
        policy: any.
        histories: to draw from.
        resamples: how many; for policies that compare trials `SHARE_OF_PEERS` times fewer.
        tell: hears how far it is.

    Returns:
        One for each of `SIZES`; none where no trial ran to the end.
    """
    pools = [_Pool([histories[i] for i in group]) for group in by_source(histories).values()]
    pools = [pool for pool in pools if pool.ends]
    if not pools:
        return []
    count = resamples if policy.alone else max(1, resamples // SHARE_OF_PEERS)
    known = [decide(policy, pool.histories) if policy.alone else None for pool in pools]
    found: list[list[float]] = []
    for number in range(count):
        tell(f"regret of {policy.name}", number, count)
        which = number % len(pools)
        found.append(pools[which].regret(policy, known[which], number))
    columns = zip(SIZES, zip(*found, strict=True), strict=True)
    return [Regret(m, statistics.median(x), quantiles(x), count) for m, x in columns]


class _Pool:
    """The full histories of one sweep, to draw from."""

    def __init__(self, histories: Sequence[History]) -> None:
        self.histories = [history for history in histories if history.is_full]
        self._values = [_end(history) for history in self.histories]  # smaller is better
        self.ends = [value for value in self._values if value is not None]
        costs = [history.cost for history in self.histories]
        self._limits = [size * statistics.fmean(costs) for size in SIZES] if costs else []

    def regret(self, policy: Policy, known: list[Stopped | None] | None, seed: int) -> list[float]:
        """On one stream, at each compute.

        Args:
            policy: to be run.
            known: its decision on each history, if they depend on nothing else.
            seed: of the stream.
        """
        if known is None:
            drawn: list[int] = []
            stream = self._draw(seed, drawn)
            stops = policy.decide((self.histories[index] for index in stream), seed)
            ours = self._best((drawn[n], stop) for n, stop in enumerate(stops))
        else:
            ours = self._best((index, known[index]) for index in self._draw(seed))
        plain = self._best((index, None) for index in self._draw(seed))
        return [mine - other for mine, other in zip(ours, plain, strict=True)]

    def _draw(self, seed: int, drawn: list[int] | None = None) -> Iterator[int]:
        """An endless stream of indices, the same for every policy."""
        rng = random.Random(derive_seed("regret", self.histories[0].source, seed))
        while True:
            index = rng.randrange(len(self.histories))
            if drawn is not None:
                drawn.append(index)
            yield index

    def _best(self, stream: Iterator[tuple[int, Stopped | None]]) -> list[float]:
        """The best end that is reached within each compute."""
        best = [max(self.ends)] * len(self._limits)
        spent = 0
        for index, stop in stream:
            history, value = self.histories[index], self._values[index]
            spent += history.cost if stop is None else history.reports[stop.report].update
            if spent > self._limits[-1]:
                break
            if stop is None and value is not None:
                within = [spent <= limit for limit in self._limits]
                best = [min(b, value) if w else b for b, w in zip(best, within, strict=True)]
        return best


def _end(history: History) -> float | None:
    """The final objective of a trial that ran its whole budget, so that smaller is better."""
    value = final_objective(history.reports, history.metric)
    if value is None or history.ended_nonfinite:
        return None
    return value if history.direction == "min" else -value

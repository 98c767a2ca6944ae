"""How sure a share is."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from ganray.tracking import ledger

Interval = tuple[float, float]
RESAMPLES = 1_000


def wilson(hits: int, total: int) -> Interval | None:
    """The 95 % interval of a share of independent trials; None where there is no trial."""
    return ledger.wilson(hits, total) if total else None


def cluster_weights(clusters: Sequence[Hashable], seed: int = 0) -> NDArray[np.float64]:
    """How often each trial is drawn when whole clusters are drawn with replacement.

    Args:
        clusters: of each trial, which cluster it belongs to.
        seed: of the draws.

    Returns:
        [RESAMPLES, trials]; trials of one cluster are always drawn together.
    """
    ids = {cluster: index for index, cluster in enumerate(dict.fromkeys(clusters))}
    member = np.array([ids[cluster] for cluster in clusters], dtype=np.int64)
    even = np.full(len(ids), 1.0 / len(ids))
    drawn = np.random.default_rng(seed).multinomial(len(ids), even, size=RESAMPLES)
    return drawn[:, member].astype(np.float64)


def bootstrap_ratio(
    weights: NDArray[np.float64], above: NDArray[np.float64], below: NDArray[np.float64]
) -> Interval | None:
    """The 95 % interval of sum(above) / sum(below) over resamples; None where below is nothing.

    Args:
        weights: of `cluster_weights`, [resamples, trials].
        above, below: of each trial, its part in the ratio.
    """
    bottom = weights @ below
    drawn = bottom > 0
    if not drawn.any():
        return None
    return quantiles((weights @ above)[drawn] / bottom[drawn])


def quantiles(values: Sequence[float] | NDArray[np.float64]) -> Interval:
    """The middle 95 % of values."""
    low, high = np.quantile(np.asarray(values), [0.025, 0.975])
    return float(low), float(high)

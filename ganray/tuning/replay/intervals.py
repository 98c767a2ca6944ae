"""How sure a share is."""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
RESAMPLES = 1_000
_Z = 1.959963984540054  # of a 95 % interval


def wilson(hits: int, total: int) -> Interval | None:
    """The 95 % interval of a share of independent trials; None where there is no trial.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if total == 0:
        return None
    share, z2 = hits / total, _Z * _Z
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    spread = math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    half = spread * _Z / (1 + z2 / total)
    # at no or all hits an end is exactly 0 or 1, but for rounding
    low = 0.0 if hits == 0 else centre - half
    return low, 1.0 if hits == total else centre + half


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

"""Modes of samples without labels: the bins of k-means."""

from dataclasses import dataclass

import numpy as np

from ganray.data.dataset import Bytes, Classified, Samples, as_float
from ganray.data.goodness import FARTHEST, Anchors, choose_anchors, measure_reach

BINS = 20
SMALLEST = 10  # samples a bin on average, at least


@dataclass(frozen=True)
class BinModes:
    """A sample is of the bin whose centre is nearest, and good if real samples lie near it.

    Source: Richardson & Weiss 2018, for bins by k-means (NDB, arXiv 1805.12462).
    """

    centres: Samples  # [K, D]
    anchors: Anchors

    @property
    def modes(self) -> int:
        """How many bins there are."""
        return len(self.centres)

    def classify(self, samples: Samples) -> Classified:
        """The nearest centre of each sample [N, ...]."""
        flat = samples.reshape(len(samples), -1).clip(-FARTHEST, FARTHEST)
        # |x - c|² without |x|², which is the same for all centres
        squared = (self.centres**2).sum(1) - 2.0 * flat @ self.centres.T
        return Classified(squared.argmin(1), self.anchors.near(flat))


def fit_bins(train: Samples | Bytes, heldout: Samples | Bytes, *, seed: int = 0) -> BinModes:
    """`BINS` bins, or fewer for tiny sets, of training samples [N, ...], as near as held-out ones.

    Args:
        train: shape [N, ...].
        heldout: shape [M, ...], which say how near is near.
        seed: of k-means and of the choice of samples, where there are very many.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    anchors = choose_anchors(train, seed)
    flat = as_float(anchors)
    bins = min(BINS, max(1, len(flat) // SMALLEST), len(np.unique(flat, axis=0)))
    with threadpool_limits(1):  # sums in one order: the same bins on every machine
        centres = KMeans(bins, n_init=1, random_state=seed).fit(flat).cluster_centers_
    reach = measure_reach(anchors, heldout)
    return BinModes(centres.astype(np.float32), Anchors(anchors, reach))

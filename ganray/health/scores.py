"""Single measures of samples and of logits: pure functions, each from its source."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganray.trial import LOG_2

Floats = NDArray[np.floating]
BINS = 16
SMOOTHING = 0.05  # pseudo-counts a bin: keeps a bin with one kind of sample from certainty
DIRECT_DIMS = 8  # up to here distances are taken from differences: exact where points nearly touch


def pairwise_distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances [N, M] between the flattened samples of `a` [N, ...] and `b` [M, ...]."""
    a, b = a.flatten(1), b.flatten(1)
    direct = a.shape[1] <= DIRECT_DIMS
    mode = "donot_use_mm_for_euclid_dist" if direct else "use_mm_for_euclid_dist"
    return torch.cdist(a, b, compute_mode=mode)


def mean_between(distances: Tensor) -> float:
    """Mean distance of different points of one set: the diagonal is left out."""
    count = len(distances)
    return float(distances.sum()) / (count * (count - 1))


def energy_distance(cross: float, within_a: float, within_b: float) -> float:
    """2 E|X-Y| - E|X-X'| - E|Y-Y'|, from the three means; unbiased, so slightly negative at best.

    Source: Székely and Rizzo 2013, equation 5 (J. Stat. Plan. Inference 143).
    """
    return 2.0 * cross - within_a - within_b


@dataclass(frozen=True, slots=True)
class MeanDistances:
    """What the energy distance of N samples to M real ones is made of, point by point."""

    of_samples: Tensor  # mean distance of each sample to the real ones, [N]
    of_real: Tensor  # mean distance of each real one to the samples, [M]
    within: Tensor  # mean distance of each sample to the other samples, [N]

    @property
    def energy(self) -> float:
        """The part of the energy distance that depends on the samples."""
        return 2.0 * float(self.of_samples.mean()) - float(self.within.mean())


def energy_gain(before: MeanDistances, now: MeanDistances) -> float:
    """How many standard errors nearer the samples have come to real data; 0 where nothing moved.

    Both measurements use the same latents and the same real samples, so their errors cancel for
    the most part; what is left is taken from the first-order term of the U-statistic.

    Args:
        before: of the samples some time ago.
        now: of the samples now, [N] and [M] as before.

    Source: the relative test of Bounliphone et al. 2016 (arXiv 1511.04581), with the energy
    distance in place of MMD; as a rule for GANs, Bińkowski et al. 2018 (arXiv 1801.01401).
    """
    by_sample = 2.0 * (before.of_samples - now.of_samples) - 2.0 * (before.within - now.within)
    by_real = 2.0 * (before.of_real - now.of_real)
    error = math.sqrt(float(by_sample.var()) / len(by_sample) + float(by_real.var()) / len(by_real))
    return (before.energy - now.energy) / error if error > 0.0 else 0.0


def projections(dims: int, seed: int = 0) -> Tensor:
    """Fixed random directions on the unit sphere, shape [dims, directions]; just one in 1-D."""
    if dims == 1:
        return torch.ones(1, 1)
    count = 16 if dims <= DIRECT_DIMS else 64  # a plane has fewer ways to hide a difference
    rng = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(dims, count, generator=rng), dim=0)


def sorted_projections(samples: Tensor, directions: Tensor) -> Tensor:
    """The samples' coordinates along each direction, sorted; shape [N, directions]."""
    return (samples.flatten(1) @ directions).sort(dim=0).values


def sliced_wasserstein(a: Tensor, b: Tensor) -> float:
    """Wasserstein-1 along each direction, averaged over directions.

    Args:
        a: `sorted_projections` of one set.
        b: of another of equal size.

    Source: after Bonneel et al. 2015 (J. Math. Imaging Vis. 51), with W1 in place of W2.
    """
    return float((a - b).abs().mean())


def auc(real: Floats, fake: Floats) -> float:
    """The probability that a real sample scores above a fake one, ties counting half.

    Args:
        real: scores of real samples, shape [N].
        fake: scores of generated samples, shape [M].

    Source: Mann and Whitney 1947; Hanley and McNeil 1982.
    """
    ordered = np.sort(fake)
    below = np.searchsorted(ordered, real, "left") + np.searchsorted(ordered, real, "right")
    return float(below.mean()) / (2 * len(fake))


def js_bound(real: Floats, fake: Floats) -> float:
    """A lower bound on the Jensen–Shannon divergence in nats, from any score, in [0, log 2].

    For every logit l, JS ≥ log 2 - ½ (E softplus(-l(x)) + E softplus(l(G(z)))). The score is turned
    into a logit by the share of real samples in each of its quantile bins, fitted on one half of
    the samples and valued on the other, both ways round: so it depends only on the order of the
    scores, is fair to critics whose values are no logits, and is no self-deception.

    Args:
        real: scores of real samples, shape [N].
        fake: scores of generated samples, shape [N].

    Source: Goodfellow et al. 2014, section 4 (arXiv 1406.2661); binning after Zadrozny and Elkan
    2001 (ICML).
    """
    halves = [(real[::2], fake[::2]), (real[1::2], fake[1::2])]
    losses = [_held_out_loss(halves[i], halves[1 - i]) for i in (0, 1)]
    return min(max(LOG_2 - sum(losses) / 4.0, 0.0), LOG_2)


def _held_out_loss(fit: tuple[Floats, Floats], judge: tuple[Floats, Floats]) -> float:
    """E -log P(real | x) + E -log P(fake | G(z)) on `judge`, with P fitted on `fit`."""
    quantiles = np.quantile(np.concatenate(fit), np.arange(1, BINS) / BINS, method="lower")
    edges, times = np.unique(quantiles, return_counts=True)
    # many equal scores get a bin of their own, without the next larger ones
    edges = np.union1d(edges, np.nextafter(edges[times > 1], np.inf))
    counts = [
        np.bincount(np.searchsorted(edges, scores, "right"), minlength=len(edges) + 1) + SMOOTHING
        for scores in fit
    ]
    total = counts[0] + counts[1]
    surprise = [-np.log(count / total) for count in counts]
    bins = (np.searchsorted(edges, scores, "right") for scores in judge)
    return sum(float(s[b].mean()) for s, b in zip(surprise, bins, strict=True))


def nearest_neighbour_scores(
    cross: Tensor, within_a: Tensor, within_b: Tensor
) -> tuple[Floats, Floats]:
    """How much nearer each point is to set A than to set B, in logs: a probe without training.

    Each point is judged by all others, never by itself, so the scores are held out.

    Args:
        cross: distances [N, M] from A to B.
        within_a: distance of each point of A to its nearest other point of A, shape [N].
        within_b: the same for B, shape [M].

    Returns:
        The scores of A's points [N] and of B's [M]; larger = more like A.

    Source: the density ratio of Wang et al. 2009, equation 5 (IEEE Trans. Inf. Theory 55), k = 1;
    as a two-sample test, Lopez-Paz and Oquab 2017 (arXiv 1610.06545).
    """
    tiny = torch.finfo(cross.dtype).tiny
    scores_a = cross.amin(1).clamp_min(tiny).log() - within_a.clamp_min(tiny).log()
    scores_b = within_b.clamp_min(tiny).log() - cross.amin(0).clamp_min(tiny).log()
    return scores_a.numpy(), scores_b.numpy()


def nearest_within(distances: Tensor) -> Tensor:
    """The distance of each point to its nearest other point of the same set, shape [N].

    Sets the diagonal of `distances` to infinity, for a copy would take as long as the rest.
    """
    return distances.fill_diagonal_(math.inf).amin(1)


def effective_number(counts: NDArray[np.integer]) -> float:
    """exp(entropy) of a histogram: K equal modes give K, an empty histogram 0."""
    total = counts.sum()
    if total == 0:
        return 0.0
    shares = counts[counts > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def supported(counts: NDArray[np.integer], samples: int | None = None) -> NDArray[np.bool_]:
    """The modes with enough good samples: at least 5, and a fifth of an even share of good ones.

    Args:
        counts: good samples of each mode.
        samples: how many were drawn, good or not. Where a fifth of an even share of them is below
            5, that is enough: 800 samples of 1,000 modes cannot bring 5 to each.

    A single sample is not enough else: uniform noise over the plane would cover most of a grid.
    """
    even = counts.sum() / len(counts)
    fewest = 5.0 if samples is None else min(5.0, max(1.0, 0.2 * samples / len(counts)))
    return np.asarray(counts >= max(fewest, 0.2 * even))


def histogram_kl(counts: NDArray[np.integer], reference: NDArray[np.integer]) -> float | None:
    """KL(p‖q) in nats of two mode histograms; None without any good sample.

    The reference is smoothed by half a count, so that an unseen mode costs much, not infinity.
    """
    total = counts.sum()
    if total == 0:
        return None
    p = counts / total
    q = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())

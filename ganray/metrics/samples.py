"""Distances and scores between two sets of samples, or of their features.

Sets are arrays or tensors [N, ...], flattened to [N, F] and taken in double precision. What is
random (which subsets, where k-means starts) follows from a seed.
"""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganray.data.dataset import ModeCounter, Samples
from ganray.health import scores
from ganray.metrics.divergences import gaussian_w2

Floats = NDArray[np.float64]
Set = NDArray[np.floating] | Tensor
ROWS = 512  # of a distance matrix at a time: 5,000 samples need 20 MB, not 200
TINY = 1e-12  # an eigenvalue below this is rounding


# --- moments and kernels --------------------------------------------------------------------------


def frechet_distance(real: Set, fake: Set) -> float:
    """The squared Wasserstein-2 distance of the Gaussians with both sets' means and covariances.

    Biased upwards by few samples, and by an amount that depends on the generator: compare equal
    numbers only.

    Args:
        real: shape [N, ...].
        fake: shape [M, ...].

    Raises:
        ValueError: unless N and M exceed the number of features, for the covariances are
            singular otherwise.

    Source: Heusel et al. 2017, equation 6 (arXiv 1706.08500).
    """
    a, b = _rows(real), _rows(fake)
    if min(len(a), len(b)) <= a.shape[1]:
        raise ValueError(
            f"a Fréchet distance of {a.shape[1]} features needs more samples than that of each "
            f"kind; got {len(a)} real and {len(b)} generated ones"
        )
    return gaussian_w2(*_moments(a), *_moments(b)) ** 2


def kid(real: Set, fake: Set, *, subsets: int = 100, size: int = 1_000, seed: int = 0) -> float:
    """The kernel distance: unbiased MMD² with the kernel (x·y/F + 1)³, meaned over subsets.

    May be negative, and is 0 on average for equal distributions.

    Args:
        real: shape [N, ...].
        fake: shape [M, ...].
        subsets: how many random subsets; one that holds all samples is enough.
        size: of a subset, at most N and M.
        seed: of the subsets.

    Source: Bińkowski et al. 2018, section 4 (arXiv 1801.01401); unbiased estimator of Gretton et
    al. 2012, lemma 6 (JMLR 13).
    """
    a, b = _rows(real), _rows(fake)
    size = min(size, len(a), len(b))
    if size < 2:
        raise ValueError(f"a kernel distance needs two samples of each kind; got {size}")
    if size == len(a) == len(b):
        return _mmd2(a, b)
    rng = np.random.default_rng(seed)
    drawn = [[rows[rng.choice(len(rows), size, False)] for rows in (a, b)] for _ in range(subsets)]
    return float(np.mean([_mmd2(*pair) for pair in drawn]))


def _mmd2(a: Floats, b: Floats) -> float:
    """Unbiased: a point is not compared with itself."""
    return _mean_within(a) + _mean_within(b) - 2.0 * _kernel_sum(a, b) / (len(a) * len(b))


def _mean_within(a: Floats) -> float:
    itself = float(_cube((a * a).sum(1) / a.shape[1] + 1.0).sum())
    return (_kernel_sum(a, a) - itself) / (len(a) * (len(a) - 1))


def _kernel_sum(a: Floats, b: Floats) -> float:
    """Of (x·y/F + 1)³ over all pairs."""
    starts = range(0, len(a), ROWS)
    parts = (_cube(a[start : start + ROWS] @ b.T / a.shape[1] + 1.0) for start in starts)
    return sum(float(part.sum()) for part in parts)


def _cube(x: Floats) -> Floats:
    return np.asarray(x * x * x)  # three times as fast as ** 3


def _moments(rows: Floats) -> tuple[Floats, Floats]:
    return rows.mean(0), np.atleast_2d(np.cov(rows, rowvar=False))


# --- neighbourhoods -------------------------------------------------------------------------------


class PrecisionRecall(NamedTuple):
    """Two shares, in [0, 1]."""

    precision: float  # of generated samples within a real one's neighbourhood
    recall: float  # of real samples within a generated one's neighbourhood


def precision_recall(real: Set, fake: Set, *, k: int = 3) -> PrecisionRecall:
    """How many samples of each kind lie where the other kind does.

    A sample's neighbourhood is the closed ball that reaches to its k-th nearest neighbour of its
    own kind; an outlier has a large one.

    Args:
        real: shape [N, ...].
        fake: shape [M, ...].
        k: which neighbour, less than N and M.

    Source: Kynkäänniemi et al. 2019, equations 1 and 2 (arXiv 1904.06991).
    """
    a, b = _tensor(real), _tensor(fake)
    return PrecisionRecall(_share_within(b, a, _reach(a, k)), _share_within(a, b, _reach(b, k)))


def _share_within(points: Tensor, centres: Tensor, reach: Tensor) -> float:
    """The share of points that lie in the ball about any centre."""
    within = [(part <= reach).any(1) for part in _distances(points, centres)]
    return float(torch.cat(within).double().mean())


def _reach(points: Tensor, k: int) -> Tensor:
    """The distance of each point to its k-th nearest other one, shape [N]."""
    if not 1 <= k < len(points):
        raise ValueError(f"k must be at least 1 and less than {len(points)} samples; got {k}")
    parts = _distances(points, points)
    return torch.cat([part.kthvalue(k + 1, dim=1).values for part in parts])  # itself is the first


def _distances(points: Tensor, centres: Tensor) -> Iterator[Tensor]:
    """Their distances [N, M], some rows at a time."""
    for start in range(0, len(points), ROWS):
        yield scores.pairwise_distances(points[start : start + ROWS], centres)


class DensityCoverage(NamedTuple):
    """Fidelity and diversity."""

    density: float  # 1 on average for equal distributions; may be more
    coverage: float  # in [0, 1]


def density_coverage(real: Set, fake: Set, *, k: int = 5) -> DensityCoverage:
    """In how many real neighbourhoods a generated sample lies, and how many of them hold one.

    A real sample's neighbourhood is the open ball that reaches to its k-th nearest real neighbour.
    For equal distributions density is 1 and coverage 1 - Π_{i=1..k} (N - i)/(N + M - i) on average.

    Args:
        real: shape [N, ...].
        fake: shape [M, ...].
        k: which neighbour, less than N.

    Source: Naeem et al. 2020, equations 2 and 3 (arXiv 2002.09797).
    """
    a, b = _tensor(real), _tensor(fake)
    reach = _reach(a, k)
    inside = torch.stack([(part < reach).sum(0) for part in _distances(b, a)]).sum(0)
    density = float(inside.sum()) / (k * len(b))
    return DensityCoverage(density, float((inside > 0).double().mean()))


# --- bins -----------------------------------------------------------------------------------------


def ndb(real: Set, fake: Set, *, bins: int = 100, alpha: float = 0.05, seed: int = 0) -> float:
    """The share of bins that real and generated samples fill significantly differently, NDB/K.

    Bins are the cells of k-means, filled shares are compared by a two-proportion z-test. Equal
    distributions give about `alpha`. Unlike in the paper, k-means sees one half of the real samples
    and the other half is counted: in many dimensions cells hold more of the samples that made them
    than of others from the same distribution, and half of the bins would differ.

    Args:
        real: shape [N, ...].
        fake: shape [M, ...].
        bins: K, at most N/2.
        alpha: level of each test.
        seed: of k-means and of the halves.

    Source: Richardson and Weiss 2018, section 2 (arXiv 1805.12462).
    """
    from scipy.special import ndtri
    from sklearn.cluster import KMeans

    a, b = _rows(real), _rows(fake)
    half = len(a) // 2
    if not 2 <= bins <= half:
        raise ValueError(f"bins must be 2 to {half}, half of the real samples; got {bins}")
    order = np.random.default_rng(seed).permutation(len(a))
    found = KMeans(bins, n_init=1, random_state=seed).fit(a[order[:half]])
    counted = (a[order[half:]], b)
    counts = [np.bincount(found.predict(rows), minlength=bins) for rows in counted]
    sizes = [len(rows) for rows in counted]
    pooled = (counts[0] + counts[1]) / sum(sizes)
    error = np.sqrt(pooled * (1.0 - pooled) * (1.0 / sizes[0] + 1.0 / sizes[1]))
    gap = np.abs(counts[0] / sizes[0] - counts[1] / sizes[1])
    return float((gap > ndtri(1.0 - alpha / 2.0) * error).mean())


# --- diversity ------------------------------------------------------------------------------------


def vendi(
    samples: Set, *, kernel: Literal["rbf", "cosine"] = "rbf", bandwidth: float | None = None
) -> float:
    """The effective number of different samples: exp of the entropy of K/N's eigenvalues.

    1 for N equal samples, N for N that have nothing in common. Generated samples are compared with
    real ones by taking both with the real ones' bandwidth, and equally many.

    Args:
        samples: shape [N, ...].
        kernel: "rbf", exp(-d²/2h²), or "cosine", whose eigenvalues cost min(N, F)³, not N³.
        bandwidth: h of "rbf"; without one, the median distance of the samples.

    Source: Friedman and Dieng 2022, definition 3.1 (arXiv 2210.02410); the dual form, section 3.1.
    """
    rows = _rows(samples)
    if kernel == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        matrix = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    else:
        distances = scores.pairwise_distances(_tensor(rows), _tensor(rows)).numpy()
        scale = median_distance(rows) if bandwidth is None else bandwidth
        matrix = np.exp(-0.5 * (distances / scale) ** 2) if scale > 0 else distances <= 0
        np.fill_diagonal(matrix, 1.0)
    values = np.linalg.eigvalsh(matrix / len(rows))
    values = values[values > TINY]
    return float(np.exp(-(values * np.log(values)).sum()))


def median_distance(samples: Set) -> float:
    """The median distance of two different samples [N, ...]."""
    rows = _tensor(samples)
    first, second = np.triu_indices(len(rows), 1)
    return float(np.median(scores.pairwise_distances(rows, rows).numpy()[first, second]))


# --- transport ------------------------------------------------------------------------------------


class Wasserstein(NamedTuple):
    """Exact distances between two finite sets."""

    w1: float
    w2: float


def exact_wasserstein(a: Set, b: Set) -> Wasserstein:
    """Wasserstein-1 and -2 with Euclidean cost: by sorting on the line, else by linear programming.

    Args:
        a: shape [N, ...].
        b: shape [M, ...].

    Source: Peyré and Cuturi 2019, sections 2.6 and 3.5 (arXiv 1803.00567).
    """
    x, y = _rows(a), _rows(b)
    if x.shape[1] == 1:
        ways, shares = _monotone(x[:, 0], y[:, 0])
        return Wasserstein(float(shares @ ways), math.sqrt(float(shares @ ways**2)))
    distances = scores.pairwise_distances(_tensor(x), _tensor(y)).numpy()
    return Wasserstein(_transport(distances), math.sqrt(_transport(distances**2)))


def _monotone(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """How far the monotone plan carries each piece of mass, and how much mass that is."""
    ends = np.union1d(np.arange(1, len(x) + 1) * len(y), np.arange(1, len(y) + 1) * len(x))
    starts = np.concatenate([[0], ends[:-1]])  # in units of 1/(N M), so that nothing is rounded
    ways = np.abs(np.sort(x)[starts // len(y)] - np.sort(y)[starts // len(x)])
    return ways, (ends - starts) / (len(x) * len(y))


def _transport(costs: Floats) -> float:
    """The least mean cost of carrying equal masses from rows to columns."""
    import ot

    shares = [np.full(count, 1.0 / count) for count in costs.shape]
    return max(float(ot.emd2(*shares, costs, numItermax=10_000_000)), 0.0)


# --- modes ----------------------------------------------------------------------------------------


class PublishedModes(NamedTuple):
    """The numbers of the usual tables."""

    modes: int  # with at least one sample that counts
    quality: float  # share of good samples
    kl: float | None  # KL(mode histogram of those that count ‖ uniform), less its floor
    raw_kl: float | None  # as printed in the tables, floor included; None if no sample counts


def published_modes(counter: ModeCounter, samples: Samples) -> PublishedModes:
    """The protocols of VEEGAN and PacGAN, to compare with their tables and with nothing else.

    Of points only good samples count, of images each one, as whatever the classifier makes of it.
    One sample makes a mode, so uniform noise covers most of a grid, and an imperfect classifier
    finds many modes in a collapsed generator. A perfect generator's KL is (K - 1)/2n on average, n
    being the samples that count: that floor is subtracted.

    Args:
        counter: of the data set's K modes.
        samples: generated, shape [N, ...]; the tables have 2,500 of plane mixtures, 26,000 of
            stacked MNIST.

    Source: Srivastava et al. 2017, section 4.1 (arXiv 1705.07761); Lin et al. 2018, section 4
    (arXiv 1712.04086).
    """
    found = counter.classify(samples)
    are_images = samples.ndim > 2
    counted = found.mode if are_images else found.mode[found.good]
    counts = np.bincount(counted, minlength=counter.modes)
    raw = scores.histogram_kl(counts, np.ones(counter.modes, np.int64))
    kl = None if raw is None else raw - (counter.modes - 1) / (2.0 * len(counted))
    return PublishedModes(int((counts > 0).sum()), float(found.good.mean()), kl, raw)


# --- what sets are made of ------------------------------------------------------------------------


def _tensor(samples: Set) -> Tensor:
    """Flattened to [N, F], in double precision, on the CPU."""
    tensor = samples if isinstance(samples, Tensor) else torch.from_numpy(np.asarray(samples))
    rows = tensor.detach().to("cpu", torch.float64)
    rows = rows.flatten(1) if rows.ndim > 1 else rows[:, None]
    if not bool(torch.isfinite(rows).all()):
        bad = int((~torch.isfinite(rows)).any(1).sum())
        raise ValueError(f"{bad} of {len(rows)} samples are not finite")
    return rows


def _rows(samples: Set) -> Floats:
    """The same as an array."""
    rows: Floats = _tensor(samples).numpy()
    return rows

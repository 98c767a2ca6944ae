"""Metrics by the name that a sweep file gives them, and the evaluation of a generator by several.

They are for finished trials and chosen reports: each costs far more than a report's signals.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ganray.data.dataset import Dataset, Samples, as_float
from ganray.errors import ResourceError
from ganray.metrics import samples as measures
from ganray.metrics.features import FeatureMap

Features = NDArray[np.floating]
Direction = Literal["min", "max"]
FEATURED = 10_000  # samples of each kind that are put through a feature network, at most


@dataclass(frozen=True)
class Evaluation:
    """Real and generated samples, and their features, computed once when first asked for.

    Both are in random order, so that the first of them are a random part.
    """

    dataset: Dataset
    real: Samples  # held out, floats [N, ...]
    fake: Samples  # generated, floats [M, ...]
    seed: int = 0
    network: FeatureMap | None = None  # in place of the data set's own features

    @cached_property
    def real_features(self) -> Features:
        """Of the first 10,000 real samples, shape [N, F]."""
        return self._features(self.real[:FEATURED])

    @cached_property
    def fake_features(self) -> Features:
        """Of the first 10,000 generated samples, shape [M, F]."""
        return self._features(self.fake[:FEATURED])

    def pair(self, count: int) -> tuple[Features, Features]:
        """Features of equally many real and generated samples, `count` of each if there are."""
        count = min(count, len(self.real_features), len(self.fake_features))
        return self.real_features[:count], self.fake_features[:count]

    def _features(self, samples: Samples) -> Features:
        found = self.network or self.dataset.features
        if found is not None:
            return found(samples)
        if len(self.dataset.shape) > 1:
            raise ResourceError(
                f"{self.dataset.name} has no features of its own, and distances of pixels mean "
                "little: give `features`, as inception or package.module:name"
            )
        return samples.reshape(len(samples), -1)


@dataclass(frozen=True)
class Metric:
    """A way to compare generated with real samples.

    Args:
        compute: the values by name; one that is not defined for these samples is left out.
        values: the names of the values, and which way is better.
        samples: how many generated samples it wants: a number, and no more than are held out, or
            what a function of the data set says.
        cost: how it grows with N samples of F features, and what it took on one core.
        needs: what of the data set it rests on: features (a vector is its own), or modes.
    """

    compute: Callable[[Evaluation], Mapping[str, float]]
    values: Mapping[str, Direction]
    samples: int | Callable[[Dataset], int]
    cost: str
    needs: Literal["features", "modes"]

    def wanted(self, dataset: Dataset) -> int:
        """How many generated samples of this data set."""
        if isinstance(self.samples, int):
            return min(self.samples, len(dataset.heldout))
        return self.samples(dataset)


def _fid(of: Evaluation) -> Mapping[str, float]:
    count = _fid_samples(of.dataset)
    found = measures.frechet_distance(of.real_features[:count], of.fake_features[:count])
    return {"fid": found}


def _kid(of: Evaluation) -> Mapping[str, float]:
    """Of all samples at once: the mean over subsets has the same expectation, and more noise."""
    return {"kid": measures.kid(*of.pair(5_000), size=5_000)}


def _precision_recall(of: Evaluation) -> Mapping[str, float]:
    return measures.precision_recall(*of.pair(5_000))._asdict()


def _density_coverage(of: Evaluation) -> Mapping[str, float]:
    return measures.density_coverage(*of.pair(5_000))._asdict()


def _ndb(of: Evaluation) -> Mapping[str, float]:
    real, fake = of.pair(5_000)
    bins = max(2, min(100, len(real) // 50))  # 25 counted samples a bin, for the z-test
    return {"ndb": measures.ndb(real, fake, bins=bins, seed=of.seed)}


def _vendi(of: Evaluation) -> Mapping[str, float]:
    real, fake = of.pair(1_000)
    bandwidth = measures.median_distance(real)
    scores = [measures.vendi(part, bandwidth=bandwidth) for part in (fake, real)]
    return {"vendi": scores[0] / scores[1]}


def _wasserstein(of: Evaluation) -> Mapping[str, float]:
    found = measures.exact_wasserstein(*of.pair(1_000))
    return {"wasserstein_1": found.w1, "wasserstein_2": found.w2}


def _published_modes(of: Evaluation) -> Mapping[str, float]:
    fake = of.fake[: _published_samples(of.dataset)]
    found = measures.published_modes(of.dataset.counter, fake)
    values = {"modes_any": float(found.modes), "published_quality": found.quality}
    return values if found.kl is None else values | {"published_kl": found.kl}


def _fid_samples(dataset: Dataset) -> int:
    """5,000 vectors; 10,000 images, whose features are many."""
    return 10_000 if len(dataset.shape) > 1 else 5_000


def _published_samples(dataset: Dataset) -> int:
    """2,500 of plane mixtures; 26 a mode of stacked MNIST, whatever the number of stacks."""
    return max(2_500, 26 * dataset.counter.modes)


METRICS: Mapping[str, Metric] = {
    "fid": Metric(
        _fid,
        {"fid": "min"},
        _fid_samples,
        "O(N F² + F³); 0.15 s for 5,000 samples of 512 features",
        "features",
    ),
    "kid": Metric(
        _kid,
        {"kid": "min"},
        5_000,
        "O(N² F); 0.5 s for 5,000 samples of 64 features, 1.4 s of 512",
        "features",
    ),
    "precision_recall": Metric(
        _precision_recall,
        {"precision": "max", "recall": "max"},
        5_000,
        "O(N² F); 1.2 s for 5,000 samples of 64 features, 2.5 s of 512",
        "features",
    ),
    "density_coverage": Metric(
        _density_coverage,
        {"density": "max", "coverage": "max"},
        5_000,
        "O(N² F); 0.6 s for 5,000 samples of 64 features, 1.4 s of 512",
        "features",
    ),
    "ndb": Metric(
        _ndb,
        {"ndb": "min"},
        5_000,
        "O(N F K) an iteration of k-means; 0.3 s for 5,000 samples of 512 features, K = 100",
        "features",
    ),
    "vendi": Metric(
        _vendi,
        {"vendi": "max"},
        1_000,
        "O(N² F + N³); 0.3 s for 1,000 samples of 64 features",
        "features",
    ),
    "wasserstein": Metric(
        _wasserstein,
        {"wasserstein_1": "min", "wasserstein_2": "min"},
        1_000,
        "O(N³ log N); 0.3 s for 1,000 samples, and 3 s once to import POT",
        "features",
    ),
    "published_modes": Metric(
        _published_modes,
        {"modes_any": "max", "published_quality": "max", "published_kl": "min"},
        _published_samples,
        "O(N K); milliseconds for 2,500 samples and 25 modes, else that of the classifier",
        "modes",
    ),
}


def evaluate(
    names: Iterable[str],
    dataset: Dataset,
    generate: Callable[[int], Samples],
    seed: int = 0,
    network: FeatureMap | None = None,
) -> dict[str, float]:
    """Measure a generator by several metrics, all on one set of its samples.

    Args:
        names: of `METRICS`.
        dataset: whose held-out samples are the real ones.
        generate: independent samples [N, ...] for a number N.
        seed: of what is random in a metric.
        network: features in place of the data set's own.

    Returns:
        The values of all metrics by name; one that is not defined is left out.

    Raises:
        ValueError: a sample is not finite, or there are too few for a metric.
        ResourceError: a metric needs features that there are not.
    """
    chosen = [METRICS[name] for name in names]
    if not chosen:
        return {}
    fake = generate(max(metric.wanted(dataset) for metric in chosen))
    if not np.isfinite(fake).all():
        raise ValueError("generated samples are not finite")
    order = np.random.default_rng(seed).permutation(len(dataset.heldout))[:FEATURED]
    of = Evaluation(dataset, as_float(dataset.heldout[order]), fake, seed, network)
    found: dict[str, float] = {}
    for metric in chosen:
        found |= metric.compute(of)
    return found

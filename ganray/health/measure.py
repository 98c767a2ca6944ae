"""Snapshot → Signals: everything that a report says of a trial.

A `Bench` holds what depends on the data set alone and is shared by all trials of a process; a
`Meter` measures one trial.
"""

import math
import statistics
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganray.data.dataset import Dataset, Samples, as_float
from ganray.gan.base import Snapshot
from ganray.gan.networks import build_networks, latents
from ganray.health import scores
from ganray.health.scores import Floats, MeanDistances
from ganray.trial import Signals, derive_seed

SAMPLES = 800  # distances cost their square; measuring is to stay within 5 % of training
REACH = 0.99  # share of samples: one stray point is no explosion
FARTHEST = 1e6  # extent beyond which squares lose all meaning in single precision
UNTRAINED = 3  # generators whose median distance is the anchor 1


class Bench:
    """The real side of every measurement: held-out samples, their distances, the two anchors.

    Args:
        dataset: what trials train on.
        networks: options of `build_networks`, for the untrained anchor.
    """

    def __init__(self, dataset: Dataset, networks: Mapping[str, object]) -> None:
        self.dataset = dataset
        self.networks = networks
        count = min(SAMPLES, len(dataset.heldout), len(dataset.train))
        self.count = count - count % 2  # halves of equal size
        self.heldout = torch.tensor(as_float(dataset.heldout[: self.count]))
        self.train = torch.tensor(as_float(dataset.train[: self.count]))
        labels = dataset.heldout_labels
        self.labels = None if labels is None else labels[: self.count]
        self.conditions = _head(dataset.condition_vectors("heldout"), self.count)
        self.train_conditions = _head(dataset.condition_vectors("train"), self.count)
        distances = scores.pairwise_distances(self.heldout, self.heldout)
        self.spread = scores.mean_between(distances)
        self.nearest = scores.nearest_within(distances)
        self.directions = scores.projections(math.prod(dataset.shape))
        self.projected = scores.sorted_projections(self.heldout, self.directions)
        self.centre = self.heldout.mean(0)
        self.reach = self.reach_of(self.heldout)
        self.mode_counts = self.modes_of(as_float(dataset.heldout))
        # of as many samples as a trial is measured by, so that real data score 1 there, too
        self.real_modes = self.effective_modes(self.modes_of(self.heldout.numpy()))
        self.real_anchor = self.distances(self.train)
        self._untrained: dict[int, tuple[float, float]] = {}

    def distances(self, samples: Tensor) -> tuple[float, float]:
        """Energy distance and sliced Wasserstein-1 of samples [count, ...] to held-out data."""
        cross = scores.pairwise_distances(self.heldout, samples)
        within = scores.mean_between(scores.pairwise_distances(samples, samples))
        energy = scores.energy_distance(float(cross.mean()), self.spread, within)
        projected = scores.sorted_projections(samples, self.directions)
        return energy, scores.sliced_wasserstein(projected, self.projected)

    def reach_of(self, samples: Tensor) -> float:
        """How far from the centre 99 of 100 samples stay, in their largest coordinate."""
        return float((samples - self.centre).abs().flatten(1).amax(1).quantile(REACH))

    def modes_of(self, samples: Samples) -> NDArray[np.integer]:
        """How many good samples each mode has, shape [modes]."""
        found = self.dataset.counter.classify(samples)
        return np.bincount(found.mode[found.good], minlength=self.dataset.counter.modes)

    def effective_modes(self, counts: NDArray[np.integer]) -> float:
        """exp(entropy) of the modes that are covered, by `count` samples."""
        return scores.effective_number(counts[scores.supported(counts, self.count)])

    def untrained_anchor(self, latent_dim: int) -> tuple[float, float]:
        """The median distances of untrained generators: the same for every trial of a sweep."""
        if latent_dim not in self._untrained:
            found = [
                self.distances(self._untrained_samples(latent_dim, i)) for i in range(UNTRAINED)
            ]
            energy, sliced = (statistics.median(values) for values in zip(*found, strict=True))
            self._untrained[latent_dim] = (energy, sliced)
        return self._untrained[latent_dim]

    def latents(self, latent_dim: int) -> Tensor:
        """The fixed latents that every report of a trial uses, shape [count, latent_dim]."""
        return self.inputs(latent_dim, self.count)[0]

    def inputs(self, latent_dim: int, count: int) -> tuple[Tensor, Tensor | None]:
        """Fixed latents [count, latent_dim], and conditions as held-out data have them."""
        rng = torch.Generator().manual_seed(derive_seed("measure", latent_dim))
        told = self.dataset.condition_vectors("heldout")
        conditions = None if told is None else torch.tensor(told[np.arange(count) % len(told)])
        return latents(count, latent_dim, rng), conditions

    @torch.no_grad()
    def _untrained_samples(self, latent_dim: int, index: int) -> Tensor:
        seed = derive_seed("untrained", index)
        generator = build_networks(self.networks, self.dataset.shape, latent_dim, seed).generator
        samples: Tensor = generator.eval()(self.latents(latent_dim))  # as a trial's are measured
        return samples


class Meter:
    """Measures one trial, report by report.

    Args:
        bench: the real side.
        latent_dim: of the trial's latents.
        window: how many reports back progress is measured from.
    """

    def __init__(self, bench: Bench, latent_dim: int, window: int = 4) -> None:
        self._bench = bench
        self._past: deque[MeanDistances | None] = deque(maxlen=window)
        self._latents = bench.latents(latent_dim)
        self._untrained = bench.untrained_anchor(latent_dim)
        self._previous: Tensor | None = None

    @property
    def samples(self) -> Samples:
        """The samples last measured, shape [count, ...]."""
        if self._previous is None:
            raise ValueError("nothing was measured yet")
        return self._previous.numpy()

    def state_dict(self) -> dict[str, Any]:
        """What the next reports are set against, as plain types and tensors."""
        past = [
            None if means is None else (means.of_samples, means.of_real, means.within)
            for means in self._past
        ]
        return {"previous": self._previous, "past": past}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of a meter of the same trial."""
        self._previous = state["previous"]
        self._past.clear()
        self._past.extend(None if p is None else MeanDistances(*p) for p in state["past"])

    def measure(self, snapshot: Snapshot) -> Signals:
        """All signals of one snapshot. What is not defined, or not finite, is None."""
        start = time.perf_counter()
        conditions = self._bench.conditions
        samples = snapshot.generate(self._latents, conditions).float().cpu()
        values = _of_training(snapshot)
        nonfinite = snapshot.nonfinite
        if not torch.isfinite(samples).all():
            nonfinite = nonfinite or "samples"
        if nonfinite is None:
            values |= self._of_samples(samples) | self._of_discriminator(snapshot, samples)
            values |= self._of_conditions(snapshot, samples) | self._of_others(snapshot)
        self._previous = samples
        return Signals(
            update=snapshot.update,
            d_updates=snapshot.d_updates,
            g_updates=snapshot.g_updates,
            images=snapshot.images,
            seconds=snapshot.seconds,
            nonfinite=nonfinite,
            measure_seconds=time.perf_counter() - start,
            **{name: _finite(value) for name, value in values.items()},
        )

    def _of_samples(self, samples: Tensor) -> dict[str, float | None]:
        bench = self._bench
        extent = bench.reach_of(samples) / bench.reach
        if extent > FARTHEST:
            self._past.append(None)
            return {"extent": extent, "high_quality": 0.0, "modes": 0.0, "mode_ratio": 0.0}
        cross = scores.pairwise_distances(bench.heldout, samples)
        within = scores.pairwise_distances(samples, samples)
        spread = scores.mean_between(within)
        energy = scores.energy_distance(float(cross.mean()), bench.spread, spread)
        projected = scores.sorted_projections(samples, bench.directions)
        sliced = scores.sliced_wasserstein(projected, bench.projected)
        means = MeanDistances(cross.mean(0), cross.mean(1), within.sum(1) / (len(within) - 1))
        nearest = cross.amin(0).median()
        real, fake = scores.nearest_neighbour_scores(
            cross, bench.nearest, scores.nearest_within(within)
        )
        values: dict[str, float | None] = {
            "distance": _between(energy, bench.real_anchor[0], self._untrained[0]),
            "sliced_distance": _between(sliced, bench.real_anchor[1], self._untrained[1]),
            "energy_distance": energy,
            "sliced_wasserstein": sliced,
            "probe_js": scores.js_bound(real, fake),
            "probe_auc": scores.auc(real, fake),
            "diversity": spread / bench.spread,
            "extent": extent,
            "sharpness": float(bench.nearest.median() / nearest),
        }
        before = self._past[0] if len(self._past) == self._past.maxlen else None
        if before is not None:
            values["progress"] = scores.energy_gain(before, means)
        self._past.append(means)
        if self._previous is not None:
            motion = (samples - self._previous).flatten(1).norm(dim=1).mean()
            values["velocity"] = float(motion) / bench.spread
        return values | self._of_modes(samples)

    def _of_modes(self, samples: Tensor) -> dict[str, float | None]:
        bench = self._bench
        counts = bench.modes_of(samples.numpy())
        modes = bench.effective_modes(counts)
        return {
            "modes": modes,
            "mode_ratio": modes / bench.real_modes,
            "modes_covered": float(scores.supported(counts, bench.count).sum()),
            "high_quality": float(counts.sum() / len(samples)),
            "mode_kl": scores.histogram_kl(counts, bench.mode_counts),
        }

    def _of_discriminator(self, snapshot: Snapshot, samples: Tensor) -> dict[str, float | None]:
        if snapshot.discriminate is None:
            return {}
        bench = self._bench
        half = bench.count // 2
        told = bench.train_conditions
        banks = [
            (bench.heldout, bench.conditions),
            (samples, bench.conditions),
            (bench.train[:half], None if told is None else told[:half]),
        ]
        real, fake, train = (_logits(snapshot.discriminate(*bank)) for bank in banks)
        if not all(np.isfinite(logits).all() for logits in (real, fake, train)):
            return {}
        kind = "joint_" if snapshot.is_joint else ""
        return {
            f"{kind}js": scores.js_bound(real, fake),
            f"{kind}auc": scores.auc(real, fake),
            "overfit_gap": _overfit_gap(real, fake, train),
        }

    def _of_conditions(self, snapshot: Snapshot, samples: Tensor) -> dict[str, float | None]:
        """How well classes are told: by D's class head of real data, by G of what it was told."""
        dataset, labels = self._bench.dataset, self._bench.labels
        values: dict[str, float | None] = {}
        if labels is None:
            return values
        if snapshot.classify is not None:
            found = snapshot.classify(self._bench.heldout, None).argmax(1).cpu().numpy()
            values["class_accuracy"] = float((found == labels).mean())
        if snapshot.is_conditional and dataset.counter.modes == dataset.classes:
            modes = dataset.counter.classify(samples.numpy())
            right = (modes.mode == labels)[modes.good]
            values["condition_accuracy"] = float(right.mean()) if len(right) else None
        return values

    def _of_others(self, snapshot: Snapshot) -> dict[str, float | None]:
        """What only some models have: an average of G's weights, a way back from samples."""
        bench = self._bench
        values: dict[str, float | None] = {}
        if snapshot.generate_average is not None:
            averaged = snapshot.generate_average(self._latents, bench.conditions).float().cpu()
            energy, _sliced = bench.distances(averaged)
            values["ema_distance"] = _between(energy, bench.real_anchor[0], self._untrained[0])
        if snapshot.reconstruct is not None:
            decoded = snapshot.reconstruct(bench.heldout, bench.conditions).float().cpu()
            values["reconstruction"] = float((decoded - bench.heldout).square().mean())
        return values


def _head(array: Samples | None, count: int) -> Tensor | None:
    return None if array is None else torch.tensor(array[:count])


def _logits(tensor: Tensor) -> Floats:
    logits: Floats = tensor.double().cpu().numpy()
    return logits


def _overfit_gap(real: Floats, fake: Floats, train: Floats) -> float | None:
    """(E D(train) - E D(held-out)) / (E D(train) - E D(fake)): 0 = no memory, 1 = nothing but.

    None where D does not tell training data from generated ones beyond three standard errors.
    """
    gap = float(train.mean() - fake.mean())
    error = float(np.sqrt(train.var() / len(train) + fake.var() / len(fake)))
    return float(train.mean() - real.mean()) / gap if abs(gap) > 3.0 * error else None


def _of_training(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "d_loss": snapshot.d.loss,
        "g_loss": snapshot.g.loss,
        "d_penalty": snapshot.d.penalty,
        "g_penalty": snapshot.g.penalty,
        "d_grad_norm": snapshot.d.grad_norm,
        "g_grad_norm": snapshot.g.grad_norm,
        "d_clipped": snapshot.d.clipped,
        "g_clipped": snapshot.g.clipped,
        "updates_per_second": snapshot.updates_per_second,
    }


def _between(value: float, real: float, untrained: float) -> float | None:
    """`value` on the scale where real data are 0 and an untrained generator is 1."""
    width = untrained - real
    return (value - real) / width if width > 0 else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

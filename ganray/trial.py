"""The words that every layer shares: what a trial is, what is measured of it, how it ends.

Standard library only, so that any part of ganray, and any machine, can speak them.
"""

import hashlib
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal, Self

LOG_2 = math.log(2.0)


class Outcome(StrEnum):
    """How a trial ended: the tag `ganray.outcome`, the same in Optuna, MLflow and the summary."""

    COMPLETED = "completed"
    COLLAPSED = "collapsed"
    STALLED = "stalled"
    DIVERGED = "diverged"
    OUTRANKED = "outranked"
    CRASHED = "crashed"
    CANCELLED = "cancelled"

    @property
    def is_pruned(self) -> bool:
        """Whether a rule or a stock pruner stopped the trial; nobody goes on from there."""
        return self in {self.COLLAPSED, self.STALLED, self.DIVERGED, self.OUTRANKED}


class Cause(StrEnum):
    """Why a trial crashed."""

    NODE_LOST = "node_lost"
    PROCESS_DIED = "process_died"
    OUT_OF_MEMORY = "out_of_memory"
    SILENT = "silent"  # it reported nothing for too long
    EXCEPTION = "exception"  # its own code


class State(StrEnum):
    """What the judge says of a trial that is still running."""

    WARMING_UP = "warming_up"
    HEALTHY = "healthy"
    SUSPECT = "suspect"
    COLLAPSED = "collapsed"
    STALLED = "stalled"
    DIVERGED = "diverged"

    @property
    def is_dead(self) -> bool:
        """Whether the judge advises to stop the trial."""
        return self in {State.COLLAPSED, State.STALLED, State.DIVERGED}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judge's answer for one history, with the numbers that led to it."""

    state: State
    reason: str = ""
    rule: str = ""  # which of the judge's rules spoke
    thresholds: Mapping[str, float] = field(default_factory=dict)  # of that rule, by name
    recovery: float | None = None  # estimated probability that the trial still ends healthy


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """Everything that one trial's training depends on, beside data, networks and budget.

    The names are those of the sweep file, Optuna, MLflow and the summary. What each one means
    stands in `ganray.spec.parameters`, beside its limits.
    """

    model: str = "gan"

    loss: str = "non_saturating"
    fgan_generator: str = "heuristic"
    alpha: float = 0.5
    penalty: str = "none"
    penalty_weight: float | None = None
    penalty_schedule: str = "constant"
    penalty_final: float = 0.0

    d_steps: int = 1
    g_steps: int = 1
    simultaneous: bool = False
    warmup_d_steps: int | None = None
    warmup_rounds: int = 25
    warmup_every: int | None = None

    weight_clip: float | None = None
    g_weight_clip: float | None = None
    weight_clip_scope: str = "all"
    spectral_norm: bool = False
    d_grad_clip: float | None = None
    g_grad_clip: float | None = None

    optimizer: str = "adam"
    d_optimizer: str | None = None
    g_optimizer: str | None = None
    d_lr: float = 2e-4
    g_lr: float = 2e-4
    lr_schedule: str = "constant"
    lr_final: float = 0.0
    beta1: float = 0.5
    beta2: float = 0.999
    momentum: float = 0.0
    weight_decay: float = 0.0

    batch_size: int = 128
    latent_dim: int = 16
    ema: float | None = None
    pack: int = 1
    instance_noise: float = 0.0
    diffaugment: str | None = None

    conditioning: str = "none"
    class_weight: float = 1.0
    labelled: float = 1.0
    kl_weight: float = 1.0

    dtype: str = "fp32"
    compile: bool = False
    channels_last: bool = False
    graphs: str = "off"
    seed: int = 0


Direction = Literal["min", "max"]


def _signal(label: str, better: Direction | None = None) -> Any:
    """A measured value: its label with the unit, and which direction is better, if either is."""
    return field(default=None, metadata={"label": label, "better": better})


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What is measured at one report. None means: not defined there, never a placeholder value.

    Sample-based signals use a fixed latent bank against real samples that D never trains on.
    """

    update: int  # optimiser steps of either network so far: the step axis
    d_updates: int
    g_updates: int
    images: int  # real samples shown to D
    seconds: float  # spent training, measuring excluded
    nonfinite: str | None = None  # what stopped being finite, if anything did

    distance: float | None = _signal("energy distance, 0 real … 1 untrained", "min")
    sliced_distance: float | None = _signal("sliced Wasserstein-1, 0 real … 1 untrained", "min")
    ema_distance: float | None = _signal("distance by the average of G's weights", "min")
    energy_distance: float | None = _signal("energy distance, data units", "min")
    sliced_wasserstein: float | None = _signal("sliced Wasserstein-1, data units", "min")
    modes: float | None = _signal("effective number of modes", "max")
    mode_ratio: float | None = _signal("effective modes / those of real data", "max")
    modes_covered: float | None = _signal("modes with enough good samples", "max")
    high_quality: float | None = _signal("share of samples near a mode", "max")
    sharpness: float | None = _signal("nearest real neighbour of real data / of samples", "max")
    mode_kl: float | None = _signal("KL(mode histogram ‖ real), nats", "min")
    js: float | None = _signal("JS lower bound by D, nats, log 2 = saturated", "min")
    auc: float | None = _signal("AUC of D on held-out data")
    joint_js: float | None = _signal("JS lower bound by D of packs, or samples with conditions")
    joint_auc: float | None = _signal("AUC of D on packs, or samples with conditions")
    probe_js: float | None = _signal("JS lower bound by a fresh probe, nats", "min")
    probe_auc: float | None = _signal("AUC of a fresh probe", "min")
    overfit_gap: float | None = _signal("D(train) − D(held-out) over D(train) − D(fake)")
    diversity: float | None = _signal("pairwise distance of samples / of real data")
    extent: float | None = _signal("reach of 99 % of samples / of real data")
    velocity: float | None = _signal("motion of samples since the last report / real spread")
    progress: float | None = _signal("distance lost over a tenth of the trial, standard errors")
    class_accuracy: float | None = _signal("accuracy of D's class head, held-out data", "max")
    condition_accuracy: float | None = _signal("good samples that are of the class told", "max")
    reconstruction: float | None = _signal("mean squared error of held-out data decoded", "min")
    fid: float | None = _signal("Fréchet distance of features", "min")
    kid: float | None = _signal("kernel distance of features, unbiased", "min")
    precision: float | None = _signal("share of samples within reach of real data", "max")
    recall: float | None = _signal("share of real data within reach of samples", "max")
    density: float | None = _signal("samples within reach of real data, 1 = as real data", "max")
    coverage: float | None = _signal("share of real data with a sample in reach", "max")
    ndb: float | None = _signal("share of bins filled unlike real data", "min")
    vendi: float | None = _signal("effective number of different samples / of real data", "max")
    wasserstein_1: float | None = _signal("exact Wasserstein-1, data units", "min")
    wasserstein_2: float | None = _signal("exact Wasserstein-2, data units", "min")
    modes_any: float | None = _signal("modes with at least one sample, published protocol", "max")
    published_quality: float | None = _signal("share of good samples, published protocol", "max")
    published_kl: float | None = _signal("KL(modes ‖ uniform) above its floor, nats", "min")
    d_loss: float | None = _signal("loss of D, mean since the last report")
    g_loss: float | None = _signal("loss of G, mean since the last report")
    d_penalty: float | None = _signal("penalty on D, weighted, mean since the last report")
    g_penalty: float | None = _signal("KL of a VAE's codes, weighted, mean since the last report")
    d_grad_norm: float | None = _signal("gradient norm of D before clipping")
    g_grad_norm: float | None = _signal("gradient norm of G before clipping")
    d_clipped: float | None = _signal("share of D updates whose gradient was clipped")
    g_clipped: float | None = _signal("share of G updates whose gradient was clipped")
    updates_per_second: float | None = _signal("updates / s of training", "max")
    measure_seconds: float | None = _signal("spent measuring this report")

    def with_values(self, values: Mapping[str, float]) -> Self:
        """The same report with some signals set."""
        return replace(self, **values)  # type: ignore[arg-type]  # signals are floats

    def to_dict(self) -> dict[str, Any]:
        """Only what is defined; the inverse of `from_dict`, exact through JSON."""
        items = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in items if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Names that this version does not know are left out, so that old records stay readable."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


# Every measured value, by name; counters such as `update` are not among them.
SIGNALS: Mapping[str, Direction | None] = {
    f.name: f.metadata["better"] for f in fields(Signals) if f.metadata
}
SIGNAL_LABELS: Mapping[str, str] = {
    f.name: f.metadata["label"] for f in fields(Signals) if f.metadata
}
COUNTERS = ("d_updates", "g_updates", "images", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSignature:
    """What an exported generator takes and gives.

    It takes latents [B, latent_dim] and, where it is told `classes`, labels [B], or, where it is
    told `conditions`, vectors [B, conditions]; it gives samples [B, *shape].
    """

    latent_dim: int
    shape: tuple[int, ...]
    classes: int = 0
    conditions: int = 0


Ended = Literal["healthy", "between", "bad"]
ENDED_LABELS: Mapping[str, str] = {
    "healthy": "healthy",
    "between": "between healthy and bad",
    "bad": "bad",
}

NOT_FINITE = "nonfinite"  # the rule of a trial that had nothing left to train


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRecord:
    """What stopped a trial, or would have: the grounds, as they are kept."""

    update: int  # of the report that decided
    outcome: Outcome
    reason: str
    rule: str  # of the judge; of a stock pruner its name
    thresholds: Mapping[str, float] = field(default_factory=dict)  # of that rule, by name
    recovery: float | None = None  # estimated probability that the trial still ends healthy

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`, through JSON, too."""
        return cls(**{**values, "outcome": Outcome(values["outcome"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one trial ended; what the study, the tracking store and the screen are told alike."""

    number: int
    outcome: Outcome
    at: int  # ms since 1970
    reason: str = ""
    objective: float | None = None
    history: Sequence[Signals] = ()
    stop: StopRecord | None = None  # what stopped it before its budget was used up
    would_be: StopRecord | None = None  # what would have, if it were not audited
    cause: Cause | None = None  # of a crash
    retries: int = 0  # how often it went on from a checkpoint after a fault
    wall_seconds: float = 0.0  # that it held its resources, breaks not counted
    ended: Ended | None = None  # by `health.endings`; None: it was stopped, so that nobody knows

    @property
    def audited(self) -> bool:
        """Whether it would have been stopped, but belongs to the share that runs on."""
        return self.would_be is not None

    def grounds(self, record: StopRecord) -> dict[str, Any]:
        """A stop of this trial in full, as plain values: with the signals that were reported."""
        signals = next((s.to_dict() for s in self.history if s.update == record.update), {})
        return {**asdict(record), "outcome": record.outcome.value, "signals": signals}


def best_values(history: Iterable[Signals]) -> dict[str, float]:
    """The best value of every signal that has a better direction, over a trial's reports."""
    best: dict[str, float] = {}
    for signals in history:
        for name, better in SIGNALS.items():
            value = getattr(signals, name)
            if better is not None and value is not None:
                pick = min if better == "min" else max
                best[name] = pick(value, best.get(name, value))
    return best


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2^31) that depends on all parts, equal in every process and version."""
    text = ":".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def now_ms() -> int:
    """The present time as everything is dated: milliseconds since 1970."""
    return time.time_ns() // 1_000_000

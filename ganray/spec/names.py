"""The vocabulary of a sweep file: names that stand for code elsewhere.

Kept apart from that code, so that a file can be checked where torch is not installed; tests hold
each of these against the registry that it names.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

# the name of a sweep, and so of its folders, its study, its runs; a part of their filters
SWEEP_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$"
JOURNALS = (".journal", ".log")  # how the path of a study's own file ends; others are folders
# what may be different when a recorded sweep goes on, by dotted path or the beginning of one
ADJUSTABLE = (
    "description",
    "search.trials",
    "search.concurrency",
    "budget.hours",
    "budget.failures",
    "budget.silence_minutes",
    "resources.",
    "tracking.",
)
# in MLflow's registry; a part of a filter, which has no escapes
MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,99}$"
ModelName = Literal["gan", "vae", "autoencoder"]
FganName = Literal[
    "fgan_kl",
    "fgan_reverse_kl",
    "fgan_pearson",
    "fgan_neyman",
    "fgan_hellinger",
    "fgan_jeffrey",
    "fgan_js",
    "fgan_gan",
    "fgan_tv",
    "fgan_alpha",
]
LossName = Literal[
    "minimax",
    "non_saturating",
    "lsgan",
    "wgan",
    "hinge",
    "relativistic_paired",
    "relativistic_average",
    FganName,
]
FganGeneratorName = Literal["heuristic", "saturating"]
PenaltyName = Literal["none", "wgan_gp", "dragan", "r1", "r2", "r1_r2", "lecam"]
ScheduleName = Literal["constant", "linear", "cosine"]
WeightClipScopeName = Literal["all", "weights"]
OptimizerName = Literal["adam", "adamw", "rmsprop", "sgd"]
ConditioningName = Literal["none", "concat", "projection", "acgan", "sgan"]
DtypeName = Literal["fp32", "bf16"]
GraphsName = Literal["auto", "on", "off"]
SamplerName = Literal["tpe", "random", "grid", "qmc", "gp", "cmaes"]
PrunerName = Literal[
    "median", "percentile", "successive_halving", "hyperband", "patient", "wilcoxon", "none"
]
MetricName = Literal[
    "fid",
    "kid",
    "precision_recall",
    "density_coverage",
    "ndb",
    "vendi",
    "wasserstein",
    "published_modes",
]
METRIC_SIGNALS: Mapping[MetricName, Sequence[str]] = {  # what each metric measures
    "fid": ("fid",),
    "kid": ("kid",),
    "precision_recall": ("precision", "recall"),
    "density_coverage": ("density", "coverage"),
    "ndb": ("ndb",),
    "vendi": ("vendi",),
    "wasserstein": ("wasserstein_1", "wasserstein_2"),
    "published_modes": ("modes_any", "published_quality", "published_kl"),
}

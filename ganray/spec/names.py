"""The vocabulary of a sweep file: names that stand for code elsewhere.

Kept apart from that code, so that a file can be checked where torch is not installed; tests hold
each of these against the registry that it names.
"""

from typing import Literal

LossName = Literal["minimax", "non_saturating", "lsgan", "wgan", "hinge"]
OptimizerName = Literal["adam", "rmsprop"]
SamplerName = Literal["tpe", "random", "grid", "qmc", "gp", "cmaes"]
PrunerName = Literal["median", "percentile", "successive_halving", "hyperband", "none"]

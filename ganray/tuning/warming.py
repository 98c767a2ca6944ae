"""Lets the cluster's processes load what every trial needs while the driver still loads itself.

Ray hands a process that has nothing to do to the next trial of the same job. This module is all
that a process loads to hear of it, so it is light.
"""

import math
from importlib import import_module
from typing import Any

import ray

from ganray.spec.models import SweepSpec

NEEDED = "ganray.tuning.trainable"  # what a trial's process loads first, torch and all


def warm_up(spec: SweepSpec, cpus: float) -> None:
    """Ask for as many processes as trials will run at first; returns at once.

    Args:
        spec: the sweep.
        cpus: of the cluster.
    """
    load: Any = ray.remote(num_cpus=spec.resources.cpu, max_retries=0)(_load)
    for _ in range(first_trials(spec, cpus)):
        load.remote()  # whether it works is the trials' business


def first_trials(spec: SweepSpec, cpus: float) -> int:
    """How many trials can run at a time, by the CPUs alone."""
    concurrency = spec.search.concurrency
    limit = math.inf if concurrency == "auto" else concurrency
    return int(min(cpus / spec.resources.cpu, limit, spec.search.trials))


def _load() -> None:
    import_module(NEEDED)

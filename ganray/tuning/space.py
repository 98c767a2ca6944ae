"""SweepSpec → Optuna, once: distributions, samplers, and the points that need no sampler."""

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import Trial

from ganray.spec.checks import order
from ganray.spec.models import SweepSpec
from ganray.spec.space import Choices, Range
from ganray.trial import derive_seed

Params = dict[str, Any]


def distributions(spec: SweepSpec) -> dict[str, BaseDistribution]:
    """The distribution of every searched parameter, those first that others depend on."""
    entries = spec.search.space.entries
    return {name: _distribution(entries[name]) for name in order(entries)}


def suggest(trial: Trial, spec: SweepSpec) -> Params:
    """The searched parameters of one trial; those whose condition fails are left out."""
    params: Params = {}
    for name, distribution in distributions(spec).items():
        if _applies(spec, name, params):
            params[name] = _suggest(trial, name, distribution)
    return params


def suggest_these(trial: Trial, spec: SweepSpec, values: Mapping[str, Any]) -> None:
    """Register those parameters of a trial whose values were chosen elsewhere."""
    for name, distribution in distributions(spec).items():
        if name in values:
            _suggest(trial, name, distribution)


def applicable(spec: SweepSpec, values: Mapping[str, Any]) -> Params:
    """Of a trial's parameters, the searched ones that applied to it, with values of the space.

    What did not apply stands in a trial's record with its default.
    """
    entries = spec.search.space.entries
    params: Params = {}
    for name in order(entries):
        if name in values and entries[name].admits(values[name]) and _applies(spec, name, params):
            params[name] = values[name]
    return params


def fixed_point(spec: SweepSpec, number: int) -> Params | None:
    """What trial `number` must try, where that does not depend on earlier results.

    Returns:
        A point of `search.first`, of the grid, or of the quasi-random sequence, by the number
        alone; None where a sampler is to choose.
    """
    first = spec.search.first
    if number < len(first):
        return first[number].given
    if spec.search.sampler == "grid":
        return grid_points(spec)[number - len(first)]
    if spec.search.sampler == "qmc":
        return _quasi_random_point(spec, number - len(first))
    return None


def trial_count(spec: SweepSpec) -> int:
    """How many trials the sweep has: `search.trials`, or fewer if the grid ends before."""
    if spec.search.sampler != "grid":
        return spec.search.trials
    return min(spec.search.trials, len(spec.search.first) + len(grid_points(spec)))


def grid_points(spec: SweepSpec) -> list[Params]:
    """Every point of the grid once, in an order that depends on the seed alone."""
    points = list(_combinations(spec, list(distributions(spec).items()), {}))
    order_of_trials = np.random.default_rng(spec.search.seed).permutation(len(points))
    return [points[index] for index in order_of_trials]


def make_sampler(spec: SweepSpec, number: int) -> BaseSampler:
    """The sampler for one trial, seeded from the sweep's seed and the trial's number.

    A sampler's memory is the study, so that a new one for each trial loses nothing, and a resumed
    sweep does not repeat its first points.
    """
    seed = derive_seed(spec.search.seed, number, "sample")
    conditional = any(entry.when for entry in spec.search.space.entries.values())
    match spec.search.sampler:
        case "tpe":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # `group`, since 2021
                return TPESampler(seed=seed, multivariate=True, group=conditional)
        case "gp":
            return GPSampler(
                seed=seed, independent_sampler=RandomSampler(seed), warn_independent_sampling=False
            )
        case "cmaes":
            return CmaEsSampler(
                seed=seed, independent_sampler=RandomSampler(seed), warn_independent_sampling=False
            )
        case _:
            return RandomSampler(seed)


def _distribution(entry: Choices | Range) -> BaseDistribution:
    if isinstance(entry, Choices):
        return CategoricalDistribution(entry.choices)
    if isinstance(entry.low, int):
        return IntDistribution(entry.low, entry.high, log=entry.log, step=entry.step or 1)
    return FloatDistribution(entry.low, entry.high, log=entry.log, step=entry.step)


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
    raise TypeError(f"{name}: no way to suggest from {distribution}")


def _applies(spec: SweepSpec, name: str, params: Params) -> bool:
    """Whether a parameter's condition holds, given those that were decided before it.

    A parent that does not apply itself has no value, so nothing that depends on it applies either.
    """
    searched = spec.search.space.entries
    fixed = {key: value for key, value in spec.trainer.given.items() if key not in searched}
    known = {**fixed, **params}
    when = searched[name].when or {}
    return all(parent in known and known[parent] in values for parent, values in when.items())


def _combinations(
    spec: SweepSpec, left: list[tuple[str, BaseDistribution]], params: Params
) -> Iterator[Params]:
    if not left:
        yield params
        return
    (name, distribution), *rest = left
    if not _applies(spec, name, params):
        yield from _combinations(spec, rest, params)
        return
    for value in _values(distribution):
        yield from _combinations(spec, rest, {**params, name: value})


def _values(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    assert distribution.step is not None, "the sweep file was checked for it"
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    below = [distribution.low + index * distribution.step for index in range(count - 1)]
    return [*below, distribution.high]  # exactly, whatever the steps add up to


def _quasi_random_point(spec: SweepSpec, index: int) -> Params:
    """Point `index` of a scrambled Sobol' sequence over all searched parameters.

    Source: Owen 1998 (J. Complexity 14), as scipy has it. Optuna's own QMC sampler draws choices at
    random, and a choice of loss is what most sweeps are about.
    """
    from scipy.stats import qmc  # loads in a second; only this sampler needs it

    found = distributions(spec)
    sequence = qmc.Sobol(len(found), scramble=True, rng=np.random.default_rng(spec.search.seed))
    if index:
        sequence.fast_forward(index)
    unit = sequence.random(1)[0]
    params: Params = {}
    for (name, distribution), u in zip(found.items(), unit, strict=True):
        if _applies(spec, name, params):
            params[name] = _at(distribution, float(u))
    return params


def _at(distribution: BaseDistribution, unit: float) -> Any:
    """The value at a share of the way through a distribution, `unit` in [0, 1)."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[math.floor(unit * len(distribution.choices))]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = distribution.low, distribution.high
    if distribution.log:
        offset = 0.5 if isinstance(distribution, IntDistribution) else 0.0
        start, end = math.log(low - offset), math.log(high + offset)
        value = math.exp(start + unit * (end - start))
        return min(max(round(value) if offset else value, low), high)
    if distribution.step is None:
        return low + unit * (high - low)
    values = _values(distribution)
    return values[math.floor(unit * len(values))]

"""Which searched parameters decide a yes-or-no question about trials, such as whether they fail.

Optuna's conditional PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255; 2026, arXiv 2601.20800),
asked for the trials that are hits: times the squared share of hits, its divergence is the variance
of P(hit | parameter), so that over p(1 - p) it is the share of the answer's variance which the
parameter alone explains. It does not see what parameters do together.

A parameter that did not apply to a trial has no value there, and none is made up: conditional
PED-ANOVA looks at it among the trials that have it, weighs that by their share, and leaves what
lies between having it and not having it to the parameter on which that depends.
"""

import random
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial

from ganray.spec.models import SweepSpec
from ganray.tuning.space import applicable, distributions

_SHUFFLES = 20  # of the answers, for what chance alone explains
_RESHUFFLES = 3  # the same in each resample, where the average over resamples steadies it
_INTERVAL = (0.05, 0.95)

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, slots=True)
class Importance:
    """How much of a yes-or-no answer one parameter alone explains, in [0, 1]."""

    parameter: str
    share: float  # of the answer's variance, above what shuffled answers give; 0: no more than they
    low: float  # of a 90 % interval over resampled trials
    high: float


def importances(
    spec: SweepSpec,
    trials: Sequence[Mapping[str, Any]],
    hits: Sequence[bool],
    *,
    resamples: int = 30,
    seed: int = 0,
) -> list[Importance]:
    """The importance of each searched parameter for being a hit, the largest first.

    Args:
        spec: the sweep, for its search space.
        trials: the parameters of each trial, by name; those that did not apply are left aside.
        hits: the answer for each trial; some must be true, some false.
        resamples: draws of as many trials, with replacement, that the intervals come from.
        seed: of the shuffles and draws.

    Raises:
        ValueError: the two differ in length, or all answers are the same.
    """
    if len(trials) != len(hits):
        raise ValueError(f"trials and hits must be as many; got {len(trials)} and {len(hits)}")
    if len(set(hits)) != 2:
        raise ValueError(f"some of {len(hits)} hits must be true and some false")
    rng = random.Random(seed)
    frozen = _frozen_trials(spec, trials)
    names = list(distributions(spec))
    found = _above_chance(frozen, hits, range(len(hits)), _SHUFFLES, rng)
    drawn = [
        _above_chance(frozen, hits, _draw(hits, rng), _RESHUFFLES, rng) for _ in range(resamples)
    ]
    rows = [_importance(name, found, drawn) for name in names]
    return sorted(rows, key=lambda row: (-row.share, -row.high, row.parameter))


def _importance(
    name: str, found: Mapping[str, float], drawn: Sequence[Mapping[str, float]]
) -> Importance:
    share = max(0.0, float(found.get(name, 0.0)))
    values = sorted(max(0.0, float(one.get(name, 0.0))) for one in drawn)
    low, high = (values[round(at * (len(values) - 1))] for at in _INTERVAL)
    return Importance(name, share, min(low, share), max(high, share))


def _frozen_trials(spec: SweepSpec, trials: Sequence[Mapping[str, Any]]) -> list[FrozenTrial]:
    space = distributions(spec)
    return [_frozen(space, applicable(spec, trial)) for trial in trials]


def _frozen(space: Mapping[str, BaseDistribution], params: dict[str, Any]) -> FrozenTrial:
    known = {name: space[name] for name in params}
    return optuna.create_trial(params=params, distributions=known, value=0.0)


def _draw(hits: Sequence[bool], rng: random.Random) -> list[int]:
    """As many trials with replacement, both answers among them."""
    while True:
        picked = rng.choices(range(len(hits)), k=len(hits))
        if len({hits[index] for index in picked}) == 2:
            return picked


def _above_chance(
    trials: Sequence[FrozenTrial],
    hits: Sequence[bool],
    picked: Sequence[int],
    shuffles: int,
    rng: random.Random,
) -> dict[str, float]:
    """What each parameter explains of the picked trials' answers, less what it does of shuffled.

    A parameter of many values explains some of any answer. Answers are shuffled among trials before
    these are picked, so that copies of one trial share theirs, as they do in the resample.
    """
    study = optuna.create_study()
    study.add_trials([trials[index] for index in picked])
    found = _explained(study, [hits[index] for index in picked])
    by_chance: list[dict[str, float]] = []
    while len(by_chance) < shuffles:
        shuffled = rng.sample(list(hits), len(hits))
        answers = [shuffled[index] for index in picked]
        if len(set(answers)) == 2:
            by_chance.append(_explained(study, answers))
    return {
        name: value - statistics.mean(one[name] for one in by_chance)
        for name, value in found.items()
    }


class _Unsmoothed(PedAnovaImportanceEvaluator):
    """Without its prior, which spreads almost half of each choice over all, however many trials.

    That shrinks the importance of choices to about a third, and leaves that of ranges as it is.
    """

    def __init__(self, target_quantile: float) -> None:
        super().__init__(target_quantile=target_quantile)
        self._prior_weight = 0.0


def _explained(study: Study, answers: Sequence[bool]) -> dict[str, float]:
    """The share of the answers' variance that each parameter explains; none: no trial has it."""
    if sum(answers) > len(answers) / 2:  # both explain the same; the rarer answer blurs less
        answers = [not answer for answer in answers]
    share = sum(answers) / len(answers)
    # half a trial less than all hits: the quantile then ends at the last of them, whatever rounding
    quantile = share - 0.5 / len(answers)
    trials = study.get_trials(deepcopy=False)
    kinds = {name: kind for trial in trials for name, kind in trial.distributions.items()}
    choices = [n for n, kind in kinds.items() if isinstance(kind, CategoricalDistribution)]
    ranges = [name for name in kinds if name not in choices]
    found = _divergences(study, answers, choices, _Unsmoothed(quantile))
    smooth = PedAnovaImportanceEvaluator(target_quantile=quantile)
    found |= _divergences(study, answers, ranges, smooth)
    # blurred densities may overshoot what there is to explain
    return {name: min(1.0, value / (share * (1.0 - share))) for name, value in found.items()}


def _divergences(
    study: Study,
    answers: Sequence[bool],
    names: list[str],
    evaluator: PedAnovaImportanceEvaluator,
) -> dict[str, float]:
    """Of hits from all trials, times the squared share of hits: the variance of P(hit | value)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of `target`, `normalize` and rare regimes, all meant
        return get_param_importances(
            study,
            evaluator=evaluator,
            params=names,
            target=lambda trial: 0.0 if answers[trial.number] else 1.0,
            normalize=False,
        )

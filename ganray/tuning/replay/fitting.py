"""Fits the estimate of recovery, `ganray.health.recovery`, on unpruned histories."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from ganray.health.judge import lowest_odds
from ganray.health.recovery import FEATURES, RecoveryModel, features
from ganray.health.rules import HealthRules
from ganray.trial import Signals

Floats = NDArray[np.floating]

SHRINKAGE = 0.1  # L2 penalty on the weights, in trials
FOLDS = 5  # of the calibration, each without its own settings in the fit
HEALTHY, BETWEEN, BAD = 1.0, 0.5, 0.0  # what the estimate is to say of each in the end


@dataclass(frozen=True, slots=True)
class Example:
    """One unpruned history with the truth about it."""

    reports: Sequence[Signals]
    budget: int
    setting: str  # trials that differ in nothing but their seed share it
    target: float  # HEALTHY, BETWEEN or BAD


def fit(examples: Sequence[Example], seed: int = 0) -> RecoveryModel:
    """Weights from all examples; calibration from healthy ones that had no part in their weights.

    Args:
        examples: at least one healthy and one bad one in every fold.
        seed: of the assignment of settings to folds.
    """
    settings = sorted({example.setting for example in examples})
    order = np.random.default_rng(seed).permutation(len(settings))
    fold = {setting: int(place) % FOLDS for setting, place in zip(settings, order, strict=True)}
    lowest: list[float] = []
    for held_out in range(FOLDS):
        model = _weights([e for e in examples if fold[e.setting] != held_out])
        judged = [e for e in examples if fold[e.setting] == held_out and e.target == HEALTHY]
        lowest += [_lowest(example, model) for example in judged]
    return replace(_weights(examples), calibration=tuple(sorted(lowest)))


def _lowest(example: Example, model: RecoveryModel) -> float:
    never = -float("inf")  # only the model, the warm-up and the patience matter here
    rules = HealthRules(
        budget=example.budget, model=model, hopeless=never, doubted=never, trusted=never
    )
    return lowest_odds(example.reports, rules)


def _weights(examples: Sequence[Example]) -> RecoveryModel:
    """Logistic regression with weights that are not negative; every history counts once."""
    rows = [_rows(example) for example in examples]
    inputs = np.concatenate([found for found, _share in rows])
    shares = np.concatenate([share for _found, share in rows])
    targets = np.concatenate(
        [np.full(len(share), e.target) for e, (_f, share) in zip(examples, rows, strict=True)]
    )
    scale = np.append(inputs[:, :-2].std(axis=0) + 1e-9, [1.0, 1.0])
    count = len(scale)
    found = minimize(
        _objective(inputs / scale, targets, shares),
        np.zeros(count),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * (count - 2) + [(None, None)] * 2,
    )
    weights = [float(weight) for weight in found.x / scale]
    half = len(FEATURES)
    return RecoveryModel(
        early=dict(zip(FEATURES, weights[:half], strict=True)),
        late=dict(zip(FEATURES, weights[half:-2], strict=True)),
        bias=(weights[-2], weights[-1]),
        calibration=(),
    )


def _rows(example: Example) -> tuple[Floats, Floats]:
    """Each report's features times (1 - t) and times t, and these two; and its share of the whole.

    t is the share of the budget that is used.
    """
    reports, budget = example.reports, example.budget
    found = []
    for end, signals in enumerate(reports, start=1):
        late = min(signals.update / budget, 1.0)
        values = np.array([*features(reports[:end], budget), 1.0])
        early, late_values = (1.0 - late) * values, late * values
        found.append([*early[:-1], *late_values[:-1], early[-1], late_values[-1]])
    return np.array(found), np.full(len(reports), 1.0 / len(reports))


def _objective(
    inputs: Floats, targets: Floats, shares: Floats
) -> Callable[[Floats], tuple[float, Floats]]:
    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = inputs @ weights
        shrunk = np.append(weights[:-2], [0.0, 0.0])
        surprise = shares @ (np.logaddexp(0.0, odds) - targets * odds)
        gradient = inputs.T @ (shares * (expit(odds) - targets)) + SHRINKAGE * shrunk
        return float(surprise + 0.5 * SHRINKAGE * shrunk @ shrunk), gradient

    return loss

"""Fits the estimate of recovery, `ganray.health.recovery`, on unpruned histories."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from ganray.health.judge import lowest_odds
from ganray.health.recovery import FEATURES, RecoveryModel, features
from ganray.health.rules import PATIENCE, WARM_UP
from ganray.trial import Signals

Floats = NDArray[np.floating]

SHRINKAGE = 0.1  # L2 penalty on the weights, in trials
FOLDS = 5  # of the calibration, each without its own settings in the fit
HEALTHY, BETWEEN, BAD = 1.0, 0.5, 0.0  # what the estimate is to say of each in the end


@dataclass(frozen=True)
class Example:
    """One unpruned history with the truth about it."""

    reports: Sequence[Signals]
    budget: int
    setting: str  # trials that differ in nothing but their seed share it
    target: float  # HEALTHY, BETWEEN or BAD

    @cached_property
    def inputs(self) -> Floats:
        """A row a report: its features times (1 - t) and times t, and these two.

        t is the share of the budget that is used.
        """
        rows = []
        for end, signals in enumerate(self.reports, start=1):
            late = min(signals.update / self.budget, 1.0)
            values = np.array([*features(self.reports[:end], self.budget), 1.0])
            early, later = (1.0 - late) * values, late * values
            rows.append([*early[:-1], *later[:-1], early[-1], later[-1]])
        return np.array(rows)

    def lowest_odds(self, weights: Floats) -> float:
        """The level of `hopeless` above which the trial would be given up."""
        odds = self.inputs @ weights
        judged = {
            signals.update: float(odds[index])
            for index, signals in enumerate(self.reports)
            if signals.update >= WARM_UP * self.budget
        }
        return lowest_odds(judged, PATIENCE * self.budget)


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
        weights = _weights([e for e in examples if fold[e.setting] != held_out])
        judged = [e for e in examples if fold[e.setting] == held_out and e.target == HEALTHY]
        lowest += [example.lowest_odds(weights) for example in judged]
    return _model(_weights(examples), sorted(lowest))


def _model(weights: Floats, calibration: Sequence[float]) -> RecoveryModel:
    half = len(FEATURES)
    plain = [float(weight) for weight in weights]
    return RecoveryModel(
        early=dict(zip(FEATURES, plain[:half], strict=True)),
        late=dict(zip(FEATURES, plain[half:-2], strict=True)),
        bias=(plain[-2], plain[-1]),
        calibration=tuple(calibration),
    )


def _weights(examples: Sequence[Example]) -> Floats:
    """Logistic regression with weights that are not negative; every history counts once."""
    inputs = np.concatenate([e.inputs for e in examples])
    lengths = [len(e.inputs) for e in examples]
    shares = np.repeat([1.0 / length for length in lengths], lengths)
    targets = np.repeat([e.target for e in examples], lengths)
    scale = np.append(inputs[:, :-2].std(axis=0) + 1e-9, [1.0, 1.0])
    count = len(scale)
    found = minimize(
        _objective(inputs / scale, targets, shares),
        np.zeros(count),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * (count - 2) + [(None, None)] * 2,
    )
    weights: Floats = found.x / scale
    return weights


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

"""When a trial counts as dead. All times are shares of the trial's budget."""

import math
from dataclasses import dataclass, field
from typing import Self

from ganray.health.recovery import LATELY, RecoveryModel, fitted

DEFAULT_RISK = 0.02
WARM_UP, PATIENCE = 0.1, 0.05
# of a full trial: with fewer, a window of the estimate would be without a report of its own
FEWEST_REPORTS = round(1.0 / LATELY)
DOUBTED, TRUSTED = 0.2, 0.4  # share of the healthy trials that ever look as bad


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRules:
    """Thresholds of the judge; the defaults are those of `risk: 0.02`.

    `hopeless`, `doubted` and `trusted` are log odds of ending healthy. They decide whether a trial
    is dead; `few_modes` to `exploded` only name what it died of.

    Raises:
        ValueError: a value that makes no sense, with its name.
    """

    budget: int  # updates of a full trial
    model: RecoveryModel = field(default_factory=fitted, repr=False)
    hopeless: float = field(default_factory=lambda: fitted().hopeless(DEFAULT_RISK))
    doubted: float = field(default_factory=lambda: fitted().hopeless(DOUBTED))  # enter suspicion
    trusted: float = field(default_factory=lambda: fitted().hopeless(TRUSTED))  # leave it
    warm_up: float = WARM_UP  # before it only what is not finite counts
    patience: float = PATIENCE  # how long a trial must look hopeless without a break
    falls: float = (
        0.2  # share of the distance that is lost, window to window, where it clearly falls
    )
    few_modes: float = 0.6  # effective modes / those of real data
    counted_quality: float = 0.3  # share of good samples from which modes say something
    narrow: float = 0.15  # diversity at which samples are one point, whatever their quality
    frozen: float = 0.01  # all velocity so far, below which G was never set in motion
    exploded: float = 10.0  # extent of the samples / of real data

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise ValueError(f"budget must be at least 1 update; got {self.budget}")
        for name in ("warm_up", "patience", "falls", "few_modes", "counted_quality"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be within 0 and 1; got {getattr(self, name)}")
        for name in ("narrow", "frozen", "exploded"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name} must be at least 0; got {getattr(self, name)}")
        for lower, upper in (("hopeless", "doubted"), ("doubted", "trusted")):
            low, high = getattr(self, lower), getattr(self, upper)
            if math.isnan(low) or math.isnan(high) or low > high:
                raise ValueError(f"{lower} {low} must not be above {upper} {high}")

    @classmethod
    def for_risk(cls, risk: float, budget: int, model: RecoveryModel | None = None) -> Self:
        """Rules for the accepted probability of stopping a trial that would have ended healthy.

        Args:
            risk: in (0, 1).
            budget: updates of a full trial.
            model: the estimate of recovery; None: the one that ganray ships.
        """
        if not 0.0 < risk < 1.0:
            raise ValueError(f"risk must be above 0 and below 1; got {risk}")
        model = model or fitted()
        hopeless = model.hopeless(risk)
        return cls(
            budget=budget,
            model=model,
            hopeless=hopeless,
            doubted=max(hopeless, model.hopeless(DOUBTED)),
            trusted=max(hopeless, model.hopeless(TRUSTED)),
        )

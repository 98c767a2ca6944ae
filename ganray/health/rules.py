"""When a trial counts as dead. All times are shares of the trial's budget."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRules:
    """Thresholds of the judge; the defaults are those of `risk: 0.02`.

    Raises:
        ValueError: a value that makes no sense, with its name.
    """

    budget: int  # updates of a full trial
    warm_up: float = 0.15  # before it only divergence counts
    earliest: float = 0.6  # before it nothing but divergence stops a trial
    patience: float = 0.3  # how long a trial must look dead without a break
    few_modes: float = 0.35  # enter: effective modes / those of real data
    enough_modes: float = 0.6  # exit, and what the trend must be about to reach
    narrow: float = 0.15  # diversity at which samples are one point, whatever their quality
    frozen: float = 0.01  # all velocity so far, below which G was never set in motion
    counted_quality: float = 0.3  # share of good samples from which modes say something
    saturated: float = 0.85  # enter: JS bound / log 2, of D or of the probe
    separable: float = 0.65  # exit: the same bound, below which the two are hard to tell apart
    still_far: float = 0.25  # distance, from which saturation is a stall and not just a sharp D
    progress: float = 0.2  # share of its distance that a trial must lose within `patience`
    exploded: float = 10.0  # extent of the samples / of real data, all through `patience`

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise ValueError(f"budget must be at least 1 update; got {self.budget}")
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be within 0 and 1; got {getattr(self, name)}")
        for name in ("narrow", "frozen", "still_far", "exploded"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name} must be at least 0; got {getattr(self, name)}")
        if self.few_modes > self.enough_modes:
            raise ValueError(
                f"few_modes {self.few_modes} must not be above enough_modes {self.enough_modes}"
            )
        if self.separable > self.saturated:
            raise ValueError(
                f"separable {self.separable} must not be above saturated {self.saturated}"
            )

    @classmethod
    def for_risk(cls, risk: float, budget: int) -> Self:
        """Rules for a user's readiness to lose a trial that would have recovered.

        A larger risk judges earlier and waits less. The steps are hand-set and not calibrated yet:
        `risk` orders the rules, it does not promise a frequency.

        Args:
            risk: in (0, 1).
            budget: updates of a full trial.
        """
        if not 0.0 < risk < 1.0:
            raise ValueError(f"risk must be above 0 and below 1; got {risk}")
        earliest, patience = next(when for bound, when in _BY_RISK.items() if risk <= bound)
        return cls(budget=budget, earliest=earliest, patience=patience)


_SHARES = (
    *("warm_up", "earliest", "patience", "few_modes", "enough_modes"),
    *("counted_quality", "saturated", "separable", "progress"),
)

# risk up to -> (earliest, patience)
_BY_RISK: dict[float, tuple[float, float]] = {
    0.01: (0.7, 0.35),
    0.02: (0.6, 0.3),
    0.05: (0.45, 0.25),
    0.1: (0.35, 0.2),
    1.0: (0.25, 0.15),
}

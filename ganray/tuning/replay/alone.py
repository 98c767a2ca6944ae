"""Policies that look at one trial alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from ganray.health.judge import judge
from ganray.health.rules import HealthRules
from ganray.trial import LOG_2, Outcome, Signals
from ganray.tuning.replay.histories import History
from ganray.tuning.replay.policies import Stopped

SATURATED = 0.87  # of log 2
FEW_MODES = 0.35  # mode_ratio
IN_A_ROW = 3  # reports

Test = Callable[[Signals], bool]


class Never:
    """Stops nothing."""

    measures = False
    alone = True

    def __init__(self, name: str) -> None:
        self.name = name

    def decide(self, histories: Iterable[History], seed: int = 0) -> Iterator[Stopped | None]:
        """See `Policy`."""
        return (None for _ in histories)


class InARow:
    """Stops a trial of which one thing is true at several reports in a row."""

    measures = True
    alone = True

    def __init__(self, name: str, test: Test, outcome: Outcome, reason: str) -> None:
        self.name = name
        self._test = test
        self._outcome = outcome
        self._reason = reason

    def decide(self, histories: Iterable[History], seed: int = 0) -> Iterator[Stopped | None]:
        """See `Policy`."""
        return (self._stop(history.reports) for history in histories)

    def _stop(self, reports: Sequence[Signals]) -> Stopped | None:
        spell = 0
        for index, signals in enumerate(reports):
            if signals.nonfinite is not None:
                return None
            spell = spell + 1 if self._test(signals) else 0
            if spell == IN_A_ROW:
                return Stopped(index, self._outcome.value, self._reason, self.name)
        return None


class Judged:
    """Stops a trial that the judge of health finds dead."""

    measures = True
    alone = True

    def __init__(self, name: str, rules: Callable[[History], HealthRules]) -> None:
        self.name = name
        self._rules = rules

    def decide(self, histories: Iterable[History], seed: int = 0) -> Iterator[Stopped | None]:
        """See `Policy`."""
        return (self._stop(history) for history in histories)

    def _stop(self, history: History) -> Stopped | None:
        rules = self._rules(history)
        for index, signals in enumerate(history.reports):
            if signals.nonfinite is not None:
                return None
            verdict = judge(history.reports[: index + 1], rules)
            if verdict.state.is_dead:
                return Stopped(index, verdict.state.value, verdict.reason, verdict.rule)
        return None


def is_js_saturated(signals: Signals) -> bool:
    """Whether D's own JS bound is near log 2."""
    return signals.js is not None and signals.js > SATURATED * LOG_2


def has_few_modes(signals: Signals) -> bool:
    """Whether few of the modes are covered, whatever the quality."""
    return signals.mode_ratio is not None and signals.mode_ratio < FEW_MODES

"""What the pruning benchmark makes of a summary."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ganray.spec.load import load_sweep
from tests.benchmarks.pruning import DATA, POLICIES, SWEEPS, from_summary

START = 1_000.0


def trial(ended: float, objective: float, outcome: str = "completed") -> dict[str, Any]:
    at = datetime.fromtimestamp(START + ended, UTC)
    return {"outcome": outcome, "objective": objective, "ended": at.isoformat()}


def test_quality_is_reached_when_the_first_trial_that_has_it_is_complete() -> None:
    rows = [trial(10, 0.5), trial(20, 0.1), trial(15, 0.01, "outranked"), trial(40, 0.09)]
    found = from_summary(rows, START, 50.0)
    assert (found.best, found.stopped, found.seconds) == (0.09, 1, 50.0)
    assert [found.reached(quality) for quality in (0.6, 0.1, 0.09, 0.08)] == [10, 20, 40, None]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("data", DATA)
def test_every_policy_is_one_that_sweeps_have(data: str, policy: str) -> None:
    risk, then = POLICIES[policy]
    settings = [f"prune.risk={risk}", f"prune.then={then}"]
    spec = load_sweep(SWEEPS / f"health-{data}.yaml", settings)
    assert spec.prune is not None
    assert (spec.prune.risk is None) == (risk == "null")
    assert spec.prune.then == then

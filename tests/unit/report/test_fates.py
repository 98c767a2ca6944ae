"""What became of a trial, whatever stopped it or did not."""

from typing import Any

import pytest

from ganray.report.fates import Fate, fate_of, told_trials
from ganray.trial import Outcome
from tests.unit.report.summaries import BLANK, summary


def fate(**values: Any) -> Fate | None:
    return fate_of({**BLANK, **values})


@pytest.mark.parametrize("outcome", ["stalled", "collapsed", "diverged"])
def test_a_stopped_trial_has_the_fate_it_was_stopped_for(outcome: str) -> None:
    found = fate(outcome=outcome, mode_ratio=1.0, distance=0.0)
    assert found == Fate(outcome)
    assert found.is_failure


def test_an_outranked_trial_neither_trained_nor_failed() -> None:
    found = fate(outcome="outranked", distance=5.0)
    assert found is Fate.UNCLEAR
    assert not found.is_failure


@pytest.mark.parametrize("outcome", [None, Outcome.CRASHED.value, Outcome.CANCELLED.value])
def test_a_trial_without_an_end_of_its_own_has_no_fate(outcome: str | None) -> None:
    assert fate(outcome=outcome) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Fate.STALLED),  # nothing was measured that says otherwise
        ({"distance": 0.41}, Fate.STALLED),
        ({"mode_ratio": 0.59, "high_quality": 0.3}, Fate.COLLAPSED),
        ({"mode_ratio": 0.59, "high_quality": 0.29}, Fate.STALLED),
        ({"mode_ratio": 0.61, "high_quality": 0.3}, Fate.STALLED),
        ({"mode_ratio": 0.49, "distance": 0.0}, Fate.STALLED),
        ({"mode_ratio": 0.9, "high_quality": 0.9, "distance": 0.5}, Fate.STALLED),
        ({"distance": 0.5, "diversity": 0.14}, Fate.COLLAPSED),
        ({"distance": 0.5, "diversity": 0.16}, Fate.STALLED),
        ({"distance": 9.0, "extent": 10.1}, Fate.DIVERGED),
        ({"distance": 9.0, "extent": 10.0}, Fate.STALLED),
    ],
)
def test_what_a_trial_that_ended_badly_died_of_is_told_by_its_last_values(
    values: dict[str, float], expected: Fate
) -> None:
    assert fate(ending="bad", **values) is expected


@pytest.mark.parametrize(
    ("ending", "expected"),
    [("healthy", Fate.TRAINED), ("between", Fate.UNCLEAR), (None, Fate.TRAINED)],
)
def test_a_trial_that_ran_to_the_end_failed_only_if_its_ending_is_bad(
    ending: str | None, expected: Fate
) -> None:
    assert fate(ending=ending, mode_ratio=0.1, distance=9.0) is expected


def test_trials_that_say_nothing_about_settings_are_left_out() -> None:
    frame = summary(
        [{"outcome": "stalled"}, {"outcome": "crashed"}, {"outcome": None}, {"phase": "confirm"}]
    )
    assert [(row["trial"], fate) for row, fate in told_trials(frame)] == [(0, Fate.STALLED)]

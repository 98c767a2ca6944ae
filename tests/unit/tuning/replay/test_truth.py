"""The truth about a trial, at its edges."""

from typing import Any

import pytest

from ganray.errors import DataError
from ganray.trial import Outcome
from ganray.tuning.replay.truth import Kind, best_report, has_peaked, kind_of, label
from tests.conftest import past

GOOD = {"mode_ratio": 0.95, "distance": 0.05}
POOR = {"mode_ratio": 0.7, "distance": 0.2}
DEAD = {"mode_ratio": 0.1, "distance": 0.9}


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        ({"mode_ratio": 0.9, "distance": 0.1}, Kind.HEALTHY),
        ({"mode_ratio": 0.899, "distance": 0.1}, Kind.BETWEEN),
        ({"mode_ratio": 0.9, "distance": 0.101}, Kind.BETWEEN),
        ({"mode_ratio": 0.5, "distance": 0.4}, Kind.BETWEEN),
        ({"mode_ratio": 0.499, "distance": 0.0}, Kind.BAD),
        ({"mode_ratio": 1.0, "distance": 0.401}, Kind.BAD),
        ({"mode_ratio": 1.0}, Kind.BAD),  # an undefined distance counts as worst
        ({"distance": 0.0}, Kind.BAD),
        ({"mode_ratio": 1.0, "distance": float("nan")}, Kind.BAD),
        ({"mode_ratio": 1.0, "distance": 0.0, "nonfinite": "loss of D"}, Kind.BAD),
    ],
)
def test_last_values_tell_how_a_trial_turned_out(last: dict[str, Any], kind: Kind) -> None:
    assert kind_of(past(0, [*[POOR] * 9, last])) is kind


def test_final_value_is_the_median_over_the_last_tenth() -> None:
    def kind(last: list[dict[str, Any]]) -> Kind:
        reports = [*[POOR] * (40 - len(last)), *last]
        return kind_of(past(0, reports, budget=4_000))

    assert kind([GOOD, GOOD, GOOD, DEAD]) is Kind.HEALTHY
    assert kind([GOOD, GOOD, GOOD, {}]) is Kind.HEALTHY
    assert kind([DEAD, DEAD, DEAD, GOOD]) is Kind.BAD
    assert kind([DEAD, GOOD, GOOD, GOOD, GOOD]) is Kind.HEALTHY
    assert kind([GOOD, DEAD, POOR, POOR, POOR]) is Kind.BETWEEN


def test_trial_that_was_cut_short_is_unknown() -> None:
    assert kind_of(past(0, [GOOD] * 9)) is Kind.UNKNOWN
    assert kind_of(past(0, [DEAD] * 9, outcome=Outcome.COLLAPSED)) is Kind.UNKNOWN
    assert kind_of(past(0, [GOOD, {"nonfinite": "loss of D"}])) is Kind.BAD


def test_best_quarter_is_top_but_for_the_bad() -> None:
    values = [0.05, 0.3, 0.02, 0.01, 0.2, 0.2, 0.2, 0.2]
    histories = [
        past(i, [{"mode_ratio": 0.1 if i == 3 else 0.95, "distance": value}] * 10)
        for i, value in enumerate(values)
    ]
    assert [i for i, truth in enumerate(label(histories)) if truth.top] == [2]


def test_top_is_told_by_data_set_objective_and_direction() -> None:
    def one(number: int, **changes: Any) -> Any:
        modes = changes.pop("modes", 8.0)
        return past(number, [{**GOOD, "modes": modes}] * 10, **changes)

    histories = [
        *(one(i, modes=float(i), metric="modes", direction="max") for i in range(4)),
        one(4, data="grid"),
        one(5, data="grid"),
    ]
    assert [i for i, truth in enumerate(label(histories)) if truth.top] == [3, 4]


def test_trial_cut_short_is_no_rival_for_the_top() -> None:
    best = past(0, [{"mode_ratio": 1.0, "distance": 0.0}] * 9)
    others = [past(i, [GOOD] * 10) for i in range(1, 5)]
    assert [truth.top for truth in label([best, *others])] == [False, True, False, False, False]


def test_healthy_window_anywhere_is_a_peak() -> None:
    def reports(good: int) -> list[dict[str, Any]]:
        return [*[DEAD] * 10, *[GOOD] * good, *[DEAD] * (30 - good)]

    # the median of four needs more than two
    assert has_peaked(past(0, reports(4), budget=4_000))
    assert not has_peaked(past(0, reports(2), budget=4_000))
    short = [GOOD, {"nonfinite": "loss of D"}]
    assert has_peaked(past(0, short))  # one of ten is a tenth
    assert not has_peaked(past(0, short, budget=10_000))  # ten of a hundred are


def test_best_report_is_the_first_with_the_best_objective() -> None:
    values = [{"distance": v} for v in (0.5, 0.2, 0.2, 0.9)]
    assert best_report(past(0, [{}, *values])) == 2
    assert best_report(past(0, values, direction="max")) == 3
    assert best_report(past(0, [{}, {"distance": float("inf")}])) is None


def test_data_without_counted_modes_have_no_truth() -> None:
    histories = [past(0, [GOOD] * 10), past(1, [{"distance": 0.1}] * 10, data="pictures")]
    with pytest.raises(DataError, match="no history of pictures has a mode_ratio"):
        label(histories)

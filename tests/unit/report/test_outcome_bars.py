"""Bars of outcomes, read back from the drawn figure."""

from typing import Any

from matplotlib.colors import to_hex

from ganray.report.outcome_bars import count_endings, count_outcomes, outcome_bars
from ganray.report.style import LIGHT
from tests.unit.report.summaries import BLANK


def rows(*outcomes: str | None, **values: Any) -> list[dict[str, Any]]:
    return [{**BLANK, "outcome": outcome, **values} for outcome in outcomes]


TRIALS = [
    *rows("completed", "completed", ending="healthy"),
    *rows("completed", ending="bad"),
    *rows("stalled", "stalled", "crashed", None, ending=None),
    *rows("completed", phase="confirm"),
]


def test_counts_are_of_the_search_in_the_order_of_outcomes() -> None:
    assert list(count_outcomes(TRIALS).items()) == [
        ("completed", 3),
        ("stalled", 2),
        ("crashed", 1),
        ("running", 1),
    ]
    assert count_endings(TRIALS) == {"healthy": 2, "bad": 1}
    assert count_outcomes([]) == {}


def test_a_bar_is_as_long_as_its_count_and_completed_ones_are_split() -> None:
    (axes,) = outcome_bars(TRIALS, "ring").axes
    bars = [(bar.get_x(), bar.get_width(), to_hex(bar.get_facecolor())) for bar in axes.patches]
    blue = LIGHT.outcomes["completed"]
    assert bars == [
        (0, 2, blue),
        (2, 1, blue),
        (0, 2, LIGHT.outcomes["stalled"]),
        (0, 1, LIGHT.outcomes["crashed"]),
        (0, 1, LIGHT.outcomes["running"]),
    ]
    assert [bar.get_hatch() for bar in axes.patches[:2]] == [None, "xxxx"]
    assert [text.get_text().strip() for text in axes.texts] == [
        "3: 2 healthy, 1 bad",
        "2",
        "1",
        "1",
    ]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(count_outcomes(TRIALS))


def test_trials_of_an_old_record_have_no_ending() -> None:
    (axes,) = outcome_bars(rows("completed", "completed", ending=None)).axes
    assert [bar.get_width() for bar in axes.patches] == [2]
    assert axes.texts[0].get_text().strip() == "2"


def test_no_trial_is_no_bar() -> None:
    (axes,) = outcome_bars([]).axes
    assert len(axes.patches) == 0

"""Which trials' curves are shown, and what is drawn of them."""

import math
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from ganray.report import curves
from ganray.report.curves import Course, Panel, choose_curves, curves_figure, find_panels, ranked
from ganray.report.style import DARK, LIGHT, MARKS, Look
from ganray.trial import LOG_2
from tests.unit.report.summaries import BLANK


def row(trial: int, **values: Any) -> dict[str, Any]:
    return {**BLANK, "trial": trial, **values}


# --- which ----------------------------------------------------------------------------------------


def test_all_trials_are_shown_if_they_are_few() -> None:
    rows = [row(n) for n in reversed(range(curves.MOST_CURVES))]
    assert choose_curves(rows, "min") == list(range(curves.MOST_CURVES))


def test_of_many_the_best_are_shown_and_others_at_even_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(curves, "MOST_CURVES", 5)
    monkeypatch.setattr(curves, "BEST_CURVES", 2)
    rows = [row(n, objective=abs(7.2 - n)) for n in range(14)]
    assert choose_curves(rows, "min") == [0, 4, 7, 8, 10]  # of 7 and 8, and 12 others: every fourth
    assert choose_curves(rows, "max") == [0, 1, 2, 6, 10]


def test_confirming_trials_have_no_curves_and_no_ranks() -> None:
    rows = [row(0), row(1, phase="confirm"), row(2, outcome="stalled"), row(3, objective=None)]
    assert choose_curves(rows, "min") == [0, 2, 3]
    assert ranked(rows, "min") == [0]


def test_ranks_go_by_the_direction_of_the_objective() -> None:
    rows = [row(n, objective=value) for n, value in enumerate((0.2, 0.1, 0.3))]
    assert ranked(rows, "min") == [1, 0, 2]
    assert ranked(rows, "max") == [2, 0, 1]


@pytest.mark.parametrize(
    ("values", "objective", "signals"),
    [
        ({"js": 0.1, "modes": 2.0, "distance": 0.1}, "distance", ["js", "modes", "distance"]),
        ({"joint_js": 0.1, "probe_js": 0.1, "distance": 0.1}, "distance", ["joint_js", "distance"]),
        ({"probe_js": 0.1, "distance": 0.1, "fid": 9.0}, "fid", ["probe_js", "distance", "fid"]),
        ({"modes": 2.0}, "modes", ["modes"]),
        ({}, "distance", []),
    ],
)
def test_panels_are_of_what_was_measured(
    values: dict[str, float], objective: str, signals: list[str]
) -> None:
    rows = [row(0), row(1, **values)]
    assert [panel.signal for panel in find_panels(rows, objective)] == signals


def test_panels_have_the_level_of_saturation_and_of_real_data() -> None:
    rows = [row(0, js=0.1, modes=2.0, mode_ratio=0.25), row(1, modes=math.inf, mode_ratio=math.inf)]
    js, modes = find_panels(rows, "distance")
    assert js.reference == (LOG_2, "log 2")
    assert modes.reference == (8.0, "8, real data")


# --- how ------------------------------------------------------------------------------------------

JS = Panel("js", "JS", (LOG_2, "log 2"))
ACROSS = [0, 1]  # where a level is drawn from and to
DISTANCE = Panel("distance", "distance", is_distance=True)


def course(
    number: int, outcome: str = "completed", rank: int | None = None, **values: Any
) -> Course:
    signals: dict[str, Any] = {"js": [0.5, 0.4, 0.3], "distance": [1.0, 0.5, 0.1], **values}
    reports = [
        {"update": 100 * (i + 1), **{name: found[i] for name, found in signals.items()}}
        for i in range(3)
    ]
    return Course(number, outcome, reports, rank)


def drawn(axes: Axes) -> list[dict[str, Any]]:
    """The lines, with their places in data, colours and marks."""
    return [
        {
            "points": list(zip(*line.get_data(), strict=True)),
            "colour": to_hex(line.get_color()),
            "width": line.get_linewidth(),
            "mark": line.get_marker(),
        }
        for line in axes.lines
        if list(line.get_xdata()) != ACROSS
    ]


def test_a_stopped_trial_ends_in_the_mark_of_its_outcome() -> None:
    figure = curves_figure([course(0, "collapsed")], [JS])
    line, mark = drawn(figure.axes[0])
    assert line["points"] == [(100, 0.5), (200, 0.4), (300, 0.3)]
    assert line["colour"] == mark["colour"] == LIGHT.outcomes["collapsed"]
    assert mark["points"] == [(300, 0.3)]
    assert mark["mark"] == MARKS["collapsed"]


def test_completed_and_running_trials_have_no_mark() -> None:
    figure = curves_figure([course(0), course(1, "running")], [JS])
    assert [line["mark"] for line in drawn(figure.axes[0])] == ["None", "None"]


def test_the_best_lies_on_top_and_is_the_widest() -> None:
    courses = [course(0, rank=0), course(1, rank=1), course(2, "stalled"), course(3, rank=7)]
    lines = [line for line in drawn(curves_figure(courses, [JS]).axes[0]) if line["mark"] == "None"]
    assert [line["colour"] for line in lines] == [
        LIGHT.outcomes["stalled"],
        LIGHT.outcomes["completed"],
        LIGHT.ink,
        LIGHT.ink,
    ]
    assert lines[-1]["width"] == max(line["width"] for line in lines)


def test_many_trials_are_thin_and_pale() -> None:
    few, many = (
        curves_figure([course(n) for n in range(count)], [JS]).axes[0].lines[0] for count in (3, 60)
    )
    assert many.get_linewidth() < few.get_linewidth()
    assert many.get_alpha() < few.get_alpha()


def test_what_is_not_finite_leaves_a_gap_and_no_mark_beside_the_line() -> None:
    figure = curves_figure([course(0, "diverged", js=[0.5, 0.4, math.nan])], [JS])
    line, mark = drawn(figure.axes[0])
    assert line["points"] == [(100, 0.5), (200, 0.4)]
    assert mark["points"] == [(200, 0.4)]
    nothing = curves_figure([course(0, js=[None] * 3)], [JS])
    assert drawn(nothing.axes[0]) == []


def test_levels_are_drawn_and_named() -> None:
    axes = curves_figure([course(0)], [JS]).axes[0]
    assert [list(line.get_ydata()) for line in axes.lines if list(line.get_xdata()) == ACROSS] == [
        [LOG_2, LOG_2]
    ]
    assert "log 2" in [text.get_text() for text in axes.texts]
    assert axes.get_ylim()[1] > LOG_2


def test_a_trial_that_exploded_does_not_squeeze_the_others() -> None:
    courses = [course(0), course(1, "diverged", distance=[1.0, 1e6, 1e30])]
    axes = curves_figure(courses, [DISTANCE]).axes[0]
    assert axes.get_yscale() == "symlog"  # distances may be a little below 0
    assert axes.get_ylim()[1] == 3.0
    assert axes.get_ylim()[0] < 0.1


def test_legend_tells_the_best_and_counts_the_outcomes() -> None:
    courses = [course(5, rank=0), course(6, rank=1), course(7, "stalled"), course(8, "running")]
    (legend,) = curves_figure(courses, [JS]).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "trial 5, best",
        "trial 6, second",
        "completed (2)",
        "stalled (1)",
        "running (1)",
    ]


@pytest.mark.parametrize(("widest", "columns"), [(12.5, 3), (9.0, 2), (7.2, 1), (4.0, 1)])
def test_panels_stand_side_by_side_where_there_is_room(widest: float, columns: int) -> None:
    look = Look(DARK, widest, titled=False)
    figure = curves_figure([course(0)], [JS, DISTANCE, Panel("modes", "modes")], look=look)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 3
    assert shown[0].get_gridspec().ncols == columns
    assert figure.get_figwidth() == widest
    assert to_hex(figure.get_facecolor()) == DARK.page

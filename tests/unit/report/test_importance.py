"""What decides failing and quality, from a summary; and when that cannot be told."""

import csv
import io
import random
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ganray.report.importance import Finding, _best, find_importances, importance_figure, to_csv
from ganray.report.style import DARK, Look
from ganray.spec.models import SweepSpec
from ganray.tuning.importance import Importance
from tests.conftest import small_spec
from tests.unit.report.summaries import summary

SPACE = {
    "loss": ["hinge", "lsgan"],
    "d_steps": [1, 2, 5],
    "d_lr": {"low": 1e-4, "high": 1e-2, "log": True},
}


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    return small_spec(tmp_path, search={"space": SPACE})


def planted(count: int) -> list[dict[str, Any]]:
    """Trials that fail by their learning rate; those that do not are as good as their loss."""
    rng = random.Random(0)
    found = []
    for _ in range(count):
        loss, d_lr = rng.choice(["hinge", "lsgan"]), 10 ** rng.uniform(-4, -2)
        objective = 0.1 * rng.random() + (0.2 if loss == "lsgan" else 0.0)
        outcome = "stalled" if d_lr > 2e-3 else "completed"
        trial = {"loss": loss, "d_lr": d_lr, "d_steps": rng.choice([1, 2, 5])}
        found.append({**trial, "outcome": outcome, "objective": objective})
    return found


def test_failing_and_quality_are_different_questions(spec: SweepSpec) -> None:
    trials = planted(90)
    failing, quality = find_importances(summary(trials), spec, resamples=10)
    failed = sum(trial["outcome"] == "stalled" for trial in trials)
    assert (failing.question, failing.trials, failing.hits) == ("failing", 90, failed)
    assert (quality.question, quality.trials) == ("quality", 90 - failed)
    assert quality.hits == round((90 - failed) / 3)
    assert failing.importances[0].parameter == "d_lr"
    assert failing.importances[0].low > 0.5
    assert quality.importances[0].parameter == "loss"
    assert quality.importances[0].low > 0.1
    assert failing.unknown == quality.unknown == ""


@pytest.mark.parametrize(("direction", "good"), [("min", [0, 2]), ("max", [1, 4])])
def test_the_best_third_is_by_the_direction_of_the_objective(
    direction: str, good: list[int]
) -> None:
    trials = [{"objective": value} for value in (0.1, 0.9, 0.2, 0.5, 0.8, 0.6)]
    assert _best(trials, direction) == [index in good for index in range(6)]


@pytest.mark.parametrize(
    ("failed", "trials", "told"),
    [
        (
            9,
            19,
            "it takes 20 trials that completed or were stopped early; this sweep has 19",
        ),
        (4, 30, "4 failed and 26 did not: it takes 5 of each"),
        (26, 30, "26 failed and 4 did not: it takes 5 of each"),
        (5, 20, ""),
        (15, 20, ""),
    ],
)
def test_what_cannot_be_told_is_said_and_has_no_numbers(
    failed: int, trials: int, told: str, spec: SweepSpec
) -> None:
    rows = [{**t, "outcome": "completed"} for t in planted(trials)]
    for row in rows[:failed]:
        row["outcome"] = "collapsed"
    failing = find_importances(summary(rows), spec, resamples=2)[0]
    assert failing.unknown == told
    assert (len(failing.importances) == 0) is bool(told)


def test_a_sweep_without_trials_tells_nothing(spec: SweepSpec) -> None:
    found = find_importances(summary(planted(1)[:0]), spec)
    assert [finding.unknown for finding in found] == [
        "it takes 20 trials that completed or were stopped early; this sweep has 0",
        "it takes 20 trials that did not fail; this sweep has 0",
    ]


ROWS = (Importance("d_lr", 0.5, 0.25, 0.75), Importance("loss", 0.125, 0.0, 0.25))
FOUND = [
    Finding("failing", 30, 12, ROWS),
    Finding("quality", 18, 6, (), "it takes 20 trials that did not fail; this sweep has 18"),
]


def test_the_table_has_a_line_a_parameter_and_none_where_it_is_not_told() -> None:
    read = list(csv.DictReader(io.StringIO(to_csv(FOUND))))
    assert [row["parameter"] for row in read] == ["d_lr", "loss"]
    assert read[0] == {
        "question": "failing",
        "parameter": "d_lr",
        "importance": "0.5",
        "low": "0.25",
        "high": "0.75",
        "trials": "30",
        "hits": "12",
    }


def texts(figure: Figure) -> list[str]:
    FigureCanvasAgg(figure).draw()
    shown = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return [text.get_text() for text in shown]


def test_the_figure_shows_each_importance_with_its_interval() -> None:
    figure = importance_figure(FOUND, "ring")
    failing, quality = figure.axes
    assert [bar.get_width() for bar in failing.patches] == [0.5, 0.125]
    assert [list(line.get_xdata()) for line in failing.lines] == [[0.25, 0.75], [0.0, 0.25]]
    assert [label.get_text() for label in failing.get_yticklabels()] == ["d_lr", "loss"]
    assert failing.patches[0].get_facecolor() != failing.patches[1].get_facecolor()
    assert len(quality.patches) == len(quality.lines) == 0
    shown = texts(figure)
    assert "ring: d_lr matters most for which trials fail" in shown
    assert "Cannot be told:\nit takes 20 trials that did not\nfail; this sweep has 18" in shown


def test_bars_of_both_questions_stand_in_one_order() -> None:
    other = (Importance("loss", 0.3, 0.2, 0.4), Importance("d_lr", 0.1, 0.0, 0.2))
    figure = importance_figure([FOUND[0], Finding("quality", 30, 10, other)])
    widths = [sorted((b.get_y(), b.get_width()) for b in axes.patches) for axes in figure.axes]
    assert [[width for _, width in panel] for panel in widths] == [[0.5, 0.125], [0.1, 0.3]]


@pytest.mark.parametrize(
    ("finding", "title"),
    [
        (Finding("failing", 9, 3, (), "9 trials are too few"), "What decides failing cannot be"),
        (Finding("failing", 30, 9, ROWS[1:]), "No parameter alone decides which trials fail"),
    ],
)
def test_the_title_claims_no_more_than_is_known(finding: Finding, title: str) -> None:
    assert any(text.startswith(title) for text in texts(importance_figure([finding, FOUND[1]])))


def test_figure_of_a_phone_has_its_panels_below_one_another_and_no_title() -> None:
    figure = importance_figure(FOUND, "ring", Look(DARK, 4.0, titled=False))
    first, second = (axes.get_position() for axes in figure.axes)
    assert first.x0 == second.x0
    assert first.y0 > second.y1
    assert not [text for text in texts(figure) if "matters most" in text]
    assert to_hex(figure.get_facecolor()) == DARK.page
    assert to_hex(figure.axes[0].patches[0].get_facecolor()) == DARK.bar


@pytest.mark.parametrize("look", [Look(), Look(widest=7.2, titled=False), Look(widest=4.0)])
@pytest.mark.parametrize("count", [1, 3, 14])
def test_no_text_runs_into_another_or_off_the_figure(count: int, look: Look) -> None:
    rows = tuple(Importance(f"{'warmup_d_steps'}_{i:02}", 0.9, 0.1, 1.0) for i in range(count))
    name = "a-name-as-long-as-people-give-them-" * 2
    figure = importance_figure([Finding("failing", 1234, 567, rows), FOUND[1]], name, look)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = list(figure.texts)
    for axes in figure.axes:
        labels = [*axes.get_xticklabels(), *axes.get_yticklabels()]
        left = axes.get_title(loc="left")
        titles = [t for t in axes.get_children() if getattr(t, "get_text", str)() == left]
        shown += [*axes.texts, *titles, *(t for t in labels if t.get_visible())]
    boxes = [(t.get_text(), t.get_window_extent()) for t in shown if t.get_text()]
    boxes = [(t, box) for t, box in boxes if box.width > 1]
    width, height = canvas.get_width_height()
    overlapping = [(a, b) for (a, x), (b, y) in combinations(boxes, 2) if x.overlaps(y)]
    assert overlapping == []
    outside = [t for t, b in boxes if b.x0 < 0 or b.y0 < 0 or b.x1 > width or b.y1 > height]
    assert outside == []

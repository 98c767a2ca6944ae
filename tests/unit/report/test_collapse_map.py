"""What the collapse map shows, read back from the drawn figure: texts and bars by their place."""

from itertools import combinations
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ganray.report.collapse_map import Failures, collapse_map, failures
from ganray.report.fates import Fate
from ganray.report.style import DARK, LIGHT, Look
from tests.unit.report.summaries import summary

GOOD: dict[str, Any] = {"mode_ratio": 1.0, "distance": 0.0}
BY_COLOUR = {colour: fate for fate, colour in LIGHT.fates.items()}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def place(figure: Figure, text: str) -> tuple[float, float]:
    (found,) = [t for t in figure.axes[0].texts if t.get_text() == text]
    box = found.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    corners = figure.axes[0].transData.inverted().transform([[box.x0, box.y0], [box.x1, box.y1]])
    return tuple(corners.mean(axis=0))


def cell(figure: Figure, loss: str, column: str) -> dict[Fate, float]:
    """The shares that the bar in a row and a column shows."""
    x, y = place(figure, column)[0], place(figure, loss)[1]
    bars = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    mine = [b for b in bars if b.get_y() < y < b.get_y() + b.get_height() and b.get_width() > 0]
    mine = [b for b in mine if x - 0.35 < b.get_x() + 0.5 * b.get_width() < x + 0.35]
    whole = sum(bar.get_width() for bar in mine)
    shares = {BY_COLOUR[to_hex(b.get_facecolor())]: b.get_width() / whole for b in mine}
    return {fate: pytest.approx(share) for fate, share in shares.items()}


def assert_nothing_overlaps(figure: Figure) -> None:
    renderer = FigureCanvasAgg(figure).get_renderer()
    shown = [text for text in figure.axes[0].texts if text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown]
    pairs = combinations(boxes, 2)
    assert [(a, b) for (a, one), (b, other) in pairs if one.overlaps(other)] == []
    width, height = figure.canvas.get_width_height()
    outside = [t for t, b in boxes if b.x0 < 0 or b.y0 < 0 or b.x1 > width or b.y1 > height]
    assert outside == []


COLLAPSED = {"ending": "bad", "mode_ratio": 0.1, "high_quality": 0.9}


def trials(count: int, **values: Any) -> list[dict[str, Any]]:
    return [{**GOOD, **values}] * count


def test_each_cell_shows_the_shares_of_its_trials() -> None:
    found = [
        *trials(3, loss="hinge", d_steps=5, g_steps=1),
        *trials(1, loss="hinge", d_steps=5, g_steps=1, outcome="diverged"),
        *trials(1, loss="hinge", d_steps=1, g_steps=2, outcome="outranked"),
        *trials(2, loss="lsgan", d_steps=1, g_steps=2, **COLLAPSED),
        *trials(2, loss="lsgan", d_steps=1, g_steps=2, outcome="stalled"),
    ]
    figure = collapse_map(summary(found), "ring")
    assert cell(figure, "hinge", "5:1") == {Fate.TRAINED: 0.75, Fate.DIVERGED: 0.25}
    assert cell(figure, "hinge", "1:2") == {Fate.UNCLEAR: 1.0}
    assert cell(figure, "lsgan", "1:2") == {Fate.COLLAPSED: 0.5, Fate.STALLED: 0.5}
    assert cell(figure, "lsgan", "5:1") == {}
    assert cell(figure, "all losses", "5:1") == {Fate.TRAINED: 0.75, Fate.DIVERGED: 0.25}
    assert cell(figure, "lsgan", "all") == {Fate.COLLAPSED: 0.5, Fate.STALLED: 0.5}
    shown = texts(figure)
    assert "ring: 5 of 9 trials failed" in shown
    assert any(text.startswith("2 stalled, 2 collapsed, 1 diverged") for text in shown)
    counts = sorted(text for text in shown if text.isdigit())
    assert counts == ["1", "4", "4", "4", "4", "5", "5", "9"]


def test_a_bar_of_few_trials_is_thin() -> None:
    figure = collapse_map(summary([*trials(1, loss="hinge"), *trials(5, loss="lsgan")]))
    thickness = {round(patch.get_height(), 3) for patch in figure.axes[0].patches}
    assert len(thickness) == 3  # one trial, five and more, the legend


def test_rows_go_from_the_loss_that_fails_least_and_columns_from_more_of_g() -> None:
    found = [
        *trials(9, loss="b", d_steps=1, g_steps=1),
        *trials(1, loss="a", d_steps=1, g_steps=5),  # one good trial is no better than nine
        *trials(9, loss="c", d_steps=10, g_steps=1, outcome="collapsed"),
        *trials(1, loss="c", d_steps=2, g_steps=1),
    ]
    figure = collapse_map(summary(found))
    rows = sorted(("a", "b", "c"), key=lambda loss: place(figure, loss)[1])
    assert rows == ["b", "a", "c"]
    ratios = ("10:1", "2:1", "1:5", "1:1")
    assert sorted(ratios, key=lambda r: place(figure, r)[0]) == ["1:5", "1:1", "2:1", "10:1"]


def test_bounds_are_told_apart_and_combined() -> None:
    found = [
        *trials(1, loss="hinge", penalty="none"),
        *trials(1, loss="hinge", penalty="r1"),
        *trials(1, loss="hinge", penalty="none", weight_clip=0.1),
        *trials(1, loss="hinge", penalty="r1", d_grad_clip=1.0, outcome="stalled"),
        *trials(1, loss="hinge", penalty="none", spectral_norm=True),
    ]
    figure = collapse_map(summary(found))
    assert cell(figure, "hinge", "gradient\nclip +\npenalty") == {Fate.STALLED: 1.0}
    for bound in ("nothing", "penalty", "weight\nclip", "spectral\nnorm"):
        assert cell(figure, "hinge", bound) == {Fate.TRAINED: 1.0}


CROSSING = [
    {"d_steps": d, "g_steps": 1, "weight_clip": clip} for d in (1, 5) for clip in (None, 0.1)
]


@pytest.mark.parametrize(("each", "crossed"), [(4, True), (3, False)])
def test_ratio_and_bound_are_crossed_where_there_are_trials_enough(
    each: int, crossed: bool
) -> None:
    found = [trial for values in CROSSING for trial in trials(each, loss="wgan", **values)]
    shown = texts(collapse_map(summary(found)))
    assert ("D:G steps, D bounded by weight clip" in shown) is crossed
    assert ("D is bounded by" in shown) is not crossed
    assert shown.count("5:1") == (2 if crossed else 1)


def test_too_many_ratios_are_told_apart_by_who_has_more() -> None:
    steps = [(d, g) for d in range(1, 5) for g in range(1, 4)]
    found = [trial for d, g in steps for trial in trials(1, loss="wgan", d_steps=d, g_steps=g)]
    shown = texts(collapse_map(summary(found)))
    assert {"more of G", "as many", "more of D"} <= set(shown)
    assert "1:1" not in shown


def test_what_was_not_searched_is_no_axis() -> None:
    plain = texts(collapse_map(summary(trials(3, d_lr=0.1))))
    assert [text for text in plain if text in {"all trials", "all", "3"}] == [
        "all trials",
        "all",
        "3",
    ]
    assert "D:G steps" not in plain
    assert "D is bounded by" not in plain
    steps = [*trials(1, d_steps=1), *trials(1, d_steps=5)]
    assert {"steps in a row", "1 D", "5 D"} <= set(texts(collapse_map(summary(steps))))


def test_models_without_a_loss_have_a_row_of_their_own() -> None:
    figure = collapse_map(summary([*trials(1, loss="wgan", model="gan"), *trials(1, model="vae")]))
    assert {"wgan", "vae"} <= set(texts(figure))


def test_a_sweep_without_an_ended_trial_says_so() -> None:
    figure = collapse_map(summary(trials(1, outcome=None)), "ring")
    assert "ring: no trial has come to an end" in texts(figure)
    assert len(figure.axes[0].patches) == 0


LONG = ["relativistic_average", "relativistic_paired", "fgan_reverse_kl"]


@pytest.mark.parametrize("look", [Look(), Look(widest=7.2, titled=False), Look(widest=4.0)])
@pytest.mark.parametrize("each", [1, 9])
@pytest.mark.parametrize("ratios", [1, 2, 9])
def test_no_text_runs_into_another_or_off_the_figure(each: int, ratios: int, look: Look) -> None:
    bounds: list[dict[str, Any]] = [{"penalty": "none"}, {"weight_clip": 0.1, "penalty": "r1"}]
    bounds.append({"weight_clip": 0.1, "d_grad_clip": 1.0, "spectral_norm": True, "penalty": "r1"})
    found = [
        trial
        for loss in LONG
        for d in range(1, ratios + 1)
        for bound in bounds
        for outcome in ("completed", "stalled", "collapsed", "diverged", "outranked")
        for trial in trials(each, loss=loss, d_steps=d, g_steps=1, outcome=outcome, **bound)
    ]
    name = "a-name-as-long-as-people-give-them-" * 2
    assert_nothing_overlaps(collapse_map(summary(found), name, look))


def test_what_neither_trained_nor_failed_is_hatched() -> None:
    figure = collapse_map(summary([*trials(1), *trials(1, outcome="outranked")]))
    hatches = {to_hex(p.get_facecolor()): p.get_hatch() for p in figure.axes[0].patches}
    assert hatches == {LIGHT.fates[Fate.TRAINED]: None, LIGHT.fates[Fate.UNCLEAR]: "////"}


def test_map_of_a_page_has_no_title_and_the_colours_of_the_page() -> None:
    found = summary([*trials(1), *trials(1, outcome="stalled")])
    figure = collapse_map(found, "ring", Look(DARK, 7.2, titled=False))
    assert not [text for text in texts(figure) if "failed" in text]
    assert {to_hex(text.get_color()) for text in figure.axes[0].texts} == {DARK.ink, DARK.quiet}
    faces = {to_hex(patch.get_facecolor()) for patch in figure.axes[0].patches}
    assert faces == {DARK.fates[Fate.TRAINED], DARK.fates[Fate.STALLED]}
    assert to_hex(figure.get_facecolor()) == DARK.page


def test_what_the_map_says_in_words() -> None:
    found = [
        *trials(4, loss="hinge"),
        *trials(1, loss="hinge", outcome="diverged"),
        *trials(3, loss="lsgan", outcome="stalled"),
        *trials(2, loss="lsgan"),
    ]
    assert failures(summary(found)) == Failures(
        "4 of 10 trials failed",
        "3 stalled, 1 diverged",
        "fails least: hinge (1 of 5), most: lsgan (3 of 5)",
        "",
    )
    assert failures(summary(trials(1, outcome=None))) == Failures(
        "no trial has come to an end", "", "", ""
    )


def test_losses_with_too_few_trials_to_be_ranked_are_named() -> None:
    few = [*trials(4, loss="wgan"), *trials(1, loss="minimax")]
    found = [*trials(5, loss="hinge"), *trials(5, loss="lsgan", outcome="stalled"), *few]
    assert failures(summary(found)).extremes == "fails least: hinge (0 of 5), most: lsgan (5 of 5)"
    assert failures(summary(found)).left_out == (
        "left out of that, with fewer than 5 trials each: minimax and wgan"
    )
    assert failures(summary(few)).extremes == ""
    assert failures(summary(few)).left_out == (
        "which loss fails least, and which most, cannot be told: minimax and wgan had fewer than "
        "5 trials each"
    )

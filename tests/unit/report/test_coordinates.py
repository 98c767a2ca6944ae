"""Parallel coordinates, read back from the drawn figure."""

import math
from itertools import combinations
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ganray.report.coordinates import Axis, coordinates, find_lines, lie_beyond
from ganray.report.style import DARK, LIGHT, Look
from ganray.spec.models import SweepSpec
from ganray.trial import Outcome
from tests.unit.report.materials import material, spec_of, trial, varied

SETTINGS = {"loss": "hinge", "d_steps": 1, "d_lr": 1e-3, "d_grad_clip": 1.0}
FAILED = LIGHT.outcomes[Outcome.COLLAPSED]


def figure_of(trials: list[Any], spec: SweepSpec | None = None, look: Look | None = None) -> Figure:
    made = material(trials, spec)
    return coordinates(made.frame, made.spec, "made-up", look or Look())


def paths(figure: Figure) -> list[list[tuple[float, float]]]:
    (lines,) = figure.axes[0].collections
    return [[tuple(point) for point in path.vertices] for path in lines.get_paths()]


def test_a_line_goes_through_the_value_of_each_parameter() -> None:
    spec = spec_of(
        {"g_steps": [1, 2], "d_lr": {"low": 1e-4, "high": 1e-2, "log": True}},
    )
    trials = [trial(n, g_steps=g, d_lr=lr, distance=d) for n, (g, lr, d) in enumerate(
        [(1, 1e-4, 0.1), (2, 1e-2, 0.3), (2, 1e-3, 0.2)]
    )]  # fmt: skip
    figure = figure_of(trials, spec)
    worst, middle, best = paths(figure)  # the best lies on top
    width = figure.get_figwidth() - 0.2
    assert [x / width for x, _ in best[1:]] == [pytest.approx(0.0), pytest.approx(0.0)]
    assert [x / width for x, _ in middle[1:]] == [pytest.approx(0.5), pytest.approx(0.5)]
    assert [x / width for x, _ in worst[1:]] == [pytest.approx(1.0), pytest.approx(1.0)]
    assert 0.0 < best[0][0] / width < 0.5 < middle[0][0] / width != worst[0][0] / width


def test_lines_of_one_choice_lie_apart_but_within_it() -> None:
    trials = [trial(n, **SETTINGS) for n in range(50)]
    found = [path[0][0] for path in paths(figure_of(trials))]
    width = Look().widest
    assert len({round(x, 6) for x in found}) == 50
    assert max(found) - min(found) < width / 3  # of three losses


@pytest.mark.parametrize("count", [2, 3, 8])
def test_lines_of_a_choice_end_near_its_tick_and_the_best_one_at_it(count: int) -> None:
    spec = spec_of({"batch_size": list(range(1, count + 1))})
    trials = [trial(n, batch_size=1, distance=0.1 * n) for n in range(50)]
    figure = figure_of(trials, spec)
    width = figure.get_figwidth() - 0.2
    found = [path[0][0] / width for path in paths(figure)]
    slot = 1.0 / count
    assert found[-1] == pytest.approx(slot / 2)
    assert all(abs(x - slot / 2) < min(0.03, 0.2 * slot) for x in found)


def test_a_parameter_that_did_not_apply_has_a_place_of_its_own() -> None:
    trials = [trial(0, **SETTINGS), trial(1, **{**SETTINGS, "loss": "wgan"}, weight_clip=0.01)]
    figure = figure_of(trials)
    places = sorted(path[2][0] for path in paths(figure))  # weight_clip, in the file's order
    assert places[0] < 0.0
    assert places[1] == pytest.approx(0.0)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown.count("–") == 1


def test_failed_trials_have_their_colour_and_lie_beneath() -> None:
    trials = [
        trial(0, distance=0.1, **SETTINGS),
        trial(1, "stalled", distance=9.0, objective=9.0, **SETTINGS),
        trial(2, distance=0.2, **SETTINGS),
        trial(3, "diverged", **SETTINGS),
        trial(4, "crashed", **SETTINGS),
        trial(5, None, **SETTINGS),
    ]
    figure = figure_of(trials)
    (lines,) = figure.axes[0].collections
    colours = [to_hex(colour) for colour in lines.get_colors()]
    assert colours[:2] == [FAILED, FAILED]
    assert FAILED not in colours[2:]
    assert len(colours) == 4
    ends = [path[-1][0] for path in paths(figure)]
    assert ends[0] == pytest.approx(max(x for x in ends if not math.isnan(x)))  # at the end
    assert math.isnan(ends[1])  # it ended without an objective
    widths = list(lines.get_linewidths())
    assert max(widths) == widths[-1] > widths[0]


def test_lines_go_from_the_worst_to_the_best_by_the_direction() -> None:
    spec = spec_of(objective={"metric": "modes"})
    trials = [trial(n, objective=float(n), **SETTINGS) for n in range(3)]
    made = material(trials, spec)
    found = find_lines(made.frame, made.spec)
    assert [(line.values["modes"], line.rank) for line in found] == [(0.0, 2), (1.0, 1), (2.0, 0)]


@pytest.mark.parametrize(
    ("distances", "first", "last"),
    [
        ([0.001, 0.01, 0.5], "0.001", "0.5"),  # logarithmic
        ([-0.01, 0.02, 0.5], "−0.01", "0.5"),  # not below 0
        ([0.1, 0.1], "0.1", "0.1"),
    ],
)
def test_the_objective_has_its_ends_told(distances: list[float], first: str, last: str) -> None:
    figure = figure_of([trial(n, distance=d, **SETTINGS) for n, d in enumerate(distances)])
    texts = [text.get_text() for text in figure.axes[0].texts]
    after = texts[texts.index("distance") + 1 :]
    assert after[0] == first
    assert last in after


def ended_at(sound: list[float], failed: list[float]) -> list[Any]:
    """Trials with these distances."""
    good = [trial(n, distance=value, **SETTINGS) for n, value in enumerate(sound)]
    bad = [trial(100 + n, "stalled", objective=value, **SETTINGS) for n, value in enumerate(failed)]
    return [*good, *bad]


def fall_beyond(trials: list[Any]) -> bool:
    made = material(trials)
    return lie_beyond(find_lines(made.frame, made.spec), "distance")


@pytest.mark.parametrize("sound", [[], [1.2], [1.2, 1.3], [1.2, 1.2, 1.2]])
def test_few_sound_values_leave_the_last_axis_to_all_trials(sound: list[float]) -> None:
    trials = ended_at(sound, [1.46, 1.93, 1.7])
    first, second, third = [path[-1][0] for path in paths(figure_of(trials))[:3]]
    assert first < third < second
    assert not fall_beyond(trials)


def test_enough_sound_values_make_the_last_axis_and_failed_ones_lie_beyond() -> None:
    trials = ended_at([0.1, 0.2, 0.3], [1.46, 1.93])
    assert len({path[-1][0] for path in paths(figure_of(trials))[:3]}) == 1  # with the worst
    assert fall_beyond(trials)
    assert not fall_beyond(ended_at([0.1, 0.2, 0.3], [0.15, math.nan]))


def test_values_outside_of_an_axis_lie_at_its_end() -> None:
    axis = Axis("distance", [], 0.01, 0.1, log=True)
    assert [axis.place(value) for value in (0.001, -1.0, 0.1, 5.0, math.inf)] == [0, 0, 1, 1, 1]


LONG = ["relativistic_average", "relativistic_paired", "fgan_reverse_kl", "non_saturating"]


@pytest.mark.parametrize("widest", [12.5, 7.2, 4.0])
def test_labels_of_values_do_not_run_into_each_other(widest: float) -> None:
    spec = spec_of({"loss": LONG, "d_lr": {"low": 1e-5, "high": 1e-2, "log": True}})
    trials = [trial(n, loss=loss, d_lr=1e-4) for n, loss in enumerate(LONG)]
    figure = figure_of(trials, spec, Look(DARK, widest, titled=False))
    turned = [t.get_rotation() for t in figure.axes[0].texts if t.get_text() in LONG]
    assert turned == [90.0 if widest < 5 else 0.0] * 4
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(box.x0 >= -1 and box.y0 >= 0 and box.x1 <= width + 1 for box in boxes)
    assert all(box.y1 <= height for box in boxes)
    overlapping = [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert overlapping == []


@pytest.mark.parametrize("widest", [7.2, 4.0])
def test_legend_is_on_the_figure(widest: float) -> None:
    trials = [trial(0, **SETTINGS), trial(1, "stalled", **SETTINGS)]
    figure = figure_of(trials, look=Look(widest=widest, titled=False))
    figure.draw_without_rendering()
    keys = [text for text in figure.axes[0].texts if text.get_text() in ("best", "worst", "failed")]
    assert [text.get_text() for text in keys] == ["best", "worst", "failed"]
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in keys)


def test_a_sweep_without_an_ended_trial_has_its_axes() -> None:
    figure = figure_of([])
    assert paths(figure) == []
    assert {"loss", "d_lr", "distance"} <= {text.get_text() for text in figure.axes[0].texts}


def test_a_thousand_trials_are_drawn_at_once() -> None:
    figure = figure_of(varied(1_000))
    assert 800 < len(paths(figure)) < 1_000  # without those that crashed
    assert len(figure.axes[0].lines) < 60

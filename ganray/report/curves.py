"""How trials went: signals over updates, a line a trial, coloured by what became of it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ganray.report.style import AS_FILE, MARKS, RUNNING, Look, Theme, make_figure, plain_axes
from ganray.trial import LOG_2, SIGNAL_LABELS, Outcome

MOST_CURVES = 100  # more lines show nothing, and each is some calls to the store
BEST_CURVES = 10  # of these, the best, whatever their numbers
NAMED = 3  # trials with a line of their own in the legend

JS_SIGNALS = ("js", "joint_js", "probe_js")  # the first that a sweep has is shown
_PANEL_INCHES, _PANEL_HEIGHT = 4.0, 2.5
_FLAT_BELOW = 0.01  # distances below it are noise: linear there, logarithmic above
_HIGHEST_DISTANCE = 3.0  # three times as far as an untrained generator; what is above is cut off
_LINES: Sequence[Literal["-", "--", ":"]] = ("-", "--", ":")  # of the named trials
_ORDER = [*Outcome, RUNNING]

Reports = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Course:
    """One trial from its first report to its last."""

    number: int
    outcome: str  # or `running`
    reports: Reports  # by update
    rank: int | None = None  # among completed trials, 0 the best


@dataclass(frozen=True, slots=True)
class Panel:
    """One signal over updates."""

    signal: str
    title: str
    reference: tuple[float, str] | None = None  # a level that means something, and what
    is_distance: bool = False


def choose_curves(rows: Sequence[Mapping[str, Any]], direction: str) -> list[int]:
    """The numbers of the searched trials whose curves are shown, in order.

    All of them, if they are at most `MOST_CURVES`; else the best `BEST_CURVES` that completed, and
    others at even steps of their numbers, so that each outcome has about its share.

    Args:
        rows: of a summary.
        direction: `min` or `max`.
    """
    numbers = [row["trial"] for row in rows if row["phase"] != "confirm"]
    if len(numbers) <= MOST_CURVES:
        return sorted(numbers)
    best = ranked(rows, direction)[:BEST_CURVES]
    others = sorted(set(numbers) - set(best))
    count = MOST_CURVES - len(best)
    even = [others[index * len(others) // count] for index in range(count)]
    return sorted([*best, *even])


def ranked(rows: Sequence[Mapping[str, Any]], direction: str) -> list[int]:
    """The numbers of the completed trials of the search, the best first."""
    sign = 1.0 if direction == "min" else -1.0
    done = [
        row
        for row in rows
        if row["phase"] != "confirm"
        and row["outcome"] == Outcome.COMPLETED
        and row["objective"] is not None
    ]
    return [row["trial"] for row in sorted(done, key=lambda row: sign * row["objective"])]


def find_panels(rows: Sequence[Mapping[str, Any]], objective: str) -> list[Panel]:
    """JS, modes and distance, as far as any trial has them, and the objective if it is another.

    Args:
        rows: of a summary.
        objective: the signal that the sweep optimises.
    """

    def is_known(signal: str) -> bool:
        return any(row[signal] is not None for row in rows)

    panels = []
    js = next(filter(is_known, JS_SIGNALS), None)
    if js is not None:
        panels.append(Panel(js, f"{SIGNAL_LABELS[js]}", (LOG_2, "log 2")))
    if is_known("modes"):
        panels.append(Panel("modes", SIGNAL_LABELS["modes"], _real_modes(rows)))
    others = [name for name in dict.fromkeys(("distance", objective)) if is_known(name)]
    shown = {panel.signal for panel in panels}
    return panels + [
        Panel(name, SIGNAL_LABELS[name], None, name == "distance")
        for name in others
        if name not in shown
    ]


def _real_modes(rows: Sequence[Mapping[str, Any]]) -> tuple[float, str] | None:
    """The effective number of modes of real data, by which the ratio of each trial was taken."""
    pairs = [(row["modes"], row["mode_ratio"]) for row in rows]
    found = [modes / ratio for modes, ratio in pairs if modes and ratio and math.isfinite(modes)]
    return (max(found), f"{max(found):.3g}, real data") if found else None


def curves_figure(
    courses: Sequence[Course], panels: Sequence[Panel], name: str = "", look: Look = AS_FILE
) -> Figure:
    """A panel a signal, a thin line a trial; marks where trials were stopped; the best on top.

    Args:
        courses: the trials.
        panels: the signals.
        name: of the sweep, for the title.
        look: where the figure is to stand.
    """
    columns = max(1, min(len(panels), int(look.widest // _PANEL_INCHES)))
    rows = math.ceil(len(panels) / columns)
    height = rows * _PANEL_HEIGHT + 0.9 + (0.4 if look.titled else 0.0)
    figure = make_figure(look, height)
    figure.set_layout_engine("constrained", h_pad=0.08, w_pad=0.08)
    grid = figure.subplots(rows, columns, squeeze=False)
    places = list(product(range(rows), range(columns)))
    for panel, place in zip(panels, places, strict=False):
        _draw(grid[place], courses, panel, look.theme)
    for place in places[len(panels) :]:
        grid[place].set_visible(False)
    if look.titled:
        title = f"{name}: how the trials went" if name else "How the trials went"
        figure.suptitle(title, color=look.theme.ink, fontsize=13, weight="bold")
    _draw_legend(figure, courses, look)
    return figure


def _draw(axes: Axes, courses: Sequence[Course], panel: Panel, theme: Theme) -> None:
    plain_axes(axes, theme)
    axes.grid(color=theme.grid, linewidth=0.6)
    for course in _from_back_to_front(courses):
        _draw_line(axes, course, panel.signal, _style(course, len(courses), theme))
    if panel.is_distance:
        _scale_distance(axes)
    if panel.reference is not None:
        level, words = panel.reference
        axes.axhline(level, color=theme.ink, linewidth=0.9, linestyle=(0, (5, 3)))
        bottom, top = axes.get_ylim()
        axes.set_ylim(min(0.0, bottom), max(top, 1.12 * level))
        above: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 8}
        where = axes.get_yaxis_transform()
        axes.text(0.995, level, words, transform=where, color=theme.ink, **above)
    axes.set_title(panel.title, fontsize=9, weight="bold", loc="left", color=theme.ink)
    axes.set_xlim(left=0.0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda update, _: f"{update:,.0f}"))
    axes.set_xlabel("updates of both networks", fontsize=8, color=theme.quiet)


def _from_back_to_front(courses: Sequence[Course]) -> list[Course]:
    """Those without a rank first, then the ranked ones, the best last."""
    return sorted(courses, key=lambda c: -math.inf if c.rank is None else -c.rank)


def _style(course: Course, count: int, theme: Theme) -> dict[str, Any]:
    """Of the line: the more trials, the thinner; named trials stand out, with a halo."""
    if course.rank is not None and course.rank < NAMED:
        width = 2.0 if course.rank == 0 else 1.3
        halo = [Stroke(linewidth=width + 1.6, foreground=theme.page), Normal()]
        line = _LINES[course.rank]
        return {"color": theme.ink, "linewidth": width, "linestyle": line, "path_effects": halo}
    alpha = min(0.75, max(0.25, 12.0 / max(count, 1)))
    width = 1.0 if count <= 30 else 0.7
    return {"color": theme.outcomes[course.outcome], "linewidth": width, "alpha": alpha}


def _draw_line(axes: Axes, course: Course, signal: str, style: dict[str, Any]) -> None:
    points = [(report["update"], report.get(signal)) for report in course.reports]
    shown = [(x, y) for x, y in points if y is not None and math.isfinite(y)]
    if not shown:
        return
    axes.plot(*zip(*shown, strict=True), **style)
    if course.outcome in MARKS:
        mark: dict[str, Any] = {"markersize": 5, "markeredgewidth": 0.6, "linestyle": "none"}
        axes.plot(*shown[-1], marker=MARKS[course.outcome], color=style["color"], **mark)


def _scale_distance(axes: Axes) -> None:
    axes.set_yscale("symlog", linthresh=_FLAT_BELOW, linscale=0.5)
    lowest, highest = axes.get_ylim()
    axes.set_yticks([-0.01, 0.0, 0.01, 0.1, 1.0], ["−0.01", "0", "0.01", "0.1", "1"])
    axes.set_yticks([], minor=True)
    axes.set_ylim(max(lowest, -_HIGHEST_DISTANCE), min(max(highest, 1.2), _HIGHEST_DISTANCE))


def _draw_legend(figure: Figure, courses: Sequence[Course], look: Look) -> None:
    theme = look.theme
    handles = [
        Line2D([], [], color=theme.ink, linestyle=_LINES[c.rank], label=_rank_words(c))
        for c in sorted(courses, key=lambda c: -1 if c.rank is None else c.rank)
        if c.rank is not None and c.rank < NAMED
    ]
    counts = Counter(course.outcome for course in courses)
    handles += [
        Line2D(
            [],
            [],
            color=theme.outcomes[outcome],
            marker=MARKS.get(outcome, ""),
            markersize=5,
            label=f"{outcome} ({counts[outcome]})",
        )
        for outcome in _ORDER
        if counts[outcome]
    ]
    columns = max(1, int(look.widest // 1.75))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(handles=handles, fontsize=8, labelcolor=theme.ink, **place)


def _rank_words(course: Course) -> str:
    words = ("best", "second", "third")
    return f"trial {course.number}, {words[course.rank or 0]}"

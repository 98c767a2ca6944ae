"""Parallel coordinates: every trial as a line through the values of what was searched.

Axes lie one below the other, so that names and values stand upright on a phone, too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ganray.report import words
from ganray.report.fates import told_trials
from ganray.report.style import AS_FILE, Look, Theme, make_figure
from ganray.spec.models import SweepSpec
from ganray.spec.space import Choices, Range
from ganray.summary import Frame
from ganray.trial import Outcome
from ganray.tuning.space import applicable

_WIDEST = 9.0  # inches
_ROW, _TOP, _BELOW, _SIDE = 0.7, 0.4, 0.15, 0.1  # inches
_LETTER = 0.07  # inches, of the labels of values
_UNUSED = -0.09  # where a line runs by a parameter that its trial did not have
_BAND = 0.3  # share of its slot that the lines of a choice are spread over, about its tick
_WIDEST_BAND = 0.05  # of the axis: where choices are few, their slots are wide
_ENOUGH = 3  # values of trials that did not fail, from which they alone make the last axis
_LOG_FROM = 10.0  # times the best value that the worst is, from which their axis is logarithmic
_FADED = 0.75  # of the colour map: its last colours are those of the page
_BEST = 0.1  # share of the trials that did not fail
_FEW = 50  # trials, up to which lines are of full width

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A trial: its values, and whether it failed."""

    values: Values  # of the searched parameters that applied to it, and its objective
    failed: bool
    rank: int | None = None  # among those that did not fail, 0 the best


@dataclass(frozen=True, slots=True)
class Axis:
    """Where values lie between 0 and 1."""

    name: str
    ticks: Sequence[tuple[float, str]]
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: Sequence[Any] = ()
    conditional: bool = False  # whether some trials are without it

    def place(self, value: Any) -> float:
        """Of a value; one outside of the axis lies at its end."""
        if self.choices:
            return (list(self.choices).index(value) + 0.5) / len(self.choices)
        return min(1.0, max(0.0, _share(value, self.low, self.high, self.log)))


@dataclass(frozen=True, slots=True)
class _Sheet:
    """Where everything lies, in inches, from the top and the left end of the axes."""

    axes: Axes
    theme: Theme
    width: float  # of each axis
    depths: Sequence[float]  # of the axes


def coordinates(frame: Frame, spec: SweepSpec, name: str = "", look: Look = AS_FILE) -> Figure:
    """A line a trial, coloured by its rank; failed trials in a colour of their own.

    Args:
        frame: of `summarize`.
        spec: the sweep, for its search space.
        name: of the sweep, for the title.
        look: where the figure is to stand.
    """
    lines = find_lines(frame, spec)
    rows = [_searched_axis(key, entry) for key, entry in spec.search.space.entries.items()]
    rows.append(_objective_axis(frame.attrs["objective"], lines))
    figure, sheet = _lay_out(rows, replace(look, widest=min(look.widest, _WIDEST)))
    _draw_lines(sheet, lines, rows)
    for axis, depth in zip(rows, sheet.depths, strict=True):
        _draw_axis(sheet, axis, depth)
    _draw_legend(sheet, lines)
    if look.titled:
        title = f"{name}: where trials lie" if name else "Where trials lie"
        style: dict[str, Any] = {"color": look.theme.ink, "fontsize": 13, "weight": "bold"}
        sheet.axes.text(sheet.axes.get_xlim()[0] + _SIDE, 0.3, title, **style)
    return figure


def _lay_out(rows: Sequence[Axis], look: Look) -> tuple[Figure, _Sheet]:
    """A figure for axes one below the other, with as much room below each as its labels take."""
    whole = look.widest - 2 * _SIDE
    width = whole / (1.0 - _UNUSED) if any(axis.conditional for axis in rows) else whole
    heights = [_ROW + _more_below(axis, width) for axis in rows]
    top = _TOP + (0.4 if look.titled else 0.0)
    height = top + sum(heights) + _BELOW
    figure = make_figure(look, height)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(width - whole - _SIDE, width + _SIDE), ylim=(height, 0.0))
    axes.axis("off")
    depths = [top + sum(heights[:index]) for index in range(len(rows))]
    return figure, _Sheet(axes, look.theme, width, depths)


def lie_beyond(lines: Sequence[Line], objective: str) -> bool:
    """Whether a trial's objective lies outside of its axis, at whose end its line is drawn."""
    axis = _objective_axis(objective, lines)
    values = [line.values[objective] for line in lines]
    return any(v is not None and (v < axis.low or v > axis.high) for v in values)


def find_lines(frame: Frame, spec: SweepSpec) -> list[Line]:
    """The trials that came to an end of their own, failed ones first, then from worst to best."""
    sign = 1.0 if frame.attrs["direction"] == "min" else -1.0
    objective = frame.attrs["objective"]
    failed, sound = [], []
    for row, fate in told_trials(frame):
        values = applicable(spec, row) | {objective: row["objective"]}
        line = Line(values, fate.is_failure)
        if fate.is_failure:
            failed.append(line)
        elif row["objective"] is not None:
            sound.append(line)
    sound.sort(key=lambda line: sign * line.values[objective])
    ranked = [replace(line, rank=rank) for rank, line in enumerate(sound)]
    return [*failed, *reversed(ranked)]


# --- axes -----------------------------------------------------------------------------------------


def _searched_axis(name: str, entry: Choices | Range) -> Axis:
    conditional = entry.when is not None
    if isinstance(entry, Choices):
        count = len(entry.choices)
        ticks = [((i + 0.5) / count, words.setting(v)) for i, v in enumerate(entry.choices)]
        return Axis(name, ticks, choices=entry.choices, conditional=conditional)
    low, high = float(entry.low), float(entry.high)
    return _number_axis(name, low, high, log=entry.log, conditional=conditional)


def _objective_axis(name: str, lines: Sequence[Line]) -> Axis:
    """From the least to the greatest value of those that did not fail; failed ones may lie beyond.

    Where too few values are of sound trials to make an axis, it holds all of them.
    """
    sound = _told([line for line in lines if not line.failed], name)
    values = sound if len(set(sound)) >= _ENOUGH else _told(lines, name) or [0.0, 1.0]
    low, high = min(values), max(values)
    return _number_axis(name, low, high, log=low > 0.0 and high > _LOG_FROM * low)


def _told(lines: Sequence[Line], name: str) -> list[float]:
    """The values of an objective that are known and finite."""
    values = [line.values[name] for line in lines]
    return [value for value in values if value is not None and math.isfinite(value)]


def _number_axis(
    name: str, low: float, high: float, *, log: bool, conditional: bool = False
) -> Axis:
    """With values told at both ends and between."""
    if low == high:
        return Axis(name, [(0.5, words.number(low))], low, high, log, conditional=conditional)
    middle = _decades(low, high) if log else MaxNLocator(4).tick_values(low, high)
    ticks = [(_share(value, low, high, log), words.number(value)) for value in middle]
    ends = [(0.0, words.number(low)), (1.0, words.number(high))]
    inside = [(at, label) for at, label in ticks if 0.15 < at < 0.85]
    return Axis(name, [ends[0], *inside, ends[1]], low, high, log, conditional=conditional)


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten within a range, at most four of them."""
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [10.0**power for power in powers[:: max(1, math.ceil(len(powers) / 4))]]


def _share(value: float, low: float, high: float, log: bool) -> float:
    """Of the way from the low end to the high one; half of no way at all."""
    if low == high:
        return 0.5
    if log:
        floor = max(value, low * 1e-9)  # an objective may lie at 0, below its axis
        return math.log(floor / low) / math.log(high / low)
    return (value - low) / (high - low)


# --- drawing --------------------------------------------------------------------------------------


def _draw_lines(sheet: _Sheet, lines: Sequence[Line], rows: Sequence[Axis]) -> None:
    """All in one collection, which a thousand of them need; the last ones lie on top."""
    sound = sum(not line.failed for line in lines)
    paths = []
    for index, line in enumerate(lines):
        shift = 0.0 if line.rank == 0 else _shift(index)  # the best runs through its ticks
        places = [sheet.width * _place(line, axis, shift) for axis in rows]
        paths.append(list(zip(places, sheet.depths, strict=True)))
    thin = 1.0 if len(lines) <= _FEW else 0.6
    style: dict[str, Any] = {
        "colors": [_colour(line, sound, sheet.theme) for line in lines],
        "linewidths": [_width(line, sound, thin) for line in lines],
        "linestyles": [_DASHES if line.failed else "-" for line in lines],
    }
    sheet.axes.add_collection(LineCollection(paths, **style), autolim=False)


def _shift(index: int) -> float:
    """Where in the band of its choice a line runs, from -0.5 to 0.5: lines of one lie apart."""
    golden = 0.618033988749895  # its multiples are spread evenly, however many there are
    return (index * golden) % 1.0 - 0.5


def _place(line: Line, axis: Axis, shift: float) -> float:
    """Nowhere (NaN) for a trial that ended without an objective."""
    if axis.name not in line.values:
        return _UNUSED
    value = line.values[axis.name]
    if axis.choices:
        return axis.place(value) + shift * min(_WIDEST_BAND, _BAND / len(axis.choices))
    return math.nan if value is None or math.isnan(value) else axis.place(value)


def _colour(line: Line, sound: int, theme: Theme) -> Any:
    if line.rank is None:
        return to_rgba(theme.outcomes[Outcome.COLLAPSED], 0.55)
    return to_rgba(_rank_colour(line.rank / max(1, sound - 1), theme), 0.85)


def _width(line: Line, sound: int, thin: float) -> float:
    """Points: the best stands out, and the best tenth a little."""
    if line.rank == 0:
        return 2.4
    return 1.2 if line.rank is not None and line.rank < _BEST * sound else thin


def _rank_colour(share: float, theme: Theme) -> Any:
    return matplotlib.colormaps[theme.ranks](_FADED * share)


def _more_below(axis: Axis, width: float) -> float:
    """Inches that labels take below their axis beyond a line, where they have to be turned."""
    places = [at for at, _ in axis.ticks]
    gap = width * min([b - a for a, b in pairwise(places)], default=1.0)
    longest = max(len(label) for _, label in axis.ticks)
    return 0.0 if longest * _LETTER + 0.05 <= gap else longest * _LETTER


def _draw_axis(sheet: _Sheet, axis: Axis, depth: float) -> None:
    """The line, its name above it, and its values below; labels lie on the lines of trials."""
    width, theme = sheet.width, sheet.theme
    sheet.axes.plot([0.0, width], [depth, depth], color=theme.edge, linewidth=1.0, zorder=3)
    bold: dict[str, Any] = {"color": theme.ink, "fontsize": 9, "weight": "bold"}
    _write(sheet, 0.0, depth - 0.07, axis.name, va="bottom", **bold)
    upright = _more_below(axis, width) > 0.0
    unused = [(_UNUSED, words.NOTHING)] if axis.conditional else []
    for at, label in [*unused, *axis.ticks]:
        x = width * at
        sheet.axes.plot([x, x], [depth, depth + 0.04], color=theme.edge, linewidth=0.8, zorder=3)
        how = _UPRIGHT if upright else {"ha": "center"}
        if not axis.choices and at in (0.0, 1.0):
            how = {"ha": "left" if at == 0.0 else "right"}
        _write(sheet, x, depth + 0.06, label, va="top", color=theme.quiet, fontsize=8, **how)


def _write(sheet: _Sheet, x: float, y: float, text: str, **style: Any) -> None:
    behind = {"facecolor": sheet.theme.page, "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    sheet.axes.text(x, y, text, bbox=behind, zorder=4, **style)


def _draw_legend(sheet: _Sheet, lines: Sequence[Line]) -> None:
    theme = sheet.theme
    shown: list[tuple[Any, str, Any]] = []
    if any(not line.failed for line in lines):
        shown = [(_rank_colour(at, theme), label, "-") for at, label in _RANKS]
    if any(line.failed for line in lines):
        shown.append((theme.outcomes[Outcome.COLLAPSED], "failed", _DASHES))
    x, y = sheet.axes.get_xlim()[0] + _SIDE, sheet.axes.get_ylim()[0] - 0.12
    for colour, label, style in shown:
        wide = 2.4 if label == "best" else 1.4
        key = Line2D([x, x + 0.3], [y, y], color=colour, linewidth=wide, linestyle=style)
        sheet.axes.add_line(key)
        sheet.axes.text(x + 0.36, y, label, color=theme.ink, fontsize=8, va="center")
        x += 0.5 + 0.07 * len(label)


_RANKS = ((0.0, "best"), (0.5, "middling"), (1.0, "worst"))
_DASHES = (0, (3, 2))
_UPRIGHT: dict[str, Any] = {"ha": "center", "rotation": 90}

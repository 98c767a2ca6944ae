"""The collapse map: which of loss, D:G ratio and bounds on D trains, stalls, collapses or diverges.

Everything is placed in inches, so that no text can run into another.
"""

import math
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ganray.report import words
from ganray.report.fates import Fate, told_trials
from ganray.report.style import AS_FILE, Look, Theme, make_figure
from ganray.summary import Frame

ALL = "all"
MOST_RATIOS = 9  # columns; more ratios than that are told apart by who has more steps only
ENOUGH_PER_CELL = 4  # trials; with fewer on average, ratio and bound are not crossed
FEW = 5  # trials in a cell from which its bar is of full thickness; a loss is named from as many

_CELL, _ROW, _GAP, _MARGIN = 0.72, 0.42, 0.3, 0.1
_LETTER = 0.078  # inches, of labels
_LEAST = 7.6  # inches across
_LEGEND, _LEGEND_ENTRY = 0.7, 1.2  # inches: its height with two lines, an entry's width
_TITLE, _UNTITLED = 0.8, 0.05  # inches, with the line below it
_LIFT = 0.05  # inches, of a bar above the middle of its row: its number stands below


@dataclass(frozen=True, slots=True)
class _Trial:
    loss: str
    ratio: str
    order: tuple[float, int]  # of the ratio among ratios
    bound: str
    fate: Fate


@dataclass(frozen=True, slots=True)
class _Panel:
    """Columns side by side, with what belongs into each."""

    title: str
    columns: Sequence[str]
    cells: Mapping[str, Sequence[_Trial]]  # by column

    @property
    def width(self) -> float:
        """In inches, with the gap to the next."""
        return max(len(self.columns) * _CELL, len(self.title) * _LETTER * 1.1) + _GAP

    def cut(self, most: int) -> list["_Panel"]:
        """The panel in parts of so many columns at most."""
        parts = [self.columns[at : at + most] for at in range(0, len(self.columns), most)]
        return [replace(self, columns=columns) for columns in parts]


@dataclass(frozen=True, slots=True)
class _Pen:
    """Writes on a figure's axes in the colours of a theme."""

    figure: Figure
    axes: Axes
    theme: Theme

    def write(self, x: float, y: float, text: str, size: float, **style: Any) -> None:
        """Text, in ink and in the middle of its line if nothing else is said."""
        plain: dict[str, Any] = {"color": self.theme.ink, "va": "center"}
        self.axes.text(x, y, text, fontsize=size, **plain | style)


def collapse_map(frame: Frame, name: str = "", look: Look = AS_FILE) -> Figure:
    """A figure of how trials came out: rows are losses, columns D:G ratios and what bounds D.

    Ratio and bound are crossed where there are trials enough, else shown side by side. What the
    sweep did not search becomes no axis. Losses are sorted, those that fail least at the top. A
    trial that ran to its end counts as failed if its `ending` is bad (`fate_of`).

    Args:
        frame: of `summarize`.
        name: of the sweep, for the title.
        look: where the figure is to stand.
    """
    trials = _trials(frame)
    losses = _by_failures(trials)
    lines = _lines(_panels(trials), losses, look.widest)
    pen = _canvas(lines, losses, look)
    if look.titled:
        _write_title(pen, trials, name)
    top = _title_height(look)
    for line in lines:
        _draw_line(pen, line, losses, top)
        top += _line_height(line, losses)
    if trials:
        _draw_legend(pen, {trial.fate for trial in trials}, top + 0.2)
    return pen.figure


class Failures(NamedTuple):
    """What a map says, in words; "" where there is nothing to say."""

    told: str  # how many failed
    kinds: str  # of which kinds
    extremes: str  # which losses fail least and most
    left_out: str  # which of them say too little for that


def failures(frame: Frame) -> Failures:
    """What the map of a summary says, in words."""
    return _failures(_trials(frame))


# --- what is shown --------------------------------------------------------------------------------


def _trials(frame: Frame) -> list[_Trial]:
    told = told_trials(frame)
    ratio = _ratio_label(row for row, _ in told)
    return [_Trial(_loss(row), *ratio(row), bound=_bound(row), fate=fate) for row, fate in told]


def _loss(row: Mapping[str, Any]) -> str:
    model = row.get("model") or "gan"
    return str(row.get("loss", ALL)) if model == "gan" else str(model)


def _bound(row: Mapping[str, Any]) -> str:
    """What of the searched parameters keeps D in bounds."""
    found = {
        "weight clip": row.get("weight_clip") is not None,
        "spectral norm": bool(row.get("spectral_norm")),
        "gradient clip": row.get("d_grad_clip") is not None,
        "penalty": row.get("penalty") not in {None, "none"},
    }
    return " + ".join(bound for bound, given in found.items() if given) or "nothing"


Ratio = Callable[[Mapping[str, Any]], tuple[str, tuple[float, int]]]


def _ratio_label(rows: Any) -> Ratio:
    """How ratios are told apart: exactly, or by who has more steps if there are too many."""
    exact = {_exact_ratio(row)[0] for row in rows}
    return _exact_ratio if len(exact) <= MOST_RATIOS else _rough_ratio


def _exact_ratio(row: Mapping[str, Any]) -> tuple[str, tuple[float, int]]:
    d, g = row.get("d_steps"), row.get("g_steps")
    if d is None or g is None:
        steps = [f"{n} {who}" for who, n in (("D", d), ("G", g)) if n is not None]
        return "".join(steps) or ALL, (float(d or 0) - float(g or 0), 0)
    return f"{d}:{g}", (d / g, d + g)


def _rough_ratio(row: Mapping[str, Any]) -> tuple[str, tuple[float, int]]:
    d, g = row["d_steps"], row["g_steps"]
    side = (d > g) - (d < g)
    return ("more of G", "as many", "more of D")[side + 1], (float(side), 0)


def _by_failures(trials: Sequence[_Trial]) -> list[str]:
    """The losses, those that fail least first."""
    return sorted(
        {trial.loss for trial in trials},
        key=lambda loss: (_failure_rate([t for t in trials if t.loss == loss]), loss),
    )


def _failure_rate(trials: Sequence[_Trial]) -> float:
    """As if there were one more trial of either kind: one good trial is no better than nine."""
    return (sum(trial.fate.is_failure for trial in trials) + 1) / (len(trials) + 2)


def _panels(trials: Sequence[_Trial]) -> list[_Panel]:
    if not trials:
        return []
    ratios = [label for _, label in sorted({(t.order, t.ratio) for t in trials})]
    bounds = sorted({trial.bound for trial in trials}, key=_bound_order)
    total = _Panel("", [ALL], {ALL: trials})
    losses = len({trial.loss for trial in trials})
    varies = len(ratios) > 1 and len(bounds) > 1
    if varies and len(trials) >= ENOUGH_PER_CELL * losses * len(ratios) * len(bounds):
        crossed = [_crossed(bound, ratios, trials) for bound in bounds]
        return [*crossed, total]
    by_ratio = {ratio: [t for t in trials if t.ratio == ratio] for ratio in ratios}
    by_bound = {bound: [t for t in trials if t.bound == bound] for bound in bounds}
    title = "D:G steps" if ":" in ratios[0] else "steps in a row"
    sides = [_Panel(title, ratios, by_ratio), _Panel("D is bounded by", bounds, by_bound)]
    return [*(side for side in sides if len(side.columns) > 1), total]


def _crossed(bound: str, ratios: Sequence[str], trials: Sequence[_Trial]) -> _Panel:
    mine = [trial for trial in trials if trial.bound == bound]
    cells = {ratio: [t for t in mine if t.ratio == ratio] for ratio in ratios}
    return _Panel(f"D:G steps, D bounded by {bound}", ratios, cells)


def _bound_order(bound: str) -> tuple[bool, int, str]:
    return bound != "nothing", bound.count("+"), bound


# --- how it is drawn ------------------------------------------------------------------------------


def _lines(panels: Sequence[_Panel], losses: Sequence[str], widest: float) -> list[list[_Panel]]:
    """The panels below one another where they are too wide to stand in one line."""
    lines: list[list[_Panel]] = []
    columns = max(2, int((widest - _label_width(losses) - _GAP) / _CELL))
    for part in (part for panel in panels for part in panel.cut(columns)):
        if lines and _width([*lines[-1], part], losses) <= widest:
            lines[-1].append(part)
        else:
            lines.append([part])
    return lines


def _canvas(lines: Sequence[Sequence[_Panel]], losses: Sequence[str], look: Look) -> _Pen:
    width = max([min(_LEAST, look.widest), *(_width(line, losses) for line in lines)])
    height = _title_height(look) + sum(_line_height(line, losses) for line in lines)
    if lines:
        height += _LEGEND + 0.22 * (_legend_lines(width) - 1)
    figure = make_figure(look, height, width)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0.0, width), ylim=(height, 0.0))
    axes.axis("off")
    return _Pen(figure, axes, look.theme)


def _title_height(look: Look) -> float:
    return _TITLE if look.titled else _UNTITLED


def _width(line: Sequence[_Panel], losses: Sequence[str]) -> float:
    return _label_width(losses) + sum(panel.width for panel in line)


def _line_height(line: Sequence[_Panel], losses: Sequence[str]) -> float:
    return _header_height(line) + _ROW * _row_count(losses) + 0.1


def _row_count(losses: Sequence[str]) -> float:
    """Rows, with that of all losses a little apart."""
    return len(losses) + 1.3 if len(losses) > 1 else 1.0


def _label_width(losses: Sequence[str]) -> float:
    return _MARGIN + max([len("all losses"), *map(len, losses)]) * _LETTER + 0.1


def _header_height(line: Sequence[_Panel]) -> float:
    lines = max(len(_wrapped(column)) for panel in line for column in panel.columns)
    title = 0.36 if any(panel.title for panel in line) else 0.0
    return 0.1 + title + 0.14 * lines


def _wrapped(label: str) -> list[str]:
    return textwrap.wrap(label, 10, break_long_words=False)


def _write_title(pen: _Pen, trials: Sequence[_Trial], name: str) -> None:
    told, *details = _failures(trials)[:3]
    title = f"{name}: {told}" if name else words.sentence(told)
    _write_across(pen, 0.32, title, 13.0, weight="bold")
    below = "   ·   ".join(filter(None, details))
    _write_across(pen, 0.6, below, 9.0, color=pen.theme.quiet)


def _write_across(pen: _Pen, y: float, text: str, size: float, **style: Any) -> None:
    """A line in the size asked for, or a smaller one where it would not fit."""
    width = pen.axes.get_xlim()[1] - 2 * _MARGIN
    fitting = width * 72.0 / (0.68 * max(len(text), 1))  # points, for letters of 0.68 em: bold
    pen.write(_MARGIN, y, text, min(size, fitting), **style)


def _failures(trials: Sequence[_Trial]) -> Failures:
    counts = Counter(trial.fate for trial in trials)
    failed = sum(count for fate, count in counts.items() if fate.is_failure)
    told = f"{failed} of {len(trials)} trials failed" if trials else "no trial has come to an end"
    kinds = [f"{counts[fate]} {fate.value}" for fate in Fate if fate.is_failure and counts[fate]]
    return Failures(told, ", ".join(kinds), *_extremes(trials))


def _extremes(trials: Sequence[_Trial]) -> tuple[str, str]:
    """The losses that failed least and most, of those with enough trials; then the others."""
    counts = Counter(trial.loss for trial in trials)
    losses = [loss for loss in _by_failures(trials) if counts[loss] >= FEW]
    scarce = words.listed(sorted(counts.keys() - losses))
    if len(counts) < 2:
        return "", ""
    if len(losses) < 2:
        what = "which loss fails least, and which most, cannot be told"
        return "", f"{what}: {scarce} had fewer than {FEW} trials each"
    least, most = (_failures_of(loss, trials) for loss in (losses[0], losses[-1]))
    left_out = f"left out of that, with fewer than {FEW} trials each: {scarce}" if scarce else ""
    return f"fails least: {least}, most: {most}", left_out


def _failures_of(loss: str, trials: Sequence[_Trial]) -> str:
    mine = [trial for trial in trials if trial.loss == loss]
    return f"{loss} ({sum(trial.fate.is_failure for trial in mine)} of {len(mine)})"


def _draw_line(pen: _Pen, line: Sequence[_Panel], losses: Sequence[str], top: float) -> None:
    rows = _rows(losses, top + _header_height(line))
    for label, _, y in rows:
        weight = "bold" if label.startswith(ALL) else "normal"
        pen.write(_MARGIN, y - _LIFT, label, 9, weight=weight)
    left = _label_width(losses)
    for panel in line:
        _write_header(pen, panel, left, top, top + _header_height(line))
        for index, column in enumerate(panel.columns):
            for _, mine, y in rows:
                trials = [trial for trial in panel.cells[column] if trial.loss in mine]
                _draw_cell(pen, trials, left + index * _CELL, y)
        left += panel.width


def _rows(losses: Sequence[str], top: float) -> list[tuple[str, set[str], float]]:
    """Of every row: its label, the losses in it, and where its middle is."""
    middle = top + 0.5 * _ROW
    found = [(loss, {loss}, middle + index * _ROW) for index, loss in enumerate(losses)]
    if len(losses) > 1:
        found.append(("all losses", set(losses), middle + (len(losses) + 0.3) * _ROW))
    return [("all trials" if label == ALL else label, mine, y) for label, mine, y in found]


def _write_header(pen: _Pen, panel: _Panel, left: float, top: float, bottom: float) -> None:
    if panel.title:
        right = left + len(panel.columns) * _CELL - 0.1
        pen.write(left, top + 0.12, panel.title, 9, weight="bold")
        under = [top + 0.24, top + 0.24]
        pen.axes.plot([left, right], under, color=pen.theme.edge, linewidth=0.8)
    for index, column in enumerate(panel.columns):
        middle = left + index * _CELL + 0.5 * (_CELL - 0.1)
        weight = "bold" if column == ALL else "normal"
        label = "\n".join(_wrapped(column))
        pen.write(middle, bottom - 0.03, label, 8, weight=weight, ha="center", va="bottom")


def _draw_cell(pen: _Pen, trials: Sequence[_Trial], left: float, middle: float) -> None:
    """A bar of shares, thinner where few trials stand behind it, above their number."""
    if not trials:
        return
    width = _CELL - 0.1
    thickness = 0.2 * min(1.0, 0.3 + 0.7 * len(trials) / FEW)
    counts = Counter(trial.fate for trial in trials)
    x, y = left, middle - _LIFT - 0.5 * thickness
    for fate in Fate:
        share = width * counts[fate] / len(trials)
        if share:
            _draw_patch(pen, fate, (x, y), share, thickness)
        x += share
    below = (left + 0.5 * width, middle + 0.125)
    pen.write(*below, str(len(trials)), 6.5, color=pen.theme.quiet, ha="center")


def _draw_patch(
    pen: _Pen, fate: Fate, corner: tuple[float, float], width: float, height: float
) -> None:
    fill: dict[str, Any] = {"facecolor": pen.theme.fates[fate], "edgecolor": pen.theme.edge}
    hatch = "////" if fate is Fate.UNCLEAR else None
    pen.axes.add_patch(Rectangle(corner, width, height, linewidth=0.5, hatch=hatch, **fill))


def _legend_lines(width: float) -> int:
    """How many lines the fates and the note below them take."""
    return math.ceil(len(Fate) / _fates_a_line(width)) + len(_note(width, unclear=True)) - 1


def _fates_a_line(width: float) -> int:
    return max(1, int((width - 2 * _MARGIN) / _LEGEND_ENTRY))


def _note(width: float, *, unclear: bool) -> list[str]:
    note = f"Bars: shares of the trials, whose number is below; thin if fewer than {FEW}."
    if unclear:
        note += " Unclear: outranked, or neither well nor badly ended."
    return textwrap.wrap(note, int((width - 2 * _MARGIN) / 0.067))


def _draw_legend(pen: _Pen, fates: set[Fate], y: float) -> None:
    width = pen.axes.get_xlim()[1]
    shown = [fate for fate in Fate if fate in fates]
    a_line = _fates_a_line(width)
    for index, fate in enumerate(shown):
        x, below = _MARGIN + _LEGEND_ENTRY * (index % a_line), y + 0.22 * (index // a_line)
        _draw_patch(pen, fate, (x, below - 0.07), 0.22, 0.14)
        pen.write(x + 0.29, below, fate.value, 8)
    y += 0.22 * ((len(shown) - 1) // a_line) + 0.24
    for index, line in enumerate(_note(width, unclear=Fate.UNCLEAR in fates)):
        pen.write(_MARGIN, y + 0.22 * index, line, 8, color=pen.theme.quiet)

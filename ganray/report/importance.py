"""Which searched parameters decide whether trials fail, and how good those get that do not."""

import csv
import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ganray.report import words
from ganray.report.fates import told_trials
from ganray.report.style import AS_FILE, Look, Theme, make_figure, plain_axes
from ganray.spec.models import SweepSpec
from ganray.summary import Frame
from ganray.tuning.importance import Importance, importances

ENOUGH_TRIALS = 20
ENOUGH_EACH = 5  # trials on either side of a question
BEST_SHARE = 1 / 3  # of the trials that did not fail, those called good

COLUMNS = ("question", "parameter", "importance", "low", "high", "trials", "hits")
_TITLES = {
    "failing": "Does a trial fail?",
    "quality": "If it does not: is it in the best third?",
}
_INCHES = 10.0  # across, at most
_NARROW = 6.0  # inches, below which panels do not stand side by side
_MARGIN, _GAP, _HEADER, _SCALE, _LINE = 0.1, 0.4, 0.5, 0.35, 0.16  # inches
_LETTER = 0.068  # inches, of the note
_UNTOLD_LETTERS = 32  # a line of why something cannot be told: as many as a panel holds
_NOTE = (
    "Share of the answer's variance that a parameter explains alone, above chance; "
    "line: 90 % interval; pale: may be chance."
)


class _Words(NamedTuple):
    """How a question is spoken of."""

    verb: str
    clause: str


_NEEDED = {
    "failing": "trials that completed or were stopped early",
    "quality": "trials that did not fail",
}
_UNEVEN = {
    "failing": "{yes} failed and {no} did not",
    "quality": "{yes} are in the best third and {no} are not",
}
_DECIDED = {
    "failing": _Words("failing", "which trials fail"),
    "quality": _Words("quality", "how good those get that do not"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The importance of every searched parameter for one question, or why it cannot be told."""

    question: str  # failing or quality
    trials: int
    hits: int  # trials of which the answer is yes
    importances: tuple[Importance, ...]  # the largest first; none where it cannot be told
    unknown: str = ""  # why it cannot be told


def find_importances(frame: Frame, spec: SweepSpec, resamples: int = 30) -> list[Finding]:
    """What decides failing, and beside it quality: being in the best third of what did not fail.

    Importance is the share of the answer's variance that a parameter explains alone, above what it
    would by chance, with a 90 % interval over resampled trials (`ganray.tuning.importance`).

    Args:
        frame: of `summarize`.
        spec: the sweep, for its search space.
        resamples: draws for the intervals.

    Returns:
        The findings of `failing` and of `quality`. Of fewer than 20 trials, or fewer than 5 with
        either answer, nothing is told but that.
    """
    told = told_trials(frame)
    failed = [fate.is_failure for _, fate in told]
    sound = [row for row, fate in told if not fate.is_failure and row["objective"] is not None]
    good = _best(sound, frame.attrs["direction"])
    return [
        _find("failing", spec, [row for row, _ in told], failed, resamples),
        _find("quality", spec, sound, good, resamples),
    ]


def _best(trials: Sequence[dict[str, Any]], direction: str) -> list[bool]:
    """Whether each trial is in the best third by its objective."""
    sign = 1.0 if direction == "min" else -1.0
    values = [sign * trial["objective"] for trial in trials]
    cut = sorted(values)[: round(BEST_SHARE * len(values))]
    return [bool(cut) and value <= cut[-1] for value in values]


def _find(
    question: str,
    spec: SweepSpec,
    trials: Sequence[dict[str, Any]],
    hits: Sequence[bool],
    resamples: int,
) -> Finding:
    yes, no = sum(hits), len(hits) - sum(hits)
    unknown = ""
    if len(trials) < ENOUGH_TRIALS:
        unknown = f"it takes {ENOUGH_TRIALS} {_NEEDED[question]}; this sweep has {len(trials)}"
    elif min(yes, no) < ENOUGH_EACH:
        unknown = f"{_UNEVEN[question].format(yes=yes, no=no)}: it takes {ENOUGH_EACH} of each"
    found = () if unknown else tuple(importances(spec, trials, hits, resamples=resamples))
    return Finding(question, len(trials), yes, found, unknown)


def to_csv(findings: Sequence[Finding]) -> str:
    """One line a parameter and question, the most important first; none where it is not told."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for finding in findings:
        for row in finding.importances:
            numbers = (row.share, row.low, row.high)
            writer.writerow(
                [finding.question, row.parameter, *numbers, finding.trials, finding.hits]
            )
    return out.getvalue()


def importance_figure(findings: Sequence[Finding], name: str = "", look: Look = AS_FILE) -> Figure:
    """A figure of importances: bars with 90 % intervals, a panel a question.

    Parameters stand in the order of the first question that could be answered. A pale bar may be
    nothing but chance: its interval reaches 0.

    Args:
        findings: of `find_importances`.
        name: of the sweep, for the title.
        look: where the figure is to stand; where it is narrow, panels stand below one another.
    """
    told = [finding for finding in findings if finding.importances]
    parameters = [row.parameter for row in told[0].importances] if told else []
    width = min(_INCHES, look.widest)
    columns = 1 if width < _NARROW else len(findings)
    left = _MARGIN + 0.085 * max([8, *map(len, parameters)])
    wide = (width - left - _MARGIN) / columns - _GAP
    note = textwrap.wrap(_NOTE, int((width - 2 * _MARGIN) / _LETTER))
    panel = 0.3 * max(len(parameters), 3)
    row = _HEADER + panel + _SCALE
    title = 0.45 if look.titled else 0.0
    below = 0.1 + _LINE * len(note)
    height = title + row * (len(findings) // columns) + below
    figure = make_figure(look, height, width)
    for index, finding in enumerate(findings):
        line, column = divmod(index, columns)
        bottom = height - title - line * row - _HEADER - panel
        place = (left + column * (wide + _GAP), bottom, wide, panel)
        axes = figure.add_axes(_share_of(place, width, height))
        _draw(axes, finding, parameters, look.theme)
        axes.set_title(_header(finding, wide), fontsize=10, loc="left", color=look.theme.ink)
        _draw_scale(axes, _reach(told))
        axes.tick_params(labelleft=column == 0)
    if look.titled:
        _write_title(figure, _title(findings[0], name), look.theme)
    for index, text in enumerate(reversed(note)):
        y = (0.08 + _LINE * index) / height
        figure.text(_MARGIN / width, y, text, fontsize=8, color=look.theme.quiet)
    return figure


def _share_of(
    place: tuple[float, float, float, float], width: float, height: float
) -> tuple[float, float, float, float]:
    """A place in inches, as matplotlib wants it."""
    left, bottom, wide, high = place
    return left / width, bottom / height, wide / width, high / height


def _header(finding: Finding, wide: float) -> str:
    count = f"({finding.hits} of {finding.trials})".replace(" ", words.GAP)
    return textwrap.fill(f"{_TITLES[finding.question]} {count}", int(wide / 0.082))


def _write_title(figure: Figure, text: str, theme: Theme) -> None:
    width, height = figure.get_size_inches()
    size = min(13.0, width * 0.94 * 72.0 / (0.68 * len(text)))  # bold letters are 0.68 em wide
    bold: dict[str, Any] = {"fontsize": size, "weight": "bold", "color": theme.ink}
    figure.text(_MARGIN / width, 1.0 - 0.32 / height, text, **bold)


def _reach(told: Sequence[Finding]) -> float:
    """Where the scale of all panels ends."""
    furthest = max([0.25, *(row.high for finding in told for row in finding.importances)])
    return min(1.0, math.ceil(furthest * 10) / 10)


def _title(finding: Finding, name: str) -> str:
    told = what_decides(finding)
    return f"{name}: {told}" if name else words.sentence(told)


def what_decides(finding: Finding, mark: str = "") -> str:
    """Which parameter matters most for one question, as far as that can be told.

    Args:
        finding: of the question.
        mark: what stands around the parameter's name.
    """
    what = _DECIDED[finding.question]
    first = next((row for row in finding.importances if row.low > 0.0), None)
    if finding.unknown:
        return f"what decides {what.verb} cannot be told yet"
    if first is None:
        return f"no parameter alone decides {what.clause}"
    return f"{mark}{first.parameter}{mark} matters most for {what.clause}"


def _draw(axes: Axes, finding: Finding, parameters: Sequence[str], theme: Theme) -> None:
    plain_axes(axes, theme)
    known = {row.parameter: row for row in finding.importances}
    for index, parameter in enumerate(parameters):
        if parameter in known:
            _draw_bar(axes, index, known[parameter], theme)
    if finding.unknown:
        text = f"Cannot be told:\n{textwrap.fill(finding.unknown, _UNTOLD_LETTERS)}"
        middle: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
        axes.text(0.5, 0.5, text, fontsize=9, color=theme.ink, **middle)
    axes.set_yticks(range(len(parameters)), parameters, fontsize=9, color=theme.ink)
    axes.set_ylim(max(len(parameters), 3) - 0.5, -0.5)
    axes.grid(axis="x", color=theme.grid, linewidth=0.8)


def _draw_scale(axes: Axes, reach: float) -> None:
    axes.set_xlim(0.0, reach)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _draw_bar(axes: Axes, y: int, row: Importance, theme: Theme) -> None:
    colour = theme.bar if row.low > 0.0 else theme.faint
    axes.barh(y, row.share, height=0.55, color=colour, edgecolor=theme.bar, linewidth=0.6)
    ends: dict[str, Any] = {"linewidth": 1.3, "solid_capstyle": "butt"}
    axes.plot([row.low, row.high], [y, y], color=theme.ink, **ends)

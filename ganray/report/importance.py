"""Which searched parameters decide whether trials fail, and how good those get that do not."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ganray.report.fates import told_trials
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
_INCHES = 10.0  # across
_BAR, _WEAK, _INK = "#2f6690", "#d5dde3", "#1a1a1a"


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
        unknown = f"{len(trials)} trials are too few: it takes {ENOUGH_TRIALS}"
    elif min(yes, no) < ENOUGH_EACH:
        unknown = f"{yes} yes and {no} no are too uneven: it takes {ENOUGH_EACH} of each"
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


def importance_figure(findings: Sequence[Finding], name: str = "") -> Figure:
    """A figure of importances: bars with 90 % intervals, a panel a question.

    Parameters stand in the order of the first question that could be answered. A pale bar may be
    nothing but chance: its interval reaches 0.

    Args:
        findings: of `find_importances`.
        name: of the sweep, for the title.
    """
    told = [finding for finding in findings if finding.importances]
    parameters = [row.parameter for row in told[0].importances] if told else []
    height = 1.5 + 0.3 * max(len(parameters), 3)
    furthest = max([0.25, *(row.high for finding in told for row in finding.importances)])
    reach = min(1.0, math.ceil(furthest * 10) / 10)
    figure = Figure(figsize=(_INCHES, height), dpi=150, facecolor="white")
    left = 0.04 + 0.0085 * max([12, *map(len, parameters)])
    width = (0.96 - left) / len(findings) - 0.02
    for index, finding in enumerate(findings):
        place = (left + index * (width + 0.04), 0.72 / height, width, 1.0 - 1.43 / height)
        axes = figure.add_axes(place)
        _draw(axes, finding, parameters)
        _draw_scale(axes, reach)
        axes.tick_params(labelleft=index == 0)
    title = _title(findings[0], name)
    size = min(13.0, _INCHES * 0.94 * 72.0 / (0.68 * len(title)))  # bold letters are 0.68 em wide
    figure.text(0.03, 1.0 - 0.32 / height, title, fontsize=size, weight="bold")
    note = (
        "Share of the answer's variance that a parameter explains alone, above chance; "
        "line: 90 % interval; pale: may be chance."
    )
    figure.text(0.03, 0.16 / height, note, fontsize=8, color="#555555")
    return figure


def _title(finding: Finding, name: str) -> str:
    first = next((row for row in finding.importances if row.low > 0.0), None)
    if finding.unknown:
        told = "what decides failing cannot be told yet"
    elif first is None:
        told = "no parameter alone decides which trials fail"
    else:
        told = f"{first.parameter} matters most for which trials fail"
    return f"{name}: {told}" if name else told[:1].upper() + told[1:]


def _draw(axes: Axes, finding: Finding, parameters: Sequence[str]) -> None:
    known = {row.parameter: row for row in finding.importances}
    for index, parameter in enumerate(parameters):
        if parameter in known:
            _draw_bar(axes, index, known[parameter])
    if finding.unknown:
        middle: dict[str, Any] = {
            "transform": axes.transAxes,
            "ha": "center",
            "va": "center",
            "fontsize": 9,
        }
        axes.text(0.5, 0.5, f"Cannot be told:\n{finding.unknown}", **middle)
    title = f"{_TITLES[finding.question]}  ({finding.hits} of {finding.trials})"
    axes.set_title(title, fontsize=10, loc="left", weight="bold")
    axes.set_yticks(range(len(parameters)), parameters, fontsize=9)
    axes.set_ylim(max(len(parameters), 3) - 0.5, -0.5)
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_scale(axes: Axes, reach: float) -> None:
    axes.set_xlim(0.0, reach)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.tick_params(axis="x", labelsize=8)


def _draw_bar(axes: Axes, y: int, row: Importance) -> None:
    colour = _BAR if row.low > 0.0 else _WEAK
    axes.barh(y, row.share, height=0.55, color=colour, edgecolor=_BAR, linewidth=0.6)
    axes.plot([row.low, row.high], [y, y], color=_INK, linewidth=1.3, solid_capstyle="butt")

"""How many trials ended in each way, as bars."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ganray.report.style import AS_FILE, RUNNING, Look, Theme, make_figure, plain_axes
from ganray.trial import Ended, Outcome

_ROW, _BELOW = 0.34, 0.5  # inches
_HATCHES = {"healthy": None, "between": "////", "bad": "xxxx"}  # of what a full budget led to
_LETTER = 0.072  # inches, of labels


def count_outcomes(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many trials of the search ended in each way, `running` last; no zeros.

    Args:
        rows: of a summary.
    """
    counts = Counter(row["outcome"] or RUNNING for row in rows if row["phase"] != "confirm")
    return {name: counts[name] for name in [*Outcome, RUNNING] if counts[name]}


def count_endings(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How those of them ended that had their full budget: healthy, between or bad; no zeros."""
    counts = Counter(
        row["ending"]
        for row in rows
        if row["phase"] != "confirm" and row["outcome"] == Outcome.COMPLETED and row["ending"]
    )
    return {name: counts[name] for name in get_args(Ended) if counts[name]}


def outcome_bars(rows: Sequence[Mapping[str, Any]], name: str = "", look: Look = AS_FILE) -> Figure:
    """A bar an outcome; that of completed trials shows how these ended.

    Args:
        rows: of a summary.
        name: of the sweep, for the title.
        look: where the figure is to stand.
    """
    counts, endings = count_outcomes(rows), count_endings(rows)
    top = 0.4 if look.titled else 0.1
    height = top + _BELOW + _ROW * max(len(counts), 1)
    width = min(look.widest, 8.0)
    figure = make_figure(look, height, width)
    left = 0.1 + _LETTER * max([4, *map(len, counts)])
    place = (left / width, _BELOW / height, 1 - (left + 0.2) / width, 1 - (top + _BELOW) / height)
    axes = figure.add_axes(place)
    plain_axes(axes, look.theme)
    for index, outcome in enumerate(counts):
        split = endings if outcome == Outcome.COMPLETED else {}
        _draw_bar(axes, index, outcome, counts[outcome], split, look.theme)
    most = max([1, *counts.values()])
    room = 1.0 + 2.4 / (width - left)  # to the right of the longest bar, for its words
    axes.set(xlim=(0, most * room), ylim=(max(len(counts), 1) - 0.5, -0.5))
    axes.set_yticks(range(len(counts)), list(counts), fontsize=9, color=look.theme.ink)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("trials", fontsize=8, color=look.theme.quiet)
    if look.titled:
        title = f"{name}: how the trials ended" if name else "How the trials ended"
        style: dict[str, Any] = {"color": look.theme.ink, "fontsize": 13, "weight": "bold"}
        figure.text(0.1 / width, 1 - 0.28 / height, title, **style)
    return figure


def _draw_bar(
    axes: Axes, y: int, outcome: str, count: int, endings: Mapping[str, int], theme: Theme
) -> None:
    colour, start = theme.outcomes[outcome], 0
    parts = {**endings, "": count - sum(endings.values())}  # an old record may not tell all
    for ending, part in parts.items():
        if part:
            shape: dict[str, Any] = {"height": 0.62, "edgecolor": theme.page, "linewidth": 0.6}
            axes.barh(y, part, left=start, color=colour, hatch=_HATCHES.get(ending), **shape)
        start += part
    told = ", ".join(f"{part} {ending}" for ending, part in endings.items())
    words = f" {count}" + (f": {told}" if told else "")
    axes.text(count, y, words, color=theme.ink, fontsize=8.5, va="center")

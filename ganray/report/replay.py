"""A comparison as a picture: what each policy costs and brings, and when it acts."""

import io
from collections.abc import Sequence
from itertools import cycle
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ganray.tuning.replay.compare import Comparison
from ganray.tuning.replay.evaluate import Evaluation, Tally
from ganray.tuning.replay.truth import Kind

_SIZE = (13.0, 5.6)  # inches
_DPI = 130
_COLOURS = (  # of Okabe and Ito, told apart by colour-blind readers, too
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C00"),
)
_MARKERS = "osD^vP*X<>"
_Line = Literal["-", "--", ":"]
_LINES: tuple[_Line, ...] = ("-", "--", ":")
_Style = tuple[str, str, _Line]
_COLUMNS = 7  # of the legend
_LABEL_WIDTH, _LABEL_HEIGHT = 0.3, 0.042  # of a label, in shares of the axes


def draw(comparison: Comparison) -> bytes:
    """A PNG of all policies: on the left lost against saved, on the right caught over time."""
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    styles = _styles(comparison.evaluations)
    _trade(left, comparison, styles)
    _times(right, comparison, styles)
    figure.legend(
        handles=[
            Line2D([], [], color=colour, marker=marker, linestyle=line, label=evaluation.policy)
            for evaluation, (colour, marker, line) in zip(
                comparison.evaluations, styles, strict=True
            )
        ],
        loc="outside lower center",
        ncols=_COLUMNS,
        frameon=False,
        handlelength=3.0,
    )
    figure.suptitle(_title(comparison), fontsize=11)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _styles(evaluations: Sequence[Evaluation]) -> list[_Style]:
    """A colour, a marker and a kind of line for each policy, no two alike."""
    colours, markers = cycle(_COLOURS), cycle(_MARKERS)
    lines = (_LINES[i // len(_COLOURS) % len(_LINES)] for i in range(len(evaluations)))
    return [(next(colours), next(markers), line) for line in lines]


def _trade(axes: Axes, comparison: Comparison, styles: Sequence[_Style]) -> None:
    labels: list[tuple[float, float, str, str]] = []
    for evaluation, (colour, marker, _) in zip(comparison.evaluations, styles, strict=True):
        healthy, saving = evaluation.tallies[Kind.HEALTHY], evaluation.savings["bad_updates"]
        if healthy.share is None or saving is None:
            continue
        x, y = healthy.share, saving.net
        reach = saving.bootstrap
        # an interval of resamples need not hold the value itself where there are few settings
        yerr = None if reach is None else ([max(0.0, y - reach[0])], [max(0.0, reach[1] - y)])
        axes.errorbar(
            [x], [y], xerr=_reach(healthy), yerr=yerr, fmt=marker, color=colour, markersize=8,
            elinewidth=0.9, ecolor=(colour, 0.45),
        )  # fmt: skip
        labels.append((x, y, evaluation.policy, colour))
    for x, y, text, colour in _apart(labels):
        axes.text(x + 0.015, y, text, color=colour, fontsize=9, va="bottom")
    axes.set_xlabel("healthy trials stopped, with 95 % interval (less is better)")
    axes.set_ylabel("bad trials' updates saved, net of measuring (more is better)")
    axes.set_title("What it costs, what it brings", fontsize=10)
    axes.set_xlim(-0.03, 1.3)  # room for the labels
    axes.set_xticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_ylim(top=1.18)
    bottom = axes.get_ylim()[0]  # below 0 where measuring costs more than is saved
    axes.set_yticks([tick for tick in axes.get_yticks() if bottom <= tick < 1.01])
    _percent(axes)


def _times(axes: Axes, comparison: Comparison, styles: Sequence[_Style]) -> None:
    for evaluation, (colour, _, line) in zip(comparison.evaluations, styles, strict=True):
        total = evaluation.tallies[Kind.BAD].total
        at = sorted(d.share for d in evaluation.decisions if d.kind is Kind.BAD)
        if not total:
            continue
        x = [0.0, *at, 1.0]
        y = [*(i / total for i in range(len(at) + 1)), len(at) / total]
        axes.step(x, y, where="post", color=colour, linestyle=line, linewidth=1.6)
    axes.set_xlabel("share of the budget")
    axes.set_ylabel("bad trials stopped so far")
    axes.set_title("When bad trials are stopped", fontsize=10)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(-0.02, 1.02)
    _percent(axes)


def _apart(labels: Sequence[tuple[float, float, str, str]]) -> list[tuple[float, float, str, str]]:
    """Labels moved up until none lies on another that is to its left or right."""
    placed: list[tuple[float, float, str, str]] = []
    for x, wanted, text, colour in sorted(labels, key=lambda label: label[1]):
        y = wanted
        for other in sorted(placed, key=lambda label: label[1]):
            if abs(other[0] - x) < _LABEL_WIDTH and abs(other[1] - y) < _LABEL_HEIGHT:
                y = other[1] + _LABEL_HEIGHT
        placed.append((x, y, text, colour))
    return placed


def _reach(tally: Tally) -> tuple[list[float], list[float]] | None:
    if tally.wilson is None or tally.share is None:
        return None
    low, high = tally.wilson
    return [tally.share - low], [high - tally.share]


def _percent(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _title(comparison: Comparison) -> str:
    counts = ", ".join(
        f"{comparison.truth[kind]} {kind}" for kind in Kind if comparison.truth[kind]
    )
    bounds = "; counts and savings are lower bounds" if comparison.note else ""
    return f"{', '.join(comparison.sources)}: {counts}{bounds}"

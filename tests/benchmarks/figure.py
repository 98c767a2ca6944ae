"""One figure of what benchmarks found: an axes for each kind that there is."""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.gpu_host import WAYS, WORKLOADS
from tests.benchmarks.results import PART, Row, Rows
from tests.benchmarks.step import AIM
from tests.benchmarks.sweep import PARTS, SWEEPS

Draw = Callable[[Axes, Rows], None]

HEIGHT = 3.6  # inches of an axes
NAME = 0.24  # inches of a line with a name
COLOURS = dict(zip(PARTS, ("0.75", "C0", "C9", "C1", "C3", "0.9", "0.6"), strict=True))


def draw(rows: Rows) -> Figure:
    """All rows that have a place in it."""
    kinds = [(draw_it, those) for name, draw_it in KINDS.items() if (those := _of(rows, name))]
    heights = [_height(draw_it, those) for draw_it, those in kinds]
    figure = Figure(figsize=(7.0, max(sum(heights), HEIGHT)), layout="constrained")
    if kinds:
        all_axes = figure.subplots(len(kinds), squeeze=False, height_ratios=heights)[:, 0]
        for axes, (draw_it, those) in zip(all_axes, kinds, strict=True):
            draw_it(axes, those)
            axes.spines[["top", "right"]].set_visible(False)
    return figure


def _height(draw_it: Draw, rows: Rows) -> float:
    """Inches of an axes: one that names each of its rows takes a line for it."""
    return HEIGHT if draw_it is not _draw_step else max(HEIGHT, NAME * len(_by_hand(rows)))


def _of(rows: Rows, benchmark: str) -> Rows:
    return [row for row in rows if row.benchmark == benchmark]


def _draw_sweep(axes: Axes, rows: Rows) -> None:
    """A bar a way, of what its time went into."""
    parts = [row for row in rows if row.unit == PART]
    ways = list(dict.fromkeys(row.case.partition(": ")[0] for row in parts))[::-1]
    left = dict.fromkeys(ways, 0.0)
    for part in PARTS:
        found = {row.case.partition(": ")[0]: row.value for row in parts if row.case.endswith(part)}
        widths = [found[way] for way in ways]
        axes.barh(ways, widths, left=list(left.values()), color=COLOURS[part], label=part)
        left = {way: left[way] + found[way] for way in ways}
    axes.set(title=f"{rows[0].benchmark} trials: wall clock, s, and what it went into")
    axes.legend(
        frameon=False, fontsize=8, ncols=len(PARTS), loc="upper center", bbox_to_anchor=(0.5, -0.1)
    )


def _draw_step(axes: Axes, rows: Rows) -> None:
    """A dot a case, with its quartiles."""
    _dots(axes, _by_hand(rows)[::-1], " / by hand")
    axes.axvline(1.0, color="0.6", lw=1)
    axes.axvline(AIM, color="C3", lw=1, ls="--")
    axes.set(title="a pair of updates, times that of a loop by hand")


def _by_hand(rows: Rows) -> Rows:
    return [row for row in rows if row.case.endswith(" / by hand")]


def _draw_cost(axes: Axes, rows: Rows) -> None:
    """A dot a case, in its own unit."""
    those = [row for row in rows if row.unit != "x"][::-1]
    _dots(axes, those, "")
    axes.set(title=f"{rows[0].benchmark}, {those[0].unit}", xlim=(0.0, None))


def _draw_ratios(axes: Axes, rows: Rows) -> None:
    """A dot a case, times what it is compared with."""
    _dots(axes, [row for row in rows if row.unit == "x"][::-1], "")
    axes.set(title=f"{rows[0].benchmark}: times what stands behind the stroke", xlim=(0.0, None))


def _draw_search(axes: Axes, rows: Rows) -> None:
    """A line a study, of what asking costs as trials get more."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        study, _, rest = row.case.partition(": ")
        step, _, mark = rest.partition(", ")
        if step == "ask":
            found.setdefault(study, []).append((int(mark.split()[0]), row.value))
    for study, points in found.items():
        axes.plot(*zip(*sorted(points), strict=True), "o-", label=study)
    axes.set(title="asking for a trial, ms", xlabel="trials so far", xscale="log", yscale="log")
    marks = sorted({mark for points in found.values() for mark, _ in points})
    axes.set_xticks(marks, [str(mark) for mark in marks])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_gpu(axes: Axes, rows: Rows) -> None:
    """A line a way, of what it gets done as trials under way get more; of those in turns, a level.

    Ways have the same colours in all axes, whichever of them there are.
    """
    found: dict[str, dict[int, Row]] = {way: {} for way in WAYS}
    for row in rows:
        way, _, rest = row.case.partition(", K = ")
        if row.unit == "images/s":
            found[way][int(rest.partition(":")[0])] = row
    for colour, (way, its) in enumerate(found.items()):
        look = {"color": f"C{colour}", "label": way}
        sizes, those = sorted(its), [its[size] for size in sorted(its)]
        if those and WAYS[way].shares:
            values = [row.value for row in those]
            axes.errorbar(sizes, values, yerr=_spread(those), fmt="o-", ms=4, **look)
        elif those:
            axes.axhline(those[0].value, ls="--", lw=1, **look)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(title=f"{rows[0].benchmark}: images/s", xlabel="trials under way")
    if axes.has_data():
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _dots(axes: Axes, rows: Rows, without: str) -> None:
    names = [row.case.removesuffix(without) for row in rows]
    axes.errorbar([row.value for row in rows], names, xerr=_spread(rows), fmt="o", ms=4)
    axes.grid(axis="x", alpha=0.25)


def _spread(rows: Sequence[Row]) -> list[list[float]]:
    """As error bars want it, [2, N]."""
    return [[row.value - row.low for row in rows], [row.high - row.value for row in rows]]


KINDS: Mapping[str, Draw] = {
    **{f"sweep, {kind}": _draw_sweep for kind in SWEEPS},
    "step": _draw_step,
    "fused": _draw_ratios,
    "measure": _draw_ratios,
    "report": _draw_cost,
    "record": _draw_cost,
    **{f"summary, {kind}": _draw_ratios for kind in ("SQLite", "PostgreSQL")},
    "search": _draw_search,
    **{f"gpu, {workload}": _draw_gpu for workload in WORKLOADS},
}

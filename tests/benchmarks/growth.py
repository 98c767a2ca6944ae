"""What trials and reports cost as a sweep grows, by part: a table, a JSON file and one figure."""

import itertools
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.growth_runs import call

EDGES = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)  # of groups of trials
OF_STUDY = ("ask", "sampler", "report", "stock pruner", "finish")
OF_RECORDERS = ("MLflow queue", "status file")
PARTS = (*OF_STUDY, *OF_RECORDERS, "MLflow writer", "Tune and the rest")
PER_REPORT = ("report", "stock pruner")
WAITED_FOR = {
    "summary": "summary",
    "load": "resume: study",
    "tell all": "resume: what MLflow lacks",
}
Run = Mapping[str, Any]
Rows = list[dict[str, float]]


def growth(folder: Path | None, *, full: bool) -> None:
    """Run the sweeps one after another, print what they cost, and draw it.

    Args:
        folder: of the stores, the JSON file and the figure; None: a new one. On a file system in
            memory no disk is in the way.
        full: 1,000 trials through Tune and 10,000 replayed, instead of 100 and 1,000.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix="growth-"))
    plan = [("tune", 100, "random"), ("replay", 1_000, "random")]
    if full:
        plan = [("tune", 100, "random"), ("tune", 1_000, "random"), ("tune", 1_000, "tpe")]
        plan += [("replay", 10_000, "random")]
    runs: dict[str, Run] = {}
    for kind, trials, sampler in plan:
        name = f"{kind} {trials} {sampler}"
        place = folder / name.replace(" ", "-")
        place.mkdir(parents=True)
        runs[name] = call(kind, place, trials, sampler)
        tell(name, runs[name])
        (folder / "growth.json").write_text(json.dumps(runs))
    draw(runs).savefig(folder / "growth.png", dpi=150)
    print(f"\n{folder}/growth.png")


def costs(rows: Rows) -> dict[str, list[tuple[float, float]]]:
    """Of each part: groups of trials, by their geometric middle, and CPU ms a trial in them.

    What reports cost is told per report.
    """
    found: dict[str, list[tuple[float, float]]] = {part: [] for part in PARTS}
    edges = [edge for edge in EDGES if edge <= len(rows)]
    for start, end in itertools.pairwise(edges):
        spent = _difference(rows[start - 1], rows[end - 1])
        known = (*OF_STUDY, *OF_RECORDERS)
        spent["Tune and the rest"] = spent["driver"] - sum(spent.get(part, 0.0) for part in known)
        for part in PARTS:
            each = spent["reports"] if part in PER_REPORT else end - start
            found[part].append(((start * end) ** 0.5, 1_000.0 * spent.get(part, 0.0) / each))
    return found


def _difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {key: value - before.get(key, 0.0) for key, value in after.items()}


def tell(name: str, run: Run) -> None:
    """Print one run."""
    rows = run["rows"]
    found = costs(rows)
    print(f"\n{name}: CPU ms a trial (of reports: a report), by trials so far")
    print("  " + " " * 20 + "".join(f"{round(x):>9}" for x, _ in found["ask"]))
    for part, points in found.items():
        print(f"  {part:20}" + "".join(f"{value:9.2f}" for _, value in points))
    edges = [edge for edge in EDGES if edge <= len(rows)]
    memory = ", ".join(f"{rows[edge - 1]['rss']:.0f} at {edge:,}" for edge in edges)
    print(f"  driver's memory, MiB: {memory}")
    for trials, reading in run.get("readings", {}).items():
        told = ", ".join(f"{key} {value:.4g}" for key, value in reading.items())
        print(f"  read at {int(trials):,} trials (s, MiB): {told}", flush=True)


# --- figure ---------------------------------------------------------------------------------------


def draw(runs: Mapping[str, Run]) -> Figure:
    """CPU by part, a line a part of the replay and dots of Tune; what is waited for; memory."""
    figure = Figure(figsize=(14, 4.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.4, 1, 1))
    longest = {kind: _longest(runs, kind) for kind in ("tune", "replay")}
    _draw_costs(left, runs, longest)
    _draw_waits(middle, runs[longest["replay"]])
    for name, run in runs.items():
        rows = run["rows"]
        style = "-" if name.startswith("replay") else "--"
        right.plot([r["trials"] for r in rows], [r["rss"] for r in rows], style, label=_title(name))
    right.set(title="memory of the driver, MiB", xscale="log", ylim=(0, None))
    right.legend(frameon=False, fontsize=8)
    for axes in (left, middle, right):
        axes.set_xlabel("trials so far")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure


def _longest(runs: Mapping[str, Run], kind: str) -> str:
    names = [name for name in runs if name.startswith(kind) and name.endswith("random")]
    return max(names, key=lambda name: len(runs[name]["rows"]))


def _draw_costs(axes: Axes, runs: Mapping[str, Run], longest: Mapping[str, str]) -> None:
    replayed, tuned = (costs(runs[longest[kind]]["rows"]) for kind in ("replay", "tune"))
    for index, part in enumerate(PARTS):
        colour = f"C{index}"
        unit = "a report" if part in PER_REPORT else "a trial"
        if part != "Tune and the rest":
            axes.plot(*zip(*replayed[part], strict=True), color=colour, label=f"{part}, {unit}")
        label = f"{part}, {unit}" if part == "Tune and the rest" else None
        axes.plot(*zip(*tuned[part], strict=True), "o", ms=4, color=colour, label=label)
    probed = [
        (int(trials), 1_000.0 * reading["tpe sampler"])
        for trials, reading in runs[longest["replay"]]["readings"].items()
    ]
    axes.plot(*zip(*probed, strict=True), "k^--", label="sampler TPE, a trial")
    title = "CPU, ms: lines replayed, dots through Tune"
    axes.set(title=title, xscale="log", yscale="log")
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _draw_waits(axes: Axes, run: Run) -> None:
    readings = {int(trials): reading for trials, reading in run["readings"].items()}
    for key, label in WAITED_FOR.items():
        (line,) = axes.plot(
            list(readings), [r[f"{key}, CPU"] for r in readings.values()], "o-", label=label
        )
        axes.plot(list(readings), [r[key] for r in readings.values()], ":", color=line.get_color())
    axes.plot([], [], ":", color="grey", label="by the clock")
    axes.set(title="of the whole sweep, CPU seconds", xscale="log", yscale="log")
    axes.legend(frameon=False, fontsize=8)


def _title(name: str) -> str:
    kind, trials, sampler = name.split()
    how = "through Tune" if kind == "tune" else "replayed"
    return f"{int(trials):,} {how}, {sampler}"

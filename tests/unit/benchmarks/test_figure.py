"""The figure of benchmarks: a part for each that was run."""

import pytest

from tests.benchmarks.figure import draw
from tests.benchmarks.results import PART, Row
from tests.benchmarks.sweep import PARTS


def rows(benchmark: str, cases: dict[str, float], unit: str) -> list[Row]:
    return [
        Row(benchmark, case, value, 0.9 * value, 1.1 * value, unit) for case, value in cases.items()
    ]


SWEEP = rows(
    "sweep, short", {f"{way}: {p}": 1.0 for way in ("ganray", "Tune") for p in PARTS}, PART
)
STEP = rows("step", {"wgan / by hand": 1.0, "wgan": 2.0}, "x")
SEARCH = rows("search", {"tpe: ask, 10 trials": 3.0, "tpe: ask, 100 trials": 9.0}, "ms")


@pytest.mark.parametrize(
    ("found", "titles"),
    [
        ([], []),
        (STEP, ["a pair of updates, times that of a loop by hand"]),
        (
            [*STEP, *SWEEP, *SEARCH],
            [
                "sweep, short trials: wall clock, s, and what it went into",
                "a pair of updates, times that of a loop by hand",
                "asking for a trial, ms",
            ],
        ),
    ],
)
def test_each_benchmark_that_was_run_has_its_part(found: list[Row], titles: list[str]) -> None:
    assert [axes.get_title() for axes in draw(found).axes] == titles


@pytest.mark.parametrize("benchmark", ["measure", "fused", "summary, SQLite"])
def test_ratios_are_dots_beside_what_has_another_unit(benchmark: str) -> None:
    found = rows(benchmark, {"one / other": 0.5}, "x") + rows(benchmark, {"one": 7.0}, "s")
    (axes,) = draw(found).axes
    assert [tuple(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"] == [(0.5,)]


def test_bars_of_a_sweep_are_as_long_as_it_took() -> None:
    (axes,) = draw(SWEEP).axes
    ends = [patch.get_x() + patch.get_width() for patch in axes.patches]
    assert max(ends) == pytest.approx(len(PARTS))


def test_ways_on_a_gpu_are_lines_over_the_trials_under_way() -> None:
    ways = {"slots, graphs, K = 4": 4.0, "slots, graphs, K = 16": 9.0, "in turns, K = 1": 1.0}
    found = rows("gpu, DCGAN-28", {f"{of}: images/s": n for of, n in ways.items()}, "images/s")
    others = rows("gpu, DCGAN-28", {"fused, K = 1: refused": 1.0}, "failed")
    (axes,) = draw([*found, *others]).axes
    assert axes.get_title() == "gpu, DCGAN-28: images/s"
    lines = {tuple(line.get_ydata()) for line in axes.lines}
    assert {(4.0, 9.0), (1.0, 1.0)} <= lines
    assert set(axes.get_legend_handles_labels()[1]) == {"slots, graphs", "in turns"}


def test_where_no_way_has_numbers_there_is_nothing_to_see() -> None:
    (axes,) = draw(rows("gpu, DCGAN-28", {"slots, K = 1: out of memory": 1.0}, "failed")).axes
    assert not axes.has_data()

"""Numbers of benchmarks: how they are compared with each other and with those that are kept."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.results import WORSE, Row, load, ratios, regressions, row, save


def number(value: float, unit: str = "x", case: str = "a") -> Row:
    return Row("step", case, value, value, value, unit)


def test_a_row_is_the_median_of_its_runs_with_their_spread() -> None:
    assert row("step", "a", [3.0, 1.0, 2.0], "s") == Row("step", "a", 2.0, 1.0, 3.0, "s")


def test_ratios_are_taken_run_by_run() -> None:
    """Machines get slower from run to run: each way is compared with its neighbour."""
    found = ratios("step", {"ours": [1.0, 10.0, 4.0], "theirs": [2.0, 10.0, 2.0]}, "theirs")
    assert [each.case for each in found] == ["ours", "theirs", "ours / theirs"]
    assert (found[2].value, found[2].low, found[2].high) == (1.0, 0.5, 2.0)


@pytest.mark.parametrize(
    ("unit", "was", "now", "told"),
    [
        ("x", 1.0, 1.01 * WORSE, True),
        ("x", 1.0, 0.99 * WORSE, False),
        ("x", 1.0, 0.1, False),  # better
        ("share", 0.9, 0.9 / WORSE / 1.01, True),  # of a share, less is worse
        ("share", 0.5, 1.0, False),
        ("images/s", 100.0, 10.0, True),  # of a rate, too
        ("images/s", 10.0, 100.0, False),
        ("part", 1.0, 9.0, False),
        ("s", 0.0, 1.0, False),  # times nothing
    ],
)
def test_what_got_worse_is_told(unit: str, was: float, now: float, told: bool) -> None:
    lines = regressions([number(now, unit)], [number(was, unit)])
    assert bool(lines) is told
    assert all(line.startswith("step, a: ") for line in lines)


def test_what_was_not_there_before_is_no_regression() -> None:
    assert regressions([number(9.0, case="new")], [number(1.0, case="old")]) == []


def test_kept_numbers_are_replaced_case_by_case(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "machine.json"
    save([number(1.0, case="a"), number(2.0, case="b")], file)
    save([number(3.0, case="b")], file)
    assert load(file) == [number(1.0, case="a"), number(3.0, case="b")]


def test_the_command_is_kept_where_it_is_told(tmp_path: Path) -> None:
    save([number(1.0)], tmp_path / "a.json", "python -m it")
    assert json.loads((tmp_path / "a.json").read_text())["command"] == "python -m it"
    assert load(tmp_path / "a.json") == [number(1.0)]

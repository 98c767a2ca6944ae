"""The summary's table of trials: what stands in it, at any width and for any objective."""

from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from ganray.cli import tables
from ganray.summary import Frame, confirmation, summarize

GOOD = [0.1, 0.004, None, 0.996, None]  # of the trials of `recorded`


@pytest.fixture
def frame(recorded: str, monkeypatch: pytest.MonkeyPatch) -> Frame:
    """The sweep that `print_summary` prints: `recorded`, whose data have modes."""
    found = summarize("recorded", recorded)
    found["high_quality"] = pd.array(GOOD, dtype="Float64")
    nothing_confirmed = confirmation("recorded", recorded)
    monkeypatch.setattr(tables, "summarize", lambda *_: found)
    monkeypatch.setattr(tables, "confirmation", lambda *_: nothing_confirmed)
    return found


@pytest.fixture
def lines(frame: Frame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What is printed of it, on a terminal of a width."""

    def show(width: int = 200) -> list[str]:
        monkeypatch.setattr(tables, "open_console", lambda: Console(width=width))
        tables.print_summary("recorded", None)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return show


def best(shown: list[str]) -> str:
    (line,) = [line for line in shown if line.startswith("Best: ")]
    return line


def test_share_of_good_samples_stands_beside_the_modes_and_in_the_best_line(lines: Any) -> None:
    shown = lines()
    head = ["trial", "outcome", "at", "distance", "modes", "good", "JS/log", "2", "settings"]
    assert shown[1].split() == head
    assert [line.split()[5] for line in shown[2:5]] == ["100%", "10%", "0%"]
    assert shown[5].split()[3:7] == ["–", "–", "–", "–"]  # a trial that measured nothing
    assert "good: share of its samples that are near a mode." in shown[7]
    assert best(shown) == (
        "Best: trial 3, distance 0.125, 8 effective modes, 8 covered, 100% good samples"
    )


def test_nothing_is_said_of_good_samples_where_the_data_have_no_modes(
    frame: Frame, lines: Any
) -> None:
    frame["high_quality"] = None
    shown = lines()
    assert "good" not in shown[1].split()
    assert "good: " not in "\n".join(shown)
    assert "good" not in best(shown)


@pytest.mark.parametrize(
    ("objective", "table", "told"),
    [
        ("modes", "modes good", "modes 8, 8 covered, 100% good samples"),
        (
            "modes_covered",
            "modes_covered modes good",
            "modes_covered 8, 8 effective modes, 100% good samples",
        ),
        ("high_quality", "high_quality modes", "high_quality 8, 8 effective modes, 8 covered"),
    ],
)
def test_objective_that_is_a_column_of_its_own_is_told_once(
    objective: str, table: str, told: str, frame: Frame, lines: Any
) -> None:
    frame["objective"] = frame["modes"]
    frame.attrs |= {"objective": objective, "direction": "max"}
    shown = lines()
    assert shown[1].split()[3:-3] == table.split()
    assert best(shown) == f"Best: trial 3, {told}"


def test_objective_of_no_modes_is_a_number(frame: Frame, lines: Any) -> None:
    frame["modes"] = frame["objective"] = 0.0
    frame.attrs |= {"objective": "modes", "direction": "max"}
    shown = lines()
    assert shown[2].split()[3] == "0"
    assert " modes 0, " in best(shown)


def test_narrow_terminal_shows_settings_that_tell_trials_apart(lines: Any) -> None:
    printed = lines(80)
    shown = printed[printed.index("trial  outcome      at  distance  modes  good  settings") :]
    assert shown[1].startswith("    3  completed  100%     0.125      8  100%  loss=hinge d_lr=1")
    assert "JS/log 2" not in "\n".join(shown)
    settings = [line[line.index("loss=") :] for line in shown[1:6]]
    assert len(set(settings)) == len(settings)
    assert max(map(len, shown[:6])) <= 80

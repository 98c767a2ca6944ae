"""The board on a terminal of any width, and in a pipe: nothing is lost, nothing but text comes."""

import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rich.console import Console

from ganray.cli import live
from ganray.cli.board import Board
from ganray.cli.live import LineBoard, LiveBoard, open_board
from ganray.tracking.recorder import TrialRecord
from ganray.trial import LOG_2, Ending, Outcome, State, Verdict, now_ms
from tests.conftest import STARTED, signals_at, sweep_record

SEARCHED = {"loss": "wgan", "d_lr": 0.0012345, "d_steps": 5, "weight_clip": 0.01, "g_lr": 1e-4}
WIDTHS = [60, 80, 200]


def half_way(board: Board) -> None:
    """Seven trials that ended, each in its way, one that has reported and one that has not."""
    board.start_sweep(sweep_record())
    for number, outcome in enumerate(Outcome):
        board.start_trial(TrialRecord(number=number, params={}, searched=SEARCHED, started=STARTED))
        objective = 0.25 if outcome is Outcome.COMPLETED else None
        reason = f"because {outcome}" if outcome is not Outcome.COMPLETED else ""
        board.end_trial(
            Ending(
                number=number, outcome=outcome, at=now_ms() + 1, objective=objective, reason=reason
            )
        )
    for number in (7, 8):
        board.start_trial(TrialRecord(number=number, params={}, searched=SEARCHED, started=STARTED))
    signals = signals_at(40, modes=6.5, js=LOG_2 / 4, distance=0.125)
    board.report(7, signals, Verdict(State.HEALTHY), STARTED)


@contextmanager
def on_terminal(width: int) -> Iterator[tuple[Board, io.StringIO]]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=50, color_system=None)
    board = open_board(console)
    assert isinstance(board, LiveBoard)
    try:
        yield board, out
    finally:
        board.close()


@contextmanager
def in_pipe(width: int = 80) -> Iterator[tuple[Board, io.StringIO]]:
    out = io.StringIO()
    board = open_board(Console(file=out, width=width))
    assert isinstance(board, LineBoard)
    try:
        yield board, out
    finally:
        board.close()


def last_frame(out: io.StringIO) -> list[str]:
    """The lines of the last drawing, without the codes that place it."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", out.getvalue())
    start = max(text.rfind("ring  "), text.rfind("starting"))
    return [line.rstrip() for line in text[start:].splitlines()]


# --- terminal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_terminal_shows_counts_best_and_time_left(width: int) -> None:
    with on_terminal(width) as (board, out):
        half_way(board)
    frame = last_frame(out)
    assert re.fullmatch(r"ring  7/10 trials  0:0\d, 0:0\d left", frame[0])
    counts = " ".join(frame[1:4])
    assert all(f"1 {outcome}" in counts for outcome in Outcome)
    best = next(line for line in frame if line.startswith("best: "))
    assert best.startswith("best: trial 0, distance 0.25, loss=wgan")


@pytest.mark.parametrize("width", WIDTHS)
def test_terminal_shows_a_row_for_each_running_trial(width: int) -> None:
    with on_terminal(width) as (board, out):
        half_way(board)
    frame = last_frame(out)
    head = next(index for index, line in enumerate(frame) if line.startswith("trial"))
    for name in ("budget", "state", "modes", "JS/log 2", "distance"):
        assert name in frame[head]
    reported, waiting = frame[head + 1].split(), frame[head + 2].split()
    assert reported[:6] == ["7", "40%", "healthy", "6.5", "25%", "0.12"]
    assert waiting[:2] == ["8", "0%"]
    assert frame[head + 2].count("–") == 3
    assert "warming up" in frame[head + 2]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    with on_terminal(width) as (board, out):
        half_way(board)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= width


def test_wide_terminal_shows_all_settings() -> None:
    with on_terminal(200) as (board, out):
        half_way(board)
    settings = "loss=wgan d_lr=0.00123 d_steps=5 weight_clip=0.01 g_lr=0.0001"
    assert sum(settings in line for line in last_frame(out)) == 3


@pytest.mark.parametrize(("width", "is_shown"), [(80, False), (100, True)])
def test_wide_terminal_shows_the_share_of_good_samples_where_data_have_modes(
    width: int, is_shown: bool
) -> None:
    with on_terminal(width) as (board, out):
        half_way(board)
        assert " good " not in "\n".join(last_frame(out))
        signals = signals_at(60, modes=6.5, high_quality=0.1, js=LOG_2 / 4, distance=0.125)
        board.report(7, signals, Verdict(State.HEALTHY), STARTED)
    frame = last_frame(out)
    head = next(index for index, line in enumerate(frame) if line.startswith("trial"))
    assert ("good" in frame[head].split(), "10%" in frame[head + 1].split()) == (is_shown, is_shown)


@pytest.mark.parametrize("width", WIDTHS)
def test_terminal_says_that_it_stops_and_guesses_no_time_left(width: int) -> None:
    with on_terminal(width) as (board, out):
        half_way(board)
        board.hurry(20.0)
    frame = last_frame(out)
    assert re.fullmatch(r"ring  7/10 trials  0:0\d", frame[0])
    told = next(index for index, line in enumerate(frame) if line.startswith("stopping: "))
    assert " ".join(frame[told : told + 1 + (width < 80)]) == live.STOPPING


def test_terminal_says_that_it_stops_before_the_sweep_has_begun() -> None:
    with on_terminal(80) as (board, out):
        board.hurry(20.0)
    assert "stopping … 0:0" in out.getvalue()


def test_terminal_keeps_a_line_for_each_trial_that_was_lost() -> None:
    with on_terminal(80) as (board, out):
        half_way(board)
    for number, outcome in enumerate(Outcome):
        line = f"trial {number} {outcome}: because {outcome}"
        assert (line in out.getvalue()) is (outcome is not Outcome.COMPLETED)


@pytest.mark.parametrize("show", [lambda: on_terminal(80), in_pipe], ids=["terminal", "pipe"])
def test_trials_of_the_past_get_no_line(show: Callable[[], Any]) -> None:
    with show() as (board, out):
        board.start_sweep(sweep_record())
        for number, at in ((0, STARTED), (1, now_ms() + 1)):
            board.start_trial(
                TrialRecord(number=number, params={}, searched=SEARCHED, started=STARTED)
            )
            board.end_trial(
                Ending(number=number, outcome=Outcome.STALLED, at=at, reason=f"by {number}")
            )
    assert ("by 0" in out.getvalue(), "by 1" in out.getvalue()) == (False, True)


def test_terminal_shows_that_it_starts() -> None:
    with on_terminal(80) as (_, out):
        pass
    assert last_frame(out)[0].startswith("starting … 0:0")


def test_terminal_shows_no_best_before_a_trial_completed() -> None:
    with on_terminal(80) as (board, out):
        board.start_sweep(sweep_record())
        board.start_trial(TrialRecord(number=0, params={}, searched=SEARCHED, started=STARTED))
    frame = last_frame(out)
    assert re.fullmatch(r"ring  0/10 trials  0:0\d", frame[0])  # nor a guess of the time left
    assert not [line for line in frame if "best" in line]


def test_terminal_shows_how_far_the_confirmation_is() -> None:
    with on_terminal(80) as (board, out):
        board.start_sweep(sweep_record(confirming=15))
        board.start_confirming(15)
        confirm(board, 10, 11)
    frame = last_frame(out)
    assert frame[0].startswith("ring  confirming 1/15 trials  0:0")
    assert any(line.split()[:2] == ["11", "0%"] for line in frame)
    assert "nothing to confirm" not in out.getvalue()


def confirm(board: Board, ended: int, running: int) -> None:
    for number in (ended, running):
        record = TrialRecord(
            number=number, params={}, searched=SEARCHED, started=STARTED, confirms=3
        )
        board.start_trial(record)
    board.end_trial(
        Ending(number=ended, outcome=Outcome.COMPLETED, at=now_ms() + 1, objective=0.25)
    )


def test_terminal_says_that_there_is_nothing_to_confirm() -> None:
    with on_terminal(80) as (board, out):
        board.start_sweep(sweep_record(confirming=15))
        board.start_confirming(0)
    assert "nothing to confirm: no trial completed" in out.getvalue()


def test_terminal_is_left_as_it_was() -> None:
    with on_terminal(80) as (board, out):
        half_way(board)
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1  # cursor


# --- pipe -----------------------------------------------------------------------------------------


def test_pipe_gets_a_line_for_what_starts_ends_and_is_done() -> None:
    with in_pipe() as (board, out):
        half_way(board)
        board.end_sweep({}, cancelled=False)
    lines = [re.sub(r"^\[0:0\d\] ", "", line) for line in out.getvalue().splitlines()]
    assert lines[0] == "ring: 10 trials of 100 updates"
    assert lines[1] == "1/10  trial 0 completed, distance 0.25"
    assert lines[2] == "2/10  trial 1 collapsed: because collapsed"
    assert lines[8] == (
        "done: 1 completed, 1 collapsed, 1 stalled, 1 diverged, 1 outranked, 1 crashed, 1 cancelled"
    )
    assert len(lines) == 9


def test_pipe_is_told_of_the_confirmation() -> None:
    with in_pipe() as (board, out):
        board.start_sweep(sweep_record(confirming=15))
        board.start_confirming(15)
        confirm(board, 10, 11)
        board.start_confirming(0)
    lines = [re.sub(r"^\[0:0\d\] ", "", line) for line in out.getvalue().splitlines()]
    assert lines == [
        "ring: 10 trials of 100 updates, then up to 15 that confirm the best",
        "confirming the best with fresh seeds: 15 trials",
        "confirming 1/15  trial 10 completed, distance 0.25",
        "nothing to confirm: no trial completed",
    ]


def test_pipe_is_told_that_the_sweep_was_stopped() -> None:
    with in_pipe() as (board, out):
        board.start_sweep(sweep_record())
        board.end_sweep({}, cancelled=True)
    assert not [thread for thread in threading.enumerate() if thread.name == "ganray-heartbeat"]
    assert out.getvalue().splitlines()[-1].endswith("stopped: no trial ended yet")


def test_pipe_gets_text_only() -> None:
    with in_pipe() as (board, out):
        half_way(board)
        board.start_trial(TrialRecord(number=9, params={}, searched=SEARCHED, started=STARTED))
        reason = "Traceback:\r\nRuntimeError: \x1b[31mred\x1b[0m [bold]markup[/bold]"
        board.end_trial(Ending(number=9, outcome=Outcome.CRASHED, at=now_ms() + 1, reason=reason))
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out.getvalue()) == []
    assert "[bold]markup[/bold]" in out.getvalue()
    assert out.getvalue().count("\n") == 9  # an ending is one line


def test_lines_of_a_pipe_are_not_broken() -> None:
    with in_pipe(width=40) as (board, out):
        board.start_sweep(sweep_record())
        board.start_trial(TrialRecord(number=0, params={}, searched=SEARCHED, started=STARTED))
        reason = "few modes since update 5000: modes 1.0, JS 30% of log 2, distance 0.80"
        board.end_trial(Ending(number=0, outcome=Outcome.COLLAPSED, at=now_ms() + 1, reason=reason))
    assert out.getvalue().splitlines()[1].endswith(f"1/10  trial 0 collapsed: {reason}")


def test_pipe_gets_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.0)
    with in_pipe(width=200) as (board, out):
        half_way(board)
        deadline = time.monotonic() + 5.0
        while "trial 7" not in out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
    (beat,) = [line for line in out.getvalue().splitlines() if "trial 7" in line][:1]
    assert re.fullmatch(
        r"\[0:0\d\] 7/10  trial 7 40% modes 6.5 JS 25%, trial 8 0%(  0:0\d left)?", beat
    )


def test_pipe_is_told_once_that_the_sweep_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.05)
    with in_pipe() as (board, out):
        half_way(board)
        for _ in range(2):  # by the signal, and by the sweep's end
            board.hurry(20.0)
        deadline = time.monotonic() + 5.0
        while "trial 8 0%" not in out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    stopped = out.getvalue().partition(live.STOPPING)[2]
    assert "trial 8 0%" in stopped
    assert live.STOPPING not in stopped
    assert " left" not in stopped


def test_whoever_draws_may_hold_the_lock_when_a_signal_comes() -> None:
    board = Board()
    with board.lock:
        board.hurry(20.0)
    assert board.stopping

"""What a sweep looks like while it runs, as numbers: counts, the best so far, the time left."""

import pytest

from ganray.cli.board import (
    Board,
    show_js,
    show_modes,
    show_number,
    show_settings,
    show_time,
    show_value,
)
from ganray.tracking.recorder import TrialRecord
from ganray.trial import LOG_2, Ending, Outcome, State, Verdict, now_ms
from tests.conftest import STARTED, signals_at, sweep_record


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def start(board: Board, number: int) -> None:
    board.start_trial(
        TrialRecord(number=number, params={}, searched={"loss": "hinge"}, started=STARTED)
    )


def end(board: Board, number: int, outcome: Outcome, objective: float | None = None) -> None:
    at = now_ms() + 1  # after it was opened
    board.end_trial(Ending(number=number, outcome=outcome, at=at, objective=objective))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(clock)


def test_board_knows_nothing_before_the_sweep_starts(board: Board, clock: Clock) -> None:
    clock.now += 3.0
    assert (board.sweep, board.finished, board.best, board.elapsed) == (None, 0, None, 3.0)
    assert board.seconds_left() is None


def test_trials_are_running_until_they_end(board: Board) -> None:
    board.start_sweep(sweep_record())
    for number in (0, 1, 2):
        start(board, number)
    assert list(board.running) == [0, 1, 2]
    end(board, 1, Outcome.COLLAPSED)
    end(board, 0, Outcome.COMPLETED, 0.5)
    assert list(board.running) == [2]
    assert board.outcomes == {Outcome.COLLAPSED: 1, Outcome.COMPLETED: 1}
    assert board.finished == 2


def test_running_trial_shows_its_last_report(board: Board) -> None:
    board.start_sweep(sweep_record())
    start(board, 0)
    running = board.running[0]
    assert (running.signals, running.state, board.progress(running)) == (
        None,
        State.WARMING_UP,
        0.0,
    )
    board.report(0, signals_at(10), Verdict(State.WARMING_UP), STARTED)
    board.report(0, signals_at(40, modes=2.0), Verdict(State.SUSPECT), STARTED)
    assert running.signals == signals_at(40, modes=2.0)
    assert running.state is State.SUSPECT
    assert board.progress(running) == 0.4


@pytest.mark.parametrize(("direction", "best"), [("min", (2, 0.2)), ("max", (0, 0.5))])
def test_best_is_that_of_the_completed_trials(
    direction: str, best: tuple[int, float], board: Board
) -> None:
    board.start_sweep(sweep_record(direction=direction))
    results = [
        (Outcome.COMPLETED, 0.5),
        (Outcome.COLLAPSED, 0.1 if direction == "min" else 0.9),
        (Outcome.COMPLETED, 0.2),
        (Outcome.COMPLETED, 0.3),
        (Outcome.CRASHED, None),
    ]
    for number, (outcome, objective) in enumerate(results):
        start(board, number)
        end(board, number, outcome, objective)
    assert board.best is not None
    assert (board.best[0].number, board.best[1]) == best


def test_time_left_is_guessed_from_what_is_through(board: Board, clock: Clock) -> None:
    clock.now += 60.0  # starting Ray is no part of the sweep's pace
    board.start_sweep(sweep_record(trials=4))
    start(board, 0)
    start(board, 1)
    clock.now += 10.0
    board.report(0, signals_at(50), Verdict(State.HEALTHY), STARTED)
    assert board.seconds_left() is None  # no trial has ended
    end(board, 1, Outcome.COLLAPSED)
    assert board.seconds_left() == pytest.approx(10.0 * 2.5 / 1.5)
    end(board, 0, Outcome.COMPLETED, 0.5)
    assert board.seconds_left() == pytest.approx(10.0)
    for number in (2, 3):
        start(board, number)
        end(board, number, Outcome.COMPLETED, 0.5)
    assert board.seconds_left() == 0.0


def test_past_of_a_sweep_that_goes_on_counts_but_not_for_its_pace(
    board: Board, clock: Clock
) -> None:
    board.start_sweep(sweep_record(trials=8))
    for number, outcome in enumerate((Outcome.COMPLETED, Outcome.CANCELLED, Outcome.STALLED)):
        start(board, number)
        board.end_trial(Ending(number=number, outcome=outcome, at=STARTED, objective=0.5))
    assert (board.count, board.seconds_left()) == ("3/8", None)
    assert board.best is not None
    start(board, 1)  # the one that was cancelled
    assert board.outcomes == {Outcome.COMPLETED: 1, Outcome.STALLED: 1}
    clock.now += 10.0
    end(board, 1, Outcome.COMPLETED, 0.25)
    assert board.count == "3/8"
    assert board.seconds_left() == pytest.approx(50.0)  # five more, at ten seconds each


def test_trial_that_is_told_twice_counts_once(board: Board) -> None:
    board.start_sweep(sweep_record())
    for _ in range(2):
        start(board, 0)
        end(board, 0, Outcome.COMPLETED, 0.5)
    assert (board.finished, board.outcomes) == (1, {Outcome.COMPLETED: 1})


def test_confirming_trials_are_counted_by_themselves_and_are_never_the_best(board: Board) -> None:
    board.start_sweep(sweep_record(trials=2, confirming=4))
    for number in (0, 1):
        start(board, number)
        end(board, number, Outcome.COMPLETED, 0.5 - 0.1 * number)
    assert board.count == "2/2"
    board.start_confirming(2)
    assert board.count == "confirming 0/2"
    for number in (2, 3):
        board.start_trial(
            TrialRecord(number=number, params={}, searched={}, started=STARTED, confirms=1)
        )
    end(board, 2, Outcome.COMPLETED, 0.01)
    assert board.count == "confirming 1/2"
    assert board.best is not None
    assert board.best[0].number == 1
    assert (board.finished, list(board.running)) == (3, [3])


def test_time_left_has_the_confirming_trials_in_it(board: Board, clock: Clock) -> None:
    board.start_sweep(sweep_record(trials=2, confirming=4))
    start(board, 0)
    clock.now += 10.0
    end(board, 0, Outcome.COMPLETED, 0.5)
    assert board.seconds_left() == pytest.approx(50.0)
    start(board, 1)
    clock.now += 10.0
    end(board, 1, Outcome.COLLAPSED)
    board.start_confirming(2)  # fewer completed than were to be confirmed
    assert board.seconds_left() == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00"),
        (5.4, "0:05"),
        (65, "1:05"),
        (3599.6, "1:00:00"),
        (7384, "2:03:04"),
        (-65, "−1:05"),
        (-0.4, "0:00"),
    ],
)
def test_time_is_shown_in_minutes_and_hours(seconds: float, shown: str) -> None:
    assert show_time(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1e-5, "1e-05"), (0.123456, "0.123"), (5, "5"), ("hinge", "hinge"), (1.0, "1")],
)
def test_value_is_shown_in_few_characters(value: object, shown: str) -> None:
    assert show_value(value) == shown


def test_settings_leave_out_what_is_off() -> None:
    shown = show_settings({"loss": "wgan", "d_lr": 0.0012345, "weight_clip": None, "d_steps": 5})
    assert shown == "loss=wgan d_lr=0.00123 d_steps=5"


@pytest.mark.parametrize(
    ("js", "shown"), [(None, "–"), (0.0, "0%"), (LOG_2, "100%"), (LOG_2 / 4, "25%")]
)
def test_js_is_shown_as_a_share_of_log_2(js: float | None, shown: str) -> None:
    assert show_js(js) == shown


def test_number_that_is_not_there_is_a_dash() -> None:
    assert [show_number(None), show_number(0.12345), show_number(7.96, 2)] == ["–", "0.123", "8"]


@pytest.mark.parametrize(("modes", "shown"), [(None, "–"), (0.0, "–"), (1.0, "1"), (7.94, "7.9")])
def test_modes_that_cannot_be_counted_are_a_dash(modes: float | None, shown: str) -> None:
    assert show_modes(modes) == shown

"""The first Ctrl-C or SIGTERM ends a sweep in order, the second at once."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from ganray.tuning.interrupts import Interrupts

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # handlers run between two instructions


@BOTH
def test_signal_is_an_interrupt_and_whoever_waits_hurries(number: signal.Signals) -> None:
    hurried: list[bool] = []
    before = signal.getsignal(number)
    with Interrupts(lambda: hurried.append(True)).caught():
        with pytest.raises(KeyboardInterrupt):
            send(number)
        with pytest.raises(KeyboardInterrupt):
            send(number)
    assert hurried == [True]
    assert signal.getsignal(number) is before


@BOTH
def test_tune_takes_the_first_signal_and_not_the_second(number: signal.Signals) -> None:
    told: list[int] = []
    interrupts = Interrupts(lambda: None)
    with interrupts.caught():
        with interrupts.by_tune():
            signal.signal(signal.SIGUSR1, lambda number, frame: told.append(number))
            send(number)
            assert told == [signal.SIGUSR1]
            with pytest.raises(KeyboardInterrupt):
                send(number)
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_signal_that_is_held_waits_and_the_second_does_not() -> None:
    hurried: list[bool] = []
    interrupts = Interrupts(lambda: hurried.append(True))
    with interrupts.caught():
        with interrupts.held():
            send(signal.SIGINT)
            assert hurried == [True]
            with pytest.raises(KeyboardInterrupt):
                send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_signal_that_tune_took_too_late_ends_the_sweep_before_its_next_phase() -> None:
    interrupts = Interrupts(lambda: None)
    interrupts.check()
    with interrupts.caught(), interrupts.by_tune():
        signal.signal(signal.SIGUSR1, lambda number, frame: None)
        send(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()


def test_signal_before_tune_is_up_ends_the_sweep_all_the_same() -> None:
    interrupts = Interrupts(lambda: None)
    with interrupts.caught(), interrupts.by_tune(), pytest.raises(KeyboardInterrupt):
        send(signal.SIGTERM)


def test_nothing_is_caught_beside_the_main_thread() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def elsewhere() -> None:
        interrupts = Interrupts(lambda: None)
        with interrupts.caught(), interrupts.by_tune():
            seen.append(signal.getsignal(signal.SIGTERM) is before)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [True]

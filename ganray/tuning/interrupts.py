"""Ctrl-C and SIGTERM: the first ends a sweep in order, the second at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TUNE = signal.SIGUSR1  # ends a Tune experiment in order, as Ctrl-C would by Tune's own handler


class Interrupts:
    """Catches both signals; where there is no main thread to do it, nothing is caught.

    Args:
        hurry: called at the first signal, in its handler: what waits should not wait for long now.
    """

    def __init__(self, hurry: Callable[[], None]) -> None:
        self._hurry = hurry
        self._happened = False
        self._tune_runs = False
        self._waits = False

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Within it a signal is a KeyboardInterrupt, but for the first one while Tune runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def happened(self) -> bool:
        """Whether a signal came, also one that Tune has taken."""
        return self._happened

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal waits, or came when Tune was at its end."""
        if self._happened:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within it the first signal waits for `check`; the second is a KeyboardInterrupt."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False

    @contextlib.contextmanager
    def by_tune(self) -> Iterator[None]:
        """Within it the first signal ends the Tune experiment that runs."""
        self._tune_runs = True
        try:
            yield
        finally:
            self._tune_runs = False
            if threading.current_thread() is threading.main_thread():
                signal.signal(_TUNE, signal.SIG_DFL)  # Tune leaves its handler behind

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        first, self._happened = not self._happened, True
        if first:
            self._hurry()
        if first and self._waits:
            return
        # before Tune is up, its signal would kill this process
        if first and self._tune_runs and signal.getsignal(_TUNE) is not signal.SIG_DFL:
            os.kill(os.getpid(), _TUNE)
        else:
            raise KeyboardInterrupt

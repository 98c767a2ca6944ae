"""Processes that train for `tests.benchmarks.gpu`: what kills or breaks one spoils no other cell.

Needs torch and numpy alone.
"""

import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from torch import multiprocessing

from tests.benchmarks.gpu_host import Host

STARTS_WITHIN = 60.0  # seconds
ENDS_WITHIN = 5.0


class CellError(RuntimeError):
    """A cell has no numbers, for this reason."""


class Failure(NamedTuple):
    """What a process answers in place of what it was asked for."""

    reason: str
    is_usable: bool  # whether the process can be asked again


class Crew:
    """Processes with a `Host` each, which are asked the same at the same time.

    Args:
        size: how many.
        device: `cuda` or `cpu`.

    Attributes:
        device: its name.
        startup: seconds until all of them were there, with torch and the device.
        is_usable: whether they can be asked again.

    Raises:
        CellError: they do not start.
    """

    def __init__(self, size: int, device: str) -> None:
        began = time.perf_counter()
        self.is_usable = True
        context = multiprocessing.get_context("spawn")
        pipes = [context.Pipe() for _ in range(size)]
        self._lines: list[Connection] = [here for here, _ in pipes]
        self._processes = [
            context.Process(target=serve, args=(there, device, place), daemon=True)
            for place, (_, there) in enumerate(pipes)
        ]
        for process, (_, there) in zip(self._processes, pipes, strict=True):
            process.start()
            there.close()  # so that its end is heard here
        try:
            self.device: str = self._answers(STARTS_WITHIN)[0]
        except CellError:
            self.close()
            raise
        self.startup = time.perf_counter() - began

    def ask(self, method: str, *arguments: object, within: float) -> list[Any]:
        """Have all of them call a method of their hosts.

        Args:
            method: its name.
            arguments: of it.
            within: seconds that all of them have.

        Returns:
            What each gave back.

        Raises:
            CellError: one failed, died or took too long.
        """
        for line in self._lines:
            with suppress(OSError):  # it died: there is no answer from it
                line.send((method, arguments))
        return self._answers(within)

    def close(self) -> None:
        """End them, those that hang, too."""
        for line in self._lines:
            line.close()  # which ends who waits for a question
        for process in self._processes:
            process.join(ENDS_WITHIN if self.is_usable else 0.0)
            process.kill()
            process.join()
        self.is_usable = False

    def _answers(self, within: float) -> list[Any]:
        until = time.monotonic() + within
        answers = [_answer(line, until) for line in self._lines]
        failures = [answer for answer in answers if isinstance(answer, Failure)]
        if failures:
            self.is_usable = all(failure.is_usable for failure in failures)
            raise CellError(failures[0].reason)
        return answers


def _answer(line: Connection, until: float) -> Any:
    try:
        if line.poll(max(0.0, until - time.monotonic())):
            return line.recv()
    except (EOFError, OSError):
        return Failure("a process died", is_usable=False)
    return Failure("it took too long", is_usable=False)


def serve(line: Connection, device: str, place: int) -> None:
    """What a process of a crew does: answer, until nobody is there any more.

    Args:
        line: to who asks.
        device: of the host.
        place: of the process in its crew.
    """
    host = Host(device, place)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        line.send(host.name)
        while True:
            method, arguments = line.recv()
            line.send(_tried(host, method, arguments))


def _tried(host: Host, method: str, arguments: tuple[object, ...]) -> Any:
    try:
        return getattr(host, method)(*arguments)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    try:  # now that no traceback holds what it took
        host.clear()
    except Exception:
        return Failure(reason, is_usable=False)  # an error that stays with the device
    return Failure(reason, is_usable=True)

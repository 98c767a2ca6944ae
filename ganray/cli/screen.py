"""The streams: results go to stdout, for people or into a pipe; notes go to stderr."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 1_000  # columns where there is no terminal: a row of a table is one line


def open_console(*, highlight: bool = True) -> "Console":
    """A console on stdout, as wide as the terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=highlight)


def warn(file: object, texts: Iterable[object]) -> None:
    """Tell what a sweep file may say, but hardly means."""
    for text in texts:
        tell(f"ganray: warning: {file}: {text}")


def tell(text: str) -> None:
    """Say something that is no result."""
    print(text, file=sys.stderr)


@contextmanager
def working(what: str, *, aloud: bool = False) -> Iterator[None]:
    """A sign of life on a terminal while something takes long.

    Args:
        what: is being done, such as `reading ring-8`.
        aloud: whether it is told as a line where there is no terminal; else nothing is.
    """
    if not sys.stderr.isatty():
        if aloud:
            tell(f"{what} …")
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} …", spinner_style="dim"):
        yield

"""The streams: results go to stdout, for people or into a pipe; notes go to stderr."""

import sys
from collections.abc import Iterable

from rich.console import Console

PIPE_WIDTH = 120  # columns, where there is no terminal to ask


def open_console(*, highlight: bool = True) -> Console:
    """A console on stdout, as wide as the terminal."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=highlight)


def warn(file: object, texts: Iterable[object]) -> None:
    """Tell what a sweep file may say, but hardly means."""
    for text in texts:
        tell(f"ganray: warning: {file}: {text}")


def tell(text: str) -> None:
    """Say something that is no result."""
    print(text, file=sys.stderr)

"""What went wrong, on stderr: a block to read on a terminal, a line a problem anywhere else."""

import re
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from ganray.errors import GanrayError, SpecError
from ganray.secrets import redact

if TYPE_CHECKING:
    from rich.text import Text

NAME = "ganray: "
INDENT = "  "
_COMMAND = re.compile(r"`[^`\n]+`")
_GAP = "\0"  # in place of the blanks of a command


def fail(error: GanrayError) -> NoReturn:
    """Tell an error, and end with its exit code."""
    problems = error.problems if isinstance(error, SpecError) else [str(error)]
    tell_problems([redact(problem) for problem in problems])
    sys.exit(error.exit_code)


def tell_problems(problems: Sequence[str]) -> None:
    """Say what is wrong.

    Args:
        problems: each with where it is, what is wrong, and what to do about it.
    """
    if sys.stderr.isatty():
        _show_block(problems)
        return
    for problem in problems:
        for line in problem.splitlines():
            print(f"{NAME}{line}", file=sys.stderr)


def _show_block(problems: Sequence[str]) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    file = _shared_file(problems)
    if file:
        headline = f"{NAME}{len(problems)} problems in {file.removesuffix(': ')}"
        console.print(_wrapped(headline, len(NAME), console.width, "bold red"), soft_wrap=True)
    for problem in problems:
        text = INDENT + problem.removeprefix(file) if file else NAME + problem
        where, style = (text.find(": "), "bold") if file else (len(NAME), "bold red")
        console.print(_wrapped(text, where, console.width, style), soft_wrap=True)


def _shared_file(problems: Sequence[str]) -> str:
    """What several problems of one file begin with; nothing if they do not."""
    files = {problem.partition(": ")[0] for problem in problems}
    return f"{files.pop()}: " if len(problems) > 1 and len(files) == 1 else ""


def _wrapped(text: str, where: int, width: int, style: str) -> "Text":
    """With its beginning in a style. Words stay whole: paths and commands are to be copied."""
    from rich.text import Text

    whole = _COMMAND.sub(lambda found: found[0].replace(" ", _GAP), text)
    lines = [
        line.replace(_GAP, " ")
        for part in whole.splitlines()
        for line in textwrap.wrap(
            part,
            width,
            subsequent_indent=2 * INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
    wrapped = Text("\n".join(lines))
    wrapped.stylize(style, 0, max(where, 0))
    return wrapped

"""What stands beside the options in a command's help: its group, examples, exit codes."""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

SWEEPS = "Sweeps"
RESULTS = "Results"
TOOLS = "Tools"
CLUSTER = "Cluster: these, and list, status, stop and resume with --address"
EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 bad input."
_WITHIN_PARAGRAPH = re.compile(r"(?<!\n)\n(?!\n)")

Function = TypeVar("Function", bound=Callable[..., Any])


class _Plain:
    """Help without the types of flags and names, and with paragraphs as wide as the terminal."""

    help: str | None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.help = _WITHIN_PARAGRAPH.sub(" ", inspect.cleandoc(self.help or ""))

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters; typer would write `<bool>` beside a flag, and `<str>` beside NAME."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if param.param_type_name == "argument" or param.is_flag:
                param.display_type_rich = _nothing
        return params


def _nothing(**_: Any) -> str:
    return ""


class Command(_Plain, TyperCommand):
    """A command."""


class Group(_Plain, TyperGroup):
    """The program, with its commands."""


def command(
    app: typer.Typer, group: str, *examples: str, name: str | None = None
) -> Callable[[Function], Function]:
    """Make a function a command.

    Args:
        app: that it is a command of.
        group: under which the program's help has it.
        examples: each a line that can be typed as it stands.
        name: of the command; None: that of the function.
    """
    shown = "\n".join(f"  [cyan]{escape(example)}[/]" for example in examples)
    epilog = f"Examples:\n{shown}\n\n{EXIT_CODES}"
    return app.command(name=name, cls=Command, rich_help_panel=group, epilog=epilog)

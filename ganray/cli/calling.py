"""How this program was called, for commands that it tells people to type."""

import os
import shlex
import shutil
import sys
from pathlib import Path

NAME = "ganray"


def command(*arguments: str) -> str:
    """A command line of this program that can be pasted where it was called from."""
    return shlex.join([*_program(), *arguments])


def _program() -> list[str]:
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return [_typed(Path(sys.executable)), "-m", NAME]
    return [_typed(called)] if called.name == NAME else [NAME]


def _typed(program: Path) -> str:
    """The least that a shell in this folder finds a program by."""
    found = shutil.which(program.name)
    if len(program.parts) == 1 or (found and Path(found).absolute() == program.absolute()):
        return program.name
    here = Path.cwd()
    path = program.absolute()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)

"""How commands are told, so that they can be pasted."""

import os
import sys
from pathlib import Path

import pytest

from ganray.cli.calling import command


def make_program(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "ganray"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("called", [".venv/bin/ganray", "/absolute"])
def test_program_that_is_not_on_the_path_is_told_from_here(
    called: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program(here / ".venv" / "bin")
    monkeypatch.setattr(sys, "argv", [str(program) if called == "/absolute" else called])
    monkeypatch.setenv("PATH", os.defpath)
    assert command("report", "ring-8") == ".venv/bin/ganray report ring-8"


def test_program_elsewhere_is_told_whole(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program(tmp_path / "else where")
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", os.defpath)
    assert command("ui") == f"'{program}' ui"


def test_program_on_the_path_is_told_by_its_name(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program(here / "bin")
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(program.parent))
    assert command("ui", "--tracking-uri", "a b") == "ganray ui --tracking-uri 'a b'"


def test_another_program_of_that_name_on_the_path_is_not_meant(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(here / "other")
    program = make_program(here / "bin")
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(here / "other"))
    assert command("ui") == "bin/ganray ui"


def test_module_is_told_as_one(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/ganray/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(here / ".venv" / "bin" / "python"))
    monkeypatch.setenv("PATH", os.defpath)
    assert command("ui") == ".venv/bin/python -m ganray ui"


def test_program_in_another_process_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert command("ui") == "ganray ui"

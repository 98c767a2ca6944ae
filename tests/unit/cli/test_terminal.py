"""What people see on a terminal: help with examples, errors in a block, completion."""

import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from ganray.cli.app import app
from ganray.tuning.replay.archive import save_histories
from tests.conftest import Answer, past

Program = Callable[..., Answer]

COMMANDS = typer.main.get_command(app).commands
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ERASED = "\x1b[2K"
BAD = """\
name: bad
data: {name: rong}
trainer: {loss: hinj, batch_size: 0}
search: {space: {d_lr: {low: 1.0e-2, high: 1.0e-5}}}
objective: {metric: distnace}
"""


def on_terminal(*arguments: str, width: int) -> tuple[int, str]:
    """The exit code of the program, and all that it writes to a terminal of that width."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    program = subprocess.Popen(
        [sys.executable, "-m", "ganray", *arguments],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment,
    )
    os.close(its)
    written = b""
    while chunk := _read(ours):
        written += chunk
    os.close(ours)
    return program.wait(), written.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # whoever wrote to it is gone
        return b""


# --- help -----------------------------------------------------------------------------------------


def examples(text: str) -> list[list[str]]:
    lines = re.findall(r"^ +(ganray .*?) *$", text, re.MULTILINE)
    return [shlex.split(line.partition(" > ")[0]) for line in lines if "--help" not in line]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_can_be_typed_and_the_exit_codes_once(
    name: str, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = ganray(name, "--help").out
    assert out.count("Exit codes: 0 done, 1 failed, 2 bad input.") == 1
    found = examples(out)
    assert 1 <= len(found) <= 2
    for program, command, *arguments in found:
        assert (program, command) == ("ganray", name)
        assert COMMANDS[name].make_context(name, arguments)  # every option is one, every value fits


def test_help_of_the_program_fits_a_terminal_and_groups_its_commands(
    ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = ganray("--help").out
    assert out.count("Exit codes: ") == 1
    assert len(out.splitlines()) <= 50
    commands = [name for name in re.findall(r"^│ (\w+)  ", out, re.MULTILINE) if name in COMMANDS]
    assert sorted(commands) == sorted(COMMANDS)
    groups = re.findall(r"^╭─ (.*?) ─+╮$", out, re.MULTILINE)
    assert [name.partition(":")[0] for name in groups] == [
        *("Options", "Sweeps", "Results", "Tools", "Cluster"),
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_no_type_of_what_takes_no_value_and_brackets_once(
    name: str, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = ganray(name, "--help").out
    assert "<bool>" not in out
    assert "default: (" not in out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_in_a_pipe_has_no_control_characters(name: str, ganray: Program) -> None:
    assert "\x1b" not in ganray(name, "--help").out
    assert "\x1b" not in ganray(name, "--no-such-option").err


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 200])
def test_problems_of_a_file_are_a_block_on_a_terminal(width: int, here: Path) -> None:
    (here / "bad.yaml").write_text(BAD)
    code, written = on_terminal("validate", "bad.yaml", width=width)
    assert code == 2
    assert ESCAPES.search(written)
    lines = ESCAPES.sub("", written).splitlines()
    assert lines[0] == "ganray: 5 problems in bad.yaml"
    assert max(map(len, lines)) <= width
    paths = [re.match(r"  (\S+): ", line) for line in lines[1:]]
    assert [found[1] for found in paths if found] == [
        *("data.name", "trainer.loss", "trainer.batch_size", "search.space.d_lr"),
        "objective.metric",
    ]


def test_a_single_error_is_wrapped_between_words(here: Path) -> None:
    code, written = on_terminal("sample", "ring", "--output", "a" * 100, width=80)
    assert code == 2
    left = written.rpartition(ERASED)[2]  # less the sign of life
    lines = ESCAPES.sub("", left).splitlines()
    assert lines == ["ganray:", f"    {'a' * 100}:", "    must end in .png or .npy"]


def test_command_in_an_error_stays_on_one_line(recorded: str) -> None:
    for width in range(60, 100, 8):
        code, written = on_terminal("summary", "nope", "--tracking-uri", recorded, width=width)
        assert code == 2
        lines = ESCAPES.sub("", written.rpartition(ERASED)[2]).splitlines()
        assert len([line for line in lines if "`ganray list`" in line]) == 1


def test_problems_in_a_pipe_are_a_line_each(here: Path, ganray: Program) -> None:
    (here / "bad.yaml").write_text(BAD)
    lines = ganray("validate", "bad.yaml").err.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("ganray: bad.yaml: ") for line in lines)


# --- signs of life --------------------------------------------------------------------------------


def test_slow_command_gives_a_sign_of_life_on_a_terminal_and_takes_it_away(recorded: str) -> None:
    code, written = on_terminal("summary", "recorded", "--tracking-uri", recorded, width=80)
    assert code == 0
    before, _, left = written.rpartition(ERASED)
    assert "reading recorded …" in before
    lines = ESCAPES.sub("", left).splitlines()
    assert lines[0].startswith("recorded: 5 trials")
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("width", [80, 200])
def test_trial_of_a_summary_is_a_line(width: int, recorded: str) -> None:
    _, written = on_terminal("summary", "recorded", "--tracking-uri", recorded, width=width)
    lines = ESCAPES.sub("", written.rpartition(ERASED)[2]).splitlines()
    table = next(at for at, line in enumerate(lines) if line.startswith("trial "))
    found = [line.split()[0] for line in lines[table : table + 6]]
    assert found == ["trial", "3", "0", "1", "2", "4"]


def test_comparison_of_policies_is_told_whole_on_a_terminal_of_80_columns(here: Path) -> None:
    bad = [past(number, [{"mode_ratio": 0.1, "distance": 2.0}] * 10) for number in range(9, 12)]
    good = [{"mode_ratio": 1.0, "distance": 1e-3 / (at + 1.23)} for at in range(10)]
    save_histories([*bad, *(past(number, good) for number in range(9))], here / "h.parquet")
    _, written = on_terminal("replay", "h.parquet", "--resamples", "9", width=80)
    lines = ESCAPES.sub("", written.rpartition(ERASED)[2]).splitlines()
    assert any("successive_halving " in line for line in lines)
    assert not any("…" in line for line in lines)
    assert max(map(len, lines)) <= 80


# --- completion -----------------------------------------------------------------------------------


def test_completion_can_be_installed_and_completes(here: Path) -> None:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "ganray"]
    install = [*command, "--install-completion", "bash"]
    subprocess.run(install, env=environment, check=True, capture_output=True)
    (script,) = (Path.home() / ".bash_completions").iterdir()
    assert script.name == "ganray.sh"
    assert str(script) in (Path.home() / ".bashrc").read_text()
    asked = {"_GANRAY_COMPLETE": "complete_bash", "COMP_WORDS": "ganray re", "COMP_CWORD": "1"}
    assert "_GANRAY_COMPLETE" in script.read_text()
    done = subprocess.run(
        command, env=environment | asked, check=True, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == {"replay", "report", "resume"}

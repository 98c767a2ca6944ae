"""A sweep on the screen while it runs: a table on a terminal, lines in a pipe or a file."""

import re
import threading
from collections.abc import Mapping
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ganray.cli.board import (
    Board,
    Running,
    show_js,
    show_modes,
    show_number,
    show_settings,
    show_time,
)
from ganray.tracking.recorder import SweepRecord
from ganray.trial import Ending, Outcome, State

STYLES = {
    Outcome.COMPLETED: "green",
    Outcome.COLLAPSED: "magenta",
    Outcome.STALLED: "yellow",
    Outcome.DIVERGED: "red",
    Outcome.OUTRANKED: "cyan",
    Outcome.CRASHED: "bold red",
    Outcome.CANCELLED: "dim",
}
STATE_STYLES = {State.HEALTHY: "green", State.SUSPECT: "yellow"}
HEARTBEAT_SECONDS = 10.0
NOTHING_TO_CONFIRM = "nothing to confirm: no trial completed"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class LiveBoard(Board):
    """Redraws a table in place."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._live = Live(
            console=console, get_renderable=self._draw, refresh_per_second=2, transient=True
        )
        self._live.start()

    def end_trial(self, ending: Ending) -> None:
        """Print how a dead trial ended, above the table."""
        super().end_trial(ending)
        if ending.outcome is not Outcome.COMPLETED and not self.is_past(ending):
            self._console.print(_ended(ending), highlight=False, soft_wrap=False)

    def start_confirming(self, trials: int) -> None:
        """Say so only if there is nothing to confirm: else the table does."""
        super().start_confirming(trials)
        if not trials:
            self._console.print(NOTHING_TO_CONFIRM, highlight=False)

    def close(self) -> None:
        """Take the table away."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        with self.lock:
            if self.sweep is None:
                return Text(f"starting … {show_time(self.elapsed)}", style="dim")
            begun = self.running or self.finished
            table = _running_table(self) if begun else Text("workers are starting …", style="dim")
            return Group(_header(self, self.sweep), table, _best(self))


class LineBoard(Board):
    """Prints a line when a trial ends, and one at least every ten seconds."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._quiet_since = self.elapsed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="ganray-heartbeat", daemon=True)
        self._thread.start()

    def start_sweep(self, sweep: SweepRecord) -> None:
        """Say what runs."""
        super().start_sweep(sweep)
        then = f", then up to {sweep.confirming} that confirm the best" if sweep.confirming else ""
        self._print(f"{sweep.name}: {sweep.trials} trials of {sweep.updates} updates{then}")

    def end_trial(self, ending: Ending) -> None:
        """Say how it ended."""
        super().end_trial(ending)
        if not self.is_past(ending):
            self._print(f"{self.count}  {_ended(ending).plain}")

    def start_confirming(self, trials: int) -> None:
        """Say what follows."""
        super().start_confirming(trials)
        what = f"confirming the best with fresh seeds: {trials} trials"
        self._print(what if trials else NOTHING_TO_CONFIRM)

    def end_sweep(self, outcomes: Mapping[int, Outcome], *, cancelled: bool) -> None:
        """Say how all ended."""
        self._print(f"{'stopped' if cancelled else 'done'}: {_counts(self)}")

    def close(self) -> None:
        """No more lines."""
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(1.0):
            with self.lock:
                due = self.elapsed - self._quiet_since >= HEARTBEAT_SECONDS
                text = self._status() if due else ""
            if due:
                self._print(text)

    def _status(self) -> str:
        if self.sweep is None:
            return "starting …"
        left = self.seconds_left()
        trials = ", ".join(self._one(self.running[number]) for number in sorted(self.running))
        return f"{self.count}  {trials}" + (f"  {show_time(left)} left" if left else "")

    def _one(self, running: Running) -> str:
        text = f"trial {running.trial.number} {self.progress(running):.0%}"
        signals = running.signals
        if signals is None:
            return text
        modes = show_modes(signals.modes)
        return f"{text} modes {modes} JS {show_js(signals.js)}"

    def _print(self, text: str) -> None:
        self._quiet_since = self.elapsed
        self._console.print(f"[{show_time(self.elapsed)}] {text}", markup=False, soft_wrap=True)


def open_board(console: Console) -> Board:
    """The board that fits where stderr goes."""
    return LiveBoard(console) if console.is_terminal else LineBoard(console)


def _ended(ending: Ending) -> Text:
    line = Text(f"trial {ending.number} ")
    line.append(ending.outcome.value, style=STYLES[ending.outcome])
    completed = ending.outcome is Outcome.COMPLETED
    reason = " ".join(COLOURS.sub("", ending.reason).split())  # an error may be coloured
    line.append(f", {show_number(ending.objective)}" if completed else f": {reason}")
    return line


def _counts(board: Board) -> str:
    counts = board.outcomes
    return ", ".join(f"{counts[o]} {o.value}" for o in Outcome if counts[o]) or "no trial ended yet"


def _header(board: Board, sweep: SweepRecord) -> Text:
    count = f"  {board.count} trials  {show_time(board.elapsed)}"
    line = Text.assemble((sweep.name, "bold"), count)
    left = board.seconds_left()
    if left is not None:
        line.append(f", {show_time(left)} left")
    line.append("\n")
    for outcome in Outcome:
        if board.outcomes[outcome]:
            line.append(f"{board.outcomes[outcome]} {outcome.value}  ", style=STYLES[outcome])
    return line


def _running_table(board: Board) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    for name in ("trial", "budget", "state", "modes", "JS/log 2", "distance"):
        justify: Literal["left", "right"] = "left" if name == "state" else "right"
        table.add_column(name, justify=justify, no_wrap=True, min_width=len(name))
    table.add_column("settings", no_wrap=True, overflow="ellipsis", ratio=1)
    for number, running in sorted(board.running.items()):
        signals = running.signals
        table.add_row(
            str(number),
            f"{board.progress(running):.0%}",
            Text(running.state.value.replace("_", " "), style=STATE_STYLES.get(running.state, "")),
            show_modes(signals.modes) if signals else "–",
            show_js(signals.js if signals else None),
            show_number(signals.distance if signals else None, 2),
            show_settings(running.trial.searched),
        )
    return table


def _best(board: Board) -> Text:
    if board.best is None or board.sweep is None:
        return Text("")
    trial, value = board.best
    text = f"best: trial {trial.number}, {board.sweep.objective} {show_number(value)}, "
    return Text(
        text + show_settings(trial.searched), style="dim", no_wrap=True, overflow="ellipsis"
    )

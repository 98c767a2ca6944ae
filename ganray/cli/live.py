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
    show_share,
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
LOOK_SECONDS = 0.5  # between two looks whether there is something to say
WIDE = 100  # columns of a terminal that has room for more than a trial's headline signals
# of a second one `tuning.interrupts` tells more
STOPPING = "stopping: trials are being recorded; a second Ctrl-C ends it without waiting"
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
            self._console.print(_ended(self, ending), highlight=False, soft_wrap=False)

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
                doing = "stopping" if self.stopping else "starting"
                return Text(f"{doing} … {show_time(self.elapsed)}", style="dim")
            if not (self.running or self.finished):
                return Group(_header(self, self.sweep), Text("workers are starting …", style="dim"))
            table = _running_table(self, is_wide=self._console.width >= WIDE)
            return Group(_header(self, self.sweep), table, _best(self))


class LineBoard(Board):
    """Prints a line when a trial ends, and one at least every ten seconds."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._quiet_since = self.elapsed
        self._told_stopping = False
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
            self._print(f"{self.count}  {_ended(self, ending).plain}")

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
        while not self._stop.wait(LOOK_SECONDS):
            self._tell_stopping()
            with self.lock:
                due = self.elapsed - self._quiet_since >= HEARTBEAT_SECONDS
                text = self._status() if due else ""
            if due:
                self._print(text)

    def _tell_stopping(self) -> None:
        """Say once that it stops: a signal's handler itself must not print."""
        if self.stopping and not self._told_stopping:
            self._told_stopping = True
            self._print(STOPPING)

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


def _ended(board: Board, ending: Ending) -> Text:
    line = Text(f"trial {ending.number} ")
    line.append(ending.outcome.value, style=STYLES[ending.outcome])
    if ending.outcome is Outcome.COMPLETED and board.sweep is not None:
        return line.append(f", {board.sweep.objective} {show_number(ending.objective)}")
    reason = " ".join(COLOURS.sub("", ending.reason).split())  # an error may be coloured
    return line.append(f": {reason}")


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
    if board.stopping:
        line.append(f"\n{STOPPING}", style="bold")
    return line


def _running_table(board: Board, *, is_wide: bool) -> Table:
    running = [board.running[number] for number in sorted(board.running)]
    columns = ["trial", "budget", "state", "modes", "JS/log 2", "distance"]
    if is_wide and any(each.signals and each.signals.high_quality is not None for each in running):
        columns.insert(columns.index("modes") + 1, "good")
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    for name in columns:
        justify: Literal["left", "right"] = "left" if name == "state" else "right"
        table.add_column(name, justify=justify, no_wrap=True, min_width=len(name))
    table.add_column("settings", no_wrap=True, overflow="ellipsis", ratio=1)
    for each in running:
        cells = _cells(board, each)
        shown = show_settings(each.trial.searched)
        table.add_row(*(cells[name] for name in columns), shown)
    return table


def _cells(board: Board, running: Running) -> dict[str, str | Text]:
    """What may be told of a trial under way, by the columns' names."""
    state, signals = running.state, running.signals
    return {
        "trial": str(running.trial.number),
        "budget": f"{board.progress(running):.0%}",
        "state": Text(state.value.replace("_", " "), style=STATE_STYLES.get(state, "")),
        "modes": show_modes(signals.modes) if signals else "–",
        "good": show_share(signals.high_quality if signals else None),
        "JS/log 2": show_js(signals.js if signals else None),
        "distance": show_number(signals.distance if signals else None, 2),
    }


def _best(board: Board) -> Text:
    if board.best is None or board.sweep is None:
        return Text("")
    trial, value = board.best
    text = f"best: trial {trial.number}, {board.sweep.objective} {show_number(value)}, "
    return Text(
        text + show_settings(trial.searched), style="dim", no_wrap=True, overflow="ellipsis"
    )

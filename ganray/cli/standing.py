"""How sweeps stand, on the screen."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from ganray.cli.board import show_js, show_modes, show_number, show_settings, show_time
from ganray.cli.calling import command
from ganray.cli.live import STATE_STYLES, STYLES
from ganray.cli.reaching import reach
from ganray.cli.screen import open_console, tell
from ganray.client.address import given_address
from ganray.client.recorded import recorded_status, recorded_sweeps
from ganray.client.status import SweepStatus
from ganray.client.sweeps import SweepClient
from ganray.errors import ClusterError, TokenError, UnknownSweepError
from ganray.trial import Outcome

STATE_COLOURS = {
    "pending": "cyan",
    "running": "green",
    "finished": "bold green",
    "stopped": "yellow",
    "failed": "bold red",
}


def find_status(name: str, address: str | None, tracking_uri: str | None) -> SweepStatus:
    """Ask the cluster that was named; else one on this machine; else the tracking store.

    One that nobody named is asked without the token, and what it refuses is told on stderr.

    Raises:
        UnknownSweepError: none of them knows the sweep.
        ClusterError, TokenError, AddressError: the named cluster cannot be asked.
        TrackingError: the store cannot be read.
    """
    if tracking_uri is None and given_address(address) is not None:
        return reach(address).status(name)
    if tracking_uri is None:
        try:
            return reach(None).status(name)
        except TokenError as error:
            tell(f"note: {error}")
        except (ClusterError, UnknownSweepError):
            pass  # nobody said that there is a cluster
    return recorded_status(name, tracking_uri)


def find_sweeps(address: str | None, tracking_uri: str | None) -> list[SweepStatus]:
    """All sweeps of the cluster that was named, else of the tracking store.

    Raises:
        ClusterError, TokenError, AddressError: the cluster cannot be asked.
        TrackingError: the store cannot be read.
    """
    if given_address(address) is not None and tracking_uri is None:
        return reach(address).list()
    return recorded_sweeps(tracking_uri)


def print_status(status: SweepStatus, address: str | None = None) -> None:
    """One sweep as a person wants to see it.

    Args:
        status: of the sweep.
        address: of the cluster that was named, if one was.
    """
    console = open_console()
    console.print(_headline(status))
    if status.message:
        console.print(Text(status.message, style="red"), soft_wrap=True)
    for line in _lines(status):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if status.running and not status.has_ended:
        console.print(_running(status))
    if status.state in ("stopped", "failed") and status.trials is not None:  # there is a study
        words = command("resume", status.name, *_at(status, address))
        console.print(f"to go on: {words}", highlight=False, soft_wrap=True, markup=False)


def _at(status: SweepStatus, address: str | None) -> list[str]:
    """The option that names the sweep's cluster, if it has one and the environment does not."""
    is_known = address is None and given_address(None) is not None
    if status.submission_id is None or is_known:
        return []
    return ["--address", str(SweepClient(address).address)]


def print_sweeps(found: Sequence[SweepStatus]) -> None:
    """Many sweeps, a line each."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("name", "state", "trials", "best", "started"):
        justify: Literal["left", "right"] = "right" if column in ("trials", "best") else "left"
        table.add_column(column, justify=justify)
    for status in found:
        table.add_row(
            status.name,
            Text(status.state, style=STATE_COLOURS[status.state]),
            _count(status.trials),
            _best(status),
            _when(status.started),
        )
    open_console().print(table)


def _best(status: SweepStatus) -> str:
    if status.best is None or status.objective is None:
        return "–"
    return f"{status.objective['metric']} {show_number(status.best['objective'])}"


def _headline(status: SweepStatus) -> Text:
    line = Text.assemble((status.name, "bold"), ": ")
    line.append(status.state, style=STATE_COLOURS[status.state])
    if status.waiting:
        line.append(", waits for resources")
    if status.attempt is not None and status.attempt > 1:
        line.append(f", attempt {status.attempt}")
    if status.started is not None:
        end = status.ended or datetime.now(UTC)
        line.append(f", {show_time((end - status.started).total_seconds())}")
    if status.eta_seconds is not None:
        line.append(f", about {show_time(status.eta_seconds)} left")
    return line


def _lines(status: SweepStatus) -> list[Text]:
    """Trials, best, budget, cluster: what is known of each."""
    lines = []
    if status.trials is not None:
        lines.append(_outcomes(status.trials))
    if status.best is not None and status.objective is not None:
        best = status.best
        value = f"{status.objective['metric']} {show_number(best['objective'])}"
        shown = show_settings(best["settings"])
        lines.append(Text(f"best: trial {best['number']}, {value}, {shown}"))
    if status.budget is not None:
        lines.append(Text(f"budget: {_budget(status.budget)}"))
    if status.cluster is not None:
        have = status.cluster
        text = f"{have['nodes']:g} nodes, {have['cpus']:g} CPUs, {have['gpus']:g} GPUs"
        lines.append(Text(f"cluster: {text}"))
    if status.tracking_uri:
        lines.append(Text(f"MLflow: {status.tracking_uri}"))
    return lines


def _outcomes(trials: Mapping[str, Any]) -> Text:
    line = Text(f"trials: {_count(trials)} ended")
    for outcome in Outcome:
        if trials["outcomes"].get(outcome.value):
            line.append(", ")
            line.append(f"{trials['outcomes'][outcome.value]} {outcome.value}", STYLES[outcome])
    if trials["running"]:
        line.append(f", {trials['running']} running")
    return line


def _count(trials: Mapping[str, Any] | None) -> str:
    if trials is None:
        return "–"
    return f"{trials['ended']}/{'?' if trials['total'] is None else trials['total']}"


def _budget(budget: Mapping[str, Any]) -> str:
    hours, updates = budget["hours"], budget["updates"]
    left = "no limit" if hours["left"] is None else f"{hours['left']:.2f} left"
    return (
        f"{hours['used']:.2f} hours used, {left}; "
        f"{updates['used']} updates used, at most {updates['left']} left"
    )


def _running(status: SweepStatus) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    metric = status.objective["metric"] if status.objective else "distance"
    for name in ("trial", "update", "state", "modes", "JS/log 2", metric, "settings"):
        justify: Literal["left", "right"] = "left" if name in ("state", "settings") else "right"
        table.add_column(name, justify=justify)
    for trial in status.running:
        signals, verdict = trial["signals"], trial["verdict"] or "starting"
        known = {state.value: style for state, style in STATE_STYLES.items()}
        table.add_row(
            str(trial["number"]),
            str(trial["update"]),
            Text(verdict.replace("_", " "), style=known.get(verdict, "")),
            show_modes(signals.get("modes")),
            show_js(signals.get("js")),
            show_number(signals.get(metric)),
            show_settings(trial["settings"]),
        )
    return table


def _when(time: datetime | None) -> str:
    return "–" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M}"

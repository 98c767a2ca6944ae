"""A finished sweep on the screen or in a file."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from ganray.cli.board import (
    show_js,
    show_modes,
    show_number,
    show_settings,
    show_share,
    show_time,
)
from ganray.cli.live import STYLES
from ganray.cli.screen import open_console, working
from ganray.errors import OutputError
from ganray.exports import export
from ganray.summary import (
    Frame,
    audit,
    best_trial,
    confirmation,
    ledger,
    rows,
    searched_columns,
    summarize,
)
from ganray.tracking.ledger import AMOUNTS, PRUNED, Audit, meanings, shown_rule
from ganray.tracking.schema import is_text
from ganray.trial import Outcome

# what the columns of trials mean, as far as their names do not say it
_MEANINGS = {
    "at": "share of its budget that a trial used",
    "modes": "how many its good samples cover evenly, – if too few are good",
    "good": "share of its samples that are near a mode",
    "JS/log 2": "how surely D tells generated from real, 100% = always",
    "settings": "all of them with --format csv",
}
_NARROW = 100  # a terminal with fewer columns has no room for all settings
_SAVED = (
    "Saved, estimated: what stopped trials had left of their budgets.",
    "Saved, at least: what health rules saved of that, less stops that may be wrong and the time "
    "of measuring.",
)


def print_summary(name: str, tracking_uri: str | None) -> None:
    """The sweep as tables on stdout: trials, best first; confirmed ones; what stopping saved."""
    with working(f"reading {name}"):
        frame = summarize(name, tracking_uri)
        confirmed = confirmation(name, tracking_uri)
    search, confirming = (frame[frame["phase"] == phase] for phase in ("search", "confirm"))
    console = open_console()
    console.print(_headline(name, search))
    if not search.empty:
        is_narrow = console.width < _NARROW
        columns = _columns(search, is_narrow=is_narrow)
        console.print(_table(search, columns, _searched(search, is_narrow=is_narrow)))
        console.print(_legend(columns), style="dim", highlight=False)
    for line in _crashes(search):
        console.print(line, soft_wrap=True, highlight=False)
    best = best_trial(frame)
    if best is not None:
        console.print(_best_line(best, frame), soft_wrap=True, highlight=False)
    if not confirming.empty:
        console.print(Text("\n") + _headline("Confirmed with fresh seeds", confirming))
        searched = _searched(confirmed, is_narrow=console.width < _NARROW)
        console.print(_confirmation_table(confirmed, searched))
    if (search["outcome"].isin(PRUNED) | search["audited"]).any():
        console.print()
        entries = ledger(frame)
        console.print(_ledger_table(entries))
        for told in _ledger_legend(entries):
            console.print(told, style="dim", highlight=False)
    if search["audited"].any():
        console.print("\n" + _audit_line(audit(frame)), soft_wrap=True, highlight=False)


def write_summary(name: str, tracking_uri: str | None, form: str, output: Path | None) -> None:
    """The sweep's whole frame as csv, json or parquet; to stdout without a file.

    Raises:
        OutputError: parquet to a terminal, or a file that cannot be written.
    """
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise OutputError("parquet is no text; give --output FILE")
    with working(f"reading {name}"):
        content = export(summarize(name, tracking_uri), form)
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        try:
            output.write_bytes(content)
        except OSError as error:
            raise OutputError(f"{output} cannot be written: {error.strerror}") from None


def _headline(name: str, frame: Frame) -> Text:
    trials = "1 trial" if len(frame) == 1 else f"{len(frame)} trials"
    line = Text.assemble((name, "bold"), f": {trials}")
    counts = frame["outcome"].value_counts()
    for outcome in Outcome:
        if counts.get(outcome.value, 0):
            line.append(", ")
            line.append(f"{counts[outcome.value]} {outcome.value}", style=STYLES[outcome])
        if outcome is Outcome.COMPLETED:
            line.append(_bad_ends(frame))
    running = int(frame["outcome"].isna().sum())
    if running:
        line.append(f", {running} running")
    return line


def _bad_ends(frame: Frame) -> str:
    """How many trials completed their budget and were no good, as far as there are any."""
    completed = frame["outcome"] == Outcome.COMPLETED.value
    bad = int((completed & (frame["ending"] == "bad")).sum())
    return f" ({bad} ended badly)" if bad else ""


def _crashes(frame: Frame) -> list[Text]:
    """Why trials crashed, a line a cause, the most frequent first, each with an example."""
    crashed = rows(frame[frame["outcome"] == Outcome.CRASHED.value])
    causes = Counter(row["cause"] or "unknown" for row in crashed)
    lines = []
    for cause, count in causes.most_common():
        example = next(row for row in crashed if (row["cause"] or "unknown") == cause)
        what = f"{count} crashed, {cause.replace('_', ' ')}: "
        lines.append(
            Text(what, style=STYLES[Outcome.CRASHED]).append(
                f"trial {example['trial']}, {example['reason']}", style="default"
            )
        )
    return lines


def _columns(frame: Frame, *, is_narrow: bool) -> list[str]:
    """Those that say something, none twice; without JS where room is scarce."""
    columns = ["trial", "outcome", "at", frame.attrs["objective"], "modes"]
    if _tells_good(frame):
        columns.append("good")
    if not is_narrow:
        columns.append("JS/log 2")
    return [*dict.fromkeys(columns), "settings"]


def _tells_good(frame: Frame) -> bool:
    """Whether the data have modes, so that samples are good or not, and nothing else tells it."""
    has_modes = bool(frame["high_quality"].notna().any())
    return has_modes and frame.attrs["objective"] != "high_quality"


def _legend(columns: Sequence[str]) -> str:
    """What the columns mean, as far as their names do not say it."""
    return " ".join(f"{name}: {_MEANINGS[name]}." for name in columns if name in _MEANINGS)


def _searched(frame: Frame, *, is_narrow: bool) -> list[str]:
    """Parameters in the sweep's order; where they are cut, what tells trials apart comes first."""
    names = searched_columns(frame)
    if not is_narrow:
        return names
    # what is a word, such as the loss, then the numbers with most values, such as learning rates
    return sorted(names, key=lambda n: (not is_text(n), -frame[n].nunique()))


def _table(frame: Frame, columns: Sequence[str], searched: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        justify: Literal["left", "right"] = "left" if column in ("outcome", "settings") else "right"
        is_whole = column != "settings"  # which are cut first
        table.add_column(column, header_style="dim", justify=justify, no_wrap=is_whole)
    ascending = frame.attrs["direction"] == "min"
    for row in rows(frame.sort_values("objective", ascending=ascending)):
        cells = _cells(row, frame.attrs["objective"], searched)
        table.add_row(*(cells[column] for column in columns))
    return table


def _cells(row: dict[str, Any], objective: str, searched: Sequence[str]) -> dict[str, str | Text]:
    """What may be told of a trial, by the columns' names."""
    outcome, stopped = row["outcome"], row["stopped_at"]
    return {
        "trial": str(row["trial"]),
        "outcome": Text(outcome or "running", style=STYLES[Outcome(outcome)] if outcome else ""),
        "at": "" if stopped is None else f"{stopped:.0%}",
        "modes": show_modes(row["modes"]),
        "good": show_share(row["high_quality"]),
        "JS/log 2": show_js(row["js"]),
        "settings": _settings(row, searched),
        objective: show_number(row["objective"]),  # last: it may be one of those above
    }


def _confirmation_table(frame: Frame, searched: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    objective = frame.attrs["objective"]
    for column in ("trial", "seeds", f"median {objective}", "worst", "best", "ended badly"):
        table.add_column(column, header_style="dim", justify="right", no_wrap=True)
    table.add_column("settings", header_style="dim")
    for row in rows(frame):
        table.add_row(
            str(row["trial"]),
            str(row["seeds"]),
            *(show_number(row[name]) for name in ("median", "worst", "best")),
            f"{row['bad']:.0%}",
            _settings(row, searched),
        )
    return table


def _settings(row: dict[str, Any], searched: Sequence[str]) -> Text:
    """A trial is one line: what does not fit into it is cut."""
    values = {name: row[name] for name in searched}
    return Text(show_settings(values), no_wrap=True, overflow="ellipsis")


def _ledger_table(entries: Frame) -> Table:
    """Hours of GPUs where there were any, else of processes."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    on_gpus = bool(entries["used_gpu_hours"].any())
    unit, show = ("gpu_hours", _show_hours) if on_gpus else ("seconds", show_time)
    used = "GPU-hours used" if on_gpus else "time used (m:s)"
    for column in ("stopped by", "trials", used, "saved, estimated", "saved, at least"):
        justify: Literal["left", "right"] = "left" if column == "stopped by" else "right"
        table.add_column(column, header_style="dim", justify=justify)
    for row in rows(entries):
        amounts = [show(row[f"{amount}_{unit}"]) for amount in AMOUNTS]
        table.add_row(shown_rule(row["rule"]), str(row["trials"]), *amounts)
    return table


def _ledger_legend(entries: Frame) -> list[str]:
    """What the words of the ledger mean, of the rules those that stand in it."""
    told = [f"{rule}: {meaning}" for rule, meaning in meanings(rows(entries)).items()]
    return [f"Stopped by {'; '.join(told)}.", *_SAVED] if told else list(_SAVED)


def _show_hours(hours: float) -> str:
    return f"{hours:.2f}"


def _audit_line(found: Audit) -> str:
    line = f"audit: {found.ran_on} of {found.stops} stops ran on; {found.healthy} ended healthy"
    if found.share is None:
        return line
    low, high = found.interval
    return f"{line}: {100 * found.share:.0f} % ({100 * low:.0f} to {100 * high:.0f} %)"


def _best_line(best: dict[str, Any], frame: Frame) -> str:
    """The best trial in a line; of its modes what is known, each once."""
    objective, known = frame.attrs["objective"], []
    if objective != "modes":
        known.append(f"{show_modes(best['modes'], 3)} effective modes")
    if objective != "modes_covered":
        known.append(f"{show_number(best['modes_covered'])} covered")
    if _tells_good(frame):
        known.append(f"{show_share(best['high_quality'])} good samples")
    value = show_number(best["objective"])
    return f"\nBest: trial {best['trial']}, {objective} {value}, {', '.join(known)}"

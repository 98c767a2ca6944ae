"""`ganray replay`: what other pruning policies would have done, as a table and as files."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ganray.cli.screen import open_console
from ganray.errors import OutputError
from ganray.tuning.replay.archive import load_histories, save_histories
from ganray.tuning.replay.catalogue import make_policies
from ganray.tuning.replay.compare import Comparison, compare
from ganray.tuning.replay.evaluate import Evaluation, Saving, StoppedTrial, Tally
from ganray.tuning.replay.export import as_csv, as_json
from ganray.tuning.replay.histories import History, Tell, fetch_histories, refuse_repeats
from ganray.tuning.replay.regret import SIZES, Regret
from ganray.tuning.replay.truth import Kind

SILENT_SECONDS = 2.0  # what is over by then needs no progress
PAUSE_SECONDS = 10.0  # between lines of progress where there is no terminal
SHOWN = 8  # lost trials on a line


def read(given: Sequence[str], tracking_uri: str | None, tell: Tell) -> list[History]:
    """The histories of sweeps, by name, and of parquet files.

    Raises:
        GanrayError: one of them cannot be read.
    """
    histories: list[History] = []
    for text in given:
        if text.endswith(".parquet"):
            histories += load_histories(Path(text))
        else:
            histories += fetch_histories(text, tracking_uri, tell)
    refuse_repeats(histories)
    return histories


def replay(
    given: Sequence[str],
    policies: Sequence[str],
    resamples: int,
    tracking_uri: str | None,
    save: Path | None,
) -> Comparison:
    """Read histories, keep them in a file if asked to, and compare policies on them."""
    progress = _Progress()
    try:
        make_policies(policies, [])  # a wrong name is told before minutes of reading
        histories = read(given, tracking_uri, progress.tell)
        if save is not None:
            save_histories(histories, save)
        return compare(make_policies(policies, histories), histories, resamples, progress.tell)
    finally:
        progress.close()


def make_folder(folder: Path) -> None:
    """Make the output folder, before anything that takes long.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from None


def write(comparison: Comparison, folder: Path) -> None:
    """Write replay.png, replay.json and decisions.csv into a folder.

    Raises:
        OutputError: a file cannot be written.
    """
    from ganray.report.replay import draw  # matplotlib takes a second

    contents = {
        "replay.json": (json.dumps(as_json(comparison), indent=1) + "\n").encode(),
        "decisions.csv": as_csv(comparison).encode(),
        "replay.png": draw(comparison),
    }
    for name, content in contents.items():
        try:
            (folder / name).write_bytes(content)
        except OSError as error:
            raise OutputError(f"{folder / name} cannot be written: {error.strerror}") from None


def show(comparison: Comparison) -> None:
    """The comparison on stdout."""
    console = open_console(highlight=False)
    console.print(_headline(comparison))
    if comparison.truth[Kind.UNKNOWN] == sum(comparison.sources.values()):
        console.print(_NOTHING_KNOWN)
        return
    sizes = SIZES if console.width >= _WIDE else SIZES[-1:]
    console.print(_table(comparison, sizes))
    full = " and ".join(map(str, sizes))
    console.print(f"{_LEGEND}\ncompute of {full} full trials (median).", style="dim")
    for line in _lost(comparison):
        console.print(line, soft_wrap=True)
    if comparison.note is not None:
        console.print(f"\nBounds: {comparison.note}")


_WIDE = 90  # columns that the table takes with every regret
_NOTHING_KNOWN = (
    "All were cut short: what would have become of them is unknown, and no policy can be\n"
    "judged by them. Run a sweep with --no-prune, and replay that."
)
_LEGEND = (
    "Columns, in %: healthy, top and bad trials that are stopped (95 % interval);\n"
    "updates saved, net of measuring; at which share of the budget bad trials are\n"
    "stopped (median). Regret: best objective less that without pruning, at the"
)


def _headline(comparison: Comparison) -> str:
    sources = ", ".join(f"{name} ({count})" for name, count in comparison.sources.items())
    truth = comparison.truth
    kinds = ", ".join(f"{truth[kind]} {kind}" for kind in Kind if truth[kind])
    return (
        f"{sources}: {kinds}; {truth['top']} top; "
        f"{truth['peaked']} not healthy at the end, but at their best checkpoint\n"
    )


def _table(comparison: Comparison, sizes: Sequence[int]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("policy", header_style="dim", no_wrap=True)
    heads = ("healthy\nlost", "top\nlost", "bad\ncaught", "saved\nof bad", "saved\nof all")
    for head in (*heads, "at", *(f"regret\n{size}" for size in sizes)):
        table.add_column(head, header_style="dim", justify="right", no_wrap=True)
    for evaluation, regrets in zip(comparison.evaluations, comparison.regrets, strict=True):
        table.add_row(*_cells(evaluation, regrets[-len(sizes) :], len(sizes)))
    return table


def _cells(evaluation: Evaluation, regrets: Sequence[Regret], sizes: int) -> list[str]:
    tallies, savings = evaluation.tallies, evaluation.savings
    return [
        evaluation.policy,
        _with_interval(tallies[Kind.HEALTHY]),
        _percent(tallies["top"].share),
        _with_interval(tallies[Kind.BAD]),
        _net(savings["bad_updates"]),
        _net(savings["all_updates"]),
        _percent(evaluation.median_stop),
        *([_signed(regret.median) for regret in regrets] or ["–"] * sizes),
    ]


def _with_interval(tally: Tally) -> str:
    if tally.wilson is None:
        return "–"
    low, high = tally.wilson
    return f"{_percent(tally.share)} ({100 * low:.0f}–{100 * high:.0f})"


def _net(saving: Saving | None) -> str:
    return _percent(None if saving is None else saving.net)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{round(100 * share) + 0}"  # + 0: no minus zero


def _signed(value: float) -> str:
    return f"{value:+.2g}" if value else "0"


def _lost(comparison: Comparison) -> list[str]:
    """A line for each policy and rule that stop healthy trials."""
    lines = []
    several = len(comparison.sources) > 1
    for evaluation in comparison.evaluations:
        rules: dict[str, list[StoppedTrial]] = {}
        for decision in evaluation.lost:
            rules.setdefault(decision.rule, []).append(decision)
        for rule, lost in rules.items():
            trials = ", ".join(_place(decision, several) for decision in lost[:SHOWN])
            more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
            by = "" if rule == evaluation.policy else f" by {rule}"
            lines.append(f"  {evaluation.policy}{by}: {trials}{more}")
    return ["", "Healthy trials lost, with the share of the budget:", *lines] if lines else []


def _place(decision: StoppedTrial, several: bool) -> str:
    sweep = f"{decision.sweep} " if several else ""
    return f"{sweep}{decision.trial} at {decision.share:.0%}"


class _Progress:
    """A line on stderr of how far it is, once it takes longer than a moment."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._next = time.monotonic() + SILENT_SECONDS
        self._status = self._console.status("")
        self._live = False

    def tell(self, what: str, done: int, total: int) -> None:
        """See `Tell`."""
        text = f"{what}: {done} of {total}"
        if self._live:
            self._status.update(text)
        elif time.monotonic() >= self._next:
            self._start(text)

    def close(self) -> None:
        if self._live:
            self._status.stop()

    def _start(self, text: str) -> None:
        if self._console.is_terminal:
            self._live = True
            self._status.update(text)
            self._status.start()
        else:
            self._console.print(text, highlight=False, soft_wrap=True)
            self._next = time.monotonic() + PAUSE_SECONDS

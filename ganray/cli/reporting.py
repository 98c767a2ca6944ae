"""A finished sweep as figures, in a folder or beside the sweep's run in MLflow."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ganray.errors import OutputError

if TYPE_CHECKING:
    from ganray.report.importance import Finding
    from ganray.spec.models import SweepSpec
    from ganray.summary import Frame

# what draws is imported by those that draw: a sweep is not to wait for it, nor to fail with it


def print_report(name: str, tracking_uri: str | None, folder: Path) -> None:
    """Write the figures of a recorded sweep into a folder, and print where each one is.

    Raises:
        UnknownSweepError: no sweep of that name is recorded.
        TrackingError: the store, or the sweep's file in it, cannot be read.
        OutputError: the folder cannot be made or written to.
    """
    from ganray.report.importance import find_importances
    from ganray.spec.load import load_sweep
    from ganray.summary import summarize
    from ganray.tracking.reader import fetch_sweep_file

    frame = summarize(name, tracking_uri)
    with tempfile.TemporaryDirectory() as place:
        spec = load_sweep(fetch_sweep_file(name, Path(place), tracking_uri))
    findings = find_importances(frame, spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = _write(name, frame, findings, folder)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from None
    print(*paths, sep="\n")
    for finding in findings:
        if finding.unknown:
            told = f"What decides {finding.question} cannot be told: {finding.unknown}"
            Console(stderr=True).print(told, highlight=False, soft_wrap=True)


def record_figures(spec: "SweepSpec", uri: str, console: Console) -> None:
    """Add the figures of a sweep that has just ended to its run, if it has trials enough.

    The sweep is done and recorded: whatever goes wrong here is a line on stderr.
    """
    try:
        _record_figures(spec, uri)
    except Exception as error:
        told = f"The figures of the sweep are missing: {type(error).__name__}: {error}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)


def _record_figures(spec: "SweepSpec", uri: str) -> None:
    from ganray.report.fates import told_trials
    from ganray.report.importance import ENOUGH_TRIALS, find_importances
    from ganray.summary import summarize
    from ganray.tracking.reader import add_files

    frame = summarize(spec.name, uri)
    if len(told_trials(frame)) < ENOUGH_TRIALS:
        return
    with tempfile.TemporaryDirectory() as place:
        findings = find_importances(frame, spec)
        add_files(spec.name, _write(spec.name, frame, findings, Path(place)), uri)


def _write(name: str, frame: "Frame", findings: Sequence["Finding"], folder: Path) -> list[Path]:
    from ganray.report.collapse_map import collapse_map
    from ganray.report.importance import importance_figure, to_csv

    paths = [folder / file for file in ("collapse_map.png", "importance.png", "importance.csv")]
    collapse_map(frame, name).savefig(paths[0])
    importance_figure(findings, name).savefig(paths[1])
    paths[2].write_text(to_csv(findings), encoding="utf-8")
    return paths

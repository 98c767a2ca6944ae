"""A sweep's report, in a folder or beside the sweep's run in MLflow."""

from pathlib import Path

from rich.console import Console

from ganray.cli.screen import tell, working
from ganray.errors import OutputError

# what draws is imported by those that draw: a sweep is not to wait for it, nor to fail with it


def print_report(name: str, tracking_uri: str | None, folder: Path) -> None:
    """Write the report of a recorded sweep into a folder, and print where each file is.

    Raises:
        UnknownSweepError: no sweep of that name is recorded.
        TrackingError: the store, or a file in it, cannot be read.
        SpecError: the sweep's file is not one that this version knows.
        OutputError: the folder cannot be made or written to.
    """
    with working(f"reading {name}"):
        from ganray.report.files import write_report
        from ganray.report.material import gather

        material = gather(name, tracking_uri)
    with working(f"writing the report to {folder}"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            paths = write_report(material, folder)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {error.strerror}") from None
    print(*paths, sep="\n")
    for finding in material.findings:
        if finding.unknown:
            tell(f"What decides {finding.question} cannot be told: {finding.unknown}")


def record_report(name: str, uri: str, console: Console) -> None:
    """Add the report of a sweep that has just ended to its run.

    The sweep is done and recorded: whatever goes wrong here is a line on stderr.
    """
    try:
        with working("writing the report", aloud=True):
            from ganray.report.recording import record_report as record

            record(name, uri)
    except Exception as error:
        told = f"The report of the sweep is missing: {type(error).__name__}: {error}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)

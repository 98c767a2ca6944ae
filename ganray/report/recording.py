"""The report of a sweep, beside the sweep's run in MLflow."""

import tempfile
from pathlib import Path

from ganray.report.files import write_report
from ganray.report.material import gather
from ganray.tracking.reader import add_files


def record_report(name: str, tracking_uri: str) -> None:
    """Draw the report of a recorded sweep, and add it to the sweep's run.

    Raises:
        UnknownSweepError: no sweep of that name is recorded.
        TrackingError: the store, or a file in it, cannot be read, or takes nothing.
        SpecError: the sweep's file is not one that this version knows.
    """
    with tempfile.TemporaryDirectory() as folder:
        add_files(name, write_report(gather(name, tracking_uri), Path(folder)), tracking_uri)

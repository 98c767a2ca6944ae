"""The picture of real data that a sweep keeps: what its samples are to look like."""

from functools import partial

from ganray.data.dataset import Dataset
from ganray.data.pictures import draw_real
from ganray.secrets import redacted_log
from ganray.tracking.recorder import Load
from ganray.tracking.schema import REAL_PICTURE
from ganray.tuning.files import STORAGE_ERRORS
from ganray.tuning.places import Located, list_files, read_file, sweep_location, write_file

log = redacted_log("ganray.tuning")


def keep_real_picture(sweep: Located, dataset: Dataset) -> None:
    """Draw it into the sweep's folder; a sweep whose storage is away goes on without it."""
    try:
        write_file(sweep_location(sweep), REAL_PICTURE, draw_real(dataset))
    except STORAGE_ERRORS as error:
        log.warning("the picture of real data is not kept: %s", error)


def find_real_picture(sweep: Located) -> Load | None:
    """A way to read it; None where it was not kept, or is out of reach."""
    folder = sweep_location(sweep)
    try:
        kept = REAL_PICTURE in list_files(folder)
    except STORAGE_ERRORS:
        return None
    return partial(read_file, f"{folder}/{REAL_PICTURE}") if kept else None

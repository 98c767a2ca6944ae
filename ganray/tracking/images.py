"""Pictures of a trial as MLflow's own charts of images find them among a run's artifacts."""

import io
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

from ganray.secrets import redacted_log

if TYPE_CHECKING:
    from PIL.Image import Image

log = redacted_log("ganray.tracking")

FOLDER = "images"  # of the artifacts
KEY = "samples"  # of the chart
THUMBNAIL = 256  # pixels, as MLflow's own
_SUFFIXES = (".png", "+compressed.webp")


def picture_names(run_id: str, update: int, at: int) -> tuple[str, str]:
    """The files of a picture and its thumbnail: named as `MlflowClient.log_image` does.

    That one draws a new identity each time; here the same picture always has the same name, so
    that it may be uploaded again.

    Args:
        run_id: of the trial.
        update: that it was drawn at.
        at: when, in ms since 1970.
    """
    identity = uuid5(NAMESPACE_OID, f"{run_id}/{update}")
    stem = f"{_prefix(update)}timestamp+{at}+{identity}"
    return f"{stem}{_SUFFIXES[0]}", f"{stem}{_SUFFIXES[1]}"


def has_picture(names: Iterable[str], update: int) -> bool:
    """Whether the picture of an update and its thumbnail are among these files."""
    found = [name for name in names if name.startswith(_prefix(update))]
    thumbnails = sum(name.endswith(_SUFFIXES[1]) for name in found)
    return 0 < thumbnails < len(found)


def update_of(name: str) -> int | None:
    """The update that a picture was drawn at; None if it is a thumbnail, or something else."""
    found = re.fullmatch(r"samples\+step\+(\d+)\+.*\.png", name)
    return int(found[1]) if found else None


def thumbnail(image: "Image") -> "Image":
    """The picture scaled to what MLflow shows in its grid of images."""
    scale = THUMBNAIL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size)  # colours of a palette cannot be mixed


def read_picture(load: Callable[[], bytes], what: str) -> "Image | None":
    """The picture; None, and a warning, where it cannot be read.

    Args:
        load: reads its file.
        what: as the warning calls it.
    """
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(load()))
        image.load()
    except Exception as error:
        log.warning("%s is lost: %s", what, error)
        return None
    return image


def _prefix(update: int) -> str:
    return f"{KEY}+step+{update}+"

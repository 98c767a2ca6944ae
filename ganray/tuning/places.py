"""Where a sweep keeps what: its study, and the files of its trials."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pyarrow
import pyarrow.fs

from ganray.errors import ResourceError
from ganray.secrets import redact
from ganray.spec.models import Storage, SweepSpec
from ganray.spec.names import JOURNALS

DEFAULT_RESULTS = "~/ray_results"
# of a trial, in its folder
CHECKPOINT = "checkpoint.pt"  # the last
BEST_CHECKPOINT = "best.pt"
BEST_PICTURE = "best.png"
GENERATOR = "generator.pt2"  # of the best trial: exported, draws without ganray
CHECKPOINTS = {"last": CHECKPOINT, "best": BEST_CHECKPOINT}
STOP_PICTURE = "stop.png"  # of the samples that it was stopped for, or would have been


class Located(Protocol):
    """What a sweep is found by: a `SweepSpec`, or a `Place`."""

    @property
    def name(self) -> str:
        """Of the sweep."""

    @property
    def storage(self) -> Storage:
        """Where it keeps what."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recorded sweep is to be found, when no more is known of it."""

    name: str
    storage: Storage


def results_location(sweep: Located) -> str:
    """The folder or URL under which every sweep has a folder of its own."""
    place = sweep.storage.results or DEFAULT_RESULTS
    return place if _is_url(place) else str(Path(place).expanduser().absolute())


def settled(spec: SweepSpec) -> SweepSpec:
    """The sweep with its folders as they are from anywhere, so that it can go on from anywhere."""
    found = {
        name: place if _is_url(place) else str(Path(place).expanduser().absolute())
        for name, place in spec.storage
        if place is not None
    }
    return spec.model_copy(update={"storage": Storage(**found)}) if found else spec


def check_results(sweep: Located) -> None:
    """Refuse a URL that no trial could write its files under, before anything starts.

    Raises:
        ResourceError: the URL's file system is not known, or cannot be reached.
    """
    place = results_location(sweep)
    try:
        pyarrow.fs.FileSystem.from_uri(place)
    except (pyarrow.ArrowException, OSError) as error:
        cause = redact(str(error)).splitlines()[0]
        raise ResourceError(
            f"storage.results: {redact(place)} cannot be used: {cause}; give a folder, "
            "or a URL that starts with file://, s3://, gs://, abfss:// or hdfs://"
        ) from None


def sweep_location(sweep: Located) -> str:
    """The folder or URL of a sweep's files, its trials' among them."""
    return f"{results_location(sweep)}/{sweep.name}"


def trial_location(sweep: Located, number: int) -> str:
    """The folder or URL of one trial's files."""
    return f"{sweep_location(sweep)}/trials/{number:04d}"


def study_location(sweep: Located) -> str:
    """The database URL of the study, or the path of its journal."""
    place = sweep.storage.study
    if place is None:
        return str(Path(_local_results(sweep)) / sweep.name / "study.journal")
    if _is_url(place):
        return place
    path = Path(place).expanduser().absolute()
    return str(path if path.suffix in JOURNALS else path / f"{sweep.name}.journal")


def write_file(folder: str, name: str, content: bytes) -> str:
    """Write a file into a folder or under a URL, whole or not at all; returns where it is."""
    system, path = pyarrow.fs.FileSystem.from_uri(folder)
    place = f"{path}/{name}"
    if not isinstance(system, pyarrow.fs.LocalFileSystem):
        _write(system, place, content)  # an object appears when all of it is there
        return f"{folder}/{name}"
    system.create_dir(path, recursive=True)
    # its own: a process that was taken for dead may be writing the same file
    part = f"{path}/.{name}.{uuid4().hex}.part"
    try:
        _write(system, part, content)
        system.move(part, place)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return f"{folder}/{name}"


def _write(system: pyarrow.fs.FileSystem, path: str, content: bytes) -> None:
    with system.open_output_stream(path) as out:
        out.write(content)


def drop_parts(folder: str) -> None:
    """Delete what processes that died left half written."""
    system, path = pyarrow.fs.FileSystem.from_uri(folder)
    if isinstance(system, pyarrow.fs.LocalFileSystem):
        for part in Path(path).glob(".*.part"):
            part.unlink(missing_ok=True)


def delete_file(place: str) -> None:
    """Delete a file that may not be there."""
    system, path = pyarrow.fs.FileSystem.from_uri(place)
    with contextlib.suppress(FileNotFoundError):
        system.delete_file(path)


def samples_name(update: int) -> str:
    """The file of the picture that a milestone leaves."""
    return f"samples-{update:010d}.png"


def list_files(folder: str) -> tuple[str, ...]:
    """The names of the files in a folder or under a URL, sorted; none if it is not there."""
    system, path = pyarrow.fs.FileSystem.from_uri(folder)
    found = system.get_file_info(pyarrow.fs.FileSelector(path, allow_not_found=True))
    names = (info.base_name for info in found if info.is_file)
    return tuple(sorted(name for name in names if not name.startswith(".")))


def read_file(place: str) -> bytes:
    """The content of a file that `write_file` wrote."""
    system, path = pyarrow.fs.FileSystem.from_uri(place)
    with system.open_input_stream(path) as stream:
        content: bytes = stream.read()
    return content


def _local_results(sweep: Located) -> str:
    """The journal needs a file system; with results elsewhere it stays on this machine."""
    place = results_location(sweep)
    return str(Path(DEFAULT_RESULTS).expanduser()) if _is_url(place) else place


def _is_url(place: str) -> bool:
    return "://" in place

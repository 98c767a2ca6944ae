"""Where a sweep keeps what: the study's storage, and the files of its trials."""

from pathlib import Path

import pyarrow
import pyarrow.fs
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import SQLAlchemyError

from ganray.errors import ResourceError
from ganray.secrets import redact
from ganray.spec.models import SweepSpec

DEFAULT_RESULTS = "~/ray_results"
# of a trial, in its folder
CHECKPOINT = "checkpoint.pt"  # the last
BEST_CHECKPOINT = "best.pt"
BEST_PICTURE = "best.png"
CHECKPOINTS = {"last": CHECKPOINT, "best": BEST_CHECKPOINT}
STOP_PICTURE = "stop.png"  # of the samples that it was stopped for, or would have been


def results_location(spec: SweepSpec) -> str:
    """The folder or URL under which every sweep has a folder of its own."""
    place = spec.storage.results or DEFAULT_RESULTS
    return place if _is_url(place) else str(Path(place).expanduser().absolute())


def check_results(spec: SweepSpec) -> None:
    """Refuse a URL that no trial could write its files under, before anything starts.

    Raises:
        ResourceError: the URL's file system is not known, or cannot be reached.
    """
    place = results_location(spec)
    try:
        pyarrow.fs.FileSystem.from_uri(place)
    except (pyarrow.ArrowException, OSError) as error:
        cause = redact(str(error)).splitlines()[0]
        raise ResourceError(
            f"storage.results: {redact(place)} cannot be used: {cause}; give a folder, "
            "or a URL that starts with file://, s3://, gs://, abfss:// or hdfs://"
        ) from None


def trial_location(spec: SweepSpec, number: int) -> str:
    """The folder or URL of one trial's files."""
    return f"{results_location(spec)}/{spec.name}/trials/{number:04d}"


def study_location(spec: SweepSpec) -> str:
    """The database URL of the study, or the path of its journal."""
    place = spec.storage.study
    if place is None:
        return str(Path(_local_results(spec)) / spec.name / "study.journal")
    if _is_url(place):
        return place
    path = Path(place).expanduser().absolute()
    return str(path if path.suffix in (".journal", ".log") else path / f"{spec.name}.journal")


def open_storage(spec: SweepSpec, *, create: bool) -> BaseStorage:
    """The Optuna storage of the study.

    Raises:
        FileNotFoundError: the journal is not there, and `create` is False.
        ResourceError: the database cannot be opened, or its driver is not installed.
    """
    place = study_location(spec)
    if _is_url(place):
        try:
            return RDBStorage(place)
        except ImportError as error:
            raise ResourceError(f"the study's database needs a driver: {error}") from None
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).splitlines()[0]
            told = f"the study's storage {place} cannot be opened: {cause}"
            raise ResourceError(redact(told)) from None
    path = Path(place)
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        raise FileNotFoundError(path)
    return JournalStorage(JournalFileBackend(str(path)))


def write_file(folder: str, name: str, content: bytes) -> str:
    """Write a file into a folder or under a URL; returns where it is."""
    system, path = pyarrow.fs.FileSystem.from_uri(folder)
    system.create_dir(path, recursive=True)
    with system.open_output_stream(f"{path}/{name}") as out:
        out.write(content)
    return f"{folder}/{name}"


def samples_name(update: int) -> str:
    """The file of the picture that a milestone leaves."""
    return f"samples-{update:010d}.png"


def list_files(folder: str) -> tuple[str, ...]:
    """The names of the files in a folder or under a URL, sorted; none if it is not there."""
    system, path = pyarrow.fs.FileSystem.from_uri(folder)
    found = system.get_file_info(pyarrow.fs.FileSelector(path, allow_not_found=True))
    return tuple(sorted(info.base_name for info in found if info.is_file))


def read_file(place: str) -> bytes:
    """The content of a file that `write_file` wrote."""
    system, path = pyarrow.fs.FileSystem.from_uri(place)
    with system.open_input_stream(path) as stream:
        content: bytes = stream.read()
    return content


def _local_results(spec: SweepSpec) -> str:
    """The journal needs a file system; with results elsewhere it stays on this machine."""
    place = results_location(spec)
    return str(Path(DEFAULT_RESULTS).expanduser()) if _is_url(place) else place


def _is_url(place: str) -> bool:
    return "://" in place

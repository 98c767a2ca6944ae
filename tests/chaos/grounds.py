"""Where sweeps under chaos keep what they record, and what of that may be away for a while."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from tests.servers import MlflowServer, PostgresServer

DISK = "32m"


@dataclass
class Outage:
    """Something that goes away, and comes back.

    Attributes:
        holds_study: whether the study cannot be written, or not even read, in the meantime.
    """

    name: str
    longest: float  # seconds
    begin: Callable[[], object]
    end: Callable[[], object]
    holds_study: bool = False
    is_on: bool = False


@dataclass
class Ground:
    """The places of sweeps.

    Attributes:
        parts: of the sweep file, of a sweep with a folder of its own.
        study: what `--storage` says to find the sweep again, likewise.
    """

    name: str
    parts: Callable[[Path], dict[str, Any]]
    study: Callable[[Path], str]
    outages: list[Outage] = field(default_factory=list)

    @property
    def is_study_away(self) -> bool:
        """Whether the study is out of reach just now."""
        return any(outage.is_on and outage.holds_study for outage in self.outages)


def _results(folder: Path) -> str:
    return str(folder / "results")


@contextlib.contextmanager
def _files(folder: Path) -> Iterator[Ground]:
    """A journal, and MLflow in a file beside it: what a user has who sets up nothing."""
    tracking = {"uri": f"sqlite:///{folder}/mlflow.db"}
    yield Ground("files", lambda own: {"tracking": tracking}, _results)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[Ground]:
    """A journal, and an MLflow server on SQLite."""
    with contextlib.ExitStack() as stack:
        server = _mlflow(folder, f"sqlite:///{folder}/mlflow.db", stack)
        tracking = {"uri": server.uri}
        yield Ground("server", lambda own: {"tracking": tracking}, _results, [_away(server)])


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[Ground]:
    """The study on PostgreSQL, and an MLflow server on PostgreSQL, too: a cluster's way."""
    database = PostgresServer(folder / "postgres")
    login = {"PGUSER": database.user, "PGPASSWORD": database.password}  # a URL may hold none
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, login))
        stack.callback(database.stop)
        database.start()
        database.make_database("study")
        study = database.url("study", password=False)
        server = _mlflow(folder, database.make_database("mlflow"), stack)

        def parts(own: Path) -> dict[str, Any]:
            storage = {"study": study, "results": _results(own)}
            return {"storage": storage, "tracking": {"uri": server.uri}}

        crash = partial(database.stop, crash=True)
        crashed = Outage("PostgreSQL crashed", 8.0, crash, database.start, holds_study=True)
        yield Ground("postgres", parts, lambda own: study, [_away(server), crashed])


def _mlflow(folder: Path, database: str, stack: contextlib.ExitStack) -> MlflowServer:
    server = MlflowServer(folder, database)
    stack.callback(server.kill)
    server.start()
    return server


def _away(server: MlflowServer) -> Outage:
    return Outage("MLflow killed", 20.0, server.kill, server.start)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[Ground]:
    """A journal and results on a small disk, and MLflow in a file on another one."""
    place = folder / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    subprocess.run(mount, check=True, capture_output=True)
    filler = place / "filler"

    def fill() -> None:
        with filler.open("ab", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(b"\0" * 4_096)

    def results(own: Path) -> str:
        return str(place / own.name)

    def parts(own: Path) -> dict[str, Any]:
        tracking = {"uri": f"sqlite:///{folder}/mlflow.db"}
        return {"storage": {"results": results(own)}, "tracking": tracking}

    full = Outage("disk full", 12.0, fill, filler.unlink, holds_study=True)
    try:
        yield Ground("disk", parts, results, [full])
    finally:
        kept = folder / "disk-kept"
        shutil.copytree(place, kept, ignore=shutil.ignore_patterns("filler"), dirs_exist_ok=True)
        subprocess.run(["umount", "--lazy", str(place)], check=True)


GROUNDS: Mapping[str, Callable[[Path], AbstractContextManager[Ground]]] = {
    "files": _files,
    "server": _server,
    "postgres": _postgres,
    "disk": _disk,
}


def can_mount(folder: Path) -> bool:
    """Whether a small disk can be made here."""
    place = folder / "probe"
    place.mkdir()
    with contextlib.suppress(FileNotFoundError):
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
            return True
    return False

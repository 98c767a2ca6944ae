"""The Optuna storage of a study, opened such that a sweep outlives its faults."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from ganray.errors import ResourceError, StorageError
from ganray.secrets import redact
from ganray.tuning.behind_storage import BehindStorage
from ganray.tuning.journal import JournalFile
from ganray.tuning.patience import PATIENCE, Patience, cause, is_passing
from ganray.tuning.patient_storage import PatientStorage
from ganray.tuning.places import Located, study_location

# A host that is cut off sends no word of it: without these, a call waits for it for hours.
_LIBPQ_TIMEOUTS = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 15,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
_LIBPQ_DRIVERS = {"psycopg", "psycopg2"}
_EXISTS = {"42P07", "42710"}  # SQLSTATE: duplicate table, duplicate object
_TRIES = 5  # of processes that make the tables of one database at the same time


def open_storage(
    sweep: Located, *, create: bool, patience: float = PATIENCE, opening: float = 0.0
) -> PatientStorage:
    """The Optuna storage of the study: a journal, or a database that is written behind.

    Args:
        sweep: whose study it is.
        create: whether to make a journal that is not there.
        patience: seconds that a call goes on trying when the storage fails in passing.
        opening: the same of opening it; none by default, because a wrong address looks as a
            database that is away.

    Raises:
        FileNotFoundError: the journal is not there, and `create` is False.
        ResourceError: the storage cannot be opened, or its driver is not installed.
    """
    place = study_location(sweep)
    is_database = "://" in place
    if not is_database and not create and not Path(place).exists():
        raise FileNotFoundError(place)
    make = partial(_open_database if is_database else _open_journal, place)
    kind = BehindStorage if is_database else PatientStorage
    try:
        return kind(_open(make, opening), patience)
    except ImportError as error:
        raise ResourceError(f"the study's database needs a driver: {error}") from None
    except (SQLAlchemyError, StorageInternalError, StorageError, OSError) as error:
        raise ResourceError(
            f"the study's storage {redact(place)} cannot be opened: {cause(error)}"
        ) from None


def _open(make: Callable[[], BaseStorage], patience: float) -> BaseStorage:
    try:
        return make()
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        if not patience or not is_passing(error):
            raise
        return Patience(patience).repeat(make, error)


def _open_journal(place: str) -> BaseStorage:
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFile(place))


def _open_database(place: str) -> BaseStorage:
    """Open it as Optuna would, with its cache; the first to do so makes the tables."""
    settings = _engine_settings(make_url(place))
    for _ in range(_TRIES - 1):
        try:
            return get_storage(RDBStorage(place, settings))
        except DBAPIError as error:
            if not _was_made_meanwhile(error):
                raise
    return get_storage(RDBStorage(place, settings))


def _was_made_meanwhile(error: DBAPIError) -> bool:
    """Whether another process made the same table or row between our look and our doing so."""
    state = getattr(error.orig, "sqlstate", None)
    exists = state in _EXISTS or (state is None and "already exists" in str(error.orig))
    return isinstance(error, IntegrityError) or exists


def _engine_settings(url: URL) -> dict[str, Any]:
    """How SQLAlchemy is to connect: a file cannot be away, a server can."""
    if url.get_backend_name() == "sqlite":
        return {}
    is_libpq = url.get_driver_name() in _LIBPQ_DRIVERS
    timeouts = {k: v for k, v in _LIBPQ_TIMEOUTS.items() if is_libpq and k not in url.query}
    return {"pool_pre_ping": True, "connect_args": timeouts}

"""Which faults are waited for, how long, and what is told of it."""

import errno
import logging
import sqlite3
import threading
import time
from types import SimpleNamespace

import psycopg
import pytest
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from psycopg import errors as pg
from sqlalchemy import exc

from ganray.errors import StorageError
from ganray.tuning import patience
from ganray.tuning.patience import Patience, cause, is_passing


def of_sqlite(code: int, text: str = "it failed") -> exc.OperationalError:
    origin = sqlite3.OperationalError(text)
    origin.sqlite_errorcode = code
    return exc.OperationalError("SELECT", {}, origin)


def of_postgres(origin: Exception, kind: type[exc.DBAPIError] = exc.OperationalError):
    return kind("SELECT", {}, origin)


def optunas(error: Exception) -> StorageInternalError:
    found = StorageInternalError("An exception is raised during the commit.")
    found.__cause__ = error
    return found


def used_again(error: Exception | None) -> exc.PendingRollbackError:
    found = exc.PendingRollbackError("Can't reconnect until invalid transaction is rolled back.")
    found.__context__ = error
    return found


LOST = exc.DBAPIError("SELECT", {}, Exception("gone"), connection_invalidated=True)
PASSING = {
    "no space": OSError(errno.ENOSPC, "No space left on device"),
    "quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "input/output": OSError(errno.EIO, "Input/output error"),
    "stale": OSError(errno.ESTALE, "Stale file handle"),
    "locked": TimeoutError(errno.ETIMEDOUT, "locked"),
    "SQLite is locked": of_sqlite(sqlite3.SQLITE_BUSY),
    "SQLite is full": of_sqlite(sqlite3.SQLITE_FULL),
    "SQLite cannot sync": of_sqlite(sqlite3.SQLITE_IOERR_FSYNC),
    "no connection": of_postgres(psycopg.OperationalError("connection failed: refused")),
    "shut down": of_postgres(pg.AdminShutdown()),
    "starting": of_postgres(pg.CannotConnectNow()),
    "disk of the server": of_postgres(pg.DiskFull()),
    "deadlock": of_postgres(pg.DeadlockDetected()),
    "standby": of_postgres(pg.ReadOnlySqlTransaction(), exc.InternalError),
    "closed": of_postgres(psycopg.InterfaceError("the connection is closed"), exc.InterfaceError),
    "connection lost": LOST,
    "lost connection used again": used_again(LOST),
}
LASTING = {
    "permission": PermissionError(errno.EACCES, "Permission denied"),
    "not there": FileNotFoundError(errno.ENOENT, "No such file"),
    "no number": OSError("odd"),
    "read only": of_sqlite(sqlite3.SQLITE_READONLY),
    "no table": of_sqlite(sqlite3.SQLITE_ERROR),
    "SQLite module": exc.InterfaceError("SELECT", {}, sqlite3.InterfaceError("bad parameter")),
    "wrong SQL": of_postgres(pg.SyntaxError(), exc.ProgrammingError),
    "too long": of_postgres(pg.StringDataRightTruncation(), exc.DataError),
    "too complex": of_postgres(pg.StatementTooComplex()),
    "no such study": KeyError("Record does not exist."),
    "taken": DuplicatedStudyError(),
    "interrupt": KeyboardInterrupt(),
    "wrong SQL, used again": used_again(of_postgres(pg.SyntaxError(), exc.ProgrammingError)),
    "used again": used_again(None),
    "none of SQL": exc.ArgumentError("no URL"),
}


@pytest.mark.parametrize("name", PASSING)
def test_fault_that_passes_is_told(name: str) -> None:
    assert is_passing(PASSING[name])
    assert is_passing(optunas(PASSING[name]))


@pytest.mark.parametrize("name", LASTING)
def test_fault_that_lasts_is_told(name: str) -> None:
    assert not is_passing(LASTING[name])
    assert not is_passing(optunas(LASTING[name]))


def test_error_of_optuna_without_a_cause_lasts() -> None:
    assert not is_passing(StorageInternalError("odd"))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PASSING["no space"], "[Errno 28] No space left on device"),
        (of_sqlite(5, "database is locked"), "database is locked"),
        (optunas(of_sqlite(5, "database is locked")), "database is locked"),
        (of_postgres(psycopg.OperationalError("refused\n\tIs it running?")), "refused"),
        (of_postgres(psycopg.OperationalError("of p://me:secret@host/db")), "of p://***@host/db"),
        (optunas(used_again(of_postgres(psycopg.OperationalError("refused")))), "refused"),
        (KeyError(), "KeyError"),
        (of_postgres(psycopg.OperationalError()), "OperationalError"),
    ],
)
def test_cause_is_one_line_without_a_password(error: Exception, text: str) -> None:
    assert cause(error) == text


# --- waiting --------------------------------------------------------------------------------------

FULL = PASSING["no space"]


class Faulty:
    """Fails with each of some errors in turn, then says how often it was called."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time is what was slept; the naps are told here."""
    naps: list[float] = []
    # in place of the module: other tests' threads may sleep, too
    clock = SimpleNamespace(sleep=naps.append, monotonic=lambda: 100.0 + sum(naps))
    monkeypatch.setattr(patience, "time", clock)
    return naps


def test_call_is_repeated_until_it_succeeds(pauses: list[float]) -> None:
    assert Patience(60.0).repeat(Faulty(FULL, FULL), FULL) == 3
    assert sum(pauses) == pytest.approx(0.1 + 0.2 + 0.4)


def test_pauses_grow_to_some_seconds(pauses: list[float]) -> None:
    call = Faulty(*[FULL] * 20)
    Patience(600.0).repeat(call, FULL)
    assert sum(pauses) == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 15 * 5.0, abs=0.2)
    assert max(pauses) <= 0.2


def test_error_that_lasts_is_let_through_at_once(pauses: list[float]) -> None:
    call = Faulty(FULL, KeyError("gone"))
    with pytest.raises(KeyError, match="gone"):
        Patience(60.0).repeat(call, FULL)
    assert call.calls == 2


def test_patience_ends_with_the_last_cause(pauses: list[float]) -> None:
    call = Faulty(*[FULL] * 100, *[LOST] * 1_000)
    with pytest.raises(StorageError, match=r"failed for 600 s: gone; .* can be resumed") as error:
        Patience(600.0).repeat(call, FULL)
    assert sum(pauses) == pytest.approx(600.0, abs=0.3)
    assert error.value.__cause__ is LOST


def test_last_attempt_is_made_when_patience_ends(pauses: list[float]) -> None:
    assert Patience(2.0).repeat(Faulty(*[FULL] * 4), FULL) == 5
    assert sum(pauses) == pytest.approx(2.0)


def test_without_patience_there_is_one_more_attempt(pauses: list[float]) -> None:
    call = Faulty(FULL, FULL)
    with pytest.raises(StorageError):
        Patience(0.0).repeat(call, FULL)
    assert (call.calls, pauses) == (1, [])


def test_waiting_and_going_on_is_told_once(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    patient = Patience(600.0)
    for _ in range(2):
        caplog.clear()
        patient.repeat(Faulty(*[FULL] * 9), FULL)
        assert caplog.messages == [
            "the study's storage fails: [Errno 28] No space left on device; "
            "waiting for it, up to 600 s",
            "the study's storage works again, after 26 s",
        ]
        assert {(r.name, r.levelno) for r in caplog.records} == {("ganray.tuning", logging.WARNING)}


def test_next_outage_is_told_after_patience_was_lost(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    patient = Patience(1.0)
    for _ in range(2):
        caplog.clear()
        with pytest.raises(StorageError):
            patient.repeat(Faulty(*[FULL] * 99), FULL)
        assert len(caplog.messages) == 1


def test_several_threads_tell_of_one_outage_once(caplog: pytest.LogCaptureFixture) -> None:
    patient, back = Patience(60.0), threading.Event()

    def call() -> None:
        if not back.is_set():
            raise FULL

    threads = [threading.Thread(target=patient.repeat, args=(call, FULL)) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    back.set()
    for thread in threads:
        thread.join()
    assert [message.split(":")[0].split(",")[0] for message in caplog.messages] == [
        "the study's storage fails",
        "the study's storage works again",
    ]


def test_waiting_ends_soon_when_patience_is_cut_short() -> None:
    patient = Patience(600.0)
    threading.Timer(0.3, lambda: patient.hurry(0.2)).start()
    began = time.monotonic()
    with pytest.raises(StorageError):
        patient.repeat(Faulty(*[FULL] * 99), FULL)
    assert 0.4 < time.monotonic() - began < 20.0  # of 600, on a machine that may be busy
    with pytest.raises(StorageError, match=r"failed for \d s"):
        patient.repeat(Faulty(*[FULL] * 99), FULL)

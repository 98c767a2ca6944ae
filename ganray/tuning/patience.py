"""Which faults of a study's storage pass by themselves, and waiting until they have."""

import errno
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError

from ganray.errors import StorageError
from ganray.secrets import redact, redacted_log

PATIENCE = 600.0  # seconds: a database that moves to another machine, a disk that is tidied up
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds
_NAP = 0.2  # seconds: how soon a waiting call hears that its patience was cut short

# of a file system that is full, or away for a while
_PASSING_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOLCK,
    errno.EAGAIN,
    errno.EBUSY,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
}
# https://www.postgresql.org/docs/current/errcodes-appendix.html: connection, transaction rollback,
# insufficient resources (a full disk), operator intervention (a restart), system error
_PASSING_SQLSTATE = re.compile(r"08...|40...|53...|57...|58...|55P03|25006")
# https://www.sqlite.org/rescode.html; the lower eight bits of an extended code are the plain one
_PASSING_SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
}

_log = redacted_log("ganray.tuning")

T = TypeVar("T")


class Patience:
    """Repeats what fails in passing, with growing pauses; of any number of threads.

    Args:
        seconds: how long to go on before an error is let through.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = float("inf")
        self._lock = threading.Lock()
        self._away_since: float | None = None

    def hurry(self, seconds: float) -> None:
        """Let no error wait for longer than until some seconds from now; a signal handler may."""
        self._deadline = time.monotonic() + seconds

    def repeat(self, call: Callable[[], T], error: Exception) -> T:
        """Call until it does not fail in passing.

        Args:
            call: what to do.
            error: how it failed at first.

        Raises:
            StorageError: the patience is over.
            Exception: what the call raised that does not pass by itself.
        """
        began, pause = time.monotonic(), _FIRST_PAUSE
        self._tell_away(error)
        while True:
            self._rest(pause, began)
            pause = min(2.0 * pause, _LONGEST_PAUSE)
            try:
                found = call()
            except Exception as again:
                if not is_passing(again):
                    raise
                error = again
            else:
                self._tell_back()
                return found
            if time.monotonic() >= self._limit(began):
                break
        self._away_since = None
        seconds = time.monotonic() - began
        raise StorageError(
            f"the study's storage failed for {seconds:.0f} s: {cause(error)}; what it holds is "
            "complete up to then: when it is back, the sweep can be resumed"
        ) from error

    def _limit(self, began: float) -> float:
        """When the last attempt is made."""
        return min(began + self._seconds, self._deadline)

    def _rest(self, pause: float, began: float) -> None:
        """Wait before the next attempt, which may become the last one in the meantime."""
        ends = time.monotonic() + pause
        while (left := min(ends, self._limit(began)) - time.monotonic()) > 0.0:
            time.sleep(min(_NAP, left))

    def _tell_away(self, error: Exception) -> None:
        with self._lock:
            if self._away_since is None:
                self._away_since = time.monotonic()
                _log.warning(
                    "the study's storage fails: %s; waiting for it, up to %.0f s",
                    cause(error),
                    self._seconds,
                )

    def _tell_back(self) -> None:
        with self._lock:
            if self._away_since is not None:
                seconds = time.monotonic() - self._away_since
                self._away_since = None
                _log.warning("the study's storage works again, after %.0f s", seconds)


def is_passing(error: BaseException) -> bool:
    """Whether what failed may succeed when it is done again: a full disk, a lost connection."""
    error = _origin(error)
    if isinstance(error, OSError):
        return error.errno in _PASSING_ERRNOS
    if not isinstance(error, DBAPIError):
        return False
    origin = error.orig
    if isinstance(origin, sqlite3.Error):
        # errors of the module itself have no code
        return getattr(origin, "sqlite_errorcode", 0) & 0xFF in _PASSING_SQLITE
    state = getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None)
    if state is not None:
        return _PASSING_SQLSTATE.fullmatch(state) is not None
    # a connection that was lost, or is not to be had, has no state
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def cause(error: BaseException) -> str:
    """What went wrong, in one line, of an error that may wrap another, and without a password."""
    error = _origin(error)
    origin = error.orig if isinstance(error, DBAPIError) else None
    text = str(origin or error).strip() or type(error).__name__
    return redact(text.splitlines()[0])


def _origin(error: BaseException) -> BaseException:
    """What an error was made of: Optuna's hides SQLAlchemy's, which may hide the one before."""
    while True:
        hidden = None
        if isinstance(error, StorageInternalError):
            hidden = error.__cause__
        if isinstance(error, PendingRollbackError):  # a lost connection was used again
            hidden = error.__context__
        if hidden is None:
            return error
        error = hidden

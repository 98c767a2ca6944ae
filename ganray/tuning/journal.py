"""An Optuna journal file that outlives its writers: killed in mid-append, or out of disk."""

import contextlib
import errno
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages.journal import BaseJournalBackend

from ganray.errors import ResourceError

LOCK_PATIENCE = 30.0  # seconds; an append holds the lock for milliseconds
_LONGEST_PAUSE = 0.05  # seconds
_BLOCK = 4_096  # bytes


class JournalFile(BaseJournalBackend):
    """One JSON record a line, in the format of Optuna's own backend for journal files.

    That one leaves half a line when its process is killed or the disk is full, and the next
    append completes it to a line that nobody can read; its lock outlives a killed holder by 30 s.
    Here an entry is either in the file as a whole or not at all, readers see only what can no
    longer be taken back, and the kernel frees the lock of a process that dies. A process with
    Optuna's own backend may read the file at any time, but must not write while this one does.

    Args:
        path: of the file; made, if it is not there.
        lock_patience: seconds to wait for another process that holds the lock.

    Raises:
        OSError: the file cannot be read or written: nothing was appended.
        TimeoutError: another process held the lock for too long (it may be suspended).
        ResourceError: a line that was written as a whole is no record.
    """

    def __init__(self, path: str, lock_patience: float = LOCK_PATIENCE) -> None:
        self._path = path
        self._lock_patience = lock_patience
        self._read = (0, 0)  # records that were read, and the bytes that they take
        if not Path(path).exists():
            Path(path).touch()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The records from a number on; the half line of a writer that was killed is none."""
        with open(self._path, "rb") as file:
            number, offset = self._read if self._read[0] <= log_number_from else (0, 0)
            end = self._committed(file, offset)
            file.seek(offset)
            while offset < end:
                line = file.readline()
                number, offset = number + 1, offset + len(line)
                record = self._parse(line, number)
                self._read = (number, offset)
                if number > log_number_from:
                    yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records: when this returns, they are on the disk; when it raises, none is."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with open(self._path, "r+b", buffering=0) as file, self._locked(file, fcntl.LOCK_EX):
            end = _end_of_lines(file)
            if file.seek(0, os.SEEK_END) != end:  # a writer was killed
                file.truncate(end)
                file.seek(end)
            try:
                _write_all(file, lines)
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(end)
                raise

    def _committed(self, file: BinaryIO, known: int) -> int:
        """Where the last whole line ends that no writer can take back any more."""
        size = os.fstat(file.fileno()).st_size
        if size < known:
            raise ResourceError(f"the study's journal {self._path} was replaced while it was used")
        if size == known:
            return known
        with self._locked(file, fcntl.LOCK_SH):
            return _end_of_lines(file)

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record: dict[str, Any] = _DECODER.decode(line.decode())
        except ValueError as error:
            raise ResourceError(
                f"the study's journal {self._path} is damaged: line {number} is no record "
                f"({error}); restore the file from a copy, or delete this line and what follows"
            ) from None
        return record

    @contextlib.contextmanager
    def _locked(self, file: BinaryIO, kind: int) -> Iterator[None]:
        """Hold the file's lock; it belongs to the open file, so a dead process holds none."""
        ends, pause = time.monotonic() + self._lock_patience, 0.001
        while not _try_lock(file, kind):
            if time.monotonic() > ends:
                text = "locked by another process, which may be suspended"
                raise TimeoutError(errno.ETIMEDOUT, text, self._path)
            time.sleep(pause)
            pause = min(2.0 * pause, _LONGEST_PAUSE)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _shared(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary whose keys are those of all others: they were half of a report's memory."""
    return {sys.intern(key): value for key, value in pairs}


_DECODER = json.JSONDecoder(object_pairs_hook=_shared)


def _try_lock(file: BinaryIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_all(file: BinaryIO, content: bytes) -> None:
    """Write until it is all there: on a disk that fills up, one call writes only a part."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _end_of_lines(file: BinaryIO) -> int:
    """The size of a file without the half line at its end, if it has one."""
    end = os.fstat(file.fileno()).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        newline = os.pread(file.fileno(), end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0

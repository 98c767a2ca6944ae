"""The journal holds every record that was appended, whole, whatever became of its writers."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ganray.errors import ResourceError
from ganray.tuning import journal
from ganray.tuning.journal import JournalFile

FIRST, SECOND, THIRD = {"a": 1}, {"b": [1.5, None]}, {"c": "é\n"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.journal"


def records(path: Path) -> list[dict]:
    return list(JournalFile(str(path)).read_logs(0))


def test_records_come_back_as_they_were_appended(path: Path) -> None:
    file = JournalFile(str(path))
    assert list(file.read_logs(0)) == []
    file.append_logs([FIRST, SECOND])
    file.append_logs([THIRD])
    assert records(path) == list(file.read_logs(0)) == [FIRST, SECOND, THIRD]
    assert path.read_bytes().count(b"\n") == 3


def test_records_share_their_keys(path: Path) -> None:
    """A study of 10,000 trials has some 30 names in each of 400,000 reports."""
    JournalFile(str(path)).append_logs([{"user_attr": {"distance": float(i)}} for i in range(2)])
    first, second = (next(iter(record["user_attr"])) for record in records(path))
    assert first == "distance"
    assert first is second


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_records_are_read_from_a_number_on(start: int, path: Path) -> None:
    file = JournalFile(str(path))
    file.append_logs([FIRST, SECOND, THIRD])
    assert list(file.read_logs(start)) == [FIRST, SECOND, THIRD][start:]
    assert list(file.read_logs(start)) == [FIRST, SECOND, THIRD][start:]


def test_reading_goes_on_where_its_reader_broke_off(path: Path) -> None:
    file = JournalFile(str(path))
    file.append_logs([FIRST, SECOND, THIRD])
    assert next(iter(file.read_logs(0))) == FIRST
    assert list(file.read_logs(1)) == [SECOND, THIRD]


def test_what_another_process_appended_is_read(path: Path) -> None:
    mine, other = JournalFile(str(path)), JournalFile(str(path))
    mine.append_logs([FIRST])
    assert list(mine.read_logs(0)) == [FIRST]
    other.append_logs([SECOND])
    assert list(mine.read_logs(1)) == [SECOND]


# --- half lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "torn",
    [b"{", b'{"c":', b'{"c":3}', b"\0" * 5_000, b"x" * 4_096, b"x" * 10_000, b'"\xc3'],
    ids=["brace", "half", "no end", "zeros", "a block", "blocks", "half a letter"],
)
@pytest.mark.parametrize("before", [[], [FIRST], [FIRST, {"long": "y" * 9_000}]])
def test_half_line_is_not_read_and_cut_off_by_the_next_append(
    before: list[dict], torn: bytes, path: Path
) -> None:
    file = JournalFile(str(path))
    file.append_logs(before)
    with path.open("ab") as out:
        out.write(torn)
    assert list(file.read_logs(0)) == records(path) == before
    JournalFile(str(path)).append_logs([SECOND])
    assert list(file.read_logs(len(before))) == [SECOND]
    assert records(path) == [*before, SECOND]


def test_half_line_makes_the_journal_of_optuna_itself_unreadable(path: Path) -> None:
    # why there is one of our own; when this fails, it may not be needed any more
    file = JournalFileBackend(str(path))
    path.write_bytes(b'{"op_code":')
    for record in (FIRST, SECOND):
        file.append_logs([record])
    with pytest.raises(json.JSONDecodeError):
        list(file.read_logs(0))


@pytest.mark.parametrize("line", [b"\0\0\0\n", b"{]\n", b"\n", b'"\xc3"\n'])
def test_damaged_line_is_told_with_its_number(line: bytes, path: Path) -> None:
    file = JournalFile(str(path))
    file.append_logs([FIRST])
    with path.open("ab") as out:
        out.write(line)
    for _ in range(2):
        with pytest.raises(ResourceError, match=r"study\.journal is damaged: line 2 is no record"):
            list(file.read_logs(0))


def test_journal_that_was_replaced_is_told(path: Path) -> None:
    file = JournalFile(str(path))
    file.append_logs([FIRST, SECOND])
    assert len(list(file.read_logs(0))) == 2
    path.write_bytes(b"")
    with pytest.raises(ResourceError, match=r"study\.journal was replaced"):
        list(file.read_logs(2))


def test_journal_that_was_deleted_is_not_made_anew(path: Path) -> None:
    file = JournalFile(str(path))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file.append_logs([FIRST])


# --- failing appends ------------------------------------------------------------------------------


def fail_fsync(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(descriptor: int) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("fault", "raised"), [(fail_fsync, OSError), (interrupt, KeyboardInterrupt)]
)
def test_append_that_fails_leaves_nothing(
    fault, raised: type[BaseException], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = JournalFile(str(path))
    file.append_logs([FIRST])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fault)
        with pytest.raises(raised):
            file.append_logs([SECOND])
    assert records(path) == [FIRST]
    file.append_logs([THIRD])
    assert records(path) == list(file.read_logs(0)) == [FIRST, THIRD]


def test_disk_that_fills_up_in_the_middle_of_a_line_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = JournalFile(str(path))
    file.append_logs([FIRST])
    monkeypatch.setattr(
        journal, "_write_all", lambda out, text: out.write(text[:3]) and fail_fsync(0)
    )
    with pytest.raises(OSError, match="No space left"):
        file.append_logs([SECOND])
    assert records(path) == [FIRST]
    assert path.read_bytes() == b'{"a":1}\n'


def test_line_is_written_to_its_end_where_one_call_writes_a_part() -> None:
    class Slow:
        content = b""

        def write(self, rest: memoryview) -> int:
            self.content += bytes(rest[:3])
            return min(3, len(rest))

    journal._write_all(out := Slow(), b"0123456789")
    assert out.content == b"0123456789"


def test_reader_does_not_see_what_may_still_be_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, reader = JournalFile(str(path)), JournalFile(str(path), lock_patience=0.05)
    seen = []

    def look(descriptor: int) -> None:
        with pytest.raises(TimeoutError):
            list(reader.read_logs(0))
        seen.append(path.read_bytes())
        fail_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    with pytest.raises(OSError, match="No space left"):
        file.append_logs([FIRST])
    assert seen == [b'{"a":1}\n']
    assert list(reader.read_logs(0)) == []


# --- the lock -------------------------------------------------------------------------------------

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "r+b")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("way", ["append", "read"])
def test_lock_of_another_process_is_waited_for_and_then_told(way: str, path: Path) -> None:
    JournalFile(str(path)).append_logs([FIRST])
    file = JournalFile(str(path), lock_patience=0.2)
    with path.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="locked by another process, which may be susp") as e:
            file.append_logs([SECOND]) if way == "append" else list(file.read_logs(0))
        assert 0.2 <= time.monotonic() - began < 2.0
    assert (e.value.errno, e.value.filename) == (errno.ETIMEDOUT, str(path))
    file.append_logs([SECOND])
    assert records(path) == [FIRST, SECOND]


def test_lock_of_a_killed_process_is_free_at_once(path: Path) -> None:
    file = JournalFile(str(path))
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        child.kill()
    began = time.monotonic()
    file.append_logs([FIRST])
    assert time.monotonic() - began < 1.0


def test_lock_is_free_after_a_reader_failed(path: Path) -> None:
    storage = JournalStorage(JournalFile(str(path), lock_patience=0.2))
    storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "a")
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "a")
    storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "b")
    assert [study.study_name for study in storage.get_all_studies()] == ["a", "b"]


def test_lock_is_free_while_records_are_read(path: Path) -> None:
    file = JournalFile(str(path), lock_patience=0.2)
    file.append_logs([FIRST, SECOND])
    reading = iter(JournalFile(str(path)).read_logs(0))
    assert next(reading) == FIRST
    file.append_logs([THIRD])
    assert list(reading) == [SECOND]  # what was there when it began


def test_optuna_reads_what_was_written_and_the_other_way_round(path: Path) -> None:
    def study(backend) -> optuna.Study:
        return optuna.create_study(
            study_name="a", storage=JournalStorage(backend), load_if_exists=True
        )

    mine = study(JournalFile(str(path)))
    mine.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=3)
    theirs = study(JournalFileBackend(str(path)))
    theirs.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=3)
    assert mine.trials == theirs.trials
    assert len(mine.trials) == 6

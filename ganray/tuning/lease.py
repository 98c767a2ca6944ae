"""Who drives a study now: one driver at a time, told apart from those that died."""

import os
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Self
from uuid import uuid4

from optuna.study import Study

from ganray.errors import StorageError, SweepRunningError
from ganray.secrets import redacted_log
from ganray.trial import now_ms

INTERVAL = 15.0  # seconds between two beats
WATCH = 45.0  # seconds without a beat after which a driver on another machine is dead
_PREFIX = "lease:"  # of a study's attributes, one for each driver that it ever had

_log = redacted_log("ganray.tuning")
_held: set[str] = set()  # tokens of this process


@dataclass(frozen=True, slots=True)
class Holder:
    """A driver of a study, as it last told of itself."""

    token: str
    generation: int  # one more than that of whoever held or wanted the lease before
    host: str
    machine: str  # processes of equal machines see each other's process ids
    pid: int
    process_start: str  # tells a process from a later one of the same id
    since: int  # ms since 1970, by the holder's clock
    at: int  # of the last beat, alike
    beats: int = 0
    job: str | None = None  # the Ray job that it runs in
    holds: bool = False  # or wanted the lease, until it saw that nobody else does
    released: bool = False

    def __str__(self) -> str:
        job = f", Ray job {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{job}, since {_utc(self.since)}"

    @property
    def is_here(self) -> bool:
        """Whether its process is one of those that can be seen from this one."""
        return self.machine == _machine()

    def is_alive(self, study: Study, watch: float = WATCH) -> bool:
        """Whether it still drives the study.

        On this machine its process tells; on another one its beats do, and to see them takes up
        to `watch` seconds. Clocks of two machines are not compared.
        """
        if self.released:
            return False
        if not self.is_here:
            return self.wait_for_beat(study, watch)
        if self.pid == os.getpid():
            return self.token in _held
        return _process_start(self.pid) == self.process_start

    def wait_for_beat(self, study: Study, watch: float = WATCH) -> bool:
        """Whether it beats within some seconds; False as soon as it releases the lease."""
        ends = time.monotonic() + watch
        while True:
            found = _entries(study).get(self.token)
            if found is None or found.released:
                return False
            if found.beats != self.beats:
                return True
            if time.monotonic() >= ends:
                return False
            time.sleep(min(1.0, watch / 10.0))


class Lease:
    """The right to drive a study, kept alive by a thread of its own until it is released.

    The study holds an attribute for each of its drivers, which that driver alone writes. To
    acquire, a driver writes that it wants the lease and then looks for others: of two that come at
    the same time, at least one sees the other and withdraws. A later holder has a higher
    generation; a driver that was suspended, and taken for dead, finds one at its next beat and has
    lost.
    """

    def __init__(
        self, study: Study, holder: Holder, interval: float, on_lost: Callable[[], None]
    ) -> None:
        self.lost = threading.Event()  # set when another driver took over: stop, write nothing
        self.holder = holder
        self._on_lost = on_lost
        self._study = study
        self._interval = interval
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="lease", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(
        cls,
        study: Study,
        *,
        job: str | None = None,
        interval: float = INTERVAL,
        watch: float = WATCH,
        on_lost: Callable[[], None] = lambda: None,
    ) -> Self:
        """Become the study's driver.

        Args:
            study: whose attributes hold the lease.
            job: the Ray job that this process runs in.
            interval: seconds between two beats.
            watch: seconds to wait for a beat of a holder on another machine; three intervals or
                more.
            on_lost: called in another thread when another driver has taken over.

        Raises:
            SweepRunningError: another process drives it.
        """
        while True:
            before = _entries(study)
            for other in _holders(before):
                _refuse_alive(study, other, watch)
            generation = 1 + max((each.generation for each in before.values()), default=0)
            mine = _claim(study, _this_process(generation, job), before)
            if mine is not None:
                return cls(study, mine, interval, on_lost)
            time.sleep(random.uniform(0.1, 1.0))  # not in step with the rival

    def release(self) -> None:
        """Let another driver have the study; harmless when it was lost or released before."""
        self._ended.set()
        _held.discard(self.holder.token)
        with self._writing:
            if self.holder.released or self.lost.is_set():
                return
            self.holder = replace(self.holder, released=True)
            try:
                _write(self._study, self.holder)
            except StorageError as error:  # the end of this process releases it, too
                _log.warning("the lease of sweep '%s' stays: %s", self._study.study_name, error)

    @property
    def last_beat_before(self) -> int:
        """The last beat of any driver before this one, ms since 1970; 0 if there was none."""
        others = (e for e in _entries(self._study).values() if e.token != self.holder.token)
        return max((each.at for each in others), default=0)

    def _keep_beating(self) -> None:
        while not self._ended.wait(self._interval) and not self.lost.is_set():
            try:
                self._beat()
            except Exception as error:  # the next beat may succeed, and the sweep goes on
                _log.warning("no beat of sweep '%s': %s", self._study.study_name, error)

    def _beat(self) -> None:
        with self._writing:
            if self._ended.is_set():
                return
            if self._is_lost():
                _held.discard(self.holder.token)
                self.lost.set()
                self._on_lost()
                return
            self.holder = replace(self.holder, beats=self.holder.beats + 1, at=now_ms())
            _write(self._study, self.holder)

    def _is_lost(self) -> bool:
        try:
            return _last_held(_entries(self._study)) > self.holder.generation
        except KeyError:  # there is no such study any more
            return True


def holder(study: Study) -> Holder | None:
    """Who has the lease of a study, dead or alive; None if it was released, or never taken."""
    found = _holders(_entries(study))
    return max(found, key=lambda each: (each.holds, each.beats), default=None)


def _entries(study: Study) -> dict[str, Holder]:
    """What each driver of the study told of itself, by its token."""
    attributes = study.user_attrs.items()
    found = [Holder(**value) for key, value in attributes if key.startswith(_PREFIX)]
    return {each.token: each for each in found}


def _last_held(entries: dict[str, Holder]) -> int:
    """The generation of the last driver that had the lease; 0 if none ever had."""
    return max((each.generation for each in entries.values() if each.holds), default=0)


def _holders(entries: dict[str, Holder]) -> list[Holder]:
    """Who may have the lease: those that want it, too, for they may have been killed so."""
    last = _last_held(entries)
    return [each for each in entries.values() if each.generation >= last and not each.released]


def _write(study: Study, mine: Holder) -> None:
    study.set_user_attr(_PREFIX + mine.token, asdict(mine))


def _refuse_alive(study: Study, other: Holder, watch: float) -> None:
    if not other.is_here:
        _log.warning(
            "sweep '%s' was run by %s: looking for %.0f s whether it still is",
            study.study_name,
            other,
            watch,
        )
    if other.is_alive(study, watch):
        raise _running(study, other)


def _claim(study: Study, mine: Holder, before: dict[str, Holder]) -> Holder | None:
    """Take the lease; None if another driver came, too: then nobody may have it.

    Args:
        study: whose lease it is.
        mine: this process, which does not hold it yet.
        before: the drivers that there were; who may have had the lease of them is dead.
    """
    _held.add(mine.token)
    try:
        _write(study, mine)
        if not _has_rival(_entries(study), mine, before):
            mine = replace(mine, holds=True)
            _write(study, mine)
            return mine
        _write(study, replace(mine, released=True))
    except BaseException:
        _held.discard(mine.token)
        raise
    _held.discard(mine.token)
    return None


def _has_rival(entries: dict[str, Holder], mine: Holder, before: dict[str, Holder]) -> bool:
    """Whether another driver wants the lease, or has had it, since this one looked.

    Of whatever generation: who looked earlier, and writes later, may have a lower one.
    """
    came = (e for e in entries.values() if e.token != mine.token and e.token not in before)
    return _last_held(entries) >= mine.generation or any(not each.released for each in came)


def _running(study: Study, other: Holder) -> SweepRunningError:
    way = f"ganray stop {study.study_name}" if other.job else f"kill {other.pid}"
    return SweepRunningError(
        f"sweep '{study.study_name}' is run by {other}; "
        f"wait until it has ended, or stop it there with Ctrl-C or: {way}"
    )


def _this_process(generation: int, job: str | None) -> Holder:
    now, pid = now_ms(), os.getpid()
    return Holder(
        token=uuid4().hex,
        generation=generation,
        host=socket.gethostname(),
        machine=_machine(),
        pid=pid,
        process_start=_process_start(pid) or "",
        since=now,
        at=now,
        job=job,
    )


@cache
def _machine() -> str:
    """What processes of this one's user share that see each other: host, boot, and namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux: equal to no other, so that beats tell who is alive
        return uuid4().hex
    return f"{socket.gethostname()}/{boot}/{namespace}/{os.getuid()}"


def _process_start(pid: int) -> str | None:
    """When a process of this machine started, in ticks of its clock; None if it is dead."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = state.rpartition(")")[2].split()  # from the third on: see proc_pid_stat(5)
    return None if fields[0] in ("Z", "X") else fields[19]


def _utc(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

"""One sweep that goes through faults at given times, until it is done."""

import heapq
import itertools
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from ganray.errors import GanrayError
from ganray.trial import now_ms
from ganray.tuning.lease import holder
from ganray.tuning.study import SweepStudy
from tests.agreement import ended_launches
from tests.chaos.grounds import Ground, Outage
from tests.faults import TRIAL, Driver, Sweep, titled

LONGEST = 1_200.0  # seconds that a sweep may take in all; on a quiet machine it is a minute
STOPS_WITHIN = 30.0  # seconds from a signal to the driver's end
LONGEST_BREAK = 3.0  # seconds from the end of a driver to the next one
LONGEST_PAUSE = 8.0  # seconds of SIGSTOP
LATER = 2.0  # seconds, at most, after which something is tried again that could not be done
LOOK = 0.05
_STOPPED = {0, 1, 130}  # how a driver ends that listens to signals


class LossError(Exception):
    """A sweep did not come through as it should."""


@dataclass(frozen=True)
class Event:
    """What was done to a sweep, or what it did."""

    at: float  # seconds since the sweep began
    what: str


@dataclass
class Plan:
    """The faults of one sweep, each so many seconds after the one before."""

    faults: list[tuple[float, str]]

    @classmethod
    def draw(cls, chance: random.Random, ground: Ground, span: float) -> "Plan":
        """One to six faults that this ground allows.

        Args:
            chance: draws them.
            ground: where the sweep is.
            span: seconds that the sweep takes in peace.
        """
        kinds = [*FAULTS, *(outage.name for outage in ground.outages for _ in range(2))]
        count = chance.randint(1, 6)
        return cls([(chance.uniform(0.0, span / 2), chance.choice(kinds)) for _ in range(count)])


@dataclass
class Ordeal:
    """A sweep under faults.

    Attributes:
        environment: of its processes.
        chance: says which trial's process is hit, and for how long what is away.
        events: all that happened.
        faults: by kind.
        starts: of a driver.
        synced: whether `ganray sync` had to be run at its end.
        slowest: the longest time that a driver took to end after a signal, in seconds.
        before: how often trials had been started that had ended when a driver was followed by
            another one.
    """

    sweep: Sweep
    ground: Ground
    environment: Mapping[str, str]
    chance: random.Random
    events: list[Event] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    starts: int = 0
    synced: bool = False
    slowest: float = 0.0
    before: dict[int, int] = field(default_factory=dict)

    def run(self, plan: Plan) -> None:
        """Let it go through the faults to its end; those that are due later do not happen.

        Raises:
            LossError: a driver ended or hung although nothing was done to it.
        """
        self._began = time.monotonic()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._ending: list[threading.Thread] = []
        self._outages: list[Outage] = []
        self._paused: list[psutil.Process] = []
        self._driver: Driver | None = None
        self._killed, self._stopped, self._may_fail = False, 0.0, False
        self._exists, self._driver_began = False, 0
        self._plan(plan)
        try:
            self._start()
            while not self._is_done():
                self._do_what_is_due()
                time.sleep(LOOK)
        finally:
            self._bring_back()

    def sync(self) -> None:
        """What its last driver asked for, if MLflow was away at its end.

        Raises:
            LossError: it does not work.
        """
        if not self.sweep.is_to_be_synced:
            return
        place = self.ground.study(self.sweep.folder)
        command = ("sync", self.sweep.spec.name, "--storage", place)
        driver = self.sweep.start(*command, environment=self.environment)
        if driver.process.wait(LONGEST):
            raise LossError("ganray sync failed")
        self.synced = True

    # --- the driver -------------------------------------------------------------------------------

    def _start(self) -> None:
        self._may_fail = self.ground.is_study_away
        if not self._may_fail:
            self._exists = self._has_study()
        place = self.ground.study(self.sweep.folder)
        name = self.sweep.spec.name
        command = ("resume", name, "--storage", place) if self._exists else ()
        self._driver = self.sweep.start(*command, environment=self.environment)
        self._killed, self._stopped = False, 0.0
        self._driver_began = now_ms()
        self.starts += 1
        self._tell("resumed" if command else "started")

    def _drives(self) -> bool:
        """Whether the driver has the sweep's lease, from when on it waits for its study."""
        with suppress(GanrayError):
            found = holder(SweepStudy.load(self.sweep.spec).record)
            return found is not None and found.pid == self._driver.process.pid
        return False

    def _listens(self) -> bool:
        """Whether it has begun, from when on it ends in order; while Ray starts, Ray listens."""
        with suppress(GanrayError):
            attempts = SweepStudy.load(self.sweep.spec).record.user_attrs.get("attempts", [])
            return bool(attempts) and attempts[-1]["started"] >= self._driver_began
        return False

    def _has_study(self) -> bool:
        try:
            self.before |= ended_launches(self.sweep.spec)
        except GanrayError:
            return False
        return True

    def _is_done(self) -> bool:
        """Whether the sweep has ended; a driver that was ended gets a successor."""
        now = time.monotonic()
        if now - self._began > LONGEST:
            raise LossError(f"it is not done after {LONGEST:.0f} s")
        if self._driver is None:
            return False
        code = self._driver.process.poll()
        if code is None:
            if self._stopped and now - self._stopped > 2.0 * STOPS_WITHIN:
                raise LossError(f"the driver runs {2 * STOPS_WITHIN:.0f} s after a signal")
            return False
        self._tell(f"driver ended with {code}")
        if self._stopped:
            self.slowest = max(self.slowest, now - self._stopped)
        if code == 0:
            return True
        if not (self._killed or self._may_fail or (self._stopped and code in _STOPPED)):
            raise LossError(f"the driver ended with {code}")
        self._driver = None
        self._at(self.chance.uniform(0.0, LONGEST_BREAK), self._start)
        return False

    # --- what is done to it -----------------------------------------------------------------------

    def _plan(self, plan: Plan) -> None:
        after = 0.0
        for seconds, kind in plan.faults:
            after += seconds
            self._at(after, lambda kind=kind: self._strike(kind))

    def _strike(self, kind: str) -> None:
        done = None
        driver = self._driver
        if driver is not None and driver.process.poll() is None and not self._stopped:
            outage = next((o for o in self.ground.outages if o.name == kind), None)
            with suppress(psutil.NoSuchProcess):  # it has just ended
                done = self._take_away(outage) if outage else FAULTS[kind](self, driver)
        if done is None:  # there may be another driver soon
            self._at(self.chance.uniform(0.0, LATER), lambda: self._strike(kind))
            return
        self.faults.append(kind)
        self._tell(f"{kind}{done}")

    def _take_away(self, outage: Outage) -> str | None:
        if outage.is_on:
            return None
        seconds = self.chance.uniform(0.0, outage.longest)
        if outage.holds_study and not self._drives():  # who cannot open its study is refused
            self._may_fail = True
        outage.is_on = True
        self._outages.append(outage)
        outage.begin()
        self._at(seconds, lambda: self._end(outage))
        return f" for {seconds:.1f} s"

    def _end(self, outage: Outage) -> None:
        def end() -> None:
            outage.end()
            outage.is_on = False
            self._tell(f"{outage.name}: over")

        self._outages.remove(outage)
        self._ending.append(threading.Thread(target=end))  # a server takes seconds to start
        self._ending[-1].start()

    def _bring_back(self) -> None:
        for process in self._paused:  # even SIGKILL of its parent is nothing that it hears of
            _go_on(process)
        for outage in list(self._outages):
            self._end(outage)
        for thread in self._ending:
            thread.join()

    # --- time -------------------------------------------------------------------------------------

    def _at(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), action))

    def _do_what_is_due(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()

    def _tell(self, what: str) -> None:
        self.events.append(Event(round(time.monotonic() - self._began, 2), what))

    # --- faults: what they did, in words; None if they have to wait -------------------------------

    def kill_trial(self, driver: Driver) -> str | None:
        """SIGKILL to one of its trials' processes."""
        return self._signal_trial(driver, signal.SIGKILL)

    def pause_trial(self, driver: Driver) -> str | None:
        """SIGSTOP to one of its trials' processes, and SIGCONT some seconds later."""
        return self._signal_trial(driver, signal.SIGSTOP)

    def _signal_trial(self, driver: Driver, number: signal.Signals) -> str | None:
        with suppress(psutil.NoSuchProcess):
            found = sorted(titled(psutil.Process(driver.process.pid), TRIAL), key=lambda p: p.pid)
            if found:
                process = self.chance.choice(found)
                process.send_signal(number)
                if number is signal.SIGKILL:
                    return f", pid {process.pid}"
                seconds = self.chance.uniform(0.0, LONGEST_PAUSE)
                self._paused.append(process)
                self._at(seconds, lambda: _go_on(process))
                return f", pid {process.pid}, for {seconds:.1f} s"
        return None

    def kill_driver(self, driver: Driver) -> str:
        """SIGKILL to the driver alone."""
        self._killed = True
        driver.kill()
        return ""

    def kill_all(self, driver: Driver) -> str:
        """SIGKILL to the driver and all that it started."""
        self._killed = True
        driver.kill_all()
        return ""

    def interrupt(self, driver: Driver) -> str:
        """SIGINT."""
        return self._stop(driver, signal.SIGINT)

    def terminate(self, driver: Driver) -> str:
        """SIGTERM."""
        return self._stop(driver, signal.SIGTERM)

    def _stop(self, driver: Driver, number: signal.Signals) -> str:
        if not self._listens():  # Ray, while it starts, may abort, exit or crash by a signal
            self._may_fail = True
        self._stopped = time.monotonic()
        driver.process.send_signal(number)
        return ""


def _go_on(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGCONT)


FAULTS: Mapping[str, Callable[[Ordeal, Driver], str | None]] = {
    "trial killed": Ordeal.kill_trial,
    "trial paused": Ordeal.pause_trial,
    "driver killed": Ordeal.kill_driver,
    "all killed": Ordeal.kill_all,
    "SIGINT": Ordeal.interrupt,
    "SIGTERM": Ordeal.terminate,
}

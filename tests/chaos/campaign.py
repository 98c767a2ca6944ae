"""Sweep after sweep under random faults, until the time is over or something is lost."""

import contextlib
import json
import random
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.agreement import Expected, disagreements, expectation
from tests.chaos.grounds import GROUNDS, Ground, can_mount
from tests.chaos.ordeal import LONGEST, Event, LossError, Ordeal, Plan
from tests.faults import SWEEP, Sweep

MARK = "GANRAY_CHAOS"  # in the environment of every process of a sweep
GOES_WITHIN = 30.0  # seconds in which the processes of a killed driver have to be gone


@dataclass(frozen=True)
class Peaceful:
    """The sweep of a ground that nothing disturbs."""

    expected: Expected
    search_seed: int
    seconds: float


@dataclass
class Passed:
    """One sweep under faults."""

    number: int
    ground: str
    seconds: float
    faults: list[str]
    events: list[Event]
    starts: int
    slowest_stop: float
    synced: bool
    lost: list[str] = field(default_factory=list)


class Campaign:
    """Chaos from a seed.

    Args:
        seed: says which faults hit which sweep when.
        grounds: where sweeps are; the small disk is left out where none can be mounted.
    """

    def __init__(self, seed: int, grounds: Sequence[str] = tuple(GROUNDS)) -> None:
        self.seed = seed
        self.folder = Path(tempfile.mkdtemp(prefix="gc", dir="/tmp"))  # Ray's sockets are in it
        self.passed: list[Passed] = []
        self.interrupted = False
        self._mark = secrets.token_hex(8)
        self._peace: dict[str, Peaceful] = {}
        self._stack = ExitStack()
        self._grounds: dict[str, Ground] = {}
        self._names = [g for g in grounds if g != "disk" or can_mount(self.folder)]

    def run(self, seconds: float) -> bool:
        """Start sweeps until the time is over or Ctrl-C comes; whether nothing was lost.

        What was lost stays in the folder; else nothing is left of it, nor any process.
        """
        try:
            with self._stack:
                self._run_until(time.monotonic() + seconds)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self._kill_left_behind()
        if not self._has_lost:
            shutil.rmtree(self.folder, ignore_errors=True)
        return not self._has_lost

    @property
    def _has_lost(self) -> bool:
        return any(each.lost for each in self.passed)

    def _run_until(self, ends: float) -> None:
        for number, name in enumerate(self._order()):
            if self._has_lost or (self.passed and time.monotonic() >= ends):
                return
            self._endure(number, self._ground(name))

    def table(self) -> str:
        """How many sweeps and faults there were, by kind."""
        count = Counter(fault for each in self.passed for fault in each.faults)
        lines = [f"{times:5}  {fault}" for fault, times in sorted(count.items())]
        lost = sum(bool(each.lost) for each in self.passed)
        synced = sum(each.synced for each in self.passed)
        starts = sum(each.starts for each in self.passed)
        slowest = max((each.slowest_stop for each in self.passed), default=0.0)
        lines += [
            f"{sum(count.values()):5}  faults in {len(self.passed)} sweeps, {starts} drivers",
            f"{synced:5}  sweeps after which MLflow was still away, so that `ganray sync` was run",
            f"{lost:5}  sweeps with a loss",
            f"{slowest:5.1f}  seconds from a signal to the driver's end, at most",
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All that happened, for JSON."""
        count = Counter(fault for each in self.passed for fault in each.faults)
        return {
            "seed": self.seed,
            "faults": dict(sorted(count.items())),
            "losses": sum(bool(each.lost) for each in self.passed),
            "sweeps": [asdict(each) for each in self.passed],
        }

    def _order(self) -> Iterator[str]:
        """Each ground once, in any order, again and again."""
        chance = random.Random(f"{self.seed}:order")
        while True:
            yield from chance.sample(self._names, len(self._names))

    def _ground(self, name: str) -> Ground:
        if name not in self._grounds:
            folder = self.folder / name
            folder.mkdir()
            self._grounds[name] = self._stack.enter_context(GROUNDS[name](folder))
        return self._grounds[name]

    def _endure(self, number: int, ground: Ground) -> None:
        """One sweep, after one in peace if it is the ground's first."""
        if ground.name not in self._peace:
            self._peace[ground.name] = self._left_in_peace(ground)
        peace = self._peace[ground.name]
        chance = random.Random(f"{self.seed}:{number}")
        sweep = self._sweep(f"chaos-{number}", ground, peace.search_seed)
        ordeal = Ordeal(sweep, ground, self._environment(sweep), chance)
        began = time.monotonic()
        lost = self._losses(ordeal, Plan.draw(chance, ground, peace.seconds), peace)
        passed = Passed(
            number=number,
            ground=ground.name,
            seconds=round(time.monotonic() - began, 1),
            faults=ordeal.faults,
            events=ordeal.events,
            starts=ordeal.starts,
            slowest_stop=round(ordeal.slowest, 1),
            synced=ordeal.synced,
            lost=lost,
        )
        self.passed.append(passed)
        self._tell(passed, sweep)
        if not lost:
            self._tidy(sweep)

    def _losses(self, ordeal: Ordeal, plan: Plan, peace: Peaceful) -> list[str]:
        try:
            ordeal.run(plan)
            ordeal.sync()
        except LossError as error:
            return [str(error)]
        finally:
            ordeal.sweep.close()
        found = disagreements(ordeal.sweep.spec, peace.expected, ordeal.before)
        return [*found, *self._left_behind()]

    def _left_in_peace(self, ground: Ground) -> Peaceful:
        seed = random.Random(f"{self.seed}:{ground.name}").randrange(1_000)
        sweep = self._sweep(f"peaceful-{ground.name}", ground, seed)
        began = time.monotonic()
        try:
            driver = sweep.start(environment=self._environment(sweep))
            driver.wait(seconds=LONGEST)
        finally:
            sweep.close()
        seconds = time.monotonic() - began
        expected = expectation(sweep.spec)
        assert disagreements(sweep.spec, expected) == []
        assert len(expected.outcomes) == SWEEP["search"]["trials"]
        print(f"{ground.name}: {seconds:.0f} s in peace, search.seed {seed}", flush=True)
        self._tidy(sweep)
        return Peaceful(expected, seed, seconds)

    def _sweep(self, name: str, ground: Ground, seed: int) -> Sweep:
        folder = self.folder / name
        search = {**SWEEP["search"], "seed": seed}
        return Sweep(folder, name=name, search=search, **ground.parts(folder))

    def _environment(self, sweep: Sweep) -> Mapping[str, str]:
        return {MARK: self._mark, "RAY_TMPDIR": str(sweep.folder)}

    def _tidy(self, sweep: Sweep) -> None:
        self._left_behind()  # or they go on to write there
        for place in (sweep.spec.storage.results or "", sweep.folder):
            shutil.rmtree(place, ignore_errors=True)

    def _tell(self, passed: Passed, sweep: Sweep) -> None:
        faults = ", ".join(passed.faults) or "none"
        end = "LOST" if passed.lost else "ok"
        print(
            f"{passed.number:4} {passed.ground:9} {passed.seconds:6.1f} s  "
            f"{passed.starts} drivers  {end}  {faults}",
            flush=True,
        )
        if passed.lost:
            (sweep.folder / "chaos.json").write_text(json.dumps(asdict(passed), indent=1))
            for event in passed.events:
                print(f"      {event.at:7.2f} s  {event.what}")
            print("\n".join(passed.lost))
            print(f"kept: {self.folder}, this sweep: {sweep.folder}", flush=True)

    # --- processes --------------------------------------------------------------------------------

    def _left_behind(self) -> list[str]:
        """Processes of drivers that have ended, when they should be gone; none is left."""
        deadline = time.monotonic() + GOES_WITHIN
        while (found := self._marked()) and time.monotonic() < deadline:
            time.sleep(0.2)
        names = [f"left behind: {_command(process)}" for process in found]
        self._kill_left_behind()
        return names

    def _kill_left_behind(self) -> None:
        for process in self._marked():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _marked(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_dead = process.status() == psutil.STATUS_ZOMBIE
                if not is_dead and process.environ().get(MARK) == self._mark:
                    found.append(process)
        return found


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    return str(process.pid)

"""Whole sweeps, from the start of a process to its exit: ganray beside what others would write."""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ganray.spec.load import load_sweep
from tests.benchmarks.results import Row, Rows, ratios, row, tell
from tests.benchmarks.ways import WAYS, Took, read_notes

HERE = Path(__file__).parent
SWEEPS = {"short": HERE / "short.yaml", "long": HERE / "long.yaml"}
LONG_WAYS = ("ganray", "bare Tune")
LOOK = 0.5  # seconds between two looks at the memory of processes
LIMIT = 1_200.0  # seconds for one run
PARTS = ("start", "train", "measure", "wait", "turn", "idle", "end")


@dataclass
class Run:
    """One run of one way.

    Args:
        wall: seconds from the start of the process to its exit.
        parts: shares of the cores' time, by `PARTS`; together 1.
        turns: seconds from the end of a trial to the first update of the next, in the same slot.
        first: seconds to the first report.
        memory: MiB of the driver, and of the largest process that trains.
    """

    wall: float
    parts: dict[str, float]
    turns: list[float]
    first: float
    memory: dict[str, float] = field(default_factory=dict)


def sweep(runs: int, *, long: bool = False) -> Rows:
    """Sixteen trials of a second, or of half a minute, through each way in turn."""
    kind = "long" if long else "short"
    ways = LONG_WAYS if long else tuple(WAYS)
    found: dict[str, list[Run]] = {way: [] for way in ways}
    for _ in range(runs):
        for way in ways:
            found[way].append(_run(way, SWEEPS[kind]))
            print(f"  {way}: {found[way][-1].wall:.1f} s", flush=True)
    return _rows(f"sweep, {kind}", found)


def _rows(name: str, found: dict[str, list[Run]]) -> Rows:
    walls = {way: [run.wall for run in runs] for way, runs in found.items()}
    rows = ratios(name, walls, "ganray")
    tell(f"{name} trials, wall clock of whole processes", rows)
    parts = [
        row(name, f"{way}: {part}", [run.wall * run.parts[part] for run in runs], "part")
        for way, runs in found.items()
        for part in PARTS
    ]
    _tell_parts(found)
    rest: Rows = []
    for way, runs in found.items():
        rest += _rest(name, way, runs)
    tell("share of the cores' time; turnaround, first report, memory", rest)
    return [*rows, *parts, *rest]


def _rest(name: str, way: str, runs: Sequence[Run]) -> Iterator[Row]:
    used = [run.parts["train"] + run.parts["measure"] for run in runs]
    yield row(name, f"{way}: trains or measures", used, "share")
    turns = [statistics.median(run.turns) for run in runs]
    yield row(name, f"{way}: turnaround", turns, "s")
    yield row(name, f"{way}: first report", [run.first for run in runs], "s")
    for who in ("driver", "trial"):
        yield row(name, f"{way}: memory of {who}", [run.memory[who] for run in runs], "MiB")


def _tell_parts(found: dict[str, list[Run]]) -> None:
    print("\nwhere the cores' time goes, %")
    print("  " + " " * 24 + "".join(f"{part:>9}" for part in PARTS))
    for way, runs in found.items():
        shares = [statistics.median(run.parts[part] for run in runs) for part in PARTS]
        print(f"  {way:24}" + "".join(f"{share:9.1%}" for share in shares), flush=True)


def _run(way: str, file: Path) -> Run:
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "tests.benchmarks.ways", way, str(file), folder]
        with (Path(folder) / "log").open("w+") as log:
            began = time.time()
            process = subprocess.Popen(command, stdout=log, stderr=log, env=_environment())
            with _watching(process.pid) as memory:
                code = process.wait(timeout=LIMIT)
            ended = time.time()
            if code:
                raise SystemExit(f"{way} failed:\n{(Path(folder) / 'log').read_text()[-3000:]}")
        trials = read_notes(Path(folder))
    spec = load_sweep(file)
    assert len(trials) == spec.search.trials
    return divide(trials, began, ended, int(spec.search.concurrency), dict(memory))


def _environment() -> dict[str, str]:
    return {**os.environ, "RAY_DEDUP_LOGS": "0", "PYTHONUNBUFFERED": "1"}


def divide(
    trials: Sequence[Took], began: float, ended: float, slots: int, memory: dict[str, float]
) -> Run:
    """Where the time of a run went.

    Args:
        trials: all of it, in any order.
        began: when its process did, seconds since 1970.
        ended: when its process did.
        slots: how many trials run at a time.
        memory: as of `Run`.
    """
    lanes = _lanes(trials, slots)
    first, last = min(t.begin for t in trials), max(t.end for t in trials)
    turns = [b.begin - a.end for lane in lanes for a, b in itertools.pairwise(lane)]
    seconds = {
        "start": slots * (first - began),
        "train": sum(t.train for t in trials),
        "measure": sum(t.measure for t in trials),
        "turn": sum(turns),
        "idle": sum((lane[0].begin - first) + (last - lane[-1].end) for lane in lanes),
        "end": slots * (ended - last),
    }
    all_of_it = slots * (ended - began)
    seconds["wait"] = all_of_it - sum(seconds.values())  # of trials for whom they report to
    return Run(
        wall=ended - began,
        parts={part: seconds[part] / all_of_it for part in PARTS},
        turns=turns,
        first=min(t.first for t in trials) - began,
        memory=memory,
    )


def _lanes(trials: Sequence[Took], slots: int) -> list[list[Took]]:
    """The trials of each slot in turn: one that begins takes the slot that was free first."""
    lanes: list[list[Took]] = [[] for _ in range(slots)]
    for trial in sorted(trials, key=lambda t: t.begin):
        min(lanes, key=lambda lane: lane[-1].end if lane else 0.0).append(trial)
    return [lane for lane in lanes if lane]


@contextmanager
def _watching(pid: int) -> Iterator[dict[str, float]]:
    """The most memory that the driver and the largest process that trains have, MiB."""
    found: dict[str, float] = defaultdict(float)
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(pid, found, over))
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _watch(pid: int, found: dict[str, float], over: threading.Event) -> None:
    while not over.wait(LOOK):
        try:
            driver = psutil.Process(pid)
            processes = {"driver": [driver], "trial": _trainers(driver)}
            for who, those in processes.items():
                rss = max((p.memory_info().rss for p in those), default=0.0)
                found[who] = max(found[who], rss / 2**20)
        except psutil.Error:  # it has just ended
            continue


def _trainers(driver: psutil.Process) -> list[psutil.Process]:
    """Ray's actors have a title that says so; of other ways, the processes that were spawned."""
    below = driver.children(recursive=True)
    return [p for p in below if p.name().startswith(("ray::", "python"))]

"""Ways to train many trials on one GPU, side by side: python -m tests.benchmarks.gpu [--quick]

On a machine with a GPU that has torch and numpy alone. In nine minutes, or two, on the same trials:

in turns                one process, eager, a trial after the other: what the others are beside
in turns, graphs        the same with updates that are recorded as CUDA graphs
processes               K processes, eager
slots                   K trials in one process, each in a thread and on a stream, eager
slots, graphs           the same with recorded updates, and once with all recorded at once
fused                   K trials that step together, each advanced by a thread of its own
fused, graphs           the same with recorded updates

Of each: how many trials and images a second, medians of three runs with their spread; the GPU's
memory that is taken, by whomever; and the seconds until each of the K trials has been built and has
made an update, once. What loads libraries, and processes' start, is told apart. Trials make as many
updates in a run as take about half a second, and each run ends as a stretch between two reports
does, with a look at whether all weights are finite. A cell is without numbers, and says why, where
trials cannot be trained so, are not recorded, do not move or are not finite, or where it takes a
minute.

--output FILE.json keeps the numbers; `tests.benchmarks.figure` draws them.
"""

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.benchmarks.gpu_crew import CellError, Crew
from tests.benchmarks.gpu_host import IN_TURNS, WAYS, WORKLOADS, Cell, Made
from tests.benchmarks.results import Rows, row, save

RUNS = 3
PACED_OVER = 0.2  # of a run's seconds, from which the updates of a run are reckoned
CELL_WITHIN = 60.0  # seconds
AT_ONCE = 8  # trials that are recorded at once
FUSED = [name for name, way in WAYS.items() if way.fused]
NO_GPU = 2  # exit code


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long.

    Args:
        workloads: by name.
        sizes: of slots and cohorts.
        processes: how many at a time.
        seconds: of a run, about.
        limit: seconds of the whole; cells that come later are told as such.
    """

    workloads: Sequence[str]
    sizes: Sequence[int]
    processes: Sequence[int]
    seconds: float
    limit: float


FULL = Plan(tuple(WORKLOADS), (1, 2, 4, 8, 16, 32, 64), (2, 4, 8), 0.5, 510.0)
QUICK = Plan(("2-D MLP", "2-D MLP, mixed", "DCGAN-28"), (1, 4, 16), (2, 4), 0.25, 105.0)
TINY = Plan(("2-D MLP", "2-D MLP, wgan_gp"), (1, 2), (2,), 0.05, 60.0)


@dataclass(frozen=True)
class Measured:
    """What was found of a cell.

    Args:
        first: seconds until every trial had made an update.
        memory: MiB of the GPU that were taken.
        updates: a second, of all trials together, by run.
        images: the same.
    """

    first: float
    memory: float
    updates: Sequence[float]
    images: Sequence[float]


Found = Mapping[Cell, Measured | str]  # or why there are no numbers


# --- measuring ------------------------------------------------------------------------------------


def cells(plan: Plan) -> Iterator[Cell]:
    """All of a plan: those of one process last, and of them the largest."""
    for size in plan.processes:
        yield from (Cell(name, "processes", size) for name in plan.workloads)
    for way in (IN_TURNS, "in turns, graphs"):
        yield from (Cell(name, way, 1) for name in plan.workloads)
    for size in plan.sizes:
        for name in plan.workloads:
            if size >= len(WORKLOADS[name].configs):  # else another set of trials
                yield from (Cell(name, way, size) for way in ("slots", "slots, graphs"))
                if WORKLOADS[name].is_fusable:
                    yield from (Cell(name, way, size) for way in FUSED)
    refused = [name for name in plan.workloads if not WORKLOADS[name].is_fusable]
    yield from (Cell(name, way, plan.sizes[0]) for name in refused for way in FUSED)  # say why
    yield Cell(plan.workloads[0], "slots, graphs at once", min(AT_ONCE, plan.sizes[-1]))


class Measuring:
    """One measurement of all cells of a plan.

    Args:
        plan: what to measure.
        device: `cuda` or `cpu`.

    Attributes:
        found: of each cell.
        startups: seconds until so many processes were there.
        device: the device's name.
    """

    def __init__(self, plan: Plan, device: str) -> None:
        self.found: dict[Cell, Measured | str] = {}
        self.startups: dict[int, float] = {}
        self.device = device
        self._plan = plan
        self._kind = device
        self._until = time.monotonic() + plan.limit
        self._crew: Crew | None = None
        self._size = 0  # of the crew

    def run(self) -> None:
        """Measure, and say on stderr how it goes."""
        try:
            for cell in cells(self._plan):
                self.found[cell] = self._tried(cell)
                print(f"{cell.workload}: {_line(cell, self.found)}", file=sys.stderr, flush=True)
        finally:
            self._dismiss()

    def _tried(self, cell: Cell) -> Measured | str:
        left = self._until - time.monotonic()
        if left <= 0.0:
            return "the time for all cells was up"
        try:
            return measured(cell, self._crew_of(cell.processes), self._plan.seconds, left)
        except CellError as error:
            return str(error)

    def _crew_of(self, size: int) -> Crew:
        """So many processes; those that were there before end, unless they are these."""
        if self._crew is None or self._size != size or not self._crew.is_usable:
            self._dismiss()
            self._crew, self._size = Crew(size, self._kind), size
            self.startups.setdefault(size, self._crew.startup)
            self.device = self._crew.device
        return self._crew

    def _dismiss(self) -> None:
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()


def measured(cell: Cell, crew: Crew, seconds: float, left: float = CELL_WITHIN) -> Measured:
    """The numbers of a cell.

    Args:
        cell: to measure.
        crew: as many processes as it takes.
        seconds: of a run, about.
        left: seconds that the cell may take, and never more than `CELL_WITHIN`.

    Raises:
        CellError: there are none.
    """
    until = time.monotonic() + min(left, CELL_WITHIN)

    def advance(updates: int) -> tuple[float, Made]:
        began = time.perf_counter()
        made = crew.ask("advance", updates, within=until - time.monotonic())
        elapsed = time.perf_counter() - began
        return elapsed, Made(*(sum(of_each) for of_each in zip(*made, strict=True)))

    first = max(crew.ask("begin", cell, within=until - time.monotonic()))
    advance(2)  # with the first ones of G
    updates, elapsed = 1, 0.0
    while elapsed < PACED_OVER * seconds:
        updates *= 2
        elapsed, _ = advance(updates)
    updates = max(2, round(updates * seconds / elapsed))
    runs = [advance(updates) for _ in range(RUNS)]
    memory = max(crew.ask("end", within=until - time.monotonic()))
    return Measured(
        first,
        memory,
        [made.updates / elapsed for elapsed, made in runs],
        [made.images / elapsed for elapsed, made in runs],
    )


# --- telling --------------------------------------------------------------------------------------


def rows(found: Found, startups: Mapping[int, float]) -> Rows:
    """All that was found; a cell without numbers is a row that counts one failure.

    Args:
        found: of each cell.
        startups: seconds until so many processes were there.
    """
    told = [row("gpu", f"start of {size}", [seconds], "s") for size, seconds in startups.items()]
    for cell in found:
        told += _rows_of(cell, found)
    return told


def _rows_of(cell: Cell, found: Found) -> Rows:
    benchmark, case = f"gpu, {cell.workload}", f"{cell.way}, K = {cell.size}"
    its = found[cell]
    if isinstance(its, str):
        return [row(benchmark, f"{case}: {its}", [1.0], "failed")]
    numbers = {
        "trials/s": _trials(cell, its),
        "images/s": its.images,
        "speed": _speeds(its, found.get(base_of(cell))),
        "MiB": [its.memory],
        "s": [its.first],
    }
    names = {"MiB": "memory", "s": "first update", "speed": f"beside {IN_TURNS}"}
    return [
        row(benchmark, f"{case}: {names.get(unit, unit)}", values, unit)
        for unit, values in numbers.items()
        if values
    ]


def _trials(cell: Cell, its: Measured) -> list[float]:
    """A second, by run."""
    return [rate / WORKLOADS[cell.workload].updates for rate in its.updates]


def base_of(cell: Cell) -> Cell:
    """What a cell is compared with."""
    return Cell(cell.workload, IN_TURNS, 1)


def _speeds(its: Measured, base: Measured | str | None) -> list[float]:
    """Times as fast as another cell, by run; none where that one has no numbers."""
    if not isinstance(base, Measured):
        return []
    usual = statistics.median(base.updates)
    return [rate / usual for rate in its.updates]


HEAD = f"  {'way':22} {'K':>3} {'trials/s':>22} {'images/s':>10} {'x in turns':>10}" + (
    f" {'MiB':>7} {'first, s':>9}"
)


def tell(found: Found, startups: Mapping[int, float]) -> None:
    """Print a table a workload."""
    for size, seconds in sorted(startups.items()):
        print(f"start of {size} processes, with torch and the device: {seconds:.1f} s")
    order = list(WAYS)
    for name in dict.fromkeys(cell.workload for cell in found):
        workload = WORKLOADS[name]
        batch = workload.configs[0].batch_size
        print(f"\n{name}: a trial is {workload.updates:,} updates of {batch} samples\n{HEAD}")
        its = [cell for cell in found if cell.workload == name]
        for cell in sorted(its, key=lambda cell: (order.index(cell.way), cell.size)):
            print(f"  {_line(cell, found)}")


def _line(cell: Cell, found: Found) -> str:
    """A cell as a line of its table."""
    head, its = f"{cell.way:22} {cell.size:3}", found[cell]
    if isinstance(its, str):
        return f"{head}  no numbers: {its}"
    trials = row("", "", _trials(cell, its), "trials/s")
    spread = f"{trials.value:.3g} ({trials.low:.3g} … {trials.high:.3g})"
    speeds = _speeds(its, found.get(base_of(cell)))
    speed = f"{statistics.median(speeds):.2f}" if speeds else "–"
    images = f"{statistics.median(its.images):,.0f}"
    return f"{head} {spread:>22} {images:>10} {speed:>10} {its.memory:7,.0f} {its.first:9.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, tell, keep.

    Returns:
        Exit code: `NO_GPU`, or 0, whether or not all cells have numbers.
    """
    given = _given(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU here; --device cpu tries the command alone", file=sys.stderr)
        return NO_GPU
    plan = TINY if given.device == "cpu" else QUICK if given.quick else FULL
    measuring = Measuring(plan, given.device)
    measuring.run()
    command = f"python {shlex.join(sys.orig_argv[1:])}"
    print(f"{measuring.device}, torch {torch.__version__}: {command}")
    tell(measuring.found, measuring.startups)
    if given.output is not None:
        save(rows(measuring.found, measuring.startups), given.output, command)
    return 0


def _given(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="two minutes: fewer of everything")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a tiny run, for tests"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

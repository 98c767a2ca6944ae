"""What benchmarks find: rows of numbers, kept as JSON beside the kind of machine they are from."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

STORED = Path(__file__).parent / "stored"
WORSE = 1.5  # times what is stored: told as a regression

PART = "part"
MORE_IS_BETTER = {"share", "speed", "trials/s", "images/s"}  # units
Rows = list["Row"]


@dataclass(frozen=True)
class Row:
    """One number: less is better, unless its unit is one of `MORE_IS_BETTER`.

    Args:
        benchmark: that found it.
        case: what it is of.
        value: the median.
        low: the least of the runs.
        high: the greatest of them.
        unit: `x`, times what stands beside it in the same run; `speed`, times as fast as that;
            `share`, of 1; `part`, seconds of a whole, which are compared with nothing; `failed`,
            how often; else of the machine: `s`, `ms`, `MiB`, `trials/s`, `images/s`.
    """

    benchmark: str
    case: str
    value: float
    low: float
    high: float
    unit: str

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from every other row."""
        return self.benchmark, self.case

    def __str__(self) -> str:
        spread = f"({_number(self.low)} … {_number(self.high)})"
        return f"  {self.case:46} {_number(self.value):>8} {self.unit:5} {spread}"


def row(benchmark: str, case: str, values: Sequence[float], unit: str) -> Row:
    """The median of some runs, with their spread."""
    return Row(benchmark, case, statistics.median(values), min(values), max(values), unit)


def ratios(
    benchmark: str, ways: Mapping[str, Sequence[float]], beside: str, unit: str = "s"
) -> Rows:
    """Each way's own numbers, and times that of another way, run by run.

    Args:
        benchmark: that found them.
        ways: the numbers of each way, as many of each as there were runs.
        beside: the way that the others are compared with.
        unit: of the numbers.
    """
    found = [row(benchmark, way, values, unit) for way, values in ways.items()]
    for way, values in ways.items():
        if way != beside:
            times = [a / b for a, b in zip(values, ways[beside], strict=True)]
            found.append(row(benchmark, f"{way} / {beside}", times, "x"))
    return found


def tell(title: str, rows: Iterable[Row]) -> None:
    """Print them under a title."""
    print(f"\n{title}")
    for each in rows:
        print(each, flush=True)


def machine() -> str:
    """The kind of this machine, as the name of a file: `xeon-processor-2-cores-no-gpu`."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no gpu"
    cores = len(os.sched_getaffinity(0))
    words = f"{_processor()} {cores} cores {gpu}".lower().replace("(r)", "").replace("(tm)", "")
    return "-".join("".join(c if c.isalnum() else " " for c in words).split())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def save(rows: Iterable[Row], file: Path, command: str | None = None) -> None:
    """Keep them, in place of what a file has of the same cases; with what found them, if told."""
    found = {each.key: each for each in [*(load(file) if file.exists() else []), *rows]}
    kept = [asdict(each) for _, each in sorted(found.items())]
    file.parent.mkdir(parents=True, exist_ok=True)
    told = {"machine": machine()} | ({} if command is None else {"command": command})
    file.write_text(json.dumps({**told, "rows": kept}, indent=1) + "\n")


def load(file: Path) -> Rows:
    """What `save` kept."""
    return [Row(**each) for each in json.loads(file.read_text())["rows"]]


def regressions(rows: Iterable[Row], stored: Iterable[Row]) -> list[str]:
    """What got worse by more than `WORSE`, a line each, of what both sides have."""
    before = {each.key: each for each in stored}
    lines = []
    for now in rows:
        was = before.get(now.key)
        if was is None or now.unit == PART or not was.value or not now.value:
            continue
        rises = now.unit in MORE_IS_BETTER
        times = was.value / now.value if rises else now.value / was.value
        if times > WORSE:
            told = f"{_number(was.value)} to {_number(now.value)} {now.unit}"
            lines.append(f"{now.benchmark}, {now.case}: {told}, {times:.1f} times worse")
    return lines


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"

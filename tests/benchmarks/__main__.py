"""Benchmarks, each a ratio of two ways to do the same work, side by side in one run.

make bench                            sweep, measure and step, a few minutes
python -m tests.benchmarks sweep      the sweep alone; --runs N for medians of N
python -m tests.benchmarks measure    what measuring costs, by signal
python -m tests.benchmarks step       an update of D and one of G, beside a loop written by hand
python -m tests.benchmarks fgan       no ratio: the Gaussians that f-GANs learn, beside the best
                                      ones; ten minutes, so only when asked for; --updates N
python -m tests.benchmarks growth     what trials and reports cost as a sweep grows, and a figure of
                                      it: --full is up to 10,000 trials, an hour; --folder DIR
python -m tests.benchmarks summary    1,000 recorded trials as a frame, beside a bare search_runs;
                                      a few minutes, most of them to record the trials
python -m tests.benchmarks submit     from `ganray submit` to the first report, on a real cluster
python -m tests.benchmarks pruning    pruned sweeps beside the same unpruned; half an hour
python -m tests.benchmarks histories  run the unpruned sweeps health-*.yaml and keep every report:
                                      an hour and a half; --folder DIR
python -m tests.benchmarks health     the tables of the pruning rules, from the histories
python -m tests.benchmarks fit        fit the rules on them, and write ganray/health/recovery.json
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.benchmarks.fgan import UPDATES, fgan
from tests.benchmarks.growth import growth
from tests.benchmarks.health import HISTORIES, fit_rules, health, histories
from tests.benchmarks.measure import measure
from tests.benchmarks.pruning import pruning
from tests.benchmarks.step import step
from tests.benchmarks.submit import submit
from tests.benchmarks.summary import summary

HERE = Path(__file__).parent


def sweep(runs: int) -> None:
    """Sixteen short trials through ganray and through the stock recipe: wall clock of it all."""
    ways = {
        "ganray": [sys.executable, "-m", "ganray", "run", str(HERE / "short.yaml")],
        "stock recipe": [sys.executable, "-m", "tests.benchmarks.stock_recipe"],
        "stock recipe, reuse_actors": [
            *(sys.executable, "-m", "tests.benchmarks.stock_recipe", "--reuse-actors")
        ],
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(runs):
        for way, command in ways.items():
            seconds[way].append(_timed(way, command))
    medians = {way: statistics.median(found) for way, found in seconds.items()}
    print(f"\n16 trials of 500 D and 500 G updates, 20 reports, 2 at a time; median of {runs}")
    for way, median in medians.items():
        spread = f"{min(seconds[way]):.1f} … {max(seconds[way]):.1f}"
        ratio = median / medians["ganray"]
        print(f"  {way:28} {median:6.1f} s  ({spread})  {ratio:.2f} times ganray's")


def _timed(way: str, command: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        places = ["--folder", folder]
        if way == "ganray":
            store = f"sqlite:///{folder}/mlflow.db"
            places = ["--storage", folder, "--tracking-uri", store]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, *places], capture_output=True, text=True, check=False, timeout=600
        )
        seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-3000:]}")
    print(f"  {way}: {seconds:.1f} s", flush=True)
    return seconds


BENCHMARKS = {"sweep": sweep, "measure": measure, "step": step}
OF_HISTORIES = {"histories": histories, "health": health, "fit": fit_rules}
REPEATED = {"submit": submit, "summary": summary}
ON_DEMAND = ("pruning", "fgan", "growth", *REPEATED, *OF_HISTORIES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "which", nargs="*", choices=[*BENCHMARKS, *ON_DEMAND, []], default=list(BENCHMARKS)
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--updates", type=int, default=UPDATES, help="of each trial of fgan")
    parser.add_argument("--folder", type=Path, help="of the histories, or of growth")
    parser.add_argument("--full", action="store_true", help="of growth: as large as it gets")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for which in arguments.which or BENCHMARKS:
        if which in BENCHMARKS:
            BENCHMARKS[which](arguments.runs)
        elif which == "pruning":
            pruning(1)
        elif which == "fgan":
            fgan(arguments.runs, updates=arguments.updates)
        elif which == "growth":
            growth(arguments.folder, full=arguments.full)
        elif which in REPEATED:
            REPEATED[which](arguments.runs)
        else:
            OF_HISTORIES[which](arguments.folder or HISTORIES)


if __name__ == "__main__":
    main()

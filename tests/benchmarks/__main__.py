"""Benchmarks, each a ratio of ways to do the same work, side by side in one run.

make bench                            the quick subset, some minutes, beside what is stored of it
                                      for this kind of machine: whatever is 1.5 times worse is told
python -m tests.benchmarks sweep      16 trials of a second, whole processes: ganray, the stock
                                      recipe, bare Tune, Optuna with processes
python -m tests.benchmarks long       16 trials of half a minute, ganray beside bare Tune
python -m tests.benchmarks step       an update of D and one of G, beside a loop written by hand
                                      and beside the least that they can take
python -m tests.benchmarks fused      1 to 16 trials that step together, beside one after the other
python -m tests.benchmarks measure    what measuring costs, by signal
python -m tests.benchmarks report     what a report costs its trial and the driver
python -m tests.benchmarks record     a sweep in MLflow, beside Ray's callback and bare batches
python -m tests.benchmarks summary    1,000 recorded trials as a frame, beside a bare search_runs
python -m tests.benchmarks search     asking, reporting and telling, by sampler and storage

--runs N: medians of N; --full: all cases; --output FILE.json: also a figure beside it; --store:
keep what was found as that of this kind of machine.

No ratios, or hours:
python -m tests.benchmarks growth     what trials and reports cost as a sweep grows, and a figure of
                                      it: --full is up to 10,000 trials, an hour; --folder DIR
python -m tests.benchmarks submit     from `ganray submit` to the first report, on a real cluster
python -m tests.benchmarks fgan       the Gaussians that f-GANs learn, beside the best ones; ten
                                      minutes; --updates N
python -m tests.benchmarks pruning    the same sweep unpruned, by health rules and by stock pruners:
                                      how long, and how soon the best is found; an hour
python -m tests.benchmarks histories  run the unpruned sweeps health-*.yaml and keep every report:
                                      an hour and a half; --folder DIR
python -m tests.benchmarks health     the tables of the pruning rules, from the histories
python -m tests.benchmarks fit        fit the rules on them, and write ganray/health/recovery.json
python -m tests.benchmarks.gpu        ways to train many trials on one GPU, with torch and numpy
                                      alone; nine minutes, --quick two
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from tests.benchmarks.fgan import UPDATES, fgan
from tests.benchmarks.figure import draw
from tests.benchmarks.fused import fused
from tests.benchmarks.growth import growth
from tests.benchmarks.health import HISTORIES, fit_rules, health, histories
from tests.benchmarks.measure import measure
from tests.benchmarks.pruning import pruning
from tests.benchmarks.record import record
from tests.benchmarks.report import report
from tests.benchmarks.results import STORED, WORSE, Rows, load, machine, regressions, save
from tests.benchmarks.search import search
from tests.benchmarks.step import step
from tests.benchmarks.submit import submit
from tests.benchmarks.summary import summary
from tests.benchmarks.sweep import sweep

Given = argparse.Namespace

RATIOS: Mapping[str, Callable[[Given], Rows]] = {
    "sweep": lambda given: sweep(given.runs),
    "step": lambda given: step(given.runs, full=given.full),
    "fused": lambda given: fused(given.runs),
    "measure": lambda given: measure(given.runs),
    "report": lambda given: report(given.runs),
    "record": lambda given: record(given.runs),
    "search": lambda given: search(full=given.full),
    "summary": lambda given: summary(given.runs),
    "long": lambda given: sweep(given.runs, long=True),
}
QUICK = ("sweep", "step", "measure", "report", "record", "search")  # with one run of each
OTHERS: Mapping[str, Callable[[Given], None]] = {
    "growth": lambda given: growth(given.folder, full=given.full),
    "submit": lambda given: submit(given.runs),
    "fgan": lambda given: fgan(given.runs, updates=given.updates),
    "pruning": lambda given: pruning(1),
    "histories": lambda given: histories(given.folder or HISTORIES),
    "health": lambda given: health(given.folder or HISTORIES),
    "fit": lambda given: fit_rules(given.folder or HISTORIES),
}


def main() -> None:
    given = _arguments()
    torch.set_num_threads(1)
    rows: Rows = []
    for which in given.which or (RATIOS if given.full else QUICK):
        if which in RATIOS:
            rows += RATIOS[which](given)
        else:
            OTHERS[which](given)
    if rows:
        _keep(rows, given)


def _keep(rows: Rows, given: Given) -> None:
    """Tell what got worse, and write what is to be kept."""
    stored = STORED / f"{machine()}.json"
    if stored.exists():
        worse = regressions(rows, load(stored))
        told = "" if worse else f"nothing is {WORSE:g} times worse"
        print(f"\nbeside {stored.name}: {told}")
        print(*worse, sep="\n")
    else:
        print(f"\nnothing is stored of a machine of this kind: {stored.name}")
    if given.store:
        save(rows, stored)
    if given.output is not None:
        save(rows, given.output)
        figure = draw(rows)
        if figure.axes:
            figure.savefig(given.output.with_suffix(".png"), dpi=150)


def _arguments() -> Given:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("which", nargs="*", choices=[*RATIOS, *OTHERS, []], default=[])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--updates", type=int, default=UPDATES, help="of each trial of fgan")
    parser.add_argument("--folder", type=Path, help="of the histories, or of growth")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Pruned sweeps beside the same sweep unpruned: how soon, and what is found in that time."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

SWEEPS = Path(__file__).parents[2] / "sweeps"
DATA = ("ring", "grid", "digits")
TRIALS = 12
SEED = 5  # none of the sweeps that the rules were fitted on
ENOUGH = 1.05  # times the best objective that is known: as good as that
# `prune.risk` and `prune.then`; without a risk no health rule stops anything
POLICIES: Mapping[str, tuple[str, str]] = {
    "unpruned": ("null", "none"),
    "rules, then median": ("0.02", "median"),
    "rules": ("0.02", "none"),
    "median": ("null", "median"),
    "successive halving": ("null", "successive_halving"),
}


@dataclass(frozen=True)
class Ran:
    """One sweep.

    Args:
        seconds: of all of it, from the start of its process.
        stopped: trials that did not complete.
        ends: of completed trials, seconds since the sweep's process began, and the objective.
    """

    seconds: float
    stopped: int
    ends: Sequence[tuple[float, float]]

    @property
    def best(self) -> float:
        """The objective of the best completed trial."""
        return min(objective for _, objective in self.ends)

    def reached(self, quality: float) -> float | None:
        """Seconds until a trial had completed that was at least so good; None: none did."""
        return min((end for end, objective in self.ends if objective <= quality), default=None)


def pruning(runs: int) -> None:
    """Each policy on the same trials; `runs` is the number of seeds."""
    print(f"\n{TRIALS} random trials of health-*.yaml by pruning policy, 2 at a time")
    for data in DATA:
        for seed in range(SEED, SEED + runs):
            _tell(f"{data}, seed {seed}", {name: _run(data, seed, name) for name in POLICIES})


def _tell(title: str, ran: Mapping[str, Ran]) -> None:
    known = min(each.best for each in ran.values())
    first = next(iter(ran.values()))
    print(f"\n{title}; the best objective that any of them found is {known:.4f}")
    print(
        f"  {'':20} {'seconds':>8} {'of first':>9} {'stopped':>8} {'best':>8} {'found after':>12}"
    )
    for name, each in ran.items():
        found = each.reached(ENOUGH * known)
        after = "never" if found is None else f"{found:.0f} s"
        share = each.seconds / first.seconds
        print(
            f"  {name:20} {each.seconds:8.0f} {share:9.0%} {each.stopped:8} {each.best:8.4f} "
            f"{after:>12}",
            flush=True,
        )


def _run(data: str, seed: int, policy: str) -> Ran:
    risk, then = POLICIES[policy]
    with tempfile.TemporaryDirectory() as folder:
        store = ["--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
        sets = [f"--set=search.seed={seed}", f"--set=prune.risk={risk}", f"--set=prune.then={then}"]
        place = ["--trials", str(TRIALS), "--storage", folder]
        start = time.time()
        _ganray("run", str(SWEEPS / f"health-{data}.yaml"), *sets, *place, *store)
        seconds = time.time() - start
        rows = json.loads(_ganray("summary", f"health-{data}", "--format", "json", *store))
    return from_summary(rows, start, seconds)


def from_summary(rows: Sequence[Mapping[str, Any]], start: float, seconds: float) -> Ran:
    """A sweep from its summary.

    Args:
        rows: of the trials.
        start: of its process, seconds since 1970.
        seconds: that it took.
    """
    completed = [row for row in rows if row["outcome"] == "completed"]
    ends = [(datetime.fromisoformat(row["ended"]).timestamp() - start) for row in completed]
    objectives = [float(row["objective"]) for row in completed]
    return Ran(seconds, len(rows) - len(completed), list(zip(ends, objectives, strict=True)))


def _ganray(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ganray", *arguments], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"ganray {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return done.stdout

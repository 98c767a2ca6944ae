"""A pruned sweep beside the same sweep unpruned: the same best trial, in how much of the time?"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SWEEPS = Path(__file__).parents[2] / "sweeps"
TRIALS = 12
SEED = 5  # none of the sweeps that the rules were fitted on


def pruning(runs: int) -> None:
    """Wall clock and best trial with pruning and without; `runs` is the number of seeds."""
    print(f"\n{TRIALS} random trials of health-*.yaml, pruned beside unpruned, 2 at a time")
    for data in ("ring", "grid", "digits"):
        for seed in range(SEED, SEED + runs):
            unpruned = _sweep(data, seed, [])
            pruned = _sweep(data, seed, ["--set", "prune.risk=0.02", "--set", "prune.then=median"])
            same = "the same" if pruned["best"] == unpruned["best"] else "another"
            print(
                f"  {data:7} seed {seed}: {pruned['seconds']:.0f} s of {unpruned['seconds']:.0f} s "
                f"({pruned['seconds'] / unpruned['seconds']:.0%}); best trial {pruned['best']} "
                f"({pruned['objective']:.4f}), {same} as unpruned: {unpruned['best']} "
                f"({unpruned['objective']:.4f}); stopped {pruned['stopped']} of {TRIALS}",
                flush=True,
            )


def _sweep(data: str, seed: int, options: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        store = ["--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
        sets = ["--set", f"search.seed={seed}", "--trials", str(TRIALS), *options]
        start = time.perf_counter()
        _ganray("run", str(SWEEPS / f"health-{data}.yaml"), *sets, "--storage", folder, *store)
        seconds = time.perf_counter() - start
        rows = json.loads(_ganray("summary", f"health-{data}", "--format", "json", *store))
    completed = [row for row in rows if row["outcome"] == "completed"]
    best = min(completed, key=lambda row: row["objective"])
    return {
        "seconds": seconds,
        "best": best["trial"],
        "objective": best["objective"],
        "stopped": len(rows) - len(completed),
    }


def _ganray(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ganray", *arguments], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"ganray {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return done.stdout

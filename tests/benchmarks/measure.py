"""What measuring costs beside training, and which signals it is spent on."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any
from unittest.mock import patch

from ganray.data.registry import load_dataset
from ganray.gan.base import Snapshot
from ganray.health import measure as measuring
from ganray.health import scores
from ganray.spec.load import parse_sweep
from ganray.tuning.session import Session, Workbench
from tests.benchmarks.results import Rows, row

DATA = {"gaussian-1d": 128, "ring": 128, "grid": 128, "digits": 256}  # name: width
PARTS: dict[str, list[tuple[Any, str]]] = {
    "distance, diversity": [(scores, "pairwise_distances"), (scores, "mean_between")],
    "sliced_distance": [(scores, "sorted_projections"), (scores, "sliced_wasserstein")],
    "probe scores": [(scores, "nearest_neighbour_scores"), (scores, "nearest_within")],
    "js, auc of D and probe": [(scores, "js_bound"), (scores, "auc")],
    "progress": [(scores, "energy_gain")],
    "modes, quality": [(measuring.Bench, "modes_of"), (scores, "histogram_kl")],
    "extent": [(measuring.Bench, "reach_of")],
}
SAMPLES, LOGITS, REST = "samples", "D's logits", "the rest"

Seconds = defaultdict[str, float]


def measure(runs: int) -> Rows:
    """The seconds spent measuring, beside those spent training, at the default cadence."""
    rows: Rows = []
    print("\nmeasuring / training, 40 reports over 10,000 updates, one thread; and by part")
    for data, width in DATA.items():
        workbench = _workbench(data, width)
        found = [_shares(workbench, number) for number in range(runs)]
        whole = [share for share, _parts in found]
        rows.append(row("measure", f"{data}: measuring / training", whole, "x"))
        print(f"  {data:12} {statistics.median(whole):.1%}  ({min(whole):.1%} … {max(whole):.1%})")
        for part in (*PARTS, SAMPLES, LOGITS, REST):
            print(f"    {part:24} {statistics.median(p[part] for _, p in found):.2%}")
    return rows


def _workbench(data: str, width: int) -> Workbench:
    spec = parse_sweep(
        {
            "name": "measure",
            "data": {"name": data},
            "networks": {"name": "mlp", "width": width},
            "search": {"space": {"loss": ["hinge"]}},
        }
    )
    return Workbench(spec, load_dataset(spec.data.model_dump()), "cpu")


def _shares(workbench: Workbench, number: int) -> tuple[float, dict[str, float]]:
    """What measuring takes of training, whole and by part."""
    session = Session(workbench, workbench.spec.trial_config(number, {}))
    spent = 0.0
    parts: Seconds = defaultdict(float)
    with _timing(parts):
        while not session.done:
            signals = session.next_report()
            spent += signals.measure_seconds or 0.0
    parts[REST] = spent - sum(parts.values())
    return spent / signals.seconds, {p: s / signals.seconds for p, s in parts.items()}


@contextmanager
def _timing(parts: Seconds) -> Iterator[None]:
    """Adds up the seconds of each part while the body runs."""
    with ExitStack() as stack:
        for part, functions in PARTS.items():
            for owner, name in functions:
                timed = _timed(getattr(owner, name), parts, part)
                stack.enter_context(patch.object(owner, name, timed))
        stack.enter_context(patch.object(measuring.Meter, "measure", _of_snapshot(parts)))
        yield


def _of_snapshot(parts: Seconds) -> Callable[..., Any]:
    """`Meter.measure` with the networks' own time told apart: they come with each snapshot."""
    original = measuring.Meter.measure

    def measure(meter: measuring.Meter, snapshot: Snapshot) -> Any:
        changes = {"generate": _timed(snapshot.generate, parts, SAMPLES)}
        if snapshot.discriminate is not None:
            changes["discriminate"] = _timed(snapshot.discriminate, parts, LOGITS)
        return original(meter, replace(snapshot, **changes))

    return measure


def _timed(function: Callable[..., Any], parts: Seconds, part: str) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            parts[part] += time.perf_counter() - start

    return timed

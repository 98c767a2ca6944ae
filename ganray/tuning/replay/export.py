"""A comparison as JSON and CSV."""

import csv
import io
from dataclasses import asdict, fields
from typing import Any

from ganray.tuning.replay.compare import Comparison
from ganray.tuning.replay.evaluate import Evaluation, StoppedTrial
from ganray.tuning.replay.regret import Regret


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything but the decisions on trials that were not healthy; those are in the CSV."""
    pairs = zip(comparison.evaluations, comparison.regrets, strict=True)
    return {
        "sources": comparison.sources,
        "histories": sum(comparison.sources.values()),
        "truth": comparison.truth,
        "updates": comparison.updates,
        "seconds": comparison.seconds,
        "note": comparison.note,
        "policies": [_policy(evaluation, regrets) for evaluation, regrets in pairs],
    }


def as_csv(comparison: Comparison) -> str:
    """A row for each trial that each policy stops."""
    out = io.StringIO()
    columns = ["policy", *(f.name for f in fields(StoppedTrial))]
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for evaluation in comparison.evaluations:
        for decision in evaluation.decisions:
            writer.writerow({"policy": evaluation.policy, **asdict(decision)})
    return out.getvalue()


def _policy(evaluation: Evaluation, regrets: list[Regret]) -> dict[str, Any]:
    return {
        "policy": evaluation.policy,
        "stopped": {
            name: asdict(tally) | {"share": tally.share}
            for name, tally in evaluation.tallies.items()
        },
        "saved": {name: saving and asdict(saving) for name, saving in evaluation.savings.items()},
        "median_stop": evaluation.median_stop,
        "healthy_lost": [asdict(decision) for decision in evaluation.lost],
        "regret": [asdict(regret) for regret in regrets],
    }

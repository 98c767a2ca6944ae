"""Sweeps as `gather` reads them, made up trial by trial: nothing of MLflow is needed."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ganray.report.material import Material, Shots
from ganray.spec.load import dump_sweep, parse_sweep
from ganray.spec.models import SweepSpec
from ganray.summary import tabulate
from ganray.tracking.reader import SweepRow, TrialRow
from ganray.trial import SIGNALS
from tests.conftest import SMALL, STARTED
from tests.unit.tracking.playing import png

BEGIN = datetime.fromtimestamp(STARTED / 1000, UTC)
SPACE: dict[str, Any] = {
    "loss": ["hinge", "lsgan", "wgan"],
    "d_steps": [1, 2, 5],
    "d_lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "weight_clip": {"low": 0.01, "high": 1.0, "log": True, "when": {"loss": ["wgan"]}},
    "d_grad_clip": [None, 1.0],
}
GOOD = {"distance": 0.02, "modes": 7.9, "mode_ratio": 0.99, "js": 0.05, "high_quality": 0.9}
BAD = {"distance": 1.2, "modes": 1.0, "mode_ratio": 0.125, "js": 0.69, "high_quality": 0.4}


def spec_of(space: Mapping[str, Any] = SPACE, **parts: Any) -> SweepSpec:
    search = {"sampler": "tpe", "trials": 20, "space": dict(space)} | parts.pop("search", {})
    return parse_sweep({**SMALL, "name": "made-up", "search": search, **parts})


def trial(number: int, outcome: str | None = "completed", **values: Any) -> TrialRow:
    """A trial of the search; what is no field of a row is a signal if there is one, or a setting.

    Args:
        number: of the trial.
        outcome: that it ended with.
        values: beside those of a good trial, or of a bad one if it was stopped.
    """
    sound = outcome in ("completed", "outranked")
    metrics: dict[str, Any] = {
        "seconds": 60.0,
        "d_updates": 50,
        "g_updates": 50,
        **(GOOD if sound else BAD),
    }
    metrics |= {"stopped_at": 1.0 if outcome == "completed" else 0.4, "measured_seconds": 2.0}
    plain: dict[str, Any] = {
        "number": number,
        "run_id": f"run-{number}",
        "phase": "search",
        "confirms": None,
        "outcome": outcome,
        "reason": f"because of {number}",
        "cause": "exception" if outcome == "crashed" else None,
        "nonfinite": None,
        "rule": None if outcome == "completed" else "few_modes",
        "ending": "healthy" if outcome == "completed" else None,
        "audited": False,
        "would_be": {},
        "params": {},
        "best": {"distance": 0.01},
        "started": BEGIN,
        "ended": BEGIN + timedelta(minutes=2) if outcome else None,
        "files": "",
    }
    params = {}
    for name, value in values.items():
        if name in plain:
            plain[name] = value
        elif name in SIGNALS or name in ("objective", "seconds", "gpu_hours", "stopped_at"):
            metrics[name] = value
        else:
            params[name] = value
    if sound:
        metrics.setdefault("objective", metrics["distance"])
    known = {name: value for name, value in metrics.items() if value is not None}
    return TrialRow(**{**plain, "metrics": known, "params": plain["params"] | params})


def material(trials: Sequence[TrialRow], spec: SweepSpec | None = None, **changes: Any) -> Material:
    """A sweep with these trials, each with ten reports if it ended."""
    spec = spec or spec_of()
    row: dict[str, Any] = {
        "name": spec.name,
        "run_id": "run",
        "description": "Which loss?",
        "status": "FINISHED",
        "started": BEGIN,
        "ended": BEGIN + timedelta(minutes=30),
        "searched": tuple(spec.search.space.entries),
        "objective": spec.objective.metric,
        "direction": spec.objective.direction,
        "params": {"data.name": "ring", "data.dataset": "ring-v1", "data.accuracy": 0.97},
        "trials": tuple(trials),
    }
    sweep = SweepRow(**row | {key: changes.pop(key) for key in row.keys() & changes.keys()})
    plain: dict[str, Any] = {
        "sweep": sweep,
        "spec": spec,
        "frame": tabulate(sweep),
        "sweep_file": dump_sweep(spec),
        "environment": {"python": "3.12.1", "platform": "Linux", "cpus": 2, "packages": {}},
        "reports": {one.number: reports_of(one) for one in trials},
        "real": png(24),
    }
    made = Material(**plain | changes)
    shown = [found["trial"] for found in (made.best, made.failed) if found is not None]
    shots = {n: Shots(milestones={10: png(), 100: png()}, best=png(), stop=png()) for n in shown}
    return Material(**plain | {"shots": shots} | changes)


def reports_of(one: TrialRow, count: int = 10) -> list[dict[str, Any]]:
    """Its last values, reached step by step from those of an untrained generator."""
    last = {name: one.metrics.get(name) for name in ("distance", "modes", "js")}
    first = {"distance": 1.0, "modes": 0.0, "js": 0.6}
    return [
        {"trial": one.number, "update": 10 * (step + 1)}
        | {
            name: first[name] + (value - first[name]) * (step + 1) / count
            for name, value in last.items()
            if value is not None
        }
        for step in range(count)
    ]


def varied(count: int, seed: int = 0) -> list[TrialRow]:
    """Trials with every setting of `SPACE` that end in every way."""
    rng = random.Random(seed)
    outcomes = ["completed"] * 8 + ["collapsed", "stalled", "diverged", "outranked", "crashed"]
    found = []
    for number in range(count):
        loss = rng.choice(SPACE["loss"])
        settings = {
            "loss": loss,
            "d_steps": rng.choice([1, 2, 5]),
            "d_lr": 10 ** rng.uniform(-5, -2),
            "d_grad_clip": rng.choice([None, 1.0]),
        }
        if loss == "wgan":
            settings["weight_clip"] = 10 ** rng.uniform(-2, 0)
        outcome = rng.choice(outcomes)
        distance = abs(rng.gauss(0.0, 0.1)) if outcome in ("completed", "outranked") else 1.0
        js, modes = rng.uniform(0.0, 0.69), rng.uniform(1.0, 7.9)
        signals = {"distance": distance, "js": js, "modes": modes, "mode_ratio": modes / 7.95}
        found.append(trial(number, outcome, **settings, **signals))
    return found

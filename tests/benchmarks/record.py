"""What it takes to have a sweep in MLflow, beside Ray's own callback and MLflow's own batches."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from ray.air.integrations.mlflow import MLflowLoggerCallback

from ganray.summary import history, summarize
from ganray.trial import SIGNALS, Signals, TrialConfig
from tests.benchmarks.growth_runs import ready_made
from tests.benchmarks.recorded import tell_sweep
from tests.benchmarks.results import Rows, ratios, row, tell
from tests.conftest import STARTED

TRIALS, REPORTS = 10, 20
NAME = "recorded"


def record(runs: int) -> Rows:
    """Seconds until a store in a file has it all, and to read it back."""
    ways: dict[str, Callable[[str], None]] = {
        "ganray": by_ganray,
        "bare log_batch": by_batches,
        "Ray's callback": by_callback,
    }
    taken: dict[str, list[float]] = {way: [] for way in (*ways, "summarize", "history")}
    for _ in range(runs):
        for way, write in ways.items():
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                uri = f"sqlite:///{folder}/mlflow.db"
                _client(uri).create_experiment("made")  # the tables of a new store take seconds
                taken[way].append(_clocked(lambda w=write, u=uri: w(u)))
                if way == "ganray":
                    taken["summarize"].append(_clocked(lambda u=uri: summarize(NAME, u)))
                    taken["history"].append(_clocked(lambda u=uri: history(NAME, u)))
    rows = ratios("record", {way: taken[way] for way in ways}, "bare log_batch")
    rows += [row("record", f"{way} back", taken[way], "s") for way in ("summarize", "history")]
    tell(f"{TRIALS} trials of {REPORTS} reports in MLflow; medians of {runs}", rows)
    return rows


def _clocked(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def by_ganray(uri: str) -> None:
    """All told at once, as after an outage."""
    tell_sweep(uri, NAME, TRIALS, range(1, REPORTS + 1))


def by_batches(uri: str) -> None:
    """One `log_batch` of parameters a trial, and one of metrics a report; nothing else."""
    client = _client(uri)
    experiment = client.get_experiment_by_name("made")
    assert experiment is not None
    for number in range(TRIALS):
        run = client.create_run(experiment.experiment_id).info.run_id
        params = [Param(key, str(value)) for key, value in asdict(TrialConfig()).items()]
        client.log_batch(run, params=params)
        for update in range(1, REPORTS + 1):
            values = _values(ready_made(number, update))
            at = STARTED + update
            client.log_batch(run, [Metric(k, v, at, update) for k, v in values.items()])
        client.set_terminated(run)


def by_callback(uri: str) -> None:
    """As Tune would tell it of the same trials."""
    callback = MLflowLoggerCallback(tracking_uri=uri, experiment_name="made")
    callback.setup()
    for number in range(TRIALS):
        trial: Any = ToldTrial(str(number), asdict(TrialConfig()))
        callback.log_trial_start(trial)
        for update in range(1, REPORTS + 1):
            values = _values(ready_made(number, update))
            callback.log_trial_result(update, trial, {**values, "training_iteration": update})
        callback.log_trial_end(trial)


@dataclass(eq=False)
class ToldTrial:
    """As much of Tune's `Trial` as the callback looks at."""

    trial_id: str
    config: dict[str, Any]


def _values(signals: Signals) -> dict[str, float]:
    found = {name: getattr(signals, name) for name in SIGNALS}
    return {name: float(value) for name, value in found.items() if value is not None}


def _client(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)

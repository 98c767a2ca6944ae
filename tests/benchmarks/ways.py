"""The same sweep, run by ganray and as others would write it: each way is a process of its own.

python -m tests.benchmarks.ways WAY SWEEP.yaml FOLDER

The trials of all ways are ganray's own sessions, so that all train and measure exactly alike; what
differs is who launches, asks, reports and records. When a trial began and ended is noted as a line
of `FOLDER/trials.jsonl`.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ganray.spec.load import load_sweep, parse_sweep
from ganray.spec.models import SweepSpec
from ganray.trial import SIGNALS, Signals

NOTES = "trials.jsonl"
Report = Callable[[dict[str, float], int], None]


@dataclass(frozen=True)
class Took:
    """One trial: seconds since 1970, and how many of them it trained and measured.

    Args:
        begin: when its first update began.
        first: when its first report was made.
        end: when its last report was made.
        train: seconds that it trained.
        measure: seconds that it measured.
    """

    begin: float
    first: float
    end: float
    train: float
    measure: float


def took(reports: list[tuple[Signals, float]]) -> Took:
    """From a trial's reports, each with the time at which it was made."""
    (head, first), (tail, end) = reports[0], reports[-1]
    measures = [signals.measure_seconds or 0.0 for signals, _ in reports]
    begin = first - head.seconds - measures[0]
    return Took(begin, first, end, tail.seconds, sum(measures))


def read_notes(folder: Path) -> list[Took]:
    """Of all trials."""
    lines = (folder / NOTES).read_text().splitlines()
    return [Took(**json.loads(line)) for line in lines]


def _note(folder: Path, found: Took) -> None:
    with (folder / NOTES).open("a") as file:  # short enough to be written at once
        file.write(json.dumps(asdict(found)) + "\n")


def run_ganray(sweep: Path, folder: Path) -> None:
    """As a script would, through `ganray.run_sweep`: no board, no report page."""
    from ganray.tuning.driver import run_sweep

    spec = _stored(sweep, folder)
    run_sweep(spec)
    _note_study(spec, folder)


def run_command(sweep: Path, folder: Path) -> None:
    """All of `ganray run`: its summary and its report page, too."""
    from ganray.cli.app import app

    store = f"sqlite:///{folder}/mlflow.db"
    places = [f"--set=storage.{what}={folder}" for what in ("study", "results")]
    given = ["run", str(sweep), *places, "--tracking-uri", store]
    app(given, standalone_mode=False)
    _note_study(_stored(sweep, folder), folder)


def _stored(sweep: Path, folder: Path) -> SweepSpec:
    values = load_sweep(sweep).model_dump(mode="json", exclude_defaults=True)
    values["storage"] = {"study": str(folder), "results": str(folder)}
    values["tracking"] = {"uri": f"sqlite:///{folder}/mlflow.db"}
    return parse_sweep(values)


def _note_study(spec: SweepSpec, folder: Path) -> None:
    from ganray.tuning.study import SweepStudy

    for trial in SweepStudy.load(spec).recorded():
        _note(folder, took([(signals, at / 1e3) for signals, _, at in trial.reports]))


def run_bare(sweep: Path, folder: Path) -> None:
    """Tune alone: actors reused, random search, no loggers, nothing recorded. The floor."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    _tune(sweep, folder, reuse_actors=True)


def run_stock(sweep: Path, folder: Path, *, reuse_actors: bool) -> None:
    """As the documentation of Tune, Optuna and MLflow has it."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    callback = MLflowLoggerCallback(
        tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name="stock"
    )
    search = OptunaSearch(seed=0)
    _tune(sweep, folder, search=search, callbacks=[callback], reuse_actors=reuse_actors)


def _tune(
    sweep: Path, folder: Path, search: Any = None, callbacks: Any = None, *, reuse_actors: bool
) -> None:
    import ray
    from ray import tune

    import_module("ganray.tuning.session")  # training code, which such a script imports, too
    spec = load_sweep(sweep)
    ray.init(include_dashboard=False, log_to_driver=False)
    trainable = tune.with_resources(partial(_tune_trial, sweep=sweep, folder=folder), {"cpu": 1})
    tuner = tune.Tuner(
        trainable,
        param_space={
            "loss": tune.choice(list(spec.search.space.entries["loss"].choices)),
            "d_lr": tune.loguniform(1e-4, 1e-3),
            "g_lr": tune.loguniform(1e-4, 1e-3),
        },
        tune_config=tune.TuneConfig(
            metric="distance",
            mode="min",
            search_alg=search,
            num_samples=spec.search.trials,
            max_concurrent_trials=spec.search.concurrency,
            reuse_actors=reuse_actors,
        ),
        run_config=tune.RunConfig(
            name="stock", storage_path=str(folder), callbacks=callbacks, verbose=0
        ),
    )
    results = tuner.fit()
    assert not results.num_errors, results.errors
    assert len(results) == spec.search.trials


def _tune_trial(config: dict[str, Any], sweep: Path, folder: Path) -> None:
    from ray import tune

    _train(config, sweep, folder, lambda values, _update: tune.report(values))


def _train(config: Mapping[str, Any], sweep: Path, folder: Path, report: Report) -> float:
    """One trial, as a function of the user's; returns what it got to."""
    from ganray.data.registry import load_dataset
    from ganray.tuning.session import Session, Workbench

    spec = load_sweep(sweep)
    workbench = Workbench(spec, load_dataset(spec.data.model_dump()))
    session = Session(workbench, spec.trial_config(0, config))
    made: list[tuple[Signals, float]] = []
    while not session.done:
        signals = session.next_report()
        made.append((signals, time.time()))
        values = {name: getattr(signals, name) for name in SIGNALS}
        report({k: v for k, v in values.items() if v is not None}, signals.update)
    _note(folder, took(made))
    return float(signals.distance or 0.0)


def run_optuna(sweep: Path, folder: Path) -> None:
    """Optuna in a process a core, each with its own trials, and MLflow as its guide shows."""
    import mlflow
    import optuna

    spec = load_sweep(sweep)
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("optuna")
    optuna.create_study(study_name="stock", storage=f"sqlite:///{folder}/optuna.db")
    count = int(spec.search.concurrency)
    context = multiprocessing.get_context("spawn")
    each = (sweep, folder, spec.search.trials // count)
    processes = [context.Process(target=_optuna_trials, args=each) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert not process.exitcode


def _optuna_trials(sweep: Path, folder: Path, trials: int) -> None:
    import mlflow
    import optuna

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("optuna")
    losses = list(load_sweep(sweep).search.space.entries["loss"].choices)

    def objective(trial: optuna.Trial) -> float:
        config = {
            "loss": trial.suggest_categorical("loss", losses),
            "d_lr": trial.suggest_float("d_lr", 1e-4, 1e-3, log=True),
            "g_lr": trial.suggest_float("g_lr", 1e-4, 1e-3, log=True),
        }

        def report(values: dict[str, float], update: int) -> None:
            mlflow.log_metrics(values, step=update)
            trial.report(values["distance"], update)

        with mlflow.start_run():
            mlflow.log_params(config)
            return _train(config, sweep, folder, report)

    study = optuna.load_study(study_name="stock", storage=f"sqlite:///{folder}/optuna.db")
    study.optimize(objective, n_trials=trials)


WAYS: dict[str, Callable[[Path, Path], None]] = {
    "ganray": run_ganray,
    "ganray run": run_command,
    "bare Tune": run_bare,
    "stock, reused actors": partial(run_stock, reuse_actors=True),
    "stock": partial(run_stock, reuse_actors=False),
    "Optuna, processes": run_optuna,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    WAYS[arguments.way](arguments.sweep.resolve(), arguments.folder)


if __name__ == "__main__":
    main()

"""The sweep of `short.yaml` as the documentation of Tune, Optuna and MLflow would have it written.

The trials are ganray's own sessions, so that both sides train and measure exactly alike; what
differs is who launches, asks, reports and records.
"""

import argparse
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search.optuna import OptunaSearch

from ganray.data.registry import load_dataset
from ganray.spec.load import load_sweep
from ganray.trial import SIGNALS
from ganray.tuning.session import Session, Workbench

SWEEP = Path(__file__).parent / "short.yaml"


def train(config: dict[str, Any]) -> None:
    spec = load_sweep(SWEEP)
    session = Session(
        Workbench(spec, load_dataset(spec.data.model_dump())), spec.trial_config(0, config)
    )
    while not session.done:
        signals = session.next_report()
        values = {name: getattr(signals, name) for name in SIGNALS}
        tune.report({name: value for name, value in values.items() if value is not None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reuse-actors", action="store_true")
    parser.add_argument("--folder", required=True)
    arguments = parser.parse_args()

    spec = load_sweep(SWEEP)
    ray.init(include_dashboard=False, log_to_driver=False)
    space = {
        "loss": tune.choice(["minimax", "non_saturating", "lsgan", "hinge"]),
        "d_lr": tune.loguniform(1e-4, 1e-3),
        "g_lr": tune.loguniform(1e-4, 1e-3),
    }
    callback = MLflowLoggerCallback(
        tracking_uri=f"sqlite:///{arguments.folder}/mlflow.db", experiment_name="stock"
    )
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="distance",
            mode="min",
            search_alg=OptunaSearch(seed=0),
            num_samples=spec.search.trials,
            max_concurrent_trials=2,
            reuse_actors=arguments.reuse_actors,
        ),
        run_config=tune.RunConfig(
            name="stock", storage_path=arguments.folder, callbacks=[callback], verbose=0
        ),
    )
    results = tuner.fit()
    assert results.num_errors == 0, results.errors
    assert len(results) == spec.search.trials


if __name__ == "__main__":
    main()

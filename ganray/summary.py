"""A sweep as a pandas DataFrame, from MLflow alone: the cluster may be long gone."""

import io
import json
from datetime import datetime
from typing import Any

import pandas as pd

from ganray.tracking import schema
from ganray.tracking.reader import SweepRow, TrialRow, fetch_history, fetch_sweep
from ganray.trial import COUNTERS, SIGNALS, Outcome

Frame = pd.DataFrame
_BEST = tuple(f"best_{name}" for name, better in SIGNALS.items() if better is not None)


def summarize(name: str, tracking_uri: str | None = None) -> pd.DataFrame:
    """One row a trial.

    Args:
        name: of the sweep.
        tracking_uri: the MLflow store; None: `MLFLOW_TRACKING_URI`, else `sqlite:///mlflow.db`.

    Returns:
        Columns `trial, phase, outcome, audited, rule` (what stopped it), `reason, stopped_at`
        (share of the budget), `seconds` (of training), `gpu_hours, objective`; every searched
        parameter; every signal's last value under its own name, its best as `best_…`; counters;
        `started`, `ended`; `run_id`.
        A trial that still runs has no outcome; a sweep without trials gives an empty frame with the
        same columns. `attrs` has the sweep's `objective`, `direction`, `status` and `searched`.

    Raises:
        UnknownSweepError: the store has no sweep of that name.
        TrackingError: the store cannot be read.
    """
    sweep = fetch_sweep(name, tracking_uri)
    records = [_record(trial, sweep) for trial in sweep.trials]
    frame = pd.DataFrame.from_records(records, columns=_columns(sweep))
    frame = frame.astype(_dtypes(sweep))
    frame.attrs = {
        "objective": sweep.objective,
        "direction": sweep.direction,
        "status": sweep.status,
        "searched": list(sweep.searched),
    }
    return frame


def searched_columns(frame: pd.DataFrame) -> list[str]:
    """The parameters that the sweep of a summary searched."""
    names: list[str] = frame.attrs["searched"]
    return names


def history(name: str, tracking_uri: str | None = None) -> pd.DataFrame:
    """One row a report: `trial`, `update`, counters, and every signal; missing where undefined.

    Args:
        name: of the sweep.
        tracking_uri: as in `summarize`.
    """
    columns = ["trial", "update", *COUNTERS, *SIGNALS]
    frame = pd.DataFrame.from_records(list(fetch_history(name, tracking_uri)), columns=columns)
    whole = ("trial", "update", "d_updates", "g_updates", "images")
    return frame.astype({c: "Int64" if c in whole else "Float64" for c in columns})


def best_trial(frame: pd.DataFrame) -> dict[str, Any] | None:
    """The completed trial with the best objective, as in `rows`; None if none completed."""
    done = frame[(frame["outcome"] == Outcome.COMPLETED.value) & frame["objective"].notna()]
    if done.empty:
        return None
    ascending = frame.attrs["direction"] == "min"
    return rows(done.sort_values("objective", ascending=ascending).head(1))[0]


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows as plain values, None where one is missing."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [dict(zip(plain.columns, row, strict=True)) for row in plain.itertuples(index=False)]


def export(frame: pd.DataFrame, form: str) -> bytes:
    """The frame as a file's content; numbers read back equal.

    Args:
        frame: of `summarize` or `history`.
        form: csv, json (a list of rows) or parquet.
    """
    if form == "parquet":
        out = io.BytesIO()
        frame.to_parquet(out)
        return out.getvalue()
    if form == "json":
        return (json.dumps(rows(frame), default=_isoformat, indent=1) + "\n").encode()
    return frame.to_csv(index=False).encode()


def _isoformat(value: datetime) -> str:
    return value.isoformat()


def _columns(sweep: SweepRow) -> list[str]:
    head = ["trial", "phase", "outcome", "audited", "rule", "reason", "stopped_at"]
    head += ["seconds", "gpu_hours"]
    counters = [name for name in COUNTERS if name != "seconds"]
    tail = ["started", "ended", "run_id"]
    return [*head, "objective", *sweep.searched, *SIGNALS, *_BEST, *counters, *tail]


def _record(trial: TrialRow, sweep: SweepRow) -> dict[str, Any]:
    return {
        **trial.metrics,
        **{f"best_{name}": value for name, value in trial.best.items()},
        **{name: trial.params.get(name) for name in sweep.searched},
        "trial": trial.number,
        "phase": trial.phase,
        "outcome": trial.outcome,
        "audited": trial.audited,
        "rule": trial.rule,
        "reason": trial.reason,
        "started": trial.started,
        "ended": trial.ended,
        "run_id": trial.run_id,
    }


def _dtypes(sweep: SweepRow) -> dict[str, Any]:
    whole = {"trial", "d_updates", "g_updates", "images"}
    kinds: dict[str, Any] = dict.fromkeys(_columns(sweep), "Float64")
    kinds |= dict.fromkeys(whole, "Int64")
    for name in sweep.searched:
        kinds[name] = _parameter_dtype(name)
    return kinds | {
        "phase": pd.CategoricalDtype(["search", "confirm"]),
        "outcome": pd.CategoricalDtype([outcome.value for outcome in Outcome]),
        "audited": "boolean",
        "rule": "string",
        "reason": "string",
        "started": "datetime64[ms, UTC]",
        "ended": "datetime64[ms, UTC]",
        "run_id": "string",
    }


def _parameter_dtype(name: str) -> str:
    if schema.is_text(name):
        return "string"
    if schema.is_flag(name):
        return "boolean"
    return "Int64" if schema.is_whole(name) else "Float64"

"""Sweeps as pandas DataFrames, from MLflow alone: the cluster may be long gone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, get_args

import pandas as pd

from ganray.tracking import ledger as _ledger
from ganray.tracking import schema
from ganray.tracking.confirmation import Confirmed, confirmed
from ganray.tracking.ledger import Audit
from ganray.tracking.reader import SweepRow, TrialRow, fetch_history, fetch_sweep, flat
from ganray.trial import COUNTERS, SIGNALS, Cause, Ended, Outcome

Frame = pd.DataFrame
_OUTCOMES = pd.CategoricalDtype([outcome.value for outcome in Outcome])
_BEST = tuple(f"best_{name}" for name, better in SIGNALS.items() if better is not None)


def summarize(name: str, tracking_uri: str | None = None) -> pd.DataFrame:
    """One row a trial.

    Args:
        name: of the sweep.
        tracking_uri: the MLflow store; None: `MLFLOW_TRACKING_URI`, else `sqlite:///mlflow.db`.

    Returns:
        Columns `trial, phase, confirms` (the trial of the search that a confirming one repeats),
        `outcome, ending` (healthy, between or bad by `health.endings`; missing if it was stopped),
        `cause` (of a crash: see `trial.Cause`), `retries` (after faults), `audited, rule` (what
        stopped it), `reason, stopped_at` (share of the budget), of audited
        trials what would have stopped them as `would_be_outcome`, `_rule`, `_reason` and
        `_stopped_at`; `seconds` (of training), `measured_seconds, gpu_hours, objective`; every
        searched parameter; every signal's last value under its own name, its best as `best_…`;
        counters; `started`, `ended`; `run_id`.
        A trial that still runs has no outcome; a sweep without trials gives an empty frame with the
        same columns. Texts are `string`, names of a fixed kind `category`, whole numbers `Int64`,
        others `Float64`, times `datetime64[ms, UTC]`: each may be missing. `attrs` has the sweep's
        name as `sweep` and its `objective, direction, status, searched` and `risk`.

    Raises:
        UnknownSweepError: the store has no sweep of that name.
        TrackingError: the store cannot be read.
    """
    return tabulate(fetch_sweep(name, tracking_uri))


def tabulate(sweep: SweepRow) -> pd.DataFrame:
    """The frame of `summarize`, of a sweep that is read already."""
    records = [_record(trial, sweep.searched) for trial in sweep.trials]
    frame = _typed(records, _kinds(sweep.searched))
    frame.attrs = _attributes(sweep)
    return frame


def compare(names: Sequence[str], tracking_uri: str | None = None) -> pd.DataFrame:
    """One row a trial of several sweeps.

    Args:
        names: of the sweeps.
        tracking_uri: as in `summarize`.

    Returns:
        The columns of `summarize` after `sweep`, a category in the order of the names. There is a
        column for every parameter that any of them searched, with what the others had it fixed to.
        `attrs` has `sweep` (all names), `objective` and `direction` (None where they differ) and
        `searched` (by any of them).

    Raises:
        UnknownSweepError, TrackingError: as in `summarize`.
    """
    sweeps = [fetch_sweep(name, tracking_uri) for name in dict.fromkeys(names)]
    searched = list(dict.fromkeys(name for sweep in sweeps for name in sweep.searched))
    records = [
        {"sweep": sweep.name, **_record(trial, searched)}
        for sweep in sweeps
        for trial in sweep.trials
    ]
    known = [sweep.name for sweep in sweeps]
    frame = _typed(records, {"sweep": pd.CategoricalDtype(known), **_kinds(searched)})
    frame.attrs = {
        "sweep": known,
        "objective": _common(sweep.objective for sweep in sweeps),
        "direction": _common(sweep.direction for sweep in sweeps),
        "searched": searched,
    }
    return frame


def confirmation(name: str, tracking_uri: str | None = None) -> pd.DataFrame:
    """One row a configuration that ran again with fresh seeds, the best median first.

    Args:
        name: of the sweep.
        tracking_uri: as in `summarize`.

    Returns:
        Columns `trial` (of the search), `objective` (its own, with the seed that won); every
        searched parameter; `seeds` (trials that ended by themselves), the `median`, `worst` and
        `best` of their objectives, and `bad` and `healthy`, the shares that ended so. A seed that
        diverged or crashed ranks behind all others; a median or worst that is its own is missing.
        Empty if nothing was confirmed. `attrs` as in `summarize`.

    Raises:
        UnknownSweepError, TrackingError: as in `summarize`.
    """
    return tabulate_confirmation(fetch_sweep(name, tracking_uri))


def tabulate_confirmation(sweep: SweepRow) -> pd.DataFrame:
    """The frame of `confirmation`, of a sweep that is read already."""
    found = {trial.number: trial for trial in sweep.trials}
    table = confirmed(sweep.trials, sweep.direction)
    records = [asdict(row) | _settings(found.get(row.trial), sweep) for row in table]
    results = [field.name for field in fields(Confirmed) if field.name != "trial"]
    columns = ["trial", "objective", *sweep.searched, *results]
    kinds = dict.fromkeys(columns, "Float64") | dict.fromkeys(("trial", "seeds"), "Int64")
    kinds |= {name: _parameter_dtype(name) for name in sweep.searched}
    frame = _typed(records, kinds)
    frame.attrs = _attributes(sweep)
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
    whole = ("trial", "update", "d_updates", "g_updates", "images")
    kinds = {c: "Int64" if c in whole else "Float64" for c in columns}
    return _typed(list(fetch_history(name, tracking_uri)), kinds)


def best_trial(frame: pd.DataFrame) -> dict[str, Any] | None:
    """The completed trial of the search with the best objective, as in `rows`, or None.

    A confirming trial is no other configuration, only another seed.
    """
    completed = (frame["phase"] == "search") & (frame["outcome"] == Outcome.COMPLETED.value)
    done = frame[completed & frame["objective"].notna()]
    if done.empty:
        return None
    ascending = frame.attrs["direction"] == "min"
    return rows(done.sort_values("objective", ascending=ascending).head(1))[0]


def audit(frame: pd.DataFrame) -> Audit:
    """How many trials of a summary would have been stopped, and how those ended that ran on."""
    return _ledger.audit(rows(frame))


def ledger(frame: pd.DataFrame) -> pd.DataFrame:
    """What the trials of a summary used, and what stopping them saved: see `tracking.ledger`.

    Returns:
        A row a rule, then `none` (trials that no rule stopped), `confirming`, `measuring` and
        `total`: columns
        `rule, trials`, and `used_…`, `saved_…` (estimated) and `surely_saved_…` (a lower bound),
        each in `updates`, `seconds` and `gpu_hours`.
    """
    entries = _ledger.ledger(rows(frame), frame.attrs["risk"])
    return pd.DataFrame.from_records(
        [entry.flat() for entry in entries], columns=list(_ledger.COLUMNS)
    )


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows as plain values, None where one is missing."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [dict(zip(plain.columns, row, strict=True)) for row in plain.itertuples(index=False)]


def _typed(records: Sequence[Mapping[str, Any]], kinds: Mapping[str, Any]) -> Frame:
    """A frame with these columns, each made with its type: as floats, whole numbers lose digits."""
    return pd.DataFrame(
        {name: pd.array([r.get(name) for r in records], dtype=kind) for name, kind in kinds.items()}
    )


def _common(values: Iterable[str]) -> str | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _attributes(sweep: SweepRow) -> dict[Any, Any]:
    return {
        "sweep": sweep.name,
        "objective": sweep.objective,
        "direction": sweep.direction,
        "status": sweep.status,
        "searched": list(sweep.searched),
        "risk": sweep.params.get(schema.RISK),
    }


def _columns(searched: Iterable[str]) -> list[str]:
    head = ["trial", "phase", "confirms", "outcome", "ending", "cause", "retries"]
    head += ["audited", "rule", "reason"]
    head += ["stopped_at", "would_be_outcome", "would_be_rule", "would_be_reason"]
    head += ["would_be_stopped_at", "seconds", "measured_seconds", "gpu_hours"]
    counters = [name for name in COUNTERS if name != "seconds"]
    tail = ["started", "ended", "run_id"]
    return [*head, "objective", *searched, *SIGNALS, *_BEST, *counters, *tail]


def _record(trial: TrialRow, searched: Iterable[str]) -> dict[str, Any]:
    return {
        **flat(trial),
        "reason": trial.reason or None,  # what completed has none
        **{f"best_{name}": value for name, value in trial.best.items()},
        **{name: trial.params.get(name) for name in searched},
    }


def _settings(trial: TrialRow | None, sweep: SweepRow) -> dict[str, Any]:
    """Of the trial that was confirmed; an outage may have lost its record."""
    if trial is None:
        return {}
    searched = {name: trial.params.get(name) for name in sweep.searched}
    return {"objective": trial.metrics.get(schema.OBJECTIVE), **searched}


def _kinds(searched: Sequence[str]) -> dict[str, Any]:
    """The type of every column of a summary, in their order."""
    whole = {"trial", "confirms", "retries", "d_updates", "g_updates", "images"}
    kinds: dict[str, Any] = dict.fromkeys(_columns(searched), "Float64")
    kinds |= dict.fromkeys(whole, "Int64")
    kinds |= {name: _parameter_dtype(name) for name in searched}
    return kinds | {
        "phase": pd.CategoricalDtype(["search", "confirm"]),
        "outcome": _OUTCOMES,
        "would_be_outcome": _OUTCOMES,
        "ending": pd.CategoricalDtype(list(get_args(Ended))),
        "cause": pd.CategoricalDtype([cause.value for cause in Cause]),
        "audited": "boolean",
        **dict.fromkeys(["rule", "reason", "would_be_rule", "would_be_reason"], "string"),
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

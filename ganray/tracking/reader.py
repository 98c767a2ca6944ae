"""Reads sweeps back from MLflow, with the types that they had."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ganray.errors import GanrayError, TrackingError, UnknownSweepError
from ganray.secrets import redact
from ganray.similar import did_you_mean
from ganray.spec.names import SWEEP_NAME
from ganray.tracking import images, schema
from ganray.tracking.store import experiment_ids, is_missing, open_client, search_runs, tracking_uri
from ganray.tracking.times import as_time
from ganray.trial import COUNTERS, SIGNALS, Outcome

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_STORE_HINT = "another store is named with --tracking-uri, or by MLFLOW_TRACKING_URI"
_WOULD_BE = {
    "outcome": schema.WOULD_BE_OUTCOME,
    "rule": schema.WOULD_BE_RULE,
    "reason": schema.WOULD_BE_REASON,
}


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial as MLflow has it."""

    number: int
    run_id: str
    phase: str
    confirms: int | None  # the trial of the search that it repeats
    outcome: str | None  # None: it is still running
    reason: str | None
    cause: str | None  # of a crash
    nonfinite: str | None  # what stopped being finite at its last report
    rule: str | None  # what stopped it before its budget was used up
    ending: str | None  # healthy, between or bad; None: it was stopped, or still runs
    audited: bool
    would_be: dict[str, str]  # outcome, rule and reason of what would have stopped it
    params: dict[str, Any]
    metrics: dict[str, float]  # the last value of each, by its own name
    best: dict[str, float]  # the best value of each that has a better direction
    started: datetime | None
    ended: datetime | None
    files: str  # the folder or URL of its pictures and checkpoint; "" if it is not recorded
    # the metrics of the store that hold each of `metrics`, for their histories
    stored: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One sweep as MLflow has it, with its trials in the order of their numbers."""

    name: str
    run_id: str
    description: str  # "" if it has none
    status: str
    started: datetime | None
    ended: datetime | None
    searched: tuple[str, ...]
    objective: str
    direction: str
    params: dict[str, Any]  # of the file, by dotted name, such as data.name
    trials: tuple[TrialRow, ...]


def fetch_sweep(name: str, uri: str | None = None) -> SweepRow:
    """Read a sweep and all its trials, without their histories.

    Raises:
        UnknownSweepError: the store has no sweep of that name.
        TrackingError: the store cannot be read.
    """
    with _reading(uri) as client:
        parent = _parent(client, name, uri)
        trials = fetch_trials(client, name, parent.info.run_id)
    direction, objective = parent.data.tags[schema.OBJECTIVE_METRIC].split()
    searched = parent.data.tags.get(schema.SEARCHED, "")
    return SweepRow(
        name=name,
        run_id=parent.info.run_id,
        description=_description(parent.data.tags),
        status=parent.info.status,
        started=as_time(parent.info.start_time),
        ended=as_time(parent.info.end_time),
        searched=tuple(searched.split(",")) if searched else (),
        objective=objective,
        direction=direction,
        params={key: schema.from_text(key, text) for key, text in parent.data.params.items()},
        trials=tuple(trials),
    )


def _description(tags: Mapping[str, str]) -> str:
    """What the sweep file said; in an older record it is all that the note has."""
    old = "" if schema.NOTED in tags else tags.get(schema.NOTE, "")
    return tags.get(schema.DESCRIPTION, old)


@dataclass(frozen=True, slots=True)
class SweepHead:
    """A sweep as a list shows it."""

    name: str
    status: str
    trials: int | None  # as planned, with those that confirm the search
    outcomes: dict[str, int]  # how many trials ended how
    running: int
    objective: str
    direction: str
    best: TrialRow | None
    searched: tuple[str, ...]
    started: datetime | None
    ended: datetime | None


def fetch_head(name: str, uri: str | None = None) -> SweepHead:
    """One sweep as a list shows it, the latest of that name.

    Raises:
        UnknownSweepError, TrackingError: as in `fetch_sweep`.
    """
    with _reading(uri) as client:
        return _head(client, _parent(client, name, uri))


def fetch_heads(uri: str | None = None) -> list[SweepHead]:
    """All sweeps of a store, the latest first; of several with one name the latest alone.

    Args:
        uri: of the store.

    Raises:
        TrackingError: the store cannot be read.
    """
    with _reading(uri) as client:
        parents: dict[str, Run] = {}
        for run in _search(client, None, {schema.KIND: "sweep"}):
            parents.setdefault(run.data.tags[schema.SWEEP], run)
        return [_head(client, run) for run in parents.values()]


def _head(client: "MlflowClient", parent: "Run") -> SweepHead:
    tags, params = parent.data.tags, parent.data.params
    direction, objective = tags[schema.OBJECTIVE_METRIC].split()
    outcomes, running = _counts(parent.data.metrics), 0
    if parent.info.status == "RUNNING":  # the counts are written at the end
        found = fetch_trials(client, tags[schema.SWEEP], parent.info.run_id)
        outcomes = dict(Counter(trial.outcome for trial in found if trial.outcome))
        running = len(found) - sum(outcomes.values())
    planned = tags.get(schema.PLANNED, params.get("search.trials"))  # the latter in older records
    return SweepHead(
        name=tags[schema.SWEEP],
        status=parent.info.status,
        trials=int(planned) if planned else None,
        outcomes=outcomes,
        running=running,
        objective=objective,
        direction=direction,
        best=_best(client, parent, direction),
        searched=tuple(filter(None, tags.get(schema.SEARCHED, "").split(","))),
        started=as_time(parent.info.start_time),
        ended=as_time(parent.info.end_time),
    )


def _counts(metrics: Mapping[str, float]) -> dict[str, int]:
    """How many trials ended how, as it stands in a sweep's own run."""
    counts = {
        key.removeprefix(prefix): int(count)
        for prefix in (schema.OLD_TRIALS, schema.TRIALS)  # the latter holds where there are both
        for key, count in metrics.items()
        if key.startswith(prefix)
    }
    return {outcome: count for outcome, count in counts.items() if count}


def _best(client: "MlflowClient", parent: "Run", direction: str) -> TrialRow | None:
    """The best completed trial of the search, without reading the others."""
    wanted = {schema.PARENT: parent.info.run_id, schema.OUTCOME: Outcome.COMPLETED.value}
    where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items())
    where += f" and tags.`{schema.PHASE}` != 'confirm'"
    order = (
        f"metrics.{schema.metric_of(schema.OBJECTIVE)} {'ASC' if direction == 'min' else 'DESC'}"
    )
    experiment = [parent.info.experiment_id]
    found = client.search_runs(experiment, where, max_results=1, order_by=[order])
    return _row(found[0]) if found else None


def fetch_trials(client: "MlflowClient", name: str, parent: str) -> list[TrialRow]:
    """The trials of one run of a sweep, in the order of their numbers, without their histories.

    Args:
        client: of the store.
        name: of the sweep.
        parent: the identity of the sweep's run.
    """
    rows = [_row(run) for run in _search(client, name, {schema.PARENT: parent})]
    return sorted(rows, key=lambda trial: trial.number)


def best_row(trials: Iterable[TrialRow], direction: str) -> TrialRow | None:
    """The best completed trial of the search, the first of equals; None if there is none.

    Args:
        trials: of a sweep.
        direction: of its objective, `min` or `max`.
    """
    sign = 1.0 if direction == "min" else -1.0
    ranked = [
        (sign * trial.metrics[schema.OBJECTIVE], trial.number, trial)
        for trial in trials
        if trial.confirms is None
        and trial.outcome == Outcome.COMPLETED
        and schema.OBJECTIVE in trial.metrics
    ]
    return min(ranked, key=lambda rank: rank[:2])[2] if ranked else None


def flat(trial: TrialRow) -> dict[str, Any]:
    """A trial's row of the summary, less its best values and what the sweep searched."""
    would_be = {f"would_be_{name}": trial.would_be.get(name) for name in _WOULD_BE}
    return {
        **dict.fromkeys((*COUNTERS, *SIGNALS, *schema.AT_THE_END)),
        **trial.metrics,
        **would_be,
        "trial": trial.number,
        "phase": trial.phase,
        "confirms": trial.confirms,
        "outcome": trial.outcome,
        "audited": trial.audited,
        "cause": trial.cause,
        "rule": trial.rule,
        "reason": trial.reason,
        "ending": trial.ending,
        "started": trial.started,
        "ended": trial.ended,
        "run_id": trial.run_id,
    }


def fetch_history(name: str, uri: str | None = None) -> Iterator[dict[str, Any]]:
    """Every report of every trial: `trial`, `update` and the signals that it has.

    Raises:
        UnknownSweepError, TrackingError: as in `fetch_sweep`.
    """
    yield from fetch_reports(fetch_sweep(name, uri).trials, (*COUNTERS, *SIGNALS), uri)


def fetch_reports(
    trials: Iterable[TrialRow], names: Collection[str], uri: str | None = None
) -> Iterator[dict[str, Any]]:
    """Every report of some trials: `trial`, `update` and what it has of some values.

    Takes a call for each trial and value.

    Args:
        trials: of a sweep.
        names: of counters and signals.
        uri: of the store.

    Raises:
        TrackingError: the store cannot be read.
    """
    with _reading(uri) as client:
        for trial in trials:
            reports: dict[int, dict[str, Any]] = {}
            for name in names:
                for key in trial.stored.get(name, ()):
                    for metric in client.get_metric_history(trial.run_id, key):
                        row = reports.setdefault(metric.step, {"trial": trial.number})
                        row |= {"update": metric.step, name: metric.value}
            yield from (reports[update] for update in sorted(reports))


def fetch_sweep_file(name: str, folder: Path, uri: str | None = None) -> Path:
    """Copy the file that a sweep was run from, as it was recorded, into a folder.

    Raises:
        UnknownSweepError, TrackingError: as in `fetch_sweep`.
    """
    with _reading(uri) as client:
        run_id = _parent(client, name, uri).info.run_id
        return Path(client.download_artifacts(run_id, schema.SWEEP_FILE, str(folder)))


def fetch_artifacts(
    run_id: str, names: Collection[str], uri: str | None = None
) -> dict[str, bytes]:
    """The contents of a run's files that have these names; those that it lacks are left out.

    Args:
        run_id: of a sweep or a trial.
        names: of files, with the folder that they are in.
        uri: of the store.

    Raises:
        TrackingError: the store, or where it keeps its files, cannot be read.
    """
    folders = {name.rpartition("/")[0] for name in names}
    with _reading(uri) as client, TemporaryDirectory() as place:
        found = {file.path for at in folders for file in client.list_artifacts(run_id, at or None)}
        return {
            name: Path(client.download_artifacts(run_id, name, place)).read_bytes()
            for name in names
            if name in found
        }


def list_milestones(run_id: str, uri: str | None = None) -> dict[int, str]:
    """The names of the pictures of a trial's milestones, by update, in order.

    Args:
        run_id: of the trial.
        uri: of the store.

    Raises:
        TrackingError: as in `fetch_artifacts`.
    """
    with _reading(uri) as client:
        names = [file.path for file in client.list_artifacts(run_id, images.FOLDER)]
    pictures = ((images.update_of(name.rpartition("/")[2]), name) for name in names)
    return dict(sorted((update, name) for update, name in pictures if update is not None))


def add_files(name: str, files: Iterable[Path], uri: str | None = None) -> None:
    """Add files to a sweep's own run, which may have ended.

    Raises:
        UnknownSweepError, TrackingError: as in `fetch_sweep`; the latter also if it cannot be
            added to.
    """
    with _reading(uri) as client:
        run_id = _parent(client, name, uri).info.run_id
        for file in files:
            client.log_artifact(run_id, str(file))


@contextmanager
def _reading(uri: str | None) -> Iterator["MlflowClient"]:
    """A client whose failures are told as what they mean to a reader."""
    store = tracking_uri(uri)
    try:
        if is_missing(store):
            raise TrackingError(
                f"the tracking store {store} cannot be read: it does not exist; {_STORE_HINT}"
            )
        yield open_client(store)
    except GanrayError:
        raise
    except Exception as error:
        told = f"the tracking store {store} cannot be read: {error}"
        raise TrackingError(redact(told)) from None  # MLflow's own error tells the whole URL


def _parent(client: "MlflowClient", name: str, uri: str | None) -> "Run":
    """The run of a sweep itself, the latest of that name."""
    parent = next(_search(client, name, {schema.KIND: "sweep"}), None)
    if parent is None:
        raise _unknown(client, name, uri)
    return parent


def _unknown(client: "MlflowClient", name: str, uri: str | None) -> UnknownSweepError:
    """What to say of a name that the store does not know, with the names that it does."""
    names = {run.data.tags[schema.SWEEP] for run in _search(client, None, {schema.KIND: "sweep"})}
    told = f"no sweep named '{name}' is recorded in {redact(tracking_uri(uri))}"
    if not names:
        return UnknownSweepError(f"{told}, nor is any other; {_STORE_HINT}")
    near = did_you_mean(name, names) or ";"
    return UnknownSweepError(f"{told}{near} `ganray list` names those that are; {_STORE_HINT}")


def _search(client: "MlflowClient", name: str | None, tags: dict[str, str]) -> Iterator["Run"]:
    """A sweep's runs that have these tags, the latest first; None: every sweep's."""
    if name is not None and not re.fullmatch(SWEEP_NAME, name):
        return  # no sweep has such a name, and the filter's grammar has no escape
    wanted = tags if name is None else {schema.SWEEP: name, **tags}
    where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items())
    yield from search_runs(client, experiment_ids(client), where)


def _stored(metrics: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The metrics by what they are of; of two, the one that an older version wrote comes first.

    A trial that one version began and another ended has both.
    """
    found: dict[str, tuple[str, ...]] = {}
    for key in sorted(metrics, key=lambda key: schema.name_of(key) != key):
        name = schema.name_of(key)
        found[name] = (*found.get(name, ()), key)
    return found


def _row(run: "Run") -> TrialRow:
    tags, metrics = run.data.tags, run.data.metrics
    prefix = schema.BEST
    best = {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}
    stored = _stored(key for key in metrics if not key.startswith(prefix))
    return TrialRow(
        number=int(tags[schema.TRIAL]),
        run_id=run.info.run_id,
        phase=tags.get(schema.PHASE, "search"),
        confirms=int(tags[schema.CONFIRMS]) if schema.CONFIRMS in tags else None,
        outcome=tags.get(schema.OUTCOME),
        reason=tags.get(schema.REASON),
        cause=tags.get(schema.CAUSE),
        nonfinite=tags.get(schema.NONFINITE) or _nonfinite_in(tags.get(schema.REASON, "")),
        rule=tags.get(schema.RULE),
        ending=tags.get(schema.ENDING),
        audited=tags.get(schema.AUDITED) == "true",
        would_be={name: tags[key] for name, key in _WOULD_BE.items() if key in tags},
        params={key: schema.from_text(key, text) for key, text in run.data.params.items()},
        metrics={name: metrics[keys[-1]] for name, keys in stored.items()},
        stored=stored,
        best=best,
        started=as_time(run.info.start_time),
        ended=as_time(run.info.end_time),
        files=tags.get(schema.FILES, ""),
    )


def _nonfinite_in(reason: str) -> str | None:
    """What a reason names as not finite: older records have no tag for it."""
    found = re.fullmatch(r"(.+) not finite at update \d+", reason)
    return found[1] if found else None

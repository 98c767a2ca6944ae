"""Writes a sweep to MLflow: one thread, in batches, never in the sweep's way.

The sweep's own thread only puts events into a queue. While the store is away the queue grows and
the writer tries again; the study has every report, so nothing depends on the queue.
"""

import io
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ganray.secrets import RedactingFilter
from ganray.tracking import schema
from ganray.tracking.confirmation import confirmed
from ganray.tracking.ledger import AMOUNT_COLUMNS, ledger
from ganray.tracking.reader import TrialRow, fetch_trials, flat
from ganray.tracking.recorder import Evidence, Load, SweepRecord, TrialRecord
from ganray.tracking.store import open_client
from ganray.trial import COUNTERS, SIGNALS, Ending, Outcome, Signals, State, Verdict, best_values

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from PIL.Image import Image

log = logging.getLogger("ganray.tracking")
log.addFilter(RedactingFilter())  # MLflow's errors tell the URL of the store

FLUSH_SECONDS = 1.0
BATCH = 1_000  # metrics in one `log_batch`: the server's limit
GRACE_SECONDS = 60.0  # that `close` waits for a store which is away
LONGEST_PAUSE = 10.0
AWAY = "the tracking store is away; the sweep goes on: %s"
SHORTEST_PAUSE = 0.25
# MLflow's codes for a store that cannot be reached or is busy; all others are refusals
PASSING = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "ABORTED"}

Write = Callable[["_Writer"], None]


class MlflowRecorder:
    """A `Recorder` that writes to an MLflow store.

    Args:
        uri: of the store.
        experiment: the experiment's name; made if it is not there.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._writer = _Writer(uri, experiment)
        self._told: set[str] = set()
        self._lost = 0
        self._away_since = float("inf")
        self._closed_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="ganray-mlflow", daemon=True)
        self._thread.start()

    def start_sweep(self, sweep: SweepRecord) -> None:
        """See `Recorder`."""
        self._queue.put(lambda writer: writer.start_sweep(sweep))

    def start_trial(self, trial: TrialRecord) -> None:
        """See `Recorder`."""
        now = _now()
        self._queue.put(lambda writer: writer.start_trial(trial, now))

    def report(self, number: int, signals: Signals, verdict: Verdict) -> None:
        """See `Recorder`."""
        now = _now()
        self._queue.put(lambda writer: writer.report(number, signals, verdict, now))

    def picture(self, number: int, update: int, load: Load) -> None:
        """See `Recorder`."""
        self._queue.put(lambda writer: writer.picture(number, update, load))

    def end_trial(self, ending: Ending) -> None:
        """See `Recorder`."""
        now = _now()
        self._queue.put(lambda writer: writer.end_trial(ending, now))

    def start_confirming(self, trials: int) -> None:
        """See `Recorder`; its trials say themselves what they are."""

    def evidence(self, number: int, evidence: Evidence) -> None:
        """See `Recorder`."""
        self._queue.put(lambda writer: writer.evidence(number, evidence))

    def end_sweep(self, outcomes: Mapping[int, Outcome], *, cancelled: bool) -> None:
        """See `Recorder`."""
        outcomes = dict(outcomes)
        self._queue.put(lambda writer: writer.end_sweep(outcomes, cancelled=cancelled))

    def close(self) -> None:
        """Deliver what is left; gives up after a minute if the store is away, and says so."""
        self._closed_at = time.monotonic()
        self._closing.set()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        open_ = True
        while open_:
            for write in self._drain():
                if write is None:
                    open_ = False
                else:
                    self._deliver(write)
            for run_id in self._writer.waiting():
                self._deliver(partial(_Writer.flush, run_id=run_id))
        if self._lost:
            log.warning(
                "%d records for the tracking store did not reach it; the study has them", self._lost
            )

    def _drain(self) -> list[Write | None]:
        """All that came within the flush time, so that reports are sent together."""
        writes = [self._queue.get()]
        end = time.monotonic() + FLUSH_SECONDS
        while not self._closing.is_set() and (left := end - time.monotonic()) > 0:
            try:
                writes.append(self._queue.get(timeout=left))
            except queue.Empty:
                break
        while not self._queue.empty():
            writes.append(self._queue.get())
        return writes

    def _deliver(self, write: Write) -> None:
        """Try until it works, or is refused, or closing has taken too long."""
        pause = SHORTEST_PAUSE
        while not self._is_hopeless():
            try:
                write(self._writer)
            except Exception as error:
                if not _is_passing(error):
                    self._lost += 1
                    self._tell_once(f"MLflow refused a record: {type(error).__name__}: {error}")
                    return
                self._tell_once(AWAY, error)
            else:
                self._away_since = float("inf")
                return
            self._away_since = min(self._away_since, time.monotonic())
            self._writer.doubtful = True
            if self._closing.wait(pause):  # True at once when the sweep is over
                time.sleep(SHORTEST_PAUSE)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._lost += 1

    def _is_hopeless(self) -> bool:
        """Whether the sweep is over and the store has been away since for longer than the grace."""
        return time.monotonic() > max(self._away_since, self._closed_at) + GRACE_SECONDS

    def _tell_once(self, message: str, *details: object) -> None:
        if message not in self._told:
            log.warning(message, *details)
        self._told.add(message)


class _Writer:
    """What the thread does, in order; every method may be repeated after it failed half-way."""

    def __init__(self, uri: str, experiment: str) -> None:
        self._uri = uri
        self._experiment = experiment
        self._opened: MlflowClient | None = None
        self._experiment_id = ""
        self._sweep: SweepRecord | None = None
        self._parent = ""
        self.doubtful = False  # whether a run may exist of which we do not know
        self._runs: dict[int, str] = {}
        self._states: dict[int, State] = {}
        self._pending: dict[str, list[Metric]] = {}

    def start_sweep(self, sweep: SweepRecord) -> None:
        self._sweep = sweep
        client = self._client
        found = client.get_experiment_by_name(self._experiment)
        self._experiment_id = (
            found.experiment_id
            if found
            else client.create_experiment(self._experiment, tags=schema.EXPERIMENT_TAGS)
        )
        self._parent = self._find() or self._create_parent(sweep)
        client.log_text(self._parent, sweep.sweep_file, schema.SWEEP_FILE)
        client.log_dict(self._parent, dict(sweep.environment), "environment.json")
        self._log_params(self._parent, sweep.params)

    def start_trial(self, trial: TrialRecord, now: int) -> None:
        run_id = self._runs.get(trial.number) or (
            self._find(trial.number) if self.doubtful else None
        )
        if run_id is None:
            tags = {
                schema.KIND: "trial",
                schema.SWEEP: self._record.name,
                schema.STUDY: self._record.study_id,
                schema.TRIAL: str(trial.number),
                schema.PHASE: trial.phase,
                schema.PARENT: self._parent,
                schema.FILES: trial.files,
            }
            if trial.confirms is not None:
                tags[schema.CONFIRMS] = str(trial.confirms)
            run_id = self._create(_run_name(trial), tags, now)
        self._runs[trial.number] = run_id
        self._log_params(run_id, trial.params)

    def report(self, number: int, signals: Signals, verdict: Verdict, now: int) -> None:
        if self._states.get(number) is not verdict.state:
            self._client.set_tag(self._runs[number], schema.STATE, verdict.state.value)
            self._states[number] = verdict.state
        names = (*COUNTERS, *SIGNALS)
        values = {name: getattr(signals, name) for name in names}
        self._add_metrics(number, values, signals.update, now)

    def picture(self, number: int, update: int, load: Load) -> None:
        run_id = self._runs[number]
        image = _image(load, f"the picture of trial {number} at update {update}")
        if image is not None:
            self._client.log_image(run_id, image, key="samples", step=update, synchronous=True)

    def evidence(self, number: int, evidence: Evidence) -> None:
        run_id = self._runs[number]
        for name, load in evidence.pictures.items():
            image = _image(load, f"{name} of trial {number}")
            if image is not None:
                self._client.log_image(run_id, image, artifact_file=name)
        if evidence.best_checkpoint:
            self._client.set_tag(run_id, schema.BEST_CHECKPOINT, evidence.best_checkpoint)

    def end_trial(self, ending: Ending, now: int) -> None:
        run_id = self._runs[ending.number]
        update = ending.history[-1].update if ending.history else 0
        values: dict[str, float | None] = {
            schema.OBJECTIVE: ending.objective,
            schema.STOPPED_AT: update / self._record.updates,
            schema.GPU_HOURS: ending.wall_seconds * self._record.gpus_per_trial / 3600.0,
            schema.MEASURED_SECONDS: sum(s.measure_seconds or 0.0 for s in ending.history),
        }
        if ending.would_be is not None:
            values[schema.WOULD_BE_STOPPED_AT] = ending.would_be.update / self._record.updates
        best = best_values(ending.history)
        values |= {f"{schema.BEST}{name}": value for name, value in best.items()}
        self._add_metrics(ending.number, values, update, now)
        self.flush(run_id)
        for file, record in (
            (schema.STOP_FILE, ending.stop),
            (schema.WOULD_BE_FILE, ending.would_be),
        ):
            if record is not None:
                self._client.log_dict(run_id, ending.grounds(record), file)
        for key, value in _ending_tags(ending).items():
            self._client.set_tag(run_id, key, value)
        self._client.set_terminated(run_id, schema.RUN_STATUS[ending.outcome], now)

    def end_sweep(self, outcomes: Mapping[int, Outcome], *, cancelled: bool) -> None:
        for outcome in Outcome:
            count = sum(found is outcome for found in outcomes.values())
            self._client.log_metric(self._parent, f"trials_{outcome.value}", count)
        trials = fetch_trials(self._client, self._record.name, self._parent)  # whoever wrote them
        if self._record.confirming:
            self._log_confirmation(trials)
        self._log_ledger(trials)
        self._client.set_terminated(self._parent, "KILLED" if cancelled else "FINISHED")

    def _log_confirmation(self, trials: list[TrialRow]) -> None:
        """What the confirming trials say."""
        table = [asdict(row) for row in confirmed(trials, self._record.direction)]
        for row in table:
            for name, value in row.items():
                if name != "trial" and value is not None:
                    key = f"{schema.CONFIRMED}{row['trial']}/{name}"
                    self._client.log_metric(self._parent, key, value)
        self._client.log_dict(self._parent, {"confirmed": table}, schema.CONFIRMATION)

    def _log_ledger(self, trials: list[TrialRow]) -> None:
        """What the sweep used and saved."""
        risk = self._record.params.get(schema.RISK)
        entries = [entry.flat() for entry in ledger([flat(trial) for trial in trials], risk)]
        total = entries[-1]
        for name in AMOUNT_COLUMNS:
            self._client.log_metric(self._parent, f"{schema.LEDGER}{name}", total[name])
        by_rule = {entry["rule"]: entry for entry in entries}
        self._client.log_dict(self._parent, by_rule, schema.LEDGER_FILE)

    def waiting(self) -> list[str]:
        """The runs that have metrics to be sent."""
        return list(self._pending)

    def flush(self, run_id: str) -> None:
        """Send a run's metrics; those that MLflow refuses are dropped."""
        metrics = self._pending.get(run_id, [])
        try:
            while metrics:
                self._client.log_batch(run_id, metrics=metrics[:BATCH])
                del metrics[:BATCH]
        except Exception as error:
            if not _is_passing(error):
                self._pending.pop(run_id, None)
            raise
        self._pending.pop(run_id, None)

    @property
    def _client(self) -> "MlflowClient":
        if self._opened is None:
            self._opened = open_client(self._uri)
        return self._opened

    @property
    def _record(self) -> SweepRecord:
        assert self._sweep is not None, "the sweep starts first"
        return self._sweep

    def _create_parent(self, sweep: SweepRecord) -> str:
        tags = {
            schema.KIND: "sweep",
            schema.SWEEP: sweep.name,
            schema.STUDY: sweep.study_id,
            schema.SEARCHED: ",".join(sweep.searched),
            schema.OBJECTIVE_METRIC: f"{sweep.direction} {sweep.objective}",
        }
        if sweep.description:
            tags[schema.NOTE] = sweep.description
        return self._create(sweep.name, tags, _now())

    def _create(self, name: str, tags: dict[str, str], now: int) -> str:
        run = self._client.create_run(self._experiment_id, now, tags, name)
        run_id: str = run.info.run_id
        return run_id

    def _find(self, trial: int | None = None) -> str | None:
        """The run of the sweep or of a trial that an earlier start or try has made."""
        kind = "sweep" if trial is None else "trial"
        where = f"tags.`{schema.STUDY}` = '{self._record.study_id}'"
        where += f" and tags.`{schema.KIND}` = '{kind}'"
        if trial is not None:
            where += f" and tags.`{schema.TRIAL}` = '{trial}'"
        runs = self._client.search_runs([self._experiment_id], where, max_results=1)
        if not runs:
            return None
        self.doubtful = True  # the sweep goes on from an earlier start
        run_id: str = runs[0].info.run_id
        return run_id

    def _log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        values = [Param(key, schema.to_text(value)) for key, value in params.items()]
        self._client.log_batch(run_id, params=values)

    def _add_metrics(
        self, number: int, values: Mapping[str, float | None], step: int, now: int
    ) -> None:
        from mlflow.entities import Metric

        self._pending.setdefault(self._runs[number], []).extend(
            Metric(key, value, now, step) for key, value in values.items() if value is not None
        )


def _run_name(trial: TrialRecord) -> str:
    """Such as `17 wgan 5:1`: the number, the loss, D's updates to G's; `40 confirms 17 …`."""
    params = trial.params
    what = "" if trial.confirms is None else f"confirms {trial.confirms} "
    return f"{trial.number} {what}{params['loss']} {params['d_steps']}:{params['g_steps']}"


def _ending_tags(ending: Ending) -> dict[str, str]:
    """How a trial ended, what stopped it, and what would have."""
    tags = {
        schema.OUTCOME: ending.outcome.value,
        schema.REASON: ending.reason,
        schema.AUDITED: str(ending.audited).lower(),
    }
    if ending.history and ending.history[-1].nonfinite is not None:
        tags[schema.NONFINITE] = ending.history[-1].nonfinite
    if ending.ended is not None:
        tags[schema.ENDING] = ending.ended
    if ending.stop is not None:
        tags[schema.RULE] = ending.stop.rule
    if ending.would_be is not None:
        tags |= {
            schema.WOULD_BE_OUTCOME: ending.would_be.outcome.value,
            schema.WOULD_BE_RULE: ending.would_be.rule,
            schema.WOULD_BE_REASON: ending.would_be.reason,
            schema.WOULD_BE_UPDATE: str(ending.would_be.update),
        }
    return tags


def _image(load: Load, what: str) -> "Image | None":
    """The picture; None, and a warning, where it cannot be read."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(load()))
        image.load()
    except Exception as error:
        log.warning("%s is lost: %s", what, error)
        return None
    return image


def _now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _is_passing(error: Exception) -> bool:
    """Whether trying again may help: the store is away or busy, and did not refuse."""
    code = getattr(error, "error_code", None)
    if code is not None:
        return code in PASSING
    return not isinstance(error, LookupError | ValueError | TypeError | AssertionError)

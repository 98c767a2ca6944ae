"""What is written to MLflow of a sweep, call by call: each may be repeated, and doubles nothing.

Metrics carry the times of what they tell, and MLflow keeps one row for each key, time, step and
value; files have names that follow from what they show; tags and parameters are set.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganray.errors import ExportError
from ganray.secrets import redact, redacted_log
from ganray.tracking import images, schema
from ganray.tracking.confirmation import confirmed
from ganray.tracking.ledger import AMOUNT_COLUMNS, ledger
from ganray.tracking.models import log_generator
from ganray.tracking.naming import run_name
from ganray.tracking.notes import LONGEST, Links, description, sweep_note, trial_note
from ganray.tracking.reader import TrialRow, best_row, fetch_trials, flat
from ganray.tracking.recorder import BestGenerator, Evidence, Load, SweepRecord, TrialRecord
from ganray.tracking.store import open_client, search_runs
from ganray.tracking.view import view_tag
from ganray.trial import COUNTERS, SIGNALS, Ending, Outcome, Signals, Verdict, best_values, now_ms

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

log = redacted_log("ganray.tracking")

BATCH = 1_000  # metrics and tags in one `log_batch`: the server's limit
# MLflow's codes for a store that cannot be reached or is busy; all others are refusals
PASSING = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "ABORTED"}
BUSY = {408, 429}  # of HTTP's 400s, those that pass

Number = int | None  # of a trial; None: the sweep's own run


@dataclass
class TrialRun:
    """The run of a trial, as far as it is known."""

    id: str
    tags: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    told_at: int = 0  # the time of what was told last
    pictures: set[str] | None = field(default_factory=set)  # files; None: not looked up yet
    lost: bool = False  # whether a picture could not be read
    record: TrialRecord | None = None  # while it runs

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be told: it ended, by itself, and all its pictures are there.

        They came last, and the tag of its evidence with them.
        """
        outcome = self.tags.get(schema.OUTCOME, Outcome.CANCELLED)
        return self.ended and outcome != Outcome.CANCELLED and schema.EVIDENCE in self.tags


@dataclass
class _Pending:
    """What of a run waits to be sent."""

    metrics: "list[Metric]" = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


class MlflowWriter:
    """Makes the calls that keep a sweep in MLflow; raises what they raise.

    Args:
        uri: of the store.
        experiment: the experiment's name; made if it is not there.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self._uri = uri
        self._experiment = experiment
        self._opened: MlflowClient | None = None
        self._experiment_id = ""
        self._sweep: SweepRecord | None = None
        self._parent = ""
        self._sweep_tags: dict[str, str] = {}  # as far as they are known
        self._asked: set[Number] = set()  # of which a run may have been made: an answer was lost
        self._runs: dict[int, TrialRun] = {}
        self._pending: dict[str, _Pending] = {}

    def start_sweep(self, sweep: SweepRecord) -> None:
        """Find what there is of the sweep, and make what is missing."""
        self._sweep = sweep
        client = self._client
        found = client.get_experiment_by_name(self._experiment)
        self._experiment_id = (
            found.experiment_id
            if found
            else client.create_experiment(self._experiment, tags=schema.EXPERIMENT_TAGS)
        )
        known = self._adopt()
        client.set_experiment_tag(self._experiment_id, *view_tag(sweep, self._parent))
        client.log_text(self._parent, sweep.sweep_file, schema.SWEEP_FILE)
        client.log_dict(self._parent, dict(sweep.environment), schema.ENVIRONMENT_FILE)
        self.plan(sweep.confirming)
        # a parameter is written once: of what a larger budget changed, the file tells
        new = {key: value for key, value in sweep.params.items() if key not in known}
        self._log_params(self._parent, new)

    def plan(self, confirming: int) -> None:
        """Say how many trials there will be, with those that confirm the search."""
        planned = str(self._record.trials + confirming)
        if self._sweep_tags.get(schema.PLANNED) != planned:
            self._client.set_tag(self._parent, schema.PLANNED, planned)
            self._sweep_tags[schema.PLANNED] = planned

    def real_picture(self, load: Load) -> None:
        """Upload the picture of real data beside the sweep's file."""
        image = images.read_picture(load, "the picture of real data")
        if image is not None:
            self._client.log_image(self._parent, image, artifact_file=schema.REAL_PICTURE)

    def outcome(self, number: int) -> str | None:
        """The outcome of a trial of which nothing more is to be told."""
        run = self._runs.get(number)
        return run.tags[schema.OUTCOME] if run is not None and run.settled else None

    def start_trial(self, trial: TrialRecord) -> None:
        """Make the trial's run, or go on in the one that it has."""
        run = self._runs.get(trial.number)
        if run is None:
            run_id = self._create(trial.number, run_name(trial), self._tags(trial), trial.started)
            run = self._runs[trial.number] = TrialRun(run_id)
        self._reopen(run)
        run.record, run.told_at = trial, trial.started
        self._log_params(run.id, trial.params)

    def report(self, number: int, signals: Signals, verdict: Verdict, at: int) -> None:
        """Put a report's values among those that wait."""
        run = self._runs[number]
        run.told_at = at
        if run.tags.get(schema.STATE) != verdict.state.value:
            run.tags[schema.STATE] = verdict.state.value
            self._waiting(run).tags[schema.STATE] = verdict.state.value
        values = {schema.metric_of(n): getattr(signals, n) for n in (*COUNTERS, *SIGNALS)}
        self._waiting(run).metrics += _metrics(values, at, signals.update)

    def picture(self, number: int, update: int, load: Load) -> None:
        """Upload the picture of a milestone where MLflow's own charts of images find it."""
        run = self._runs[number]
        if run.pictures is None:
            listed = self._client.list_artifacts(run.id, images.FOLDER)
            run.pictures = {Path(file.path).name for file in listed}
        if images.has_picture(run.pictures, update):
            return
        image = images.read_picture(load, f"the picture of trial {number} at update {update}")
        if image is None:
            run.lost = True
            return
        names = images.picture_names(run.id, update, run.told_at)
        with tempfile.TemporaryDirectory() as folder:
            for name, drawn in zip(names, (image, images.thumbnail(image)), strict=True):
                drawn.save(Path(folder, name), method=0)  # of WebP the fastest; PNG has none
                self._client.log_artifact(run.id, str(Path(folder, name)), images.FOLDER)
        self._waiting(run).tags[schema.HAS_PICTURES] = "True"
        run.pictures |= set(names)

    def evidence(self, number: int, evidence: Evidence) -> None:
        """Upload what else the trial left, unless it is there."""
        run = self._runs[number]
        names = ",".join(sorted(evidence.pictures))
        if run.tags.get(schema.EVIDENCE) == names:
            return
        for name, load in evidence.pictures.items():
            image = images.read_picture(load, f"{name} of trial {number}")
            run.lost = run.lost or image is None
            if image is not None:
                self._client.log_image(run.id, image, artifact_file=name)
        tags = {} if run.lost else {schema.EVIDENCE: names}
        if evidence.best_checkpoint:
            tags[schema.BEST_CHECKPOINT] = evidence.best_checkpoint
        self._set_tags(run, tags)

    def flush_trial(self, number: int) -> None:
        """Send what waits of a trial."""
        self.flush(self._runs[number].id)

    def end_trial(self, ending: Ending) -> None:
        """Write how a trial ended; its reports have to be sent before."""
        run = self._runs[ending.number]
        update = ending.history[-1].update if ending.history else 0
        metrics = _metrics(self._ending_values(ending, update), ending.at, update)
        self._client.log_batch(run.id, metrics=metrics)
        for file, record in (
            (schema.STOP_FILE, ending.stop),
            (schema.WOULD_BE_FILE, ending.would_be),
        ):
            if record is not None:
                self._client.log_dict(run.id, ending.grounds(record), file)
        tags = _ending_tags(ending)
        if run.record is not None:
            note = trial_note(run.record, ending, self._record, self._links)
            tags |= _note_tags(note, run.tags)
        self._drop_tags(run, schema.OF_THE_END - tags.keys() - {schema.EVIDENCE})
        self._set_tags(run, tags)
        self._client.set_terminated(run.id, schema.RUN_STATUS[ending.outcome], ending.at)
        run.ended, run.record = True, None

    def has_generator(self, number: int, register: str | None) -> bool:
        """Whether the generator of a trial stands there as the sweep's, registered as asked."""
        tags = self._sweep_tags
        registered = tags.get(schema.REGISTERED, "").rpartition("/")[0]
        is_there = tags.get(schema.GENERATOR) == str(number)
        return is_there and (register is None or registered == register)

    def generator(self, best: BestGenerator) -> None:
        """Log the best trial's generator as a model, or tell why there is none."""
        if self.has_generator(best.number, best.register):
            return
        tags = {schema.NO_GENERATOR: best.problem}
        if best.exported is not None:
            tags = self._log_generator(best)
        self._client.log_batch(self._parent, tags=_run_tags(tags))
        self._sweep_tags |= tags
        if schema.NO_GENERATOR not in tags and schema.NO_GENERATOR in self._sweep_tags:
            with _gone_already():
                self._client.delete_tag(self._parent, schema.NO_GENERATOR)
            del self._sweep_tags[schema.NO_GENERATOR]

    def _log_generator(self, best: BestGenerator) -> dict[str, str]:
        """Tags of the sweep's run."""
        sweep = self._record
        tags = {
            schema.SWEEP: sweep.name,
            schema.STUDY: sweep.study_id,
            schema.TRIAL: str(best.number),
        }
        try:
            return log_generator(self._client, self._parent, best, tags)
        except Exception as error:
            if not isinstance(error, ExportError) and is_passing(error):
                raise
            log.warning("the generator of trial %d is no model in MLflow: %s", best.number, error)
            return {schema.NO_GENERATOR: redact(str(error))}

    def end_sweep(self, outcomes: Mapping[int, Outcome], *, cancelled: bool) -> None:
        """Write what all trials say together; the sweep ends when the last of them did."""
        trials = self._without_strays(
            fetch_trials(self._client, self._record.name, self._parent)  # whoever wrote them
        )
        values = {
            f"{schema.TRIALS}{outcome.value}": float(list(outcomes.values()).count(outcome))
            for outcome in Outcome
        }
        if self._record.confirming:
            values |= self._confirmation(trials)
        values |= self._ledger(trials)
        known = self._client.get_run(self._parent).data
        changed = {key: value for key, value in values.items() if known.metrics.get(key) != value}
        note = self._sweep_note(trials, outcomes, cancelled=cancelled)
        tags = _note_tags(note, known.tags, self._record.description)
        metrics = _metrics(changed, now_ms(), 0)
        self._client.log_batch(self._parent, metrics=metrics, tags=_run_tags(tags))
        ends = [round(trial.ended.timestamp() * 1000) for trial in trials if trial.ended]
        status = "KILLED" if cancelled else "FINISHED"
        self._client.set_terminated(self._parent, status, max(ends, default=now_ms()))

    def _sweep_note(
        self, trials: list[TrialRow], outcomes: Mapping[int, Outcome], *, cancelled: bool
    ) -> str:
        sweep, model = self._record, None
        best = best_row(trials, sweep.direction)
        if best is not None and self.has_generator(best.number, None):
            model = self._sweep_tags[schema.MODEL]
        return sweep_note(sweep, outcomes, best, self._links, model=model, cancelled=cancelled)

    def _confirmation(self, trials: list[TrialRow]) -> dict[str, float]:
        """What the confirming trials say."""
        table = [asdict(row) for row in confirmed(trials, self._record.direction)]
        self._client.log_dict(self._parent, {"confirmed": table}, schema.CONFIRMATION)
        return {
            f"{schema.CONFIRMED}{row['trial']}/{name}": float(value)
            for row in table
            for name, value in row.items()
            if name != "trial" and value is not None
        }

    def _ledger(self, trials: list[TrialRow]) -> dict[str, float]:
        """What the sweep used and saved."""
        risk = self._record.params.get(schema.RISK)
        entries = [entry.flat() for entry in ledger([flat(trial) for trial in trials], risk)]
        by_rule = {entry["rule"]: entry for entry in entries}
        self._client.log_dict(self._parent, by_rule, schema.LEDGER_FILE)
        return {f"{schema.LEDGER}{name}": float(entries[-1][name]) for name in AMOUNT_COLUMNS}

    def waiting(self) -> list[str]:
        """The runs of which something waits to be sent."""
        return list(self._pending)

    def flush(self, run_id: str) -> None:
        """Send what waits of a run; what MLflow refuses is dropped."""
        pending = self._pending.get(run_id)
        if pending is None:
            return
        try:
            while pending.metrics or pending.tags:
                size = BATCH - len(pending.tags)
                self._client.log_batch(
                    run_id, metrics=pending.metrics[:size], tags=_run_tags(pending.tags)
                )
                del pending.metrics[:size]
                pending.tags.clear()
        except Exception as error:
            if not is_passing(error):
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

    @property
    def _links(self) -> Links:
        return Links(self._experiment_id, self._parent)

    # --- runs: found, made, opened again ----------------------------------------------------------

    def _adopt(self) -> dict[str, str]:
        """Take up the runs that the sweep has, which one search finds.

        Returns:
            The parameters of the sweep's own run.
        """
        found: dict[Number, list[Run]] = {}
        for run in self._search():
            found.setdefault(_number(run), []).append(run)
        kept = {number: self._only(number, runs) for number, runs in found.items()}
        parent = kept.pop(None, None)
        self._runs = {n: _known(run) for n, run in kept.items() if n is not None}
        self._parent = parent.info.run_id if parent else self._create_parent()
        self._sweep_tags = dict(parent.data.tags) if parent else {}
        if parent is None:
            return {}
        if parent.info.status != "RUNNING":
            self._client.update_run(self._parent, status="RUNNING")
        params: dict[str, str] = parent.data.params
        return params

    def _search(self, *numbers: Number) -> Iterator["Run"]:
        """All runs of the sweep's study, or only that of one trial or of the sweep itself."""
        where = f"tags.`{schema.STUDY}` = '{self._record.study_id}'"
        for number in numbers:
            tag = (schema.KIND, "sweep") if number is None else (schema.TRIAL, number)
            where += f" and tags.`{tag[0]}` = '{tag[1]}'"
        return search_runs(self._client, [self._experiment_id], where)

    def _only(self, number: Number, runs: "list[Run]") -> "Run":
        """The one that holds the record, of several that lost answers left; the others go."""
        kept = max(runs, key=lambda run: (len(run.data.params), len(run.data.metrics)))
        for run in runs:
            if run is not kept:
                self._client.delete_run(run.info.run_id)
        return kept

    def _without_strays(self, trials: list[TrialRow]) -> list[TrialRow]:
        """The trials' own runs; one that a lost answer left beside them is deleted."""
        kept = []
        for trial in trials:
            run = self._runs.get(trial.number)
            if run is None or run.id == trial.run_id:
                kept.append(trial)
            else:
                self._client.delete_run(trial.run_id)
        return kept

    def _create_parent(self) -> str:
        sweep = self._record
        tags = {
            schema.KIND: "sweep",
            schema.SWEEP: sweep.name,
            schema.STUDY: sweep.study_id,
            schema.SEARCHED: ",".join(sweep.searched),
            schema.OBJECTIVE_METRIC: f"{sweep.direction} {sweep.objective}",
        }
        if sweep.description:
            tags |= {schema.DESCRIPTION: sweep.description[:LONGEST]}
            tags |= _note_tags(description(sweep), {})
        return self._create(None, sweep.name, tags, sweep.started)

    def _create(self, number: Number, name: str, tags: dict[str, str], started: int) -> str:
        """A new run, unless an earlier try has made one."""
        run = next(self._search(number), None) if number in self._asked else None
        self._asked.add(number)
        run = run or self._client.create_run(self._experiment_id, started, tags, name)
        self._asked.discard(number)
        run_id: str = run.info.run_id
        return run_id

    def _tags(self, trial: TrialRecord) -> dict[str, str]:
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
        return tags

    def _reopen(self, run: TrialRun) -> None:
        """Take back that a trial ended, if it had."""
        if run.ended:
            self._client.update_run(run.id, status="RUNNING")
            run.ended = False
        notes = {schema.NOTE, schema.NOTED} if _is_ours(run.tags) else set()
        self._drop_tags(run, schema.OF_THE_END | notes)

    def _drop_tags(self, run: TrialRun, keys: Iterable[str]) -> None:
        for key in sorted(keys & run.tags.keys()):
            with _gone_already():
                self._client.delete_tag(run.id, key)
            del run.tags[key]

    def _set_tags(self, run: TrialRun, tags: dict[str, str]) -> None:
        self._client.log_batch(run.id, tags=_run_tags(tags))
        run.tags |= tags

    def _log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        values = [Param(key, schema.to_text(value)) for key, value in params.items()]
        self._client.log_batch(run_id, params=values)

    def _waiting(self, run: TrialRun) -> _Pending:
        return self._pending.setdefault(run.id, _Pending())

    def _ending_values(self, ending: Ending, update: int) -> dict[str, float | None]:
        values: dict[str, float | None] = {
            schema.OBJECTIVE: ending.objective,
            schema.STOPPED_AT: update / self._record.updates,
            schema.GPU_HOURS: ending.wall_seconds * self._record.gpus_per_trial / 3600.0,
            schema.RETRIES: ending.retries,
            schema.MEASURED_SECONDS: sum(s.measure_seconds or 0.0 for s in ending.history),
        }
        if ending.would_be is not None:
            values[schema.WOULD_BE_STOPPED_AT] = ending.would_be.update / self._record.updates
        best = best_values(ending.history)
        told = {schema.metric_of(name): value for name, value in values.items()}
        return told | {f"{schema.BEST}{name}": value for name, value in best.items()}


def is_passing(error: Exception) -> bool:
    """Whether trying again may help: the store is away or busy, and did not refuse."""
    code = getattr(error, "error_code", None)
    if code is not None:
        return code in PASSING
    status = getattr(getattr(error, "response", None), "status_code", 500)
    if 400 <= status < 500:
        return status in BUSY
    return not isinstance(error, LookupError | ValueError | TypeError | AssertionError)


@contextlib.contextmanager
def _gone_already() -> Iterator[None]:
    """An earlier try may have deleted it, whose answer was lost."""
    try:
        yield
    except Exception as error:
        if getattr(error, "error_code", None) != "RESOURCE_DOES_NOT_EXIST":
            raise


def _known(run: "Run") -> TrialRun:
    ended = run.info.status not in ("RUNNING", "SCHEDULED")
    return TrialRun(run.info.run_id, dict(run.data.tags), ended, pictures=None)


def _number(run: "Run") -> Number:
    number = run.data.tags.get(schema.TRIAL)
    return None if number is None else int(number)


def _metrics(values: Mapping[str, float | None], at: int, step: int) -> "list[Metric]":
    from mlflow.entities import Metric

    return [Metric(key, value, at, step) for key, value in values.items() if value is not None]


def _run_tags(tags: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import RunTag

    return [RunTag(key, value) for key, value in tags.items()]


def _note_tags(note: str, known: Mapping[str, str], old: str | None = None) -> dict[str, str]:
    """Those of a run's description, unless somebody has written one of his own there.

    Args:
        note: the description.
        known: tags of the run.
        old: what an older version wrote there, which kept no digest of it.
    """
    if not _is_ours(known) and known[schema.NOTE] != old:
        return {}
    return {schema.NOTE: note, schema.NOTED: _digest(note)}


def _is_ours(tags: Mapping[str, str]) -> bool:
    """Whether a run has no description, or one that was written here."""
    found = tags.get(schema.NOTE)
    return not found or _digest(found) == tags.get(schema.NOTED)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
    if ending.cause is not None:
        tags[schema.CAUSE] = ending.cause.value
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

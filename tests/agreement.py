"""Whether the study, MLflow and the summary say the same of a sweep, whatever it went through."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState

from ganray.spec.models import SweepSpec
from ganray.summary import best_trial, history, summarize
from ganray.tracking import schema
from ganray.tracking.store import tracking_uri
from ganray.trial import COUNTERS, SIGNALS, Outcome
from ganray.tuning.places import list_files, samples_name, trial_location
from ganray.tuning.study import RecordedTrial, SweepStudy

# what a clock says, not the training
CLOCKS = {"seconds", "measure_seconds", "updates_per_second"}
_STATES = {
    Outcome.COMPLETED: TrialState.COMPLETE,
    Outcome.CRASHED: TrialState.FAIL,
    Outcome.CANCELLED: TrialState.RUNNING,
}


@dataclass(frozen=True)
class Expected:
    """How a sweep ends that nothing disturbs."""

    outcomes: dict[int, Outcome]
    reports: dict[int, list[tuple[int, dict[str, float]]]]  # update and signals, without clocks
    best: tuple[int, float] | None  # number and objective
    launches: dict[int, int] = field(default_factory=dict)  # of trials that had ended before


def expectation(spec: SweepSpec) -> Expected:
    """What an undisturbed sweep was, from its study and its summary."""
    trials = list(SweepStudy.load(spec).recorded())
    return Expected(
        outcomes={t.assignment.number: t.ending.outcome for t in trials if t.ending},
        reports={t.assignment.number: _reports(t) for t in trials},
        best=_best(spec),
    )


def ended_launches(spec: SweepSpec) -> dict[int, int]:
    """How often each trial that has a final outcome was given to a worker so far."""
    found = SweepStudy.load(spec).recorded()
    final = (t for t in found if t.ending and t.ending.outcome is not Outcome.CANCELLED)
    return {t.assignment.number: t.assignment.launches for t in final}


def disagreements(
    spec: SweepSpec, expected: Expected, launches: dict[int, int] | None = None
) -> list[str]:
    """All that is lost, doubled, or told differently by different parties; empty if nothing is.

    Args:
        spec: of the sweep, with its storage and its tracking store.
        expected: the same sweep undisturbed.
        launches: of trials that had ended before the fault: they must not have run again.
    """
    study = SweepStudy.load(spec)
    trials = {t.assignment.number: t for t in study.recorded()}
    runs = _runs(spec)
    return [
        *_of_study(study, trials, expected, launches or {}),
        *_of_runs(trials, runs, spec),
        *_of_summary(trials, spec, expected),
    ]


def _of_study(
    study: SweepStudy,
    trials: dict[int, RecordedTrial],
    expected: Expected,
    launches: dict[int, int],
) -> Iterator[str]:
    outcomes = {n: t.ending.outcome for n, t in trials.items() if t.ending}
    if outcomes != expected.outcomes:
        yield f"outcomes {outcomes}, undisturbed {expected.outcomes}"
    for number, frozen in enumerate(study.record.trials):
        state = _STATES.get(outcomes.get(number, Outcome.CANCELLED), TrialState.PRUNED)
        if frozen.state is not state:
            yield f"trial {number}: Optuna says {frozen.state.name}, not {state.name}"
    for number, trial in trials.items():
        if _reports(trial) != expected.reports.get(number):
            yield f"trial {number}: its reports are not those of the undisturbed sweep"
    for number, before in launches.items():
        if trials[number].assignment.launches != before:
            yield f"trial {number} had ended, and ran again"


def _of_runs(trials: dict[int, RecordedTrial], runs: list[Run], spec: SweepSpec) -> Iterator[str]:
    client = MlflowClient(tracking_uri(spec.tracking.uri))
    parents = [run for run in runs if run.data.tags[schema.KIND] == "sweep"]
    if len(parents) != 1:
        yield f"{len(parents)} runs of the sweep itself"
    for run in runs:
        if run.info.status == "RUNNING":
            yield f"run {run.info.run_name} is RUNNING"
    children = [run for run in runs if run.data.tags[schema.KIND] == "trial"]
    count = Counter(int(run.data.tags[schema.TRIAL]) for run in children)
    if dict(count) != dict.fromkeys(trials, 1):
        yield f"runs by trial: {dict(count)}"
    for run in children:
        number = int(run.data.tags[schema.TRIAL])
        yield from _of_run(client, run, trials[number], trial_location(spec, number))


def _of_run(client: MlflowClient, run: Run, trial: RecordedTrial, files: str) -> Iterator[str]:
    number, ending = trial.assignment.number, trial.ending
    outcome = ending and ending.outcome
    if run.data.tags.get(schema.OUTCOME) != outcome:
        yield f"trial {number}: MLflow says {run.data.tags.get(schema.OUTCOME)}, not {outcome}"
    if outcome and run.info.status != schema.RUN_STATUS[outcome]:
        yield f"trial {number}: {outcome}, but its run is {run.info.status}"
    for name in (*COUNTERS, *SIGNALS):
        told = [(s.update, getattr(s, name)) for s, _, _ in trial.reports]
        wanted = [(update, value) for update, value in told if value is not None]
        history = client.get_metric_history(run.info.run_id, schema.metric_of(name))
        found = [(metric.step, metric.value) for metric in history]
        if found != wanted:
            yield f"trial {number}: {name} has {found} in MLflow, {wanted} in the study"
    pictures = Counter(
        int(file.path.split("+")[2]) for file in client.list_artifacts(run.info.run_id, "images")
    )
    # of a report that the driver never heard, the picture may lie there: it is told when it is
    left = list_files(files)
    wanted = {s.update: 2 for s, _, _ in trial.reports if samples_name(s.update) in left}
    if pictures != wanted:  # MLflow has a PNG and a WebP of each
        yield f"trial {number}: pictures by update {dict(pictures)}, drawn {wanted}"


def _of_summary(
    trials: dict[int, RecordedTrial], spec: SweepSpec, expected: Expected
) -> Iterator[str]:
    frame = summarize(spec.name, spec.tracking.uri)
    outcomes = {n: t.ending and t.ending.outcome.value for n, t in trials.items()}
    found = dict(zip(frame["trial"], frame["outcome"], strict=True))
    if found != outcomes or len(frame) != len(outcomes):
        yield f"summary: {found}, study: {outcomes}"
    reports = history(spec.name, spec.tracking.uri)
    wanted = [(n, s.update) for n, t in sorted(trials.items()) for s, _, _ in t.reports]
    if sorted(zip(reports["trial"], reports["update"], strict=True)) != wanted:
        yield "history: not one row for each report"
    if _best(spec) != expected.best:
        yield f"best {_best(spec)}, undisturbed {expected.best}"


def _reports(trial: RecordedTrial) -> list[tuple[int, dict[str, float]]]:
    return [
        (signals.update, {k: v for k, v in signals.to_dict().items() if k not in CLOCKS})
        for signals, _, _ in trial.reports
    ]


def _best(spec: SweepSpec) -> tuple[int, float] | None:
    best = best_trial(summarize(spec.name, spec.tracking.uri))
    return None if best is None else (int(best["trial"]), float(best["objective"]))


def _runs(spec: SweepSpec) -> list[Run]:
    client = MlflowClient(tracking_uri(spec.tracking.uri))
    experiments: list[Any] = [e.experiment_id for e in client.search_experiments()]
    where = f"tags.`{schema.SWEEP}` = '{spec.name}'"
    return list(client.search_runs(experiments, where, max_results=1_000))

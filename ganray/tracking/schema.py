"""The names under which a sweep stands in MLflow, and the way of values into its text and back."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, Final, get_args

from ganray.trial import COUNTERS, Outcome, TrialConfig

KIND: Final = "ganray.kind"  # sweep | trial
SWEEP: Final = "ganray.sweep"  # the sweep's name
STUDY: Final = "ganray.study"  # the identity of its study
TRIAL: Final = "ganray.trial"  # the trial's number
PHASE: Final = "ganray.phase"  # search | confirm
CONFIRMS: Final = "ganray.confirms"  # the number of the trial that a confirming one repeats
OUTCOME: Final = "ganray.outcome"
STATE: Final = "ganray.state"  # what the judge says while the trial runs
REASON: Final = "ganray.reason"
NONFINITE: Final = "ganray.nonfinite"  # what stopped being finite at the last report
CAUSE: Final = "ganray.cause"  # of a crash
RULE: Final = "ganray.rule"  # what stopped the trial
ENDING: Final = "ganray.ending"  # healthy | between | bad, of trials that were not stopped
AUDITED: Final = "ganray.audited"
# of an audited trial: what would have stopped it
WOULD_BE_OUTCOME: Final = "ganray.would_be_outcome"
WOULD_BE_RULE: Final = "ganray.would_be_rule"
WOULD_BE_REASON: Final = "ganray.would_be_reason"
WOULD_BE_UPDATE: Final = "ganray.would_be_update"
FILES: Final = "ganray.files"  # folder or URL of the trial's pictures and checkpoint
BEST_CHECKPOINT: Final = "ganray.best_checkpoint"  # where the trial at its best lies
# the pictures that it left beside those of its milestones, comma-separated: set when all are there
EVIDENCE: Final = "ganray.evidence"
# what a trial that goes on has no more
OF_THE_END: Final = frozenset(
    {OUTCOME, REASON, NONFINITE, RULE, ENDING, AUDITED, EVIDENCE}
    | {WOULD_BE_OUTCOME, WOULD_BE_RULE, WOULD_BE_REASON, WOULD_BE_UPDATE}
)
# of the sweep's run: the trial whose generator is its model, that model, where it is registered
GENERATOR: Final = "ganray.generator"
MODEL: Final = "ganray.model"
REGISTERED: Final = "ganray.registered"
NO_GENERATOR: Final = "ganray.no_generator"  # or why there is none
PLANNED: Final = "ganray.planned"  # trials in all, as far as is known; a resume may ask for more
SEARCHED: Final = "ganray.searched"  # names of the searched parameters, comma-separated
OBJECTIVE_METRIC: Final = "ganray.objective"  # which signal the objective is of
SWEEP_FILE: Final = "sweep.yaml"  # the parent run's artifacts
ENVIRONMENT_FILE: Final = "environment.json"
REAL_PICTURE: Final = "real.png"
PARENT: Final = "mlflow.parentRunId"
DESCRIPTION: Final = "ganray.description"  # what the sweep file says; the note tells more
NOTE: Final = "mlflow.note.content"
NOTED: Final = "ganray.noted"  # digest of the note as it was written: another one is somebody's own
HAS_PICTURES: Final = "mlflow.loggedImages"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on training

OBJECTIVE: Final = "objective"
STOPPED_AT: Final = "stopped_at"  # share of the budget
WOULD_BE_STOPPED_AT: Final = "would_be_stopped_at"
MEASURED_SECONDS: Final = "measured_seconds"  # of all reports
GPU_HOURS: Final = "gpu_hours"
RETRIES: Final = "retries"  # after faults
AT_THE_END: Final = (
    OBJECTIVE,
    STOPPED_AT,
    WOULD_BE_STOPPED_AT,
    MEASURED_SECONDS,
    GPU_HOURS,
    RETRIES,
)
LEDGER_FILE: Final = "ledger.json"
RISK: Final = "prune.risk"  # a parameter of the sweep's run
CONFIRMATION: Final = "confirmation.json"

# Metrics stand under sections, which MLflow's charts are grouped by; the first one has no name.
# No section is called as a metric is: a store of files keeps both under their names.
_SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "": (
        OBJECTIVE,
        "distance",
        "modes",
        "modes_covered",
        "high_quality",
        "js",
        "auc",
        "joint_js",  # these two stand in place of the former
        "joint_auc",
    ),
    "samples": (
        "mode_ratio",
        "mode_kl",
        "ema_distance",
        "sliced_distance",
        "energy_distance",
        "sliced_wasserstein",
        "sharpness",
        "diversity",
        "extent",
        "velocity",
        "progress",
        "condition_accuracy",
        "reconstruction",
    ),
    "measures": (  # that `measure.metrics` asks for
        "fid",
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
        "ndb",
        "vendi",
        "wasserstein_1",
        "wasserstein_2",
        "modes_any",
        "published_quality",
        "published_kl",
    ),
    "separation": ("probe_js", "probe_auc", "overfit_gap", "class_accuracy"),
    "losses": ("d_loss", "g_loss", "d_penalty", "g_penalty"),
    "gradients": ("d_grad_norm", "g_grad_norm", "d_clipped", "g_clipped"),
    "cost": (
        *COUNTERS,
        "updates_per_second",
        "measure_seconds",
        MEASURED_SECONDS,
        GPU_HOURS,
        RETRIES,
        STOPPED_AT,
        WOULD_BE_STOPPED_AT,
    ),
}
_METRICS: Final[Mapping[str, str]] = {
    name: f"{section}/{name}" if section else name
    for section, names in _SECTIONS.items()
    for name in names
}
_NAMES: Final[Mapping[str, str]] = {metric: name for name, metric in _METRICS.items()}
BEST: Final = "best/"  # before the name of a signal: its best value
# of the sweep's own run
TRIALS: Final = "trials/"  # how many ended in each outcome
OLD_TRIALS: Final = "trials_"  # the same in older records
LEDGER: Final = "ledger/"  # what they used and saved
CONFIRMED: Final = "confirmed/"  # by trial, then by what it is

STOP_FILE: Final = "stop.json"  # a `StopRecord` with the signals of its report
WOULD_BE_FILE: Final = "would_be.json"

# How a trial's run ends, by outcome. Pruned trials are KILLED, as in MLflow's own Optuna storage.
RUN_STATUS: Mapping[Outcome, str] = {
    Outcome.COMPLETED: "FINISHED",
    Outcome.COLLAPSED: "KILLED",
    Outcome.STALLED: "KILLED",
    Outcome.DIVERGED: "KILLED",
    Outcome.OUTRANKED: "KILLED",
    Outcome.CANCELLED: "KILLED",
    Outcome.CRASHED: "FAILED",
}


def metric_of(name: str) -> str:
    """Where a signal, counter or value of `AT_THE_END` stands among the metrics of a trial's run.

    Raises:
        KeyError: it is none of these.
    """
    return _METRICS[name]


def name_of(metric: str) -> str:
    """The inverse of `metric_of`; what else there is keeps its name, as older records have it."""
    return _NAMES.get(metric, metric)


_TYPES: Mapping[str, Any] = {f.name: f.type for f in fields(TrialConfig)}


def is_text(parameter: str) -> bool:
    """Whether a trial parameter is text, not a number."""
    kind = _TYPES.get(parameter)
    return kind is str or str in get_args(kind)


def is_flag(parameter: str) -> bool:
    """Whether a trial parameter is either true or false."""
    return _TYPES.get(parameter) is bool


def is_whole(parameter: str) -> bool:
    """Whether a trial parameter is a whole number."""
    kind = _TYPES.get(parameter)
    return kind is int or int in get_args(kind)


def to_text(value: Any) -> str:
    """A parameter's value as MLflow keeps it: shortest text that reads back equal."""
    return value if isinstance(value, str) else repr(value)


def from_text(parameter: str, text: str) -> Any:
    """The value of a trial parameter, with its own type, from MLflow's text.

    A parameter that this version does not know is read as what it looks like.
    """
    may_be_none = type(None) in get_args(_TYPES.get(parameter))
    if is_text(parameter):
        return None if may_be_none and text == to_text(None) else text
    return _value(text) if text.startswith(("[", "{")) else _atom(text)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


_atom = lru_cache(maxsize=10_000)(_value)  # most trials have most values in common

"""What a sweep is: the parts of a sweep file, with their types, limits and defaults.

Each class is a part; unknown keys are errors. Rules that concern several parts are in `checks`.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ganray.secrets import has_secret, redact
from ganray.spec import checks
from ganray.spec.data import DataPart
from ganray.spec.names import MODEL_NAME, SWEEP_NAME, MetricName, PrunerName, SamplerName
from ganray.spec.networks import MlpNetworks, NetworksPart, import_path
from ganray.spec.parameters import Part, Seed, Share, Trainer, or_auto
from ganray.spec.space import Space
from ganray.trial import SIGNALS, Direction, TrialConfig, derive_seed

# --- search ---------------------------------------------------------------------------------------


class Search(Part):
    """What is searched, and how."""

    sampler: SamplerName = "tpe"
    """Who chooses the settings of the next trial."""
    trials: PositiveInt = 20
    """Trials of the search; a grid has as many as it has points."""
    concurrency: Annotated[
        PositiveInt | Literal["auto"], or_auto("a whole number greater than 0")
    ] = "auto"
    """Trials at a time; auto: as many as the machine or cluster holds."""
    seed: Seed = 0
    """Seed of the sampler and of the trials' own seeds."""
    first: list[Trainer] = Field(default_factory=list)
    """Points to try first, as trial parameters; `ganray train` takes the first."""
    space: Space
    """Trial parameters that are searched, each with its choices or its range."""


# --- the rest -------------------------------------------------------------------------------------


def _known_signal(value: Any) -> Any:
    if not isinstance(value, str) or value not in SIGNALS:
        raise PydanticCustomError("unknown_name", "", {"known": sorted(SIGNALS)})
    return value


class Objective(Part):
    """What the sampler optimises: the median of the signal's last three reports."""

    metric: Annotated[
        str, BeforeValidator(_known_signal), WithJsonSchema({"enum": sorted(SIGNALS)})
    ] = "distance"
    """The signal; its median over the last three reports is the objective."""
    mode: Direction | None = None
    """Whether less or more is better; null: the signal's own direction."""

    @model_validator(mode="after")
    def _directed(self) -> Self:
        if self.mode is None and SIGNALS[self.metric] is None:
            raise PydanticCustomError(
                "no_direction", f"{self.metric} has no better direction; add mode: min or mode: max"
            )
        return self

    @property
    def direction(self) -> Direction:
        """`min` or `max`."""
        mode = self.mode or SIGNALS[self.metric]
        assert mode is not None, "checked at construction"
        return mode


class Prune(Part):
    """Which trials are stopped early: first by health, then healthy ones by a stock pruner."""

    risk: Annotated[float, Field(gt=0.0, lt=1.0)] | None = 0.02
    """Accepted probability of stopping a trial that would end healthy; null: no health rules."""
    audit: Share = 0.0
    """Share of the trials to be stopped that run on, to measure how often a stop is wrong."""
    then: PrunerName = "median"
    """Stock Optuna pruner of healthy trials, from half the budget on (`wilcoxon`: report 2)."""


def _inception_or_path(name: str) -> str:
    return name if name == "inception" else import_path(name)


class Measure(Part):
    """What is measured beside the signals: wherever a picture is drawn, at most 8 times a trial."""

    metrics: list[MetricName] = Field(default_factory=list)
    """Metrics to measure; each costs far more than the signals."""
    features: Annotated[str, AfterValidator(_inception_or_path)] | None = None
    """Features to compare: `inception` or `package.module:Name`; null: the data's own."""


class Confirm(Part):
    """How many of the best settings run again, each with how many new seeds; both 0: none."""

    top: NonNegativeInt = 0
    """How many of the best settings run again after the search."""
    seeds: NonNegativeInt = 0
    """How many fresh seeds each of them gets."""

    @property
    def trials(self) -> int:
        """How many confirming trials that makes at most."""
        return self.top * self.seeds


class Budget(Part):
    """`updates` and `reports` of one trial; `hours` and `failures` of the sweep."""

    updates: PositiveInt = 10_000
    """Optimiser steps of a trial, those of D and of G together."""
    reports: PositiveInt = 40
    """How often a trial is measured, evenly over its updates."""
    hours: PositiveFloat | None = None
    """Hours of the whole sweep, resumes included; null: no limit."""
    failures: NonNegativeInt = 5
    """Crashed trials that the sweep takes; with one more it ends."""
    silence_minutes: PositiveFloat | None = 60
    """Minutes without a report after which a trial has crashed; null: it may take for ever."""

    @model_validator(mode="after")
    def _enough_updates(self) -> Self:
        if self.reports > self.updates:
            raise PydanticCustomError(
                "reports",
                f"reports {self.reports} is more than updates {self.updates}; "
                "a report needs at least one update",
            )
        return self

    def report_updates(self) -> list[int]:
        """The update after which each report is made; the last is the full budget."""
        return [self.updates * (i + 1) // self.reports for i in range(self.reports)]


class Resources(Part):
    """What one trial takes, and at most `max_gpus` all that run at a time."""

    cpu: PositiveFloat = 1
    """CPU cores of one trial."""
    gpu: Annotated[NonNegativeFloat | Literal["auto"], or_auto("a number of at least 0")] = "auto"
    """GPUs of one trial, or a share of one; auto: a share if there are GPUs, else none."""
    slots_per_gpu: Annotated[
        PositiveInt | Literal["auto"] | None, or_auto("a whole number greater than 0, or null")
    ] = None
    """Trials side by side in one process per GPU; auto: measured; null: a process per trial."""
    fused: bool = False
    """Whether trials in slots step together where they can: the same trials up to rounding."""
    max_gpus: PositiveFloat | None = None
    """GPUs of all trials that run at a time; null: no limit."""


def _without_secret(url: str) -> str:
    if has_secret(url):
        raise PydanticCustomError(
            "secret",
            f"{redact(url)} holds a password, a key or a token, which would stand in every record "
            "of the sweep; give it in the environment: PGPASSWORD, MLFLOW_TRACKING_PASSWORD, AWS_…",
        )
    return url


Place = Annotated[str, AfterValidator(_without_secret)]


class Storage(Part):
    """Places: URLs, which hold no password, or folders."""

    study: Place | None = None
    """Database URL, journal file or folder of the Optuna study; null: beside the results."""
    results: Place | None = None
    """Folder or URL (`s3://…`) of checkpoints and pictures; null: `~/ray_results`."""


class Tracking(Part):
    """The MLflow store."""

    uri: Place | None = None
    """MLflow store; null: `$MLFLOW_TRACKING_URI`, else `sqlite:///mlflow.db` here."""
    experiment: Annotated[str, Field(min_length=1)] = "ganray"
    """MLflow experiment of the runs; made if it is not there."""
    # a class has another `register` already
    register_as: Annotated[str, Field(pattern=MODEL_NAME)] | None = Field(None, alias="register")
    """Name in MLflow's registry: the best generator becomes its next version; null: none."""


class SweepSpec(Part):
    """One sweep: one YAML file, one Optuna study, one parent MLflow run."""

    name: Annotated[str, Field(pattern=SWEEP_NAME)]
    """Of the study, the MLflow run and the folder: letters, digits, `-` and `_`, at most 100."""
    description: str | None = None
    """What the sweep is to find out; stands beside it in MLflow."""
    data: DataPart
    """What trials train on: a data set by name, with its options."""
    networks: NetworksPart = MlpNetworks()
    """G and D: an architecture by name, with its options."""
    measure: Measure = Measure()
    """What is measured beside the signals, at most 8 times a trial."""
    trainer: Trainer = Trainer()
    """Trial parameters that stay fixed."""
    search: Search
    """What is searched, how, and how many trials."""
    objective: Objective = Objective()
    """What the search optimises."""
    prune: Prune | None = Prune()
    """Which trials are stopped early; null: only those that are not finite."""
    confirm: Confirm = Confirm()
    """Whether the best settings run again with fresh seeds; both 0: they do not."""
    budget: Budget = Budget()
    """How long a trial, and how long the sweep, may go on."""
    resources: Resources = Resources()
    """What one trial takes of the machine or cluster, and the whole sweep at most."""
    storage: Storage = Storage()
    """Where the study and the trials' files are."""
    tracking: Tracking = Tracking()
    """Where every trial is recorded."""

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        problems = checks.problems(dict(self))
        if problems:
            raise PydanticCustomError("parts", "; ".join(map(str, problems)))
        return self

    def to_json(self) -> str:
        """What was given, no defaults; `SweepSpec.model_validate_json` reads it back equal."""
        return self.model_dump_json(exclude_unset=True)

    def __reduce__(self) -> tuple[Callable[[str], Self], tuple[str]]:
        """Pickled as JSON: some parts are of classes that stand in no file.

        Ray would send those classes along, and make them anew wherever it reads one.
        """
        return type(self).model_validate_json, (self.to_json(),)

    def trial_config(self, number: int, params: dict[str, Any]) -> TrialConfig:
        """The whole configuration of trial `number`: file, searched values, a seed of its own."""
        seed = {"seed": derive_seed(self.search.seed, number, "train")}
        return TrialConfig(**{**seed, **self.trainer.given, **params})

"""What a sweep is: the parts of a sweep file, with their types, limits and defaults.

Each class is a part; unknown keys are errors. Rules that concern several parts are in `checks`.
"""

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
from ganray.spec.names import SWEEP_NAME, MetricName, PrunerName, SamplerName
from ganray.spec.networks import MlpNetworks, NetworksPart, import_path
from ganray.spec.parameters import Part, Seed, Share, Trainer, or_auto
from ganray.spec.space import Space
from ganray.trial import SIGNALS, Direction, TrialConfig, derive_seed

# --- search ---------------------------------------------------------------------------------------


class Search(Part):
    """What is searched, and how."""

    sampler: SamplerName = "tpe"
    trials: PositiveInt = 20
    concurrency: Annotated[
        PositiveInt | Literal["auto"], or_auto("a whole number greater than 0")
    ] = "auto"
    seed: Seed = 0
    first: list[Trainer] = Field(default_factory=list)
    space: Space


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
    mode: Direction | None = None  # None: the signal's own better direction

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

    risk: Annotated[float, Field(gt=0.0, lt=1.0)] | None = 0.02  # None: no health rules
    audit: Share = 0.0
    then: PrunerName = "median"


def _inception_or_path(name: str) -> str:
    return name if name == "inception" else import_path(name)


class Measure(Part):
    """What is measured beside the signals: wherever a picture is drawn, at most 8 times a trial."""

    metrics: list[MetricName] = Field(default_factory=list)
    # for metrics of features: None, the data's own; `inception`; or `package.module:Name`
    features: Annotated[str, AfterValidator(_inception_or_path)] | None = None


class Confirm(Part):
    """How many of the best settings run again, each with how many new seeds; both 0: none."""

    top: NonNegativeInt = 0
    seeds: NonNegativeInt = 0

    @property
    def trials(self) -> int:
        """How many confirming trials that makes at most."""
        return self.top * self.seeds


class Budget(Part):
    """`updates` and `reports` of one trial; `hours` and `failures` of the sweep."""

    updates: PositiveInt = 10_000
    reports: PositiveInt = 40
    hours: PositiveFloat | None = None
    failures: NonNegativeInt = 5  # crashed trials that a sweep takes before it ends
    silence_minutes: PositiveFloat | None = 60  # without a report, after which a trial has crashed

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
    """What one trial takes, and at most `max_gpus` all that run at a time.

    `gpu: auto` is a share of a GPU if there are GPUs, else none.
    """

    cpu: PositiveFloat = 1
    gpu: Annotated[NonNegativeFloat | Literal["auto"], or_auto("a number of at least 0")] = "auto"
    max_gpus: PositiveFloat | None = None


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
    """Where the study and the trials' files are; None: `~/ray_results`."""

    study: Place | None = None
    results: Place | None = None


class Tracking(Part):
    """The MLflow store; None: `MLFLOW_TRACKING_URI`, else `sqlite:///mlflow.db` here."""

    uri: Place | None = None
    experiment: Annotated[str, Field(min_length=1)] = "ganray"


class SweepSpec(Part):
    """One sweep: one YAML file, one Optuna study, one parent MLflow run."""

    name: Annotated[str, Field(pattern=SWEEP_NAME)]
    description: str | None = None
    data: DataPart
    networks: NetworksPart = MlpNetworks()
    measure: Measure = Measure()
    trainer: Trainer = Trainer()
    search: Search
    objective: Objective = Objective()
    prune: Prune | None = Prune()  # None: nothing is stopped early but what is not finite
    confirm: Confirm = Confirm()
    budget: Budget = Budget()
    resources: Resources = Resources()
    storage: Storage = Storage()
    tracking: Tracking = Tracking()

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        problems = checks.problems(dict(self))
        if problems:
            raise PydanticCustomError("parts", "; ".join(map(str, problems)))
        return self

    def to_json(self) -> str:
        """What was given, no defaults; `SweepSpec.model_validate_json` reads it back equal."""
        return self.model_dump_json(exclude_unset=True)

    def trial_config(self, number: int, params: dict[str, Any]) -> TrialConfig:
        """The whole configuration of trial `number`: file, searched values, a seed of its own."""
        seed = {"seed": derive_seed(self.search.seed, number, "train")}
        return TrialConfig(**{**seed, **self.trainer.given, **params})

"""Names that stand in two places are the same, and what is public can be used and is documented."""

import inspect
import pickle
import re
from dataclasses import MISSING, Field, fields
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import ganray
from ganray import errors
from ganray.data.registry import DATASETS
from ganray.errors import GanrayError, SpecError
from ganray.gan import trainer
from ganray.gan.clipping import CLIP_SCOPES
from ganray.gan.fgan import DIVERGENCES
from ganray.gan.losses import LOSS_NAMES, make_loss
from ganray.gan.networks import ARCHITECTURES
from ganray.gan.networks.players import HEADS
from ganray.gan.optimizers import OPTIMIZERS
from ganray.gan.penalties import PENALTIES
from ganray.gan.schedules import SCHEDULES
from ganray.metrics.registry import METRICS
from ganray.spec import combinations, names
from ganray.spec.data import DataPart
from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from ganray.spec.names import PrunerName, SamplerName
from ganray.spec.networks import ConvNetworks, MlpNetworks, NetworksPart
from ganray.spec.parameters import Trainer
from ganray.tracking import schema
from ganray.trial import COUNTERS, SIGNAL_LABELS, SIGNALS, Outcome, Signals, State, TrialConfig
from ganray.tuning.pruner import make_pruner
from ganray.tuning.space import make_sampler
from tests.conftest import SMALL

ERRORS = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and kind.__module__ == "ganray.errors"
]


def parts(union: Any) -> dict[str, Any]:
    """The parts of a union of the sweep file, by the name that the file gives them."""
    members = get_args(get_args(union)[0])
    return {
        name: part for part in members for name in get_args(part.model_fields["name"].annotation)
    }


# --- the package ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ganray.__all__)
def test_public_name_is_importable_and_documented(name: str) -> None:
    found = getattr(ganray, name)
    assert found.__name__ == name
    assert inspect.getdoc(found)


def test_public_names_are_listed() -> None:
    assert set(ganray.__all__) <= set(dir(ganray))
    assert ganray.__all__ == sorted(ganray.__all__)
    documented = {"SweepClient", "load_sweep", "run_sweep"}
    documented |= {"compare", "confirmation", "history", "summarize"}
    assert set(ganray.__all__) == documented


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ganray' has no attribute 'sumarize'"):
        _ = ganray.sumarize


def test_version_is_that_of_the_package() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", ganray.__version__)


# --- the sweep file against the code --------------------------------------------------------------


@pytest.mark.parametrize(
    ("literal", "registry"),
    [
        (names.LossName, LOSS_NAMES),
        (names.FganName, DIVERGENCES),
        (names.OptimizerName, OPTIMIZERS),
        (names.PenaltyName, {"none", *PENALTIES}),
        (names.ScheduleName, SCHEDULES),
        (names.WeightClipScopeName, CLIP_SCOPES),
        (names.ConditioningName, HEADS),
        (names.MetricName, METRICS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_names_of_the_sweep_file_are_those_of_the_code(literal: Any, registry: Any) -> None:
    assert set(get_args(literal)) == set(registry)


def test_rules_of_the_sweep_file_name_penalties_that_take_gradients() -> None:
    plain = {"lecam"}
    assert set(combinations.GRADIENT_PENALTIES) == set(PENALTIES) - plain


def test_rules_of_the_sweep_file_name_what_the_code_treats_alike() -> None:
    uses_real = {name for name in LOSS_NAMES if make_loss(name).generator_uses_real}
    assert set(combinations.RELATIVISTIC) == uses_real
    assert set(combinations.CLASS_HEADS) == set(trainer.CLASS_HEADS)


def test_data_sets_of_the_sweep_file_have_the_options_of_the_code() -> None:
    found = parts(DataPart)
    assert set(found) == set(DATASETS)
    for name, part in found.items():
        signature = inspect.signature(DATASETS[name]).parameters.values()
        assert given(part) == {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}


def test_networks_of_the_sweep_file_have_the_options_of_the_code() -> None:
    found = parts(NetworksPart)
    assert set(found) == set(ARCHITECTURES)
    for name, part in found.items():
        options = {f.name: _default(f) for f in fields(ARCHITECTURES[name].options)}
        assert given(part) == options, name


def given(part: type[BaseModel]) -> dict[str, Any]:
    """The options of a part with their defaults; `empty`, as of a function, where there is none."""
    return {
        name: inspect.Parameter.empty
        if info.is_required()
        else info.get_default(call_default_factory=True)
        for name, info in part.model_fields.items()
        if name != "name"
    }


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is MISSING else field.default


def test_every_value_of_a_metric_is_a_signal_with_its_direction() -> None:
    for metric in METRICS.values():
        assert {name: SIGNALS[name] for name in metric.values} == metric.values


def test_every_sampler_of_the_sweep_file_can_be_made() -> None:
    for name in get_args(SamplerName):
        spec = parse_sweep(SMALL | {"search": {**SMALL["search"], "sampler": name}})
        kind = {"tpe": "TPESampler", "gp": "GPSampler", "cmaes": "CmaEsSampler"}
        assert type(make_sampler(spec, 0)).__name__ == kind.get(name, "RandomSampler")


def test_every_pruner_of_the_sweep_file_can_be_made() -> None:
    kinds = {
        type(make_pruner(parse_sweep(SMALL | {"prune": {"then": name}}).prune, 100)._then)
        for name in get_args(PrunerName)
    }
    assert len(kinds) == len(get_args(PrunerName))


def test_trial_parameters_are_the_same_in_the_file_and_in_a_trial() -> None:
    mine = {name: info.default for name, info in Trainer.model_fields.items()}
    theirs = {field.name: field.default for field in fields(TrialConfig)}
    assert mine == theirs
    assert list(mine) == list(theirs)


def test_trial_parameters_have_the_same_types_in_the_file_and_in_a_trial() -> None:
    types = {field.name: field.type for field in fields(TrialConfig)}
    for name, value in Trainer().model_dump().items():
        kinds = get_args(types[name]) or (types[name],)
        assert isinstance(value, kinds), name


def test_no_name_means_two_things() -> None:
    # `--set seed=1` is the trial parameter, `--set search.seed=1` the sweep's
    assert not set(Trainer.model_fields) & set(SweepSpec.model_fields)
    columns = [*SIGNALS, *COUNTERS, *(f"best_{name}" for name in SIGNALS), *Trainer.model_fields]
    columns += ["trial", "outcome", "objective", "stopped_at", "gpu_hours", "reason", "started"]
    columns += ["phase", "confirms", "ending", "ended", "audited", "run_id", "seeds", "median"]
    columns += ["worst", "best", "bad", "healthy", "sweep"]
    assert len(set(columns)) == len(columns)


def test_default_networks_are_those_of_the_registry() -> None:
    assert SweepSpec.model_fields["networks"].default == MlpNetworks()
    assert ConvNetworks(name="conv").model_dump() == {"name": "conv", "width": 32}


# --- words ----------------------------------------------------------------------------------------


def test_every_signal_is_a_field_with_a_label() -> None:
    assert set(SIGNALS) == set(SIGNAL_LABELS) <= {field.name for field in fields(Signals)}
    assert all(SIGNAL_LABELS.values())
    assert set(SIGNALS.values()) == {"min", "max", None}


def test_every_dead_state_has_an_outcome_of_the_same_name() -> None:
    dead = {state.value for state in State if state.is_dead}
    assert dead == {"collapsed", "stalled", "diverged"}
    assert dead <= {outcome.value for outcome in Outcome}


def test_every_outcome_has_a_status() -> None:
    assert set(schema.RUN_STATUS) == set(Outcome)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_in_the_tree_with_its_exit_code(kind: type[GanrayError]) -> None:
    assert issubclass(kind, GanrayError)
    assert inspect.getdoc(kind)
    (line,) = re.findall(rf"^(?:[├└]── )?{kind.__name__}\b.*$", errors.__doc__ or "", re.MULTILINE)
    told = re.search(r"exit code (\d)", line)
    assert (int(told.group(1)) if told else 1) == kind.exit_code


def test_tree_of_errors_names_no_other() -> None:
    named = re.findall(r"^(?:[├└]── )?(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    assert sorted(named) == sorted(kind.__name__ for kind in ERRORS)


def test_problems_of_a_sweep_survive_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(SpecError(["a: one", "b: two"])))
    assert error.problems == ("a: one", "b: two")
    assert str(error) == "a: one\nb: two"

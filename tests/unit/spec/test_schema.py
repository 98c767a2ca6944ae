"""The JSON schema tells an editor what ganray itself would: what is allowed, and what it means."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
import pytest

from ganray.data.registry import DATASETS
from ganray.gan.losses import LOSS_NAMES
from ganray.gan.networks import ARCHITECTURES
from ganray.gan.optimizers import OPTIMIZERS
from ganray.gan.penalties import PENALTIES
from ganray.gan.schedules import SCHEDULES
from ganray.metrics.registry import METRICS
from ganray.spec.names import ConditioningName, PrunerName, SamplerName
from ganray.spec.parameters import Trainer
from ganray.spec.schema import json_schema
from ganray.trial import SIGNALS
from tests.conftest import SMALL

SCHEMA = json_schema()
PARTS = SCHEMA["$defs"]


def properties(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of every part, with where it stands."""
    if isinstance(node, dict):
        for name, inner in node.get("properties", {}).items():
            yield f"{place}.{name}", inner
        for name, inner in node.items():
            yield from properties(inner, f"{place}.{name}")


def is_valid(sweep: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(sweep)


def with_search(**search: Any) -> dict[str, Any]:
    return SMALL | {"search": SMALL["search"] | search}


def test_every_property_is_described_in_one_line() -> None:
    described = {place: inner.get("description", "") for place, inner in properties(SCHEMA)}
    assert len(described) > 100
    bad = {p: d for p, d in described.items() if not re.fullmatch(r"[^\n]{3,100}[.:…]", d)}
    assert bad == {}


def test_every_trial_parameter_means_the_same_fixed_and_searched() -> None:
    fixed, searched = PARTS["Trainer"]["properties"], PARTS["Space"]["properties"]
    assert list(fixed) == list(searched) == list(Trainer.model_fields)
    for name, entry in searched.items():
        assert entry["description"] == fixed[name]["description"]
        assert "default" not in entry


@pytest.mark.parametrize(
    ("part", "key", "known"),
    [
        ("Trainer", "loss", LOSS_NAMES),
        ("Trainer", "penalty", {"none", *PENALTIES}),
        ("Trainer", "optimizer", OPTIMIZERS),
        ("Trainer", "lr_schedule", SCHEDULES),
        ("Trainer", "conditioning", get_args(ConditioningName)),
        ("Search", "sampler", get_args(SamplerName)),
        ("Prune", "then", get_args(PrunerName)),
        ("Objective", "metric", SIGNALS),
    ],
)
def test_names_are_enums(part: str, key: str, known: Any) -> None:
    assert set(PARTS[part]["properties"][key]["enum"]) == set(known)


def test_names_in_lists_are_enums() -> None:
    assert set(PARTS["Measure"]["properties"]["metrics"]["items"]["enum"]) == set(METRICS)
    listed, spelled = PARTS["Space"]["properties"]["loss"]["anyOf"]
    assert set(listed["items"]["enum"]) == set(LOSS_NAMES)
    assert spelled == {"$ref": "#/$defs/Choices_loss"}


@pytest.mark.parametrize(("key", "known"), [("data", DATASETS), ("networks", ARCHITECTURES)])
def test_kinds_are_told_apart_by_a_name_that_is_needed_and_described(key: str, known: Any) -> None:
    found = SCHEMA["properties"][key]["discriminator"]["mapping"]
    assert set(found) == set(known)
    for place in found.values():
        part = PARTS[place.rpartition("/")[2]]
        assert "name" in part["required"]
        assert part["properties"]["name"]["description"] in part["description"]


@pytest.mark.parametrize(
    "sweep",
    [
        SMALL,
        with_search(space={"loss": ["hinge"], "d_lr": [0.1, 1]}),
        with_search(space={"loss": {"choices": ["hinge"], "when": {"d_steps": [1]}}}),
        with_search(space={"d_lr": {"low": 1e-5, "high": 0.1, "log": True}}),
        with_search(space={"d_grad_clip": [None, 1.0]}, concurrency="auto"),
        SMALL | {"prune": None, "networks": {"name": "mlp", "width": 8}},
    ],
)
def test_what_ganray_takes_is_valid(sweep: dict[str, Any]) -> None:
    assert is_valid(sweep)


@pytest.mark.parametrize(
    "sweep",
    [
        SMALL | {"unknown": 1},
        with_search(space={"loss": ["hinj"]}),
        with_search(space={"loss": "hinge"}),
        with_search(space={"loss": []}),
        with_search(space={"loss": None}),
        with_search(space={"d_lr": {"low": 1e-5}}),
        with_search(space={"d_lr": {"low": 0, "high": 1.0}}),
        with_search(trials=0),
        SMALL | {"networks": {"width": 8}},
        SMALL | {"data": {"name": "rong"}},
        SMALL | {"data": {"name": "ring", "spacing": 1.0}},
    ],
)
def test_what_ganray_refuses_key_by_key_is_invalid(sweep: dict[str, Any]) -> None:
    assert not is_valid(sweep)

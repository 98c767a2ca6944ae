"""What a searched parameter may be: choices of its own type, or a range if it is a number."""

import pytest

from ganray.errors import SpecError
from ganray.spec.load import parse_sweep
from ganray.spec.parameters import Trainer
from ganray.spec.space import Choices, Range, Space
from tests.conftest import SMALL

# a value of every parameter that is a number, by the type of its default where that tells
SHARES = ("beta1", "beta2", "momentum", "ema", "labelled")
NOT_NUMBERS = (bool, str)
TEXTS_THAT_MAY_BE_NULL = ("d_optimizer", "g_optimizer", "diffaugment")
NUMBERS = {
    name: 0.5 if name in SHARES else 2
    for name, info in Trainer.model_fields.items()
    if not isinstance(info.default, NOT_NUMBERS) and name not in TEXTS_THAT_MAY_BE_NULL
}

# what every one of them has an effect beside
MEANINGS = {
    "loss": "fgan_alpha",
    "penalty": "r1",
    "penalty_schedule": "linear",
    "lr_schedule": "linear",
    "warmup_d_steps": 2,
    "weight_clip": 1.0,
    "conditioning": "sgan",
    "optimizer": "adam",
    "g_optimizer": "sgd",
}


def entry(name: str, value: object) -> Choices | Range:
    """One searched parameter, read as in a sweep file, where others give it a meaning."""
    others = {"kl_weight": {"model": "vae"}, "pack": {}}.get(name, MEANINGS)
    fixed = {key: fixed for key, fixed in others.items() if key != name}
    raw = SMALL | {"search": {"space": {name: value}}, "trainer": fixed}
    return parse_sweep(raw).search.space.entries[name]


def test_every_trial_parameter_may_be_searched() -> None:
    assert list(Space.model_fields) == list(Trainer.model_fields)


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_may_be_a_range_or_choices(name: str) -> None:
    value = NUMBERS[name]
    ranged = entry(name, {"low": value, "high": value})
    assert isinstance(ranged, Range)
    assert (ranged.low, ranged.high) == (value, value)
    assert isinstance(entry(name, [value]), Choices)


@pytest.mark.parametrize("name", ["loss", "optimizer"])
def test_name_may_not_be_a_range(name: str) -> None:
    with pytest.raises(SpecError, match=rf"search\.space\.{name}: choices is missing"):
        entry(name, {"low": 1, "high": 2})


def test_choices_may_be_spelt_out_to_take_a_condition() -> None:
    space = {
        "loss": ["hinge", "lsgan"],
        "d_steps": {"choices": [1, 5], "when": {"loss": ["lsgan"]}},
    }
    steps = parse_sweep(SMALL | {"search": {"space": space}}).search.space.entries["d_steps"]
    assert isinstance(steps, Choices)
    assert (steps.choices, steps.when) == ([1, 5], {"loss": ["lsgan"]})


def test_bounds_have_the_type_of_the_parameter() -> None:
    rate = entry("d_lr", {"low": 1, "high": 2, "step": 1})
    assert isinstance(rate, Range)
    assert [type(v) for v in (rate.low, rate.high, rate.step)] == [float, float, float]
    steps = entry("d_steps", {"low": 1, "high": 3, "step": 1})
    assert isinstance(steps, Range)
    assert [type(v) for v in (steps.low, steps.high, steps.step)] == [int, int, int]


def test_off_is_a_choice_where_the_parameter_may_be_off() -> None:
    clip = entry("d_grad_clip", [None, 1.0])
    assert isinstance(clip, Choices)
    assert clip.choices == [None, 1.0]
    with pytest.raises(SpecError, match=r"d_lr\[0\]: must be a number; got null"):
        entry("d_lr", [None, 1.0])


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [(0.1, 0.3, 0.1), (0.0, 0.9, 0.1), (0.05, 0.5, 0.05), (0.1, 0.7, 0.3)],
)
def test_decimal_steps_reach_the_upper_end(low: float, high: float, step: float) -> None:
    assert entry("beta1", {"low": low, "high": high, "step": step}).admits(high)


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        ({"low": 0.1, "high": 0.5}, [0.1, 0.3, 0.5], [0.0999, 0.5001, None, "0.3", True]),
        ({"low": 0.1, "high": 0.5, "step": 0.2}, [0.1, 0.1 + 0.2, 0.5], [0.2, 0.4, 0.7]),
        ({"low": 0.0, "high": 0.9}, [0, 0.0], [-0.1, False]),
    ],
)
def test_range_admits_its_ends_and_what_is_between(
    bounds: dict[str, float], inside: list[object], outside: list[object]
) -> None:
    found = entry("beta1", bounds)
    assert [value for value in inside if not found.admits(value)] == []
    assert [value for value in outside if found.admits(value)] == []


def test_choices_admit_what_is_listed() -> None:
    found = entry("d_grad_clip", [None, 1.0])
    assert found.admits(None)
    assert found.admits(1.0)
    assert not found.admits(2.0)


@pytest.mark.parametrize(
    ("name", "bounds", "countable"),
    [
        ("d_steps", {"low": 1, "high": 5}, True),
        ("d_steps", {"low": 1, "high": 5, "step": 2}, True),
        ("d_steps", {"low": 1, "high": 5, "log": True}, False),
        ("beta1", {"low": 0.1, "high": 0.5, "step": 0.2}, True),
        ("beta1", {"low": 0.1, "high": 0.5}, False),
    ],
)
def test_range_is_countable_where_a_grid_can_be_laid(
    name: str, bounds: dict[str, float], countable: bool
) -> None:
    found = entry(name, bounds)
    assert isinstance(found, Range)
    assert found.is_countable is countable


def test_order_of_the_file_does_not_matter() -> None:
    space = {"d_lr": [0.1], "loss": ["hinge"], "g_steps": [1]}
    forward = parse_sweep(SMALL | {"search": {"space": space}})
    backward = parse_sweep(SMALL | {"search": {"space": dict(reversed(space.items()))}})
    assert list(forward.search.space.entries) == ["loss", "g_steps", "d_lr"]
    assert list(backward.search.space.entries) == ["loss", "g_steps", "d_lr"]

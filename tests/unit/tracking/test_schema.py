"""Values go into MLflow's text and come back as they were, with their own type."""

import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganray.spec.parameters import Trainer
from ganray.tracking import schema
from ganray.trial import COUNTERS, SIGNALS, Outcome, TrialConfig

NUMBERS = [f.name for f in fields(TrialConfig) if not schema.is_text(f.name)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (5, "5"),
        (-7, "-7"),
        (5.0, "5.0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-300, "1e-300"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
    ],
)
def test_number_is_the_shortest_text_that_reads_back_equal(value: Any, text: str) -> None:
    assert schema.to_text(value) == text
    read = schema.from_text("d_lr", text)
    assert (type(read), read) == (type(value), value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_comes_back_bit_for_bit(value: float) -> None:
    read = schema.from_text("d_lr", schema.to_text(value))
    assert read == value
    assert math.copysign(1.0, read) == math.copysign(1.0, value)


@given(st.integers())
def test_every_whole_number_comes_back_whole(value: int) -> None:
    read = schema.from_text("d_steps", schema.to_text(value))
    assert (type(read), read) == (int, value)


@pytest.mark.parametrize("text", ["hinge", "None", "1", "1e-5", "True", "", "it's"])
@pytest.mark.parametrize("parameter", ["loss", "optimizer"])
def test_text_stays_text_whatever_it_looks_like(parameter: str, text: str) -> None:
    assert schema.to_text(text) == text
    assert schema.from_text(parameter, text) == text


def test_every_trial_parameter_comes_back_from_its_text() -> None:
    for config in (TrialConfig(), TrialConfig(weight_clip=0.1, d_grad_clip=1.0, loss="wgan")):
        for field in fields(TrialConfig):
            value = getattr(config, field.name)
            read = schema.from_text(field.name, schema.to_text(value))
            assert (type(read), read) == (type(value), value), field.name


def test_every_parameter_is_read_as_the_kind_that_the_sweep_file_gives_it() -> None:
    """By the types of the file, which nothing here is derived from."""
    kinds = {"string": schema.is_text, "boolean": schema.is_flag, "integer": schema.is_whole}
    for name, described in Trainer.model_json_schema()["properties"].items():
        options = [described, *described.get("anyOf", [])]
        given = {option["type"] for option in options if "type" in option} - {"null"}
        assert len(given) == 1, name
        assert {kind for kind, is_kind in kinds.items() if is_kind(name)} == given - {"number"}


@pytest.mark.parametrize(("parameter", "text"), [("diffaugment", "color"), ("g_optimizer", "sgd")])
def test_text_that_may_be_missing_comes_back_as_text_or_as_none(parameter: str, text: str) -> None:
    assert schema.from_text(parameter, text) == text
    assert schema.from_text(parameter, schema.to_text(None)) is None


def test_parameter_that_this_version_does_not_know_is_still_readable() -> None:
    # a later version may record others in the same store
    assert schema.from_text("curriculum", "steep") == "steep"
    assert schema.from_text("mixing", "0.999") == 0.999


def test_list_that_is_read_twice_is_two_lists() -> None:
    first, second = (schema.from_text("data.sides", "[1, 2]") for _ in range(2))
    assert first == second == [1, 2]
    assert first is not second


# --- metrics --------------------------------------------------------------------------------------

RECORDED = (*COUNTERS, *SIGNALS, *schema.AT_THE_END)


def test_every_value_of_a_trial_has_a_metric_of_its_own_that_leads_back_to_it() -> None:
    metrics = [schema.metric_of(name) for name in RECORDED]
    assert len(set(metrics)) == len(RECORDED)
    assert [schema.name_of(metric) for metric in metrics] == list(RECORDED)


def test_what_one_looks_at_first_stands_in_the_first_section() -> None:
    first = {"objective", "distance", "modes", "modes_covered", "high_quality", "js", "auc"}
    plain = {name for name in RECORDED if schema.metric_of(name) == name}
    assert plain == first | {"joint_js", "joint_auc"}


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("d_grad_norm", "gradients/d_grad_norm"),
        ("d_loss", "losses/d_loss"),
        ("seconds", "cost/seconds"),
        ("diversity", "samples/diversity"),
        ("fid", "measures/fid"),
        ("probe_js", "separation/probe_js"),
    ],
)
def test_the_rest_stands_under_what_it_is(name: str, metric: str) -> None:
    assert schema.metric_of(name) == metric


def test_no_section_is_called_as_a_metric_is() -> None:
    """A store of files would want a file and a folder of one name."""
    own = ("best", "trials", "ledger", "confirmed")
    sections = {*own, *(schema.metric_of(name).rpartition("/")[0] for name in RECORDED)}
    assert not sections & {schema.metric_of(name) for name in RECORDED}


def test_metric_of_an_older_record_keeps_its_name() -> None:
    assert [schema.name_of(name) for name in RECORDED] == list(RECORDED)
    assert schema.name_of("gradients/unheard_of") == "gradients/unheard_of"


def test_value_that_nobody_knows_has_no_metric() -> None:
    with pytest.raises(KeyError):
        schema.metric_of("distanse")


# --- outcomes -------------------------------------------------------------------------------------


def test_every_outcome_has_a_status_that_mlflow_knows() -> None:
    from mlflow.entities import RunStatus

    assert set(schema.RUN_STATUS) == set(Outcome)
    assert set(schema.RUN_STATUS.values()) == {"FINISHED", "KILLED", "FAILED"}
    assert all(
        RunStatus.is_terminated(RunStatus.from_string(s)) for s in schema.RUN_STATUS.values()
    )

"""Each sweep has a saved view in MLflow's UI that shows its trials in good order."""

import base64
import json
import zlib
from typing import Any

import pytest
from mlflow import MlflowClient

from ganray.tracking import schema
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.view import view_key, view_tag
from ganray.trial import SIGNALS
from tests.conftest import sweep_record
from tests.unit.tracking.playing import SWEEP, runs


def state_of(value: str) -> dict[str, Any]:
    """What the UI reads from the tag."""
    kind, _, packed = json.loads(value)["state"].partition(";")
    assert kind == "deflate"
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def test_view_has_the_name_of_the_sweep_and_the_key_of_its_run() -> None:
    key, value = view_tag(sweep_record(name="mine"), "abc")
    assert key == f"mlflow.sharedViewState.{view_key('abc')}"
    assert json.loads(value)["name"] == "mine"


@pytest.mark.parametrize(("direction", "ascending"), [("min", True), ("max", False)])
def test_view_shows_all_trials_the_best_first(direction: str, ascending: bool) -> None:
    state = state_of(view_tag(sweep_record(direction=direction), "abc")[1])
    assert state["searchFilter"] == "tags.`mlflow.parentRunId` = 'abc'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`objective`", ascending)


def test_table_begins_with_the_outcome_and_has_what_was_searched() -> None:
    searched = ("loss", "d_lr")
    state = state_of(view_tag(sweep_record(searched=searched), "abc")[1])
    columns = state["selectedColumns"]
    assert columns[:2] == ["tags.`ganray.outcome`", "metrics.`objective`"]
    assert columns[-2:] == ["params.`loss`", "params.`d_lr`"]
    assert state["columnOrder"] == ["attributes.`Run Name`", *columns]


def test_charts_of_the_headline_signals_come_first_and_every_section_has_its_place() -> None:
    sections = state_of(view_tag(sweep_record(), "abc")[1])["compareRunSections"]
    names = [section["name"] for section in sections]
    assert names[0] == "Model metrics"
    metrics = [schema.metric_of(name) for name in (*schema.AT_THE_END, *SIGNALS)]
    of_metrics = {metric.rpartition("/")[0] for metric in metrics} - {""}
    assert set(names[1:]) == of_metrics | {"best", "pictures"}


def test_pictures_have_a_large_chart_of_their_own_that_begins_with_the_first() -> None:
    state = state_of(view_tag(sweep_record(milestones=[40, 70, 100]), "abc")[1])
    (chart,) = state["compareRunCharts"]
    (section,) = (s for s in state["compareRunSections"] if s["uuid"] == chart["metricSectionId"])
    assert (chart["imageKeys"], chart["step"], chart["showRunParams"]) == (["samples"], 40, False)
    assert section["cardHeight"] > 360  # of other charts


def test_view_of_a_sweep_with_every_parameter_fits_into_a_tag() -> None:
    names = tuple(f"a_parameter_of_many_{number}" for number in range(60))
    assert len(view_tag(sweep_record(name="n" * 100, searched=names), "a" * 32)[1]) < 5_000


@pytest.mark.usefixtures("quick")
def test_view_stands_there_once_from_the_start_of_the_sweep(store: str) -> None:
    for _ in range(2):
        recorder = MlflowRecorder(store, "ganray")
        recorder.start_sweep(SWEEP)
        recorder.close()
    tags = MlflowClient(store).get_experiment_by_name("ganray").tags
    (key,) = [key for key in tags if key.startswith("mlflow.sharedViewState.")]
    assert key.endswith(view_key(runs(store)[0].info.run_id))

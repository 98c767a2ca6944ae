"""What was reported is what a file of the summary reads back as, to the last bit."""

import io
import json
import math
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet

from ganray.exports import export
from ganray.summary import compare, confirmation, history, rows, summarize
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import TrialRecord
from ganray.trial import Ending, Outcome, State, TrialConfig, Verdict
from tests.conftest import STARTED, signals_at, sweep_record, writing

FLOATS = (5e-324, 2.2250738585072014e-308, 1e-300, 0.1 + 0.2, -0.0, 1 / 3, 1e16 + 2, 1e308)
WHOLE = (1, 2**31 - 1, 2**53 + 1, 2**63 - 1)
TEXTS = (
    "a,b;\"c\" 'd'\te",
    "two\nlines",
    "a lone\rreturn",
    "both\r\nof them",
    "σ‖–é 漢字 🙂",
    " spaces ",
    "None of them",
    "1e5",
)
SEARCHED = ("loss", "diffaugment", "d_steps", "spectral_norm", "weight_clip", "d_lr")
FORMS = ("csv", "json", "parquet")


def settings(number: int) -> dict[str, Any]:
    """Values at the edge of what their types hold, some of them missing."""
    return {
        "loss": TEXTS[number],
        "diffaugment": TEXTS[number] if number % 2 else None,
        "d_steps": WHOLE[number % len(WHOLE)],
        "spectral_norm": number % 2 == 0,
        "weight_clip": FLOATS[number] if number % 3 else None,
        "d_lr": FLOATS[number],
    }


def reported(number: int) -> dict[str, float | None]:
    """Of the only report of a trial."""
    value = FLOATS[number]
    return {"distance": value, "modes": -value, "js": value if number % 2 else None}


@pytest.fixture(scope="module")
def store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the sweep `edges`."""
    with writing(empty_store, tmp_path_factory.mktemp("edges")) as uri:
        recorder = MlflowRecorder(uri, "ganray")
        recorder.start_sweep(sweep_record(name="edges", searched=SEARCHED, params={}))
        for number, value in enumerate(FLOATS):
            record_trial(recorder, number, value)
        recorder.end_sweep({}, cancelled=False)
        recorder.close()
        assert recorder.complete
    return uri


def record_trial(recorder: MlflowRecorder, number: int, objective: float) -> None:
    given, signals = settings(number), signals_at(100, **reported(number))
    params = {**asdict(TrialConfig()), **given}
    recorder.start_trial(
        TrialRecord(number=number, params=params, searched=given, started=STARTED + 123)
    )
    recorder.report(number, signals, Verdict(State.HEALTHY), STARTED + 456)
    ending = Ending(
        number=number,
        outcome=Outcome.COMPLETED,
        at=STARTED + 789,
        reason=TEXTS[number],
        objective=objective,
        history=[signals],
    )
    recorder.end_trial(ending)


@pytest.fixture(scope="module")
def frame(store: str) -> pd.DataFrame:
    return summarize("edges", store)


def read(content: bytes, form: str, kinds: Any) -> list[dict[str, Any]]:
    """The rows of a file, with the types that a reader would give them."""
    if form == "parquet":
        return rows(pd.read_parquet(io.BytesIO(content)))
    moments = [name for name, kind in kinds.items() if str(kind).startswith("datetime")]
    if form == "csv":
        types = {name: str(kind) for name, kind in kinds.items() if name not in moments}
        frame = pd.read_csv(io.BytesIO(content), dtype=types, na_values=[""], keep_default_na=False)
        return rows(frame.astype(dict.fromkeys(moments, "datetime64[ms, UTC]")))
    found = json.loads(content)
    for row in found:
        row |= {name: row[name] and datetime.fromisoformat(row[name]) for name in moments}
    return found


# --- through MLflow -------------------------------------------------------------------------------


def test_parameters_read_back_as_they_were_set(frame: pd.DataFrame) -> None:
    found = rows(frame[list(SEARCHED)])
    assert found == [settings(number) for number in range(len(FLOATS))]
    assert [math.copysign(1, row["d_lr"]) for row in found] == [
        math.copysign(1, value) for value in FLOATS
    ]


def test_metrics_read_back_as_they_were_reported(frame: pd.DataFrame) -> None:
    names = ["distance", "modes", "js"]
    assert rows(frame[names]) == [reported(number) for number in range(len(FLOATS))]
    assert tuple(frame["objective"]) == FLOATS
    assert tuple(frame["best_distance"]) == FLOATS


def test_texts_and_times_read_back_as_they_were(frame: pd.DataFrame) -> None:
    assert tuple(frame["reason"]) == TEXTS
    assert {round(time.timestamp() * 1000) - STARTED for time in frame["started"]} == {123}
    assert {round(time.timestamp() * 1000) - STARTED for time in frame["ended"]} == {789}


def test_history_reads_back_as_it_was_reported(store: str) -> None:
    names = ["distance", "modes", "js"]
    found = rows(history("edges", store)[names])
    assert found == [reported(number) for number in range(len(FLOATS))]


# --- through files --------------------------------------------------------------------------------


@pytest.fixture(params=["edges", "recorded", "empty", "history", "confirmation", "comparison"])
def any_frame(request: pytest.FixtureRequest, store: str, both: str) -> pd.DataFrame:
    makers = {
        "edges": lambda: summarize("edges", store),
        "recorded": lambda: summarize("recorded", both),
        "empty": lambda: summarize("empty", both),
        "history": lambda: history("recorded", both),
        "confirmation": lambda: confirmation("confirmed", both),
        "comparison": lambda: compare(["recorded", "confirmed"], both),
    }
    return makers[request.param]()


@pytest.mark.parametrize("form", FORMS)
def test_every_value_reads_back_equal(form: str, any_frame: pd.DataFrame) -> None:
    content = export(any_frame, form)
    assert read(content, form, any_frame.dtypes) == rows(any_frame)


@pytest.mark.parametrize("form", FORMS)
def test_signs_of_zeros_read_back(form: str, frame: pd.DataFrame) -> None:
    found = read(export(frame, form), form, frame.dtypes)
    assert math.copysign(1, found[4]["d_lr"]) == -1


def test_lines_of_csv_end_without_a_return(frame: pd.DataFrame) -> None:
    head, *_ = export(frame, "csv").split(b"\n")
    assert head == ",".join(frame.columns).encode()
    assert export(frame[["trial"]].head(2), "csv") == b"trial\n0\n1\n"


def test_parquet_is_the_same_frame_with_types_and_attributes(any_frame: pd.DataFrame) -> None:
    found = pd.read_parquet(io.BytesIO(export(any_frame, "parquet")))
    # no row, no categories: parquet has them beside the values
    pd.testing.assert_frame_equal(found, any_frame, check_categorical=len(any_frame) > 0)
    assert found.attrs == any_frame.attrs


def test_parquet_tells_others_what_it_holds(both: str) -> None:
    content = export(summarize("recorded", both), "parquet")
    schema = parquet.read_schema(io.BytesIO(content))
    told = {k.decode(): v.decode() for k, v in schema.metadata.items() if k.startswith(b"ganray.")}
    assert told == {
        "ganray.sweep": "recorded",
        "ganray.objective": "distance",
        "ganray.direction": "min",
        "ganray.status": "RUNNING",
        "ganray.searched": "loss,d_steps,weight_clip,d_grad_clip,d_lr",
        "ganray.risk": "0.02",
        "ganray.version": version("ganray"),
    }


def test_parquet_describes_signals_and_parameters(both: str) -> None:
    content = export(summarize("recorded", both), "parquet")
    schema = parquet.read_schema(io.BytesIO(content))
    told = {column: schema.field(column).metadata or {} for column in schema.names}
    assert told["d_lr"][b"description"] == b"Learning rate of D."
    assert told["modes"][b"description"] == b"effective number of modes"
    assert told["best_modes"][b"description"] == b"best effective number of modes"
    assert told["run_id"] == {}


def test_parquet_of_a_sweep_without_a_risk_says_none(both: str) -> None:
    content = export(summarize("confirmed", both), "parquet")
    assert b"ganray.risk" not in parquet.read_schema(io.BytesIO(content)).metadata

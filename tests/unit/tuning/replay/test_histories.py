"""Histories come from MLflow as they were recorded, and through a parquet file unchanged."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ganray.errors import DataError, OutputError, TrackingError, UnknownSweepError
from ganray.tracking import mlflow_recorder
from ganray.tracking.recorder import TrialRecord
from ganray.trial import SIGNALS, Ending, Outcome, Signals, State, TrialConfig, Verdict
from ganray.tuning.replay.archive import load_histories, save_histories
from ganray.tuning.replay.histories import (
    History,
    by_source,
    fetch_histories,
    refuse_repeats,
)
from tests.conftest import RECORDED, STARTED, past, signals_at, sweep_record

EVERY = {name: 0.1 * (index + 1) / 3 for index, name in enumerate(SIGNALS)}


def store_with(store: str, reports: list[Signals], **sweep: Any) -> str:
    """A store with the sweep `ring` of one trial, which diverged, and one that confirms it."""
    facts = {"data.name": "ring", "budget.updates": 1_000}
    recorder = mlflow_recorder.MlflowRecorder(store, "ganray")
    recorder.start_sweep(sweep_record(**{"params": facts, "updates": 1_000, **sweep}))
    config = asdict(TrialConfig(loss="wgan"))
    for number, confirms in ((0, None), (1, 0)):
        searched = {"loss": "wgan"}
        recorder.start_trial(
            TrialRecord(
                number=number, params=config, searched=searched, started=STARTED, confirms=confirms
            )
        )
        for signals in reports:
            recorder.report(number, signals, Verdict(State.HEALTHY), STARTED)
        ending = {"outcome": Outcome.DIVERGED, "reason": "why", "history": reports}
        recorder.end_trial(Ending(number=number, at=STARTED, **ending))
    recorder.close()
    return store


def test_ended_trials_with_a_report_are_read(recorded: str) -> None:
    histories = fetch_histories("recorded", recorded)
    assert [history.number for history in histories] == [0, 1, 3]  # 2 reported nothing, 4 runs
    for history in histories:
        settings, reports, outcome = RECORDED[history.number]
        assert TrialConfig(**history.config) == TrialConfig(**settings)
        assert history.outcome is outcome
        assert history.reason == f"because {outcome}"
        assert list(history.reports) == [
            signals_at(10 * (i + 1), **values) for i, values in enumerate(reports)
        ]
        assert (history.source, history.data, history.budget) == ("recorded", "ring", 20)
        assert (history.metric, history.direction) == ("distance", "min")
    assert [history.is_full for history in histories] == [True, False, True]


def test_what_confirms_a_trial_is_no_part_of_the_search(store: str, here: Path) -> None:
    histories = fetch_histories("ring", store_with(store, [signals_at(100, distance=0.5)]))
    assert [history.number for history in histories] == [0]


def test_seed_is_no_part_of_a_setting() -> None:
    a = past(0, [{}], searched=("loss", "seed"), config={"loss": "hinge", "seed": 1, "ema": None})
    b = replace(a, config={"loss": "hinge", "seed": 2, "ema": 0.5})
    c = replace(a, config={"loss": "lsgan", "seed": 1, "ema": None})
    assert a.setting == b.setting == (("loss", "hinge"),)
    assert a.setting != c.setting


def test_trial_that_ended_not_finite_is_known_to_have(store: str, here: Path) -> None:
    reports = [signals_at(100, distance=0.5), signals_at(200, nonfinite="loss of D")]
    (history,) = fetch_histories("ring", store_with(store, reports))
    assert list(history.reports) == reports
    assert history.ended_nonfinite
    assert history.is_full


def test_older_record_tells_what_was_not_finite_in_its_reason(
    store: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    reports = [signals_at(100, distance=0.5), signals_at(200, nonfinite="loss of D")]
    store_with(store, reports)
    client = MlflowClient(store)
    (run,) = client.search_runs(["1"], "tags.`ganray.phase` = 'search'")
    assert run.data.tags["ganray.nonfinite"] == "loss of D"
    client.delete_tag(run.info.run_id, "ganray.nonfinite")
    assert not fetch_histories("ring", store)[0].ended_nonfinite
    client.set_tag(run.info.run_id, "ganray.reason", "loss of D not finite at update 200")
    assert list(fetch_histories("ring", store)[0].reports) == reports


def test_reading_is_told_trial_by_trial(recorded: str) -> None:
    told: list[tuple[str, int, int]] = []
    fetch_histories("recorded", recorded, lambda *what: told.append(what))
    assert told == [("reading recorded", i, 5) for i in range(4)]


def test_sweep_without_an_ended_trial_is_refused(recorded: str) -> None:
    with pytest.raises(DataError, match="no trial of sweep 'empty' has ended with a report"):
        fetch_histories("empty", recorded)
    with pytest.raises(UnknownSweepError, match="no sweep named 'nope'"):
        fetch_histories("nope", recorded)


@pytest.mark.parametrize("missing", ["data.name", "budget.updates"])
def test_sweep_recorded_without_what_replay_needs_is_refused(
    missing: str, store: str, here: Path
) -> None:
    facts = {"data.name": "ring", "budget.updates": 1_000}
    del facts[missing]
    store_with(store, [signals_at(100)], params=facts)
    with pytest.raises(TrackingError, match=f"'ring' is recorded without its {missing}"):
        fetch_histories("ring", store)


def test_trial_given_twice_is_refused() -> None:
    twice = [past(0, [{}]), past(1, [{}]), past(0, [{}])]
    with pytest.raises(DataError, match="trial 0 of sweep 'ring-1' is given twice"):
        refuse_repeats(twice)
    refuse_repeats([twice[0], replace(twice[0], source="ring-2"), twice[1]])


def test_sweeps_are_told_apart() -> None:
    sources = ["a", "b", "a", "b", "c"]
    histories = [past(i, [{}], source=source) for i, source in enumerate(sources)]
    assert by_source(histories) == {"a": [0, 2], "b": [1, 3], "c": [4]}


# --- parquet --------------------------------------------------------------------------------------


def some() -> list[History]:
    return [
        past(7, [EVERY, {"distance": 1e-300, "modes": 1 / 3}, {}]),
        past(2, [{"js": float("inf")}, {"nonfinite": "loss of D"}], outcome=Outcome.DIVERGED),
        past(2, [EVERY] * 10, source="digits-1", data="digits", metric="modes", direction="max"),
    ]


def test_histories_come_back_from_a_file_as_they_were(tmp_path: Path) -> None:
    save_histories(some(), tmp_path / "h.parquet")
    assert load_histories(tmp_path / "h.parquet") == some()


def test_recorded_histories_come_back_from_a_file_as_they_were(
    recorded: str, tmp_path: Path
) -> None:
    histories = fetch_histories("recorded", recorded)
    save_histories(histories, tmp_path / "h.parquet")
    assert load_histories(tmp_path / "h.parquet") == histories


def test_undefined_value_is_no_nan(tmp_path: Path) -> None:
    nan = [past(0, [{"distance": float("nan")}, {}])]
    save_histories(nan, tmp_path / "h.parquet")
    first, second = load_histories(tmp_path / "h.parquet")[0].reports
    assert first.distance != first.distance
    assert second.distance is None


def test_file_is_compressed_with_a_column_a_signal(tmp_path: Path) -> None:
    save_histories(some(), tmp_path / "h.parquet")
    file = pq.ParquetFile(tmp_path / "h.parquet")
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    kinds = {field.name: field.type for field in file.schema_arrow}
    assert {kinds[name] for name in SIGNALS} == {pa.float64()}
    assert file.metadata.num_rows == 15


def test_file_of_an_older_version_lacks_newer_signals(tmp_path: Path) -> None:
    path = tmp_path / "h.parquet"
    save_histories(some(), path)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["js"]).append_column("gone", table["auc"]), path)
    old = load_histories(path)
    assert old[0].reports[0] == replace(some()[0].reports[0], js=None)


def test_file_that_holds_no_histories_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.parquet"
    with pytest.raises(DataError, match=r"h\.parquet: no such file"):
        load_histories(path)
    path.write_text("hello")
    with pytest.raises(DataError, match=r"h\.parquet is no parquet file that can be read"):
        load_histories(path)
    pq.write_table(pa.table({"trial": [1]}), path)
    with pytest.raises(DataError, match=r"has no column budget, config, .*; write it with --save"):
        load_histories(path)
    save_histories([], path)
    with pytest.raises(DataError, match="holds no history"):
        load_histories(path)
    save_histories(some(), path)
    table = pq.read_table(path)
    index = table.column_names.index("outcome")
    broken = table.set_column(index, "outcome", pa.array(["odd"] * table.num_rows))
    pq.write_table(broken, path)
    with pytest.raises(DataError, match="holds no histories as --save writes them: 'odd'"):
        load_histories(path)


def test_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere/h\.parquet cannot be written"):
        save_histories(some(), tmp_path / "nowhere" / "h.parquet")

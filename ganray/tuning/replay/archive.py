"""Histories as a parquet file, one row a report, and back, exactly."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ganray.errors import DataError, OutputError
from ganray.trial import SIGNALS, Outcome, Signals
from ganray.tuning.replay.histories import History

_OF_TRIAL = {
    "sweep": pa.string(),
    "data": pa.string(),
    "trial": pa.int64(),
    "config": pa.string(),  # JSON of all trial parameters
    "searched": pa.string(),  # JSON list of names
    "budget": pa.int64(),
    "metric": pa.string(),
    "direction": pa.string(),
    "outcome": pa.string(),
    "reason": pa.string(),
}
_OF_REPORT = {
    "update": pa.int64(),
    "d_updates": pa.int64(),
    "g_updates": pa.int64(),
    "images": pa.int64(),
    "seconds": pa.float64(),
    "nonfinite": pa.string(),
    **dict.fromkeys(SIGNALS, pa.float64()),
}
_REQUIRED = {*_OF_TRIAL, *_OF_REPORT} - {*SIGNALS}  # a signal may be newer than the file


def save_histories(histories: Sequence[History], path: Path) -> None:
    """Write histories.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = [_row(history, signals) for history in histories for signals in history.reports]
    table = pa.Table.from_pylist(rows, schema=pa.schema({**_OF_TRIAL, **_OF_REPORT}))
    try:
        pq.write_table(table, path, compression="zstd")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from None


def load_histories(path: Path) -> list[History]:
    """Read histories that `save_histories` wrote.

    Raises:
        DataError: there is no such file, or it is of another kind.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is no parquet file that can be read: {error}") from None
    missing = sorted(_REQUIRED - {*table.column_names})
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; write it with --save")
    if not table.num_rows:
        raise DataError(f"{path} holds no history")
    try:
        return list(_histories(table.to_pylist()))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} holds no histories as --save writes them: {error}") from None


def _row(history: History, signals: Signals) -> dict[str, Any]:
    return {
        "sweep": history.source,
        "data": history.data,
        "trial": history.number,
        "config": json.dumps(dict(history.config)),
        "searched": json.dumps(history.searched),
        "budget": history.budget,
        "metric": history.metric,
        "direction": history.direction,
        "outcome": history.outcome.value,
        "reason": history.reason,
        **signals.to_dict(),
    }


def _histories(rows: list[dict[str, Any]]) -> Iterator[History]:
    for _, group in groupby(rows, key=lambda row: (row["sweep"], row["trial"])):
        reports = list(group)
        first = reports[0]
        yield History(
            source=first["sweep"],
            data=first["data"],
            number=first["trial"],
            config=json.loads(first["config"]),
            searched=tuple(json.loads(first["searched"])),
            budget=first["budget"],
            metric=first["metric"],
            direction=first["direction"],
            outcome=Outcome(first["outcome"]),
            reason=first["reason"],
            reports=tuple(Signals.from_dict(_defined(row)) for row in reports),
        )


def _defined(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _OF_REPORT if row.get(name) is not None}

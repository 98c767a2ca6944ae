"""A summary as a file that others read: csv, json or parquet, with every value as it was."""

import io
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version

import pyarrow
from pyarrow import parquet

from ganray.spec.parameters import Trainer
from ganray.summary import Frame, rows
from ganray.trial import SIGNAL_LABELS, SIGNALS


def export(frame: Frame, form: str) -> bytes:
    """The frame as a file's content; every value reads back equal.

    Args:
        frame: of `summarize`, `compare`, `confirmation` or `history`.
        form: csv, in which an empty text is a missing one; json, a list of rows; or parquet, with
            types and `attrs`, which stand in its metadata as `ganray.sweep` and so on, too.
    """
    return _FORMS[form](frame)


def _parquet(frame: Frame) -> bytes:
    plain, described = io.BytesIO(), io.BytesIO()
    frame.to_parquet(plain)
    table = parquet.read_table(plain)
    columns = [column.with_metadata(_description(column.name)) for column in table.schema]
    schema = pyarrow.schema(columns, {**table.schema.metadata, **_file_metadata(frame)})
    parquet.write_table(pyarrow.Table.from_arrays(table.columns, schema=schema), described)
    return described.getvalue()


def _file_metadata(frame: Frame) -> dict[str, str]:
    """What the frame says of itself, for readers that know nothing of pandas."""
    given = {name: value for name, value in frame.attrs.items() if value is not None}
    given["version"] = version("ganray")
    texts = {n: ",".join(v) if isinstance(v, list) else str(v) for n, v in given.items()}
    return {f"ganray.{name}": text for name, text in texts.items()}


def _description(column: str) -> dict[str, str]:
    """What is known of a column: of signals their label, of parameters what the sweep file says."""
    signal = column.removeprefix("best_")
    if signal in SIGNALS:
        return {"description": f"{'best ' if signal != column else ''}{SIGNAL_LABELS[signal]}"}
    known = Trainer.model_fields.get(column)
    return {"description": known.description} if known and known.description else {}


def _json(frame: Frame) -> bytes:
    return (json.dumps(rows(frame), default=_isoformat, indent=1) + "\n").encode()


def _isoformat(value: datetime) -> str:
    return value.isoformat()


def _csv(frame: Frame) -> bytes:
    out = _Lines(newline="")
    frame.to_csv(out, index=False, lineterminator=_CSV_END)
    return out.getvalue().encode()


_CSV_END = "\r\n"  # Python quotes a lone carriage return in a cell only where lines end so


class _Lines(io.StringIO):
    """Takes lines with that end, one by one, and ends them as lines end here."""

    def write(self, line: str) -> int:
        return super().write(f"{line.removesuffix(_CSV_END)}\n")


_FORMS: Mapping[str, Callable[[Frame], bytes]] = {"csv": _csv, "json": _json, "parquet": _parquet}

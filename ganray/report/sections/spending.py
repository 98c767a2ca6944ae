"""What the sweep spent, what stopping saved, and how often a stop was wrong."""

from typing import Any

from ganray.report import words
from ganray.report.blocks import Section, Table
from ganray.report.material import Material
from ganray.summary import audit, ledger, rows
from ganray.tracking.ledger import AMOUNTS, TOTAL, meanings, shown_rule


def spending(material: Material) -> Section | None:
    """The ledger and the audit; None where nothing has run."""
    if material.frame.empty:
        return None
    entries = rows(ledger(material.frame))
    on_gpus = any(entry["used_gpu_hours"] for entry in entries)
    unit = "gpu_hours" if on_gpus else "seconds"
    total = next(entry for entry in entries if entry["rule"] == TOTAL)
    return Section(
        name="spending",
        heading=_heading(total, unit),
        said=[*_said(total, unit), _audit(material), *_meanings(entries)],
        blocks=[_table(entries, unit)],
    )


def _show(entry: dict[str, Any], column: str) -> str:
    if column.endswith("gpu_hours"):
        return f"{entry[column]:.2f} GPU-hours"
    return words.duration(entry[column])


def _heading(total: dict[str, Any], unit: str) -> str:
    used = _show(total, f"used_{unit}")
    if not total[f"saved_{unit}"]:
        return f"{used} used, and nothing saved by stopping"
    return f"{used} used, and about {_show(total, f'saved_{unit}')} saved by stopping trials"


def _said(total: dict[str, Any], unit: str) -> list[str]:
    if not total[f"saved_{unit}"]:
        return []
    sure = total[f"surely_saved_{unit}"]
    least = _show(total, f"surely_saved_{unit}")
    told = f"At least {least}" if sure > 0 else f"None ({least})"
    return [
        f"{told} of that is certain. This counts only trials that health rules stopped though "
        "they could have run on, less the share of these stops that may have been wrong, and less "
        "the time that measuring took."
    ]


def _meanings(entries: list[dict[str, Any]]) -> list[str]:
    told = "; ".join(
        f"{rule.replace('_', ' ')}: {meaning}" for rule, meaning in meanings(entries).items()
    )
    return [f"What stopped a trial: {told}."] if told else []


def _audit(material: Material) -> str:
    found = audit(material.frame)
    if found.share is None:
        return "No stop was audited: whether one was wrong is not known."
    low, high = found.interval
    return (
        f"Audit: {found.ran_on} of {words.counted(found.stops, 'stop')} ran on, and "
        f"{found.healthy} of them ended healthy: {words.share(found.share)} "
        f"(95 % interval {words.share(low)} to {words.share(high)})."
    )


def _table(entries: list[dict[str, Any]], unit: str) -> Table:
    columns = ("stopped by", "trials", "used", "saved, estimated", "saved, at least")
    return Table(
        caption="By the rule that stopped them",
        columns=columns,
        rows=[
            (
                shown_rule(entry["rule"]).replace("_", " "),
                str(entry["trials"]),
                *(_show(entry, f"{amount}_{unit}") for amount in AMOUNTS),
            )
            for entry in entries
        ],
        numbers=set(columns[1:]),
    )

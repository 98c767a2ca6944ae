"""How trials ended, and why some crashed."""

from collections import Counter
from collections.abc import Mapping
from functools import partial

from ganray.health.endings import (
    BAD_DISTANCE,
    BAD_MODES,
    HEALTHY_DISTANCE,
    HEALTHY_MODES,
)
from ganray.report import words
from ganray.report.blocks import Block, Drawing, Section, Table
from ganray.report.material import Material
from ganray.report.outcome_bars import count_endings, count_outcomes, outcome_bars
from ganray.report.style import RUNNING
from ganray.tracking.ledger import PRUNED
from ganray.trial import ENDED_LABELS, Outcome

_LEVELS = (
    f"Healthy: at least {words.share(HEALTHY_MODES)} of the modes and a distance of at most "
    f"{HEALTHY_DISTANCE}. Bad: under {words.share(BAD_MODES)} of the modes or a distance above "
    f"{BAD_DISTANCE}. Between: neither."
)


def outcomes(material: Material) -> Section:
    """Counts by outcome, and the causes of crashes."""
    counts = count_outcomes(material.rows)
    if not counts:
        return Section(name="outcomes", heading="No trial has started yet")
    blocks: list[Block] = [
        Drawing(
            name="outcomes",
            sketch=partial(outcome_bars, material.rows, material.name),
            alt="Bars of trials by outcome: "
            + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()),
            caption="Trials of the search by how they ended; of completed ones, how healthy they "
            f"were over the last tenth of their reports. {_LEVELS}",
        )
    ]
    crashes = _crashes(material)
    return Section(
        name="outcomes",
        heading=_heading(counts),
        said=_said(material, counts),
        blocks=[*blocks, crashes] if crashes else blocks,
    )


def _heading(counts: Mapping[str, int]) -> str:
    """Who had their full budget; and of the others, as far as there are any, how many ended how."""
    total, completed = sum(counts.values()), counts.get(Outcome.COMPLETED, 0)
    if completed == total:
        return f"{words.counted(total, 'trial')} had the full budget"
    stopped = sum(counts.get(outcome, 0) for outcome in PRUNED)
    crashed, under_way = counts.get(Outcome.CRASHED, 0), counts.get(RUNNING, 0)
    others = [
        f"{count} {what}"
        for count, what in (
            (stopped, "stopped early"),
            (crashed, "crashed"),
            (counts.get(Outcome.CANCELLED, 0), "cancelled"),
            (under_way, "without an end yet"),
        )
        if count
    ]
    whole = f"{completed} of {words.counted(total, 'trial')} had the full budget"
    return f"{whole}: {words.listed(others)}"


def _said(material: Material, counts: Mapping[str, int]) -> list[str]:
    endings = [
        f"{count} {ENDED_LABELS[ending]}" for ending, count in count_endings(material.rows).items()
    ]
    told = [f"At the end of their budget: {'; '.join(endings)}." if endings else ""]
    running, cancelled = counts.get(RUNNING, 0), counts.get(Outcome.CANCELLED, 0)
    if running:
        told.append(f"{words.counted(running, 'trial')} had no end yet when this was read.")
    if cancelled:
        told.append(f"{words.counted(cancelled, 'trial')} went when the sweep was stopped.")
    confirming = len(material.frame) - len(material.rows)
    if confirming:
        told.append(f"{words.counted(confirming, 'confirming trial')} stand apart, below.")
    text = " ".join(filter(None, told))
    return [text] if text else []


def _crashes(material: Material) -> Table | None:
    """Why trials crashed, the most frequent cause first, each with an example."""
    crashed = [row for row in material.rows if row["outcome"] == Outcome.CRASHED]
    causes = Counter(row["cause"] or "unknown" for row in crashed)
    examples = {row["cause"] or "unknown": row for row in reversed(crashed)}
    table = [
        (
            cause.replace("_", " "),
            str(count),
            f"trial {examples[cause]['trial']}: {examples[cause]['reason'] or words.NOTHING}",
        )
        for cause, count in causes.most_common()
    ]
    columns = ("cause", "trials", "example")
    title = "Why trials crashed"
    return Table(caption=title, columns=columns, rows=table, numbers={"trials"}) if table else None

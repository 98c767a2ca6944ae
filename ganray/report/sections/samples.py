"""Real data beside generated samples: of the best trial, and of one that failed."""

from typing import Any

from ganray.report import words
from ganray.report.blocks import Gallery, Picture, Section, Strip
from ganray.report.material import Material, Shots
from ganray.trial import Outcome


def samples(material: Material) -> Section | None:
    """Pictures over the course of the best trial, and of a failed one; None where there are none.

    Where the sweep recorded no picture of real data, it says so.
    """
    real = []
    if material.real is not None:
        real = [Picture(title="Real data", content=material.real, alt="Real data")]
    rows = [row for row in (material.best, material.failed) if row is not None]
    strips = [_strip(material, row, real) for row in rows if row["trial"] in material.shots]
    shown = [strip for strip in strips if len(strip.pictures) > len(real)]
    if not shown:
        return None
    said = "The same latents every time; where data are points, real ones lie beneath in orange."
    lacking = "" if real else " No picture of real data was recorded."
    return Section(
        name="samples",
        heading="Does it look like real data?",
        said=[said + lacking],
        blocks=[Gallery(name="samples", strips=shown)],
    )


def _strip(material: Material, row: dict[str, Any], real: list[Picture]) -> Strip:
    number, best = row["trial"], material.best
    is_best = best is not None and number == best["trial"]
    what = "the best one." if is_best else _ended(row)
    generated = _generated(material, row, material.shots[number])
    return Strip(caption=f"Trial {number}, {what}", pictures=[*real, *generated])


def _ended(row: dict[str, Any]) -> str:
    if row["outcome"] == Outcome.COMPLETED:
        return "which had its full budget and ended badly."
    return f"which {row['outcome']}: {row['reason'] or words.NOTHING}"


def _generated(material: Material, row: dict[str, Any], shots: Shots) -> list[Picture]:
    """The first milestone, the best, and the last one or the stop, in the order of updates."""
    reports = {report["update"]: report for report in material.reports.get(row["trial"], ())}
    updates = sorted(shots.milestones)
    found: list[tuple[str, int | None, bytes | None]] = []
    at_best = _best_update(material, reports)
    found.append(("Best", at_best, shots.best))
    for update in updates[:1]:  # milestones are rarer than reports: the best may come before
        is_first = at_best is None or update <= at_best
        what = "First picture" if is_first else "Later"
        found.insert(0 if is_first else 1, (what, update, shots.milestones[update]))
    if shots.stop is not None and row["outcome"] != Outcome.COMPLETED:
        found.append(("Stopped", max(reports, default=None), shots.stop))
    else:
        found += [("Last", update, shots.milestones[update]) for update in updates[1:]]
    return [
        _picture(what, row["trial"], update, content, reports)
        for what, update, content in found
        if content is not None
    ]


def _best_update(material: Material, reports: dict[int, Any]) -> int | None:
    """The update at which the trial's objective was best, the first of several."""
    sign = 1.0 if material.sweep.direction == "min" else -1.0
    known = {
        update: sign * report[material.objective]
        for update, report in sorted(reports.items())
        if report.get(material.objective) is not None
    }
    return min(known, key=known.__getitem__, default=None)


def _picture(
    what: str, trial: int, update: int | None, content: bytes, reports: dict[int, Any]
) -> Picture:
    title = what if update is None else f"{what}, at update {update:,}"
    report = {} if update is None else reports.get(update, {})
    told = {"distance": report.get("distance"), "modes": report.get("modes")}
    shown = {name: words.number(value) for name, value in told.items() if value is not None}
    if told["modes"] == 0.0:  # no sample is good enough to be counted
        shown["modes"] = words.NOTHING
    note = ", ".join(f"{name}{words.GAP}{value}" for name, value in shown.items())
    alt = f"Samples of trial {trial}. {title}" + (
        f": {note.replace(words.GAP, ' ')}" if note else ""
    )
    return Picture(title=title, content=content, alt=alt, note=note)

"""How JS, modes and distance went, trial by trial."""

import math
from functools import partial

from ganray.report import words
from ganray.report.blocks import Drawing, Section
from ganray.report.curves import (
    BEST_CURVES,
    MOST_CURVES,
    Course,
    curves_figure,
)
from ganray.report.fates import Fate, told_trials
from ganray.report.material import Material
from ganray.trial import LOG_2

NEAR_SATURATION = 0.9 * LOG_2  # at it D tells nearly all samples from real ones


def progress(material: Material) -> Section | None:
    """Curves of all trials, or of as many as can be seen; None where nothing was measured."""
    shown = [course for course in material.courses if course.reports]
    if not shown or not material.panels:
        return None
    return Section(
        name="progress",
        heading=_heading(material, shown),
        said=[_said(material, shown)],
        blocks=[
            Drawing(
                name="curves",
                sketch=partial(curves_figure, shown, material.panels, material.name),
                alt=_alt(material, shown),
                caption="A line a trial, in the colour of its outcome, with a mark where it was "
                "stopped. Distance is on a logarithmic scale, linear below 0.01; what lies above 3 "
                "is cut off.",
            )
        ],
    )


def _heading(material: Material, shown: list[Course]) -> str:
    """In how many trials D's JS came near log 2 at any report, and what became of these."""
    measured = [course for course in shown if any("js" in report for report in course.reports)]
    if not measured:
        return "How did the trials get there?"
    near = {
        course.number
        for course in measured
        if any(report.get("js", 0.0) >= NEAR_SATURATION for report in course.reports)
    }
    if not near:
        return "JS came near log 2 in no trial"
    trained = {row["trial"] for row, fate in told_trials(material.frame) if fate is Fate.TRAINED}
    well = len(near & trained) or "none"
    total = words.counted(len(measured), "trial")
    return f"JS came near log 2 in {len(near)} of {total}, and {well} of them ended healthy"


def _said(material: Material, shown: list[Course]) -> str:
    told = (
        "Near log 2 the discriminator tells nearly all samples from real ones; many a generator "
        "recovers from that."
    )
    if len(material.rows) > MOST_CURVES:
        told += (
            f" Of {words.counted(len(material.rows), 'trial')} {MOST_CURVES} are shown: the best "
            f"{BEST_CURVES}, and others at even steps of their numbers."
        )
    elif len(shown) < len(material.rows):
        lacking = len(material.rows) - len(shown)
        told += f" {words.counted(lacking, 'trial')} made no report."
    return told


def _alt(material: Material, shown: list[Course]) -> str:
    """Where the best trial of those that are shown ends."""
    best = next((course for course in shown if course.rank == 0), None)
    signals = words.listed([panel.signal for panel in material.panels])
    alt = f"Curves of {signals} of {words.counted(len(shown), 'trial')} over updates."
    if best is None:
        return alt
    last = best.reports[-1]
    ends = [
        f"{panel.signal} {words.number(last[panel.signal])}"
        for panel in material.panels
        if math.isfinite(last.get(panel.signal) or math.nan)
    ]
    return f"{alt} The best, trial {best.number}, ends with {words.listed(ends)}."

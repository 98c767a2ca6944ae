"""What settings have to do with it: where trials fail, where the best ones lie, what decides."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ganray.report import words
from ganray.report.blocks import Drawing, Section, Table
from ganray.report.collapse_map import collapse_map, failures
from ganray.report.coordinates import Line, coordinates, find_lines, lie_beyond
from ganray.report.fates import Fate, told_trials
from ganray.report.importance import Finding, importance_figure, what_decides
from ganray.report.material import Material
from ganray.tracking.ledger import PRUNED
from ganray.trial import Outcome


def failing(material: Material) -> Section:
    """The collapse map; a sentence where no trial has come to an end."""
    told, kinds, *extremes = failures(material.frame)
    trials = told_trials(material.frame)
    if not trials:
        return Section(name="failing", heading=words.sentence(told))
    said = [kinds, _besides_stops(trials), *extremes]
    drawing = Drawing(
        name="collapse_map",
        sketch=partial(collapse_map, material.frame, material.name),
        alt="Map of losses by D:G ratio and by what bounds D: "
        + "; ".join(filter(None, [told, *said])),
        caption="A row a loss, those that fail least at the top. A trial that ran to its end "
        "failed if it ended badly.",
    )
    text = " ".join(f"{words.sentence(sentence)}." for sentence in said if sentence)
    heading = words.sentence(told)
    return Section(name="failing", heading=heading, said=[text] if text else [], blocks=[drawing])


def _besides_stops(trials: Sequence[tuple[Mapping[str, Any], Fate]]) -> str:
    """Why more or fewer trials failed than were stopped; nothing where it is the same ones."""
    stopped = sum(row["outcome"] in PRUNED for row, _ in trials)
    outranked = sum(row["outcome"] == Outcome.OUTRANKED for row, _ in trials)
    late = sum(fate.is_failure and row["outcome"] == Outcome.COMPLETED for row, fate in trials)
    if not outranked and not late:
        return ""
    told = []
    if stopped:
        told.append(f"{words.counted(stopped, 'trial')} stopped early")
    if outranked:
        told.append(f"{outranked} of those healthy, but outranked: no failure")
    if late:
        completed = f"{words.counted(late, 'trial')} completed the full budget"
        told.append(f"{completed}, but ended badly, which counts as failed")
    return "; ".join(told)


def where_trials_lie(material: Material) -> Section | None:
    """Parallel coordinates; None where no trial has come to an end."""
    lines = find_lines(material.frame, material.spec)
    if not lines:
        return None
    beyond = ""
    if lie_beyond(lines, material.objective):
        beyond = " Failed trials beyond the last axis are drawn at its end."
    drawing = Drawing(
        name="coordinates",
        sketch=partial(coordinates, material.frame, material.spec, material.name),
        alt=f"Parallel coordinates of {words.counted(len(lines), 'trial')} over "
        f"{words.listed([*material.spec.search.space.entries, material.objective])}.",
        caption="A line a trial, through its value of each parameter and, at the bottom, its "
        f"objective. A line at “{words.NOTHING}” had no such parameter.{beyond}",
    )
    heading = "Where do the best trials lie?"
    return Section(name="coordinates", heading=heading, said=[_lines(lines)], blocks=[drawing])


def _lines(lines: Sequence[Line]) -> str:
    """How many are of which kind, as far as there are any."""
    failed = sum(line.failed for line in lines)
    sound = len(lines) - failed
    told = [
        f"{words.counted(count, 'trial')} that {what}"
        for count, what in (
            (sound, "did not fail, coloured from best to worst"),
            (failed, "failed, dashed"),
        )
        if count
    ]
    return f"{'; '.join(told)}."


def what_matters(material: Material) -> Section:
    """Importances, as far as there are trials enough to tell them."""
    findings = material.findings
    untold = [finding for finding in findings if finding.unknown]
    said = [
        f"What decides {finding.question} cannot be told: {finding.unknown}." for finding in untold
    ]
    if len(untold) == len(findings):
        return Section(name="importance", heading="Which parameters matter?", said=said)
    told = [finding for finding in findings if not finding.unknown]
    drawing = Drawing(
        name="importance",
        sketch=partial(importance_figure, findings, material.name),
        alt=" ".join(f"{words.sentence(what_decides(finding))}." for finding in told),
        caption="By conditional PED-ANOVA: what parameters do only together is not in it.",
    )
    heading = words.sentence("; ".join(what_decides(finding, mark="`") for finding in told))
    tables = [_table(finding) for finding in told]
    return Section(name="importance", heading=heading, said=said, blocks=[drawing, *tables])


def _table(finding: Finding) -> Table:
    what = {"failing": "for failing", "quality": "for quality"}[finding.question]
    return Table(
        caption=f"Importance {what}, of {words.counted(finding.trials, 'trial')}",
        columns=("parameter", "share", "90 % interval"),
        rows=[
            (
                row.parameter,
                words.share(row.share),
                f"{words.share(row.low)} to {words.share(row.high)}",
            )
            for row in finding.importances
        ],
        numbers={"share", "90 % interval"},
        folded=True,
    )

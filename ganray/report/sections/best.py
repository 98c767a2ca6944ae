"""The best trial: its settings, its numbers, its samples, and what fresh seeds say of it."""

from typing import Any

from ganray.report import words
from ganray.report.blocks import Block, Command, Gallery, Picture, Section, Strip, Table
from ganray.report.material import Material
from ganray.trial import ENDED_LABELS, SIGNAL_LABELS
from ganray.tuning.space import applicable

_TOLD = (
    *("distance", "modes", "mode_ratio", "modes_covered", "high_quality", "sharpness"),
    *("js", "joint_js", "probe_js", "auc", "overfit_gap", "fid", "kid", "ema_distance"),
)


def best(material: Material) -> Section:
    """The best trial of the search, and its configuration's fresh seeds if it was confirmed."""
    row = material.best
    if row is None:
        return Section(name="best", heading="No trial completed, so none is best")
    blocks: list[Block] = [_settings(material, row), _numbers(material, row)]
    pictures = _pictures(material, row)
    if pictures:
        strip = Strip(caption="Its samples at its last report.", pictures=pictures)
        blocks.append(Gallery(name="best", strips=[strip]))
    if material.confirmed:
        blocks.append(_confirmation(material))
    line = f"ganray sample {material.name} --trial best"
    blocks.append(Command(purpose="To draw more samples, where its checkpoint lies:", line=line))
    value = words.number(row["objective"])
    return Section(
        name="best",
        heading=f"Trial {row['trial']} is best: {material.objective} {value}",
        said=_said(material, row),
        blocks=blocks,
    )


def _said(material: Material, row: dict[str, Any]) -> list[str]:
    ending = f" It ended {ENDED_LABELS[row['ending']]}." if row["ending"] else ""
    modes = ""
    if row["modes"] is not None and row["mode_ratio"]:
        real = words.number(row["modes"] / row["mode_ratio"])
        mine = words.number(row["modes"])
        modes = f" Its samples have {mine} effective modes, where real data have {real}."
    first = f"It took {words.duration(row['seconds'])} of training.{ending}{modes}"
    return [first, *_confirmed(material, row)]


def _confirmed(material: Material, row: dict[str, Any]) -> list[str]:
    """What fresh seeds say: of this trial, and whether another one is better by them."""
    if not material.confirmed:
        return ["One seed found it; nothing was confirmed with others."]
    top = material.confirmed[0]
    mine = next((found for found in material.confirmed if found["trial"] == row["trial"]), None)
    told = []
    if mine is not None:
        told.append(
            f"With {words.counted(mine['seeds'], 'fresh seed')} the median of "
            f"{material.objective} is {words.number(mine['median'])}, the worst "
            f"{words.number(mine['worst'])}."
        )
    if top["trial"] != row["trial"]:
        told.append(
            f"By the median of fresh seeds trial {top['trial']} is better: "
            f"{words.number(top['median'])}."
        )
    return [" ".join(told)]


def _settings(material: Material, row: dict[str, Any]) -> Table:
    found = applicable(material.spec, row)
    values = [(name, words.setting(value)) for name, value in found.items()]
    return Table(caption="Its settings", columns=("parameter", "value"), rows=values)


def _numbers(material: Material, row: dict[str, Any]) -> Table:
    names = dict.fromkeys((material.objective, *_TOLD))
    values = [
        (SIGNAL_LABELS[name], words.number(row[name]), words.number(row.get(f"best_{name}")))
        for name in names
        if row[name] is not None
    ]
    columns = ("signal", "last", "best")
    caption = "Its numbers, at its last report and at their best"
    return Table(caption=caption, columns=columns, rows=values, numbers={"last", "best"})


def _pictures(material: Material, row: dict[str, Any]) -> list[Picture]:
    shots = material.shots.get(row["trial"])
    if shots is None or not shots.milestones:
        return []
    update, content = max(shots.milestones.items())
    title = f"Trial {row['trial']}, at update {update:,}"
    return [Picture(title=title, content=content, alt=f"Samples of t{title[1:]}")]


def _confirmation(material: Material) -> Table:
    columns = ("trial", "in the search", "seeds", "median", "worst", "best", "ended badly")
    return Table(
        caption=f"The best again with fresh seeds: {material.objective}",
        columns=columns,
        rows=[
            (
                str(row["trial"]),
                words.number(row["objective"]),
                str(row["seeds"]),
                *(words.number(row[name]) for name in ("median", "worst", "best")),
                words.share(row["bad"]),
            )
            for row in material.confirmed
        ],
        numbers=set(columns[1:]),
    )

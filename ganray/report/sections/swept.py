"""What was swept: all that it takes to understand the rest, and to do it again."""

from collections.abc import Mapping
from typing import Any

from ganray.report import words
from ganray.report.blocks import Command, Facts, Listing, Section, Table
from ganray.report.material import Material
from ganray.spec.models import SweepSpec
from ganray.spec.space import Choices, Range
from ganray.tracking import schema
from ganray.trial import SIGNAL_LABELS

_ENDS = {
    "FINISHED": "All of its trials came to an end.",
    "KILLED": "It was stopped before its end; ganray resume {name} goes on with it.",
    "RUNNING": "It still runs, or its driver died: what follows is what there is so far.",
}
_BETTER = {"min": "smaller", "max": "larger"}


def what_was_swept(material: Material) -> Section:
    """The sweep in a sentence, its facts, its search space and its file."""
    spec, sweep = material.spec, material.sweep
    many = words.counted(len(spec.search.space.entries), "parameter")
    said = (
        f"{words.counted(len(material.rows), 'trial')} of at most "
        f"{words.counted(spec.budget.updates, 'update')} each on {spec.data.name}, with {many} "
        f"searched for the {_BETTER[sweep.direction]} {sweep.objective}. "
        f"{_ENDS.get(sweep.status, '').format(name=sweep.name)}"
    )
    return Section(
        name="swept",
        heading="What was swept?",
        said=[said.strip()],
        blocks=[
            Facts(pairs=_facts(material)),
            _space_table(spec),
            Command(
                purpose="To repeat it, with the file below as sweep.yaml and another name:",
                line=f"ganray run {schema.SWEEP_FILE} --name {sweep.name}-again",
            ),
            Listing(title=schema.SWEEP_FILE, text=material.sweep_file),
        ],
    )


def _facts(material: Material) -> list[tuple[str, str]]:
    spec, sweep = material.spec, material.sweep
    given, known, networks = spec.data.model_dump(), sweep.params, spec.networks.name
    facts = {
        key.removeprefix("data."): value
        for key, value in known.items()
        if key.startswith("data.") and key.removeprefix("data.") not in {*given, "dataset"}
    }
    seconds = (
        (sweep.ended - sweep.started).total_seconds() if sweep.ended and sweep.started else None
    )
    took = "" if seconds is None else f" ({words.duration(seconds)})"
    pairs = [
        ("Data", _named(given) + (f"; {words.settings(facts)}" if facts else "")),
        ("Networks", _named({**spec.networks.model_dump(exclude_unset=True), "name": networks})),
        ("Objective", _objective(material)),
        ("Fixed", words.settings(spec.trainer.given) or "nothing but the defaults"),
        ("Search", _search(spec)),
        ("Budget", _budget(spec)),
        ("Stopping", _stopping(spec)),
        ("Confirming", _confirming(spec)),
        ("Ran", f"{words.moment(sweep.started)} to {words.moment(sweep.ended)}{took}"),
        *_machine(material.environment),
    ]
    return [(name, told) for name, told in pairs if told]


def _named(values: Mapping[str, Any]) -> str:
    options = {key: value for key, value in values.items() if key != "name" and value is not None}
    return f"{values['name']} ({words.settings(options)})" if options else str(values["name"])


def _objective(material: Material) -> str:
    better = _BETTER[material.sweep.direction]
    label = SIGNAL_LABELS.get(material.objective, material.objective)
    return f"{material.objective} ({label}), {better} is better: median of the last three reports"


def _search(spec: SweepSpec) -> str:
    search = spec.search
    first = words.counted(len(search.first), "given point")
    told = f"{words.counted(search.trials, 'trial')} by {search.sampler}, seed {search.seed}"
    return f"{told}, {first} first" if search.first else told


def _budget(spec: SweepSpec) -> str:
    budget = spec.budget
    told = f"{words.counted(budget.updates, 'update')} a trial, {budget.reports} reports"
    return told if budget.hours is None else f"{told}; {words.number(budget.hours)} hours in all"


def _stopping(spec: SweepSpec) -> str:
    prune = spec.prune
    if prune is None:
        return "no trial early, but what is not finite"
    risk = "no health rules" if prune.risk is None else f"health rules at risk {prune.risk:g}"
    audit = f"; {words.share(prune.audit)} run on as audit" if prune.audit else ""
    return f"{risk}, then {prune.then}{audit}"


def _confirming(spec: SweepSpec) -> str:
    confirm = spec.confirm
    if not confirm.trials:
        return ""
    return f"the best {confirm.top} again with {words.counted(confirm.seeds, 'fresh seed')} each"


def _machine(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the sweep ran on; nothing of a sweep that did not tell."""
    if not environment:
        return []
    packages = {name: found for name, found in environment.get("packages", {}).items() if found}
    versions = [f"Python {environment.get('python', words.NOTHING)}"]
    versions += [f"{name} {found}" for name, found in packages.items()]
    taken = words.settings(environment.get("resources", {}))
    cpus = words.counted(environment.get("cpus") or 0, "CPU core")
    machine = f"{environment.get('platform', words.NOTHING)}, {cpus}"
    return [
        ("Versions", ", ".join(versions)),
        ("Machine", f"{machine}; a trial takes {taken}" if taken else machine),
        ("Commit", environment.get("commit") or ""),
    ]


def _space_table(spec: SweepSpec) -> Table:
    entries = spec.search.space.entries
    return Table(
        caption="What was searched",
        columns=("parameter", "values", "only where"),
        rows=[(name, _values(entry), _condition(entry)) for name, entry in entries.items()],
    )


def _values(entry: Choices | Range) -> str:
    if isinstance(entry, Choices):
        return ", ".join(map(words.setting, entry.choices))
    scale = ", logarithmic" if entry.log else ""
    step = "" if entry.step is None else f" in steps of {entry.step:g}"
    return f"{entry.low:g} to {entry.high:g}{step}{scale}"


def _condition(entry: Choices | Range) -> str:
    return "; ".join(
        f"{name} is {' or '.join(map(words.setting, values))}"
        for name, values in (entry.when or {}).items()
    )

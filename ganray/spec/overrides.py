"""`key=value` from the command line, laid over a sweep that was read from a file."""

from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml.error import YAMLError

from ganray.errors import SpecError
from ganray.spec.models import Budget, Prune, Search, SweepSpec, Tracking
from ganray.spec.parameters import Part, Trainer
from ganray.spec.problems import unknown
from ganray.spec.yaml import read_yaml


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Change `raw` in place, by each text that can be applied.

    Args:
        raw: the sweep as read from its file.
        overrides: texts `path=value` or `trial_parameter=value`, values in YAML.

    Returns:
        What is wrong with the others: a text without `=`, or a key that is neither a part nor a
        trial parameter.
    """
    problems: list[str] = []
    for text in overrides:
        try:
            _apply(raw, text)
        except SpecError as error:
            problems += error.problems
    return problems


def _apply(raw: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals:
        raise SpecError([f"--set {text}: must be key=value"])
    if path[0] in SweepSpec.model_fields:
        _set(raw, path, _parse(text, value))
    elif len(path) == 1 and path[0] in Trainer.model_fields:
        _fix(raw, path[0], _parse(text, value))
    else:
        raise SpecError([f"--set {_unknown(path)}"])


def _unknown(path: list[str]) -> str:
    """The text for a key that is neither a path nor a trial parameter, with what may be meant."""
    key = ".".join(path)
    if len(path) > 1:
        return f"{key}: {unknown('part', path[0], SweepSpec.model_fields)}"
    if key in _PATHS:
        return f"{key}: is a key of a part; did you mean '{_PATHS[key]}'?"
    return unknown("key", key, [*SweepSpec.model_fields, *Trainer.model_fields])


_PARTS: Mapping[str, type[Part]] = {
    "search": Search,
    "budget": Budget,
    "prune": Prune,
    "tracking": Tracking,
}
_PATHS = {
    key: f"{part}.{key}"
    for part, kind in _PARTS.items()
    for key in (info.alias or name for name, info in kind.model_fields.items())
}


def _parse(text: str, value: str) -> Any:
    try:
        return read_yaml(value)
    except YAMLError:
        raise SpecError([f"--set {text}: the value is not YAML"]) from None


def _set(raw: dict[str, Any], path: list[str], value: Any) -> None:
    node: Any = raw
    for step in path[:-1]:
        if node.get(step) is None:
            node[step] = {}
        node = node[step]
        if not isinstance(node, dict):
            raise SpecError([f"--set {'.'.join(path)}: {step} is not a mapping"])
    node[path[-1]] = value


def _fix(raw: dict[str, Any], name: str, value: Any) -> None:
    """Fix a trial parameter: it leaves the space, and what depended on it is decided now.

    What has the wrong shape is left as it is: the check of the whole file tells of it.
    """
    trainer = raw.get("trainer") or {}
    if isinstance(trainer, dict):
        raw["trainer"] = {**trainer, name: value}
    search = raw.get("search")
    if isinstance(search, dict):
        _forget(search, name)
        _decide(search, name, value)
        if search.get("space") == {}:  # trials then differ in their seeds alone
            search["space"] = {name: [value]}


def _forget(search: dict[str, Any], name: str) -> None:
    """Take a parameter out of the space and of the first points."""
    points = search.get("first")
    for point in points if isinstance(points, list) else ():
        if isinstance(point, dict):
            point.pop(name, None)
    space = search.get("space")
    if isinstance(space, dict):
        space.pop(name, None)


def _decide(search: dict[str, Any], name: str, value: Any) -> None:
    """Drop the conditions on a fixed parameter, and what they rule out, and so on down."""
    space = search.get("space")
    for child, entry in list(space.items()) if isinstance(space, dict) else ():
        when = entry.get("when") if isinstance(entry, dict) else None
        if not isinstance(when, dict) or not isinstance(when.get(name), list):
            continue
        if value in when.pop(name):
            if not when:
                del entry["when"]
        else:
            _forget(search, child)
            _decide(search, child, _NOTHING)


_NOTHING = object()  # equal to no value that a condition may list

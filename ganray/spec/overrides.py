"""`key=value` from the command line, laid over a sweep that was read from a file."""

from collections.abc import Sequence
from typing import Any

from ruamel.yaml.error import YAMLError

from ganray.errors import SpecError
from ganray.spec.models import SweepSpec
from ganray.spec.parameters import Trainer
from ganray.spec.problems import unknown
from ganray.spec.yaml import read_yaml


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> None:
    """Change `raw` in place.

    Args:
        raw: the sweep as read from its file.
        overrides: texts `path=value` or `trial_parameter=value`, values in YAML.

    Raises:
        SpecError: a text without `=`, or a key that is neither a part nor a trial parameter.
    """
    problems: list[str] = []
    for text in overrides:
        try:
            _apply(raw, text)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)


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
        known = [*SweepSpec.model_fields, *Trainer.model_fields]
        raise SpecError([f"--set {unknown('key', key.strip(), known)}"])


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

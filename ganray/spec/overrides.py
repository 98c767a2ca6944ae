"""`key=value` from the command line, laid over a sweep that was read from a file."""

from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ganray.errors import SpecError
from ganray.spec.models import SweepSpec
from ganray.spec.parameters import Trainer
from ganray.spec.problems import unknown


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> None:
    """Change `raw` in place.

    Args:
        raw: the sweep as read from its file.
        overrides: texts `path=value` or `trial_parameter=value`, values in YAML.

    Raises:
        SpecError: a text without `=`, or a key that is neither a part nor a trial parameter.
    """
    problems = []
    for text in overrides:
        key, equals, value = text.partition("=")
        head, *rest = key.strip().split(".")
        if not equals:
            problems.append(f"--set {text}: must be key=value")
        elif head in Trainer.model_fields and not rest:
            _fix(raw, head, _parse(text, value))
        elif head in SweepSpec.model_fields:
            problems += _set(raw, [head, *rest], _parse(text, value))
        else:
            known = [*SweepSpec.model_fields, *Trainer.model_fields]
            problems.append(f"--set {unknown('key', head, known)}")
    if problems:
        raise SpecError(problems)


def _parse(text: str, value: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        raise SpecError([f"--set {text}: the value is not YAML"]) from None


def _set(raw: dict[str, Any], path: list[str], value: Any) -> list[str]:
    node = raw
    for step in path[:-1]:
        node = node.setdefault(step, {})
        if not isinstance(node, dict):
            return [f"--set {'.'.join(path)}: {step} is not a mapping"]
    node[path[-1]] = value
    return []


def _fix(raw: dict[str, Any], name: str, value: Any) -> None:
    """Fix a trial parameter: it leaves the space, and what depended on it is decided now."""
    raw["trainer"] = {**(raw.get("trainer") or {}), name: value}
    search = raw.get("search")
    if not isinstance(search, dict):
        return
    for point in search.get("first") or []:
        if isinstance(point, dict):
            point.pop(name, None)
    space = search.get("space")
    if not isinstance(space, dict):
        return
    space.pop(name, None)
    for child, entry in list(space.items()):
        when = entry.get("when") if isinstance(entry, dict) else None
        if isinstance(when, dict) and name in when:
            if value in when.pop(name):
                if not when:
                    del entry["when"]
            else:
                del space[child]

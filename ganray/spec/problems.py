"""A problem in a sweep file, told as: where, what, what was given, what is allowed."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Loc = Sequence[int | str]

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "model_attributes": "a mapping",
}
_THINGS = {
    "data": "data set",
    "then": "pruner",
    "metrics": "metric",
}  # what a name is of, where its key does not say
_SIMILAR = 0.65  # hinj is like hinge, bayes is not like cmaes
_MOST_LISTED, _NEAREST = 20, 8  # names: all are told, or of more than that so many
_NAMES: Mapping[tuple[int | str, ...], str] = {  # what may stand there
    ("name",): "at most 100 letters, digits, - and _, starting with a letter or digit",
    ("tracking", "register"): "at most 100 letters, digits, spaces, -, _ and dots, "
    "starting with a letter or digit",
}
_LIMITS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


@dataclass(frozen=True)
class Problem:
    """One problem, with the path of the value that it is about."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


def unknown(what: str, got: Any, known: Iterable[str]) -> str:
    """The text for a name that is none of the known ones, with those, or the nearest of them."""
    names = sorted(known)
    near = nearest(got, names)
    hint = f"; did you mean '{near}'?" if near else "."
    told = "Known"
    if len(names) > _MOST_LISTED:
        told = f"Nearest of {len(names)}"
        names = difflib.get_close_matches(str(got), names, n=_NEAREST, cutoff=0.0)
    return f"unknown {what} {shown(got)}{hint} {told}: {', '.join(names)}"


def nearest(got: Any, known: Iterable[str]) -> str | None:
    """The known name that is most like the given one, if any is like it."""
    found = difflib.get_close_matches(str(got), sorted(known), n=1, cutoff=_SIMILAR)
    return found[0] if found else None


def shown(value: Any) -> str:
    """A value on one line, as it may stand in a sweep file; text always in quotes."""
    match value:
        case None | bool():
            return "null" if value is None else str(value).lower()
        case float() if not math.isfinite(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        case str():
            return repr(value)
        case list():
            return f"[{', '.join(map(shown, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {shown(item)}' for key, item in value.items())}}}"
    return str(value)


def from_pydantic(
    errors: Iterable[ErrorDetails], raw: Any, model: type[BaseModel]
) -> list[Problem]:
    """pydantic's errors in ganray's words.

    Args:
        errors: as `ValidationError.errors()` gives them.
        raw: what was validated; paths are those that can be followed in it.
        model: the model that it was validated against.
    """
    return [Problem(_path(e, raw), _text(e, raw, model)) for e in errors]


def path_of(loc: Loc) -> str:
    """`search.space.loss[1]` from its steps."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def follow(loc: Loc, raw: Any) -> list[int | str]:
    """The steps of `loc` that exist in `raw`: pydantic's own tags of unions are not in the file."""
    steps: list[int | str] = []
    for step in loc:
        inside = isinstance(raw, Mapping) and step in raw
        if inside or (isinstance(raw, list) and isinstance(step, int) and step < len(raw)):
            steps.append(step)
            raw = raw[step]
    return steps


def _path(error: ErrorDetails, raw: Any) -> str:
    loc = error["loc"]
    match error["type"]:
        case "invalid_key":
            loc = loc[:-1]
        case "union_tag_invalid":
            loc = (*loc, _discriminator(error))
    return path_of(follow(loc, raw))


def _text(error: ErrorDetails, raw: Any, model: type[BaseModel]) -> str:
    kind, got, context = error["type"], error["input"], error.get("ctx", {})
    loc = error["loc"]
    names = [s for s in follow(loc, raw) if isinstance(s, str) and s != "choices"]
    thing = _THINGS.get(names[-1], names[-1]) if names else "value"
    match kind:
        case "extra_forbidden":
            return unknown("key", loc[-1], _keys_beside(loc, model))
        case "missing":
            return f"{loc[-1]} is missing"
        case "literal_error":
            return unknown(thing, got, _quoted(context["expected"]))
        case "union_tag_invalid":
            return unknown(thing, got[_discriminator(error)], _quoted(context["expected_tags"]))
        case "union_tag_not_found":
            return f"{_discriminator(error)} is missing"
        case "unknown_name":
            return unknown(thing, got, context["known"])
        case "string_pattern_mismatch" if tuple(loc) in _NAMES:
            return f"must be {_NAMES[tuple(loc)]}; got {shown(got)}"
        case "invalid_key":
            return f"keys must be text; got {shown(got)}"
        case "too_short" | "string_too_short":
            item = {"too_short": "value", "string_too_short": "character"}[kind]
            return f"is empty; give at least one {'choice' if loc[-1] == 'choices' else item}"
    return _limit_or_type(kind, got, context) or error["msg"]


def _limit_or_type(kind: str, got: Any, context: dict[str, Any]) -> str:
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"must be {words} {context[key]:.15g}; got {shown(got)}"
    expected = _TYPES.get(kind.removesuffix("_type"))
    return f"must be {expected}; got {shown(got)}" if expected else ""


def _discriminator(error: ErrorDetails) -> str:
    """The key that says which kind of part it is."""
    return _quoted(error["ctx"]["discriminator"])[0]


def _quoted(text: str) -> list[str]:
    """The names in pydantic's `'a', 'b' or 'c'`."""
    return text.split("'")[1::2]


def _keys_beside(loc: Loc, model: type[BaseModel]) -> list[str]:
    """The keys that are allowed where `loc` ends: read off the JSON schema, as users see it."""
    schema = model.model_json_schema()
    node = schema
    for step in loc[:-1]:
        node = _step(_resolve(node, schema), step, schema)
    node = _resolve(node, schema)
    parts = [node, *(_resolve(option, schema) for option in _options(node))]  # a part, or null
    return [key for part in parts for key in part.get("properties", {})]


def _step(node: dict[str, Any], step: int | str, schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(step, int):
        items: dict[str, Any] = node.get("items", {})
        return items
    for option in [node, *(_resolve(o, schema) for o in _options(node))]:
        properties = option.get("properties", {})
        if step in properties:
            found: dict[str, Any] = properties[step]
            return found
    return next((o for o in _options(node) if _is_tagged(_resolve(o, schema), str(step))), node)


def _options(node: dict[str, Any]) -> list[dict[str, Any]]:
    options: list[dict[str, Any]] = node.get("oneOf", node.get("anyOf", []))
    return options


def _is_tagged(option: dict[str, Any], tag: str) -> bool:
    """Whether a union's option is the one that pydantic calls `tag`."""
    name = option.get("properties", {}).get("name", {})
    return tag in (name.get("const"), *name.get("enum", ())) or str(
        option.get("title", "")
    ).lower().startswith(f"{tag.strip('<>')}_")


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        resolved: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return resolved
    return node

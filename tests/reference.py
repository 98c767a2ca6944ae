"""The README's tables of what a sweep file may say, made from its JSON schema.

python -m tests.reference      writes them into README.md, between two comments
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ganray.spec.schema import json_schema

Schema = Mapping[str, Any]
Row = tuple[str, ...]

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- written by `python -m tests.reference` -->"
END = "<!-- until here -->"
SCHEMA = json_schema()
KINDS = {"data": "Data sets", "networks": "Networks"}  # parts of several kinds, told apart by name
# the names to choose from that readers ask for first, by the part that they stand in
ASKED = {
    "trainer": ("loss", "penalty", "model", "conditioning", "optimizer"),
    "search": ("sampler",),
    "prune": ("then",),
    "measure": ("metrics",),
}
HEAD = ("key", "values", "default", "")
EXAMPLE = "d_lr"  # of a searched parameter
LIMITS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
EMPTY = {"array": "[]", "object": "{}"}
WORDS = {"integer": "whole number", "string": "text", "object": "mapping"}


def reference() -> str:
    """All tables, as Markdown."""
    tables = [_table(("key", "one of"), _names())]
    tables += [_folded(title, *_kind_tables(key)) for key, title in KINDS.items()]
    trial = "Trial parameters, under <code>trainer</code> or <code>search.space</code>"
    tables.append(_folded(trial, _table(HEAD, _rows(_part("trainer")))))
    tables.append(_folded("All other keys", _table(HEAD, _other_rows())))
    return "\n\n".join(tables)


def updated(text: str) -> str:
    """A README with its tables as they are to be."""
    place = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)
    return place.sub(lambda _: f"\n{reference()}\n\n", text, count=1)


# --- tables ---------------------------------------------------------------------------------------


def _names() -> Iterator[Row]:
    for key in KINDS:
        yield f"`{key}.name`", _listed(_kinds(key))
    for key, asked in ASKED.items():
        for name in asked:
            found = _part(key)["properties"][name]
            path = name if key == "trainer" else f"{key}.{name}"
            yield f"`{path}`", _listed(_choices(found.get("items", found)))


def _kind_tables(key: str) -> Iterator[str]:
    """What the kinds of a part are; and their options, each once for all kinds that share it."""
    kinds = _kinds(key)
    about = ((f"`{name}`", part["description"].partition("\n")[0]) for name, part in kinds.items())
    yield _table((f"`{key}.name`", ""), about)
    shared: dict[Row, list[str]] = {}
    for name, part in kinds.items():
        for row in _rows(part):
            shared.setdefault(row, []).append(name)
    options = (
        (row[0], "all" if len(names) == len(kinds) else _listed(names), *row[1:])
        for row, names in shared.items()
    )
    yield _table((HEAD[0], "of", *HEAD[1:]), options)


def _other_rows() -> Iterator[Row]:
    """A heading for each part, then its keys; last, what may be said of a searched parameter."""
    for key, node in SCHEMA["properties"].items():
        if key in (*KINDS, "trainer"):
            continue
        part = _referred(node)
        if part is None:
            yield _row(key, node, SCHEMA)
        else:
            yield f"**`{key}`**", "", "", node["description"]
            yield from _rows(part, f"{key}.")
    entries = (_definition(f"{form}_{EXAMPLE}") for form in ("Range", "Choices"))
    yield f"**`search.space.{EXAMPLE}`**", "", "", "A searched parameter, by way of example."
    yield from dict.fromkeys(row for e in entries for row in _rows(e, f"search.space.{EXAMPLE}."))


def _rows(part: Schema, prefix: str = "") -> Iterator[Row]:
    for key, node in part["properties"].items():
        if key != "name":
            yield _row(key, node, part, prefix)


def _row(key: str, node: Schema, part: Schema, prefix: str = "") -> Row:
    return f"`{prefix}{key}`", _values(node), _default(key, node, part), node["description"]


# --- cells ----------------------------------------------------------------------------------------


def _values(node: Schema) -> str:
    """What a key may be set to."""
    if "anyOf" in node:
        return ", ".join(map(_values, node["anyOf"]))
    if "const" in node or "enum" in node:
        return _listed(_choices(node))
    match node.get("type"):
        case "null":
            return "`null`"
        case "boolean":
            return "`true`, `false`"
        case "array":
            return f"list; each: {_values(node['items'])}"
        case None:
            return "mapping"
    limits = [
        f"{sign}\N{NO-BREAK SPACE}{node[key]:.12g}" for key, sign in LIMITS.items() if key in node
    ]
    return " ".join([WORDS.get(node["type"], node["type"]), ", ".join(limits)]).strip()


def _default(key: str, node: Schema, part: Schema) -> str:
    if key in part.get("required", ()):
        return "needed"
    return f"`{_text(node['default'])}`" if "default" in node else f"`{EMPTY[node['type']]}`"


def _text(value: Any) -> str:
    """A value as it may stand in a sweep file."""
    match value:
        case None | bool():
            return "null" if value is None else str(value).lower()
        case float():
            return f"{value:g}"
        case list():
            return f"[{', '.join(map(_text, value))}]"
    return str(value)


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(f"`{_text(name)}`" for name in names)


# --- Markdown -------------------------------------------------------------------------------------


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _folded(title: str, *tables: str) -> str:
    inner = "\n\n".join(tables)
    return f"<details><summary><b>{title}</b></summary>\n\n{inner}\n\n</details>"


# --- the schema -----------------------------------------------------------------------------------


def _part(key: str) -> Schema:
    """The part of that name; of one that may be null, too."""
    found = _referred(SCHEMA["properties"][key])
    assert found is not None, key
    return found


def _referred(node: Schema) -> Schema | None:
    """What a property refers to; None if it is no part."""
    places = (option["$ref"] for option in (node, *node.get("anyOf", ())) if "$ref" in option)
    return next((_definition(place) for place in places), None)


def _definition(place: str) -> Schema:
    found: Schema = SCHEMA["$defs"][place.rpartition("/")[2]]
    return found


def _kinds(key: str) -> dict[str, Schema]:
    """The kinds of a part by their names."""
    parts = [_definition(option["$ref"]) for option in SCHEMA["properties"][key]["oneOf"]]
    return {name: part for part in parts for name in _choices(part["properties"]["name"])}


def _choices(node: Schema) -> list[Any]:
    found: list[Any] = node["enum"] if "enum" in node else [node["const"]]
    return found


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")

"""A sweep file → `SweepSpec`, or every problem in it at once."""

import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ganray.errors import SpecError
from ganray.spec import checks
from ganray.spec.models import Prune, SweepSpec
from ganray.spec.overrides import apply_overrides
from ganray.spec.parameters import Trainer
from ganray.spec.problems import Problem, follow, from_pydantic, nearest, path_of, shown, unknown
from ganray.spec.yaml import LARGEST, RefusedYamlError, read_yaml


class _Kind(NamedTuple):
    """What a file is for, in the words of its errors."""

    parts: str
    needs: str


_SWEEP = _Kind("name, data, search", "a sweep needs at least name, data and search")
_POLICY = _Kind("risk, then", "a policy is a `prune` section, such as {risk: 0.02, then: none}")


def load_sweep(path: str | Path, overrides: Sequence[str] = (), *, here: bool = False) -> SweepSpec:
    """Read and check a sweep file.

    Args:
        path: the YAML file.
        overrides: `key=value` texts; a key is a path such as `budget.updates`, or the name of a
            trial parameter, which is then fixed instead of searched.
        here: whether it is for this machine, which must have the files that it names.

    Raises:
        SpecError: with every problem found, each with the file's name, the path in it, what was
            given and what is allowed.
    """
    try:
        raw = _read(Path(path))
        return parse_sweep(raw, overrides, here=here)
    except SpecError as error:
        raise SpecError([f"{path}: {problem}" for problem in error.problems]) from None


def load_prune(path: str | Path) -> Prune | None:
    """Read and check a policy file: a `prune` section, by itself or in a sweep file.

    Returns:
        None if the section is `null`: nothing is stopped.

    Raises:
        SpecError: as in `load_sweep`.
    """
    try:
        raw = _read(Path(path), _POLICY)
        return _parse_prune(raw)
    except SpecError as error:
        raise SpecError([f"{path}: {problem}" for problem in error.problems]) from None


def parse_sweep(
    raw: dict[str, Any], overrides: Sequence[str] = (), *, here: bool = False
) -> SweepSpec:
    """Check a sweep that is already a mapping.

    Args:
        raw: the mapping; the overrides are laid over it in place.
        overrides: as in `load_sweep`.
        here: as in `load_sweep`.

    Raises:
        SpecError: with every problem found.
    """
    problems = apply_overrides(raw, overrides)
    found: list[Problem] = []
    try:
        spec = SweepSpec.model_validate(raw)
        parts = dict(spec)
    except ValidationError as error:
        details = [e for e in error.errors() if e["type"] != "parts"]
        parts, broken = _salvage(raw)
        found = from_pydantic(details, raw, SweepSpec) + checks.problems(parts, broken)
    if here and "data" in parts:
        found += checks.missing_files(parts["data"])
    if problems or found:
        raise SpecError([*problems, *map(str, found)])
    return spec


def dump_sweep(spec: SweepSpec) -> str:
    """The sweep as YAML that `load_sweep` reads back equal: what was given, no defaults."""
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(spec.model_dump(exclude_unset=True), out)
    return out.getvalue()


class _Salvaged(NamedTuple):
    """What is valid of a sweep that is not: one fault must not hide another."""

    parts: dict[str, Any]  # by name
    broken: dict[str, str]  # trial parameters that were left out, and of what


def _salvage(raw: dict[str, Any]) -> _Salvaged:
    found = _Salvaged({}, {})
    for name, info in SweepSpec.model_fields.items():
        if name not in raw:
            if not info.is_required():
                found.parts[name] = info.get_default(call_default_factory=True)
            continue
        # the field's own annotation, so that unions are told apart as in the whole
        kind: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
        try:
            found.parts[name] = kind.validate_python(raw[name])
        except ValidationError as error:
            if name in _PARAMETERS:
                rest = _without(raw[name], error, name, found.broken)
                with contextlib.suppress(ValidationError):
                    found.parts[name] = kind.validate_python(rest)
    return found


_PARAMETERS = {"trainer": "trainer", "search": "search.space"}  # part: where it has parameters


def _without(part: Any, error: ValidationError, name: str, broken: dict[str, str]) -> Any:
    """A part without its keys that are wrong.

    Args:
        part: as the file has it.
        error: what is wrong with it.
        name: of the part.
        broken: is told the trial parameters that are left out, and of what.
    """
    rest = copy.deepcopy(part)
    for detail in error.errors():
        way = _to_key(follow(detail["loc"], part))
        key, node = (way.pop() if way else None), rest
        for step in way:
            node = node[step]
        if isinstance(node, dict) and key in node:
            del node[key]
            is_unknown = detail["type"] == "extra_forbidden"
            meant = nearest(key, Trainer.model_fields) if is_unknown else key
            if path_of([name, *way]) == _PARAMETERS[name] and meant in Trainer.model_fields:
                broken[str(meant)] = _PARAMETERS[name]
    return rest


def _to_key(steps: list[int | str]) -> list[int | str]:
    """The steps to the key of a part, a searched parameter or a parameter of a first point."""
    depth = {"space": 2, "first": 3}.get(str(steps[0]), 1) if steps else 0
    return steps[:depth]


def _parse_prune(raw: dict[str, Any]) -> Prune | None:
    if "prune" not in raw:
        return _validated(raw, "")
    strange = [key for key in raw if key not in SweepSpec.model_fields]
    if strange:
        raise SpecError(
            [f"{key}: {unknown('key', key, SweepSpec.model_fields)}" for key in strange]
        )
    return None if raw["prune"] is None else _validated(raw["prune"], "prune")


def _validated(section: Any, place: str) -> Prune:
    try:
        return Prune.model_validate(section)
    except ValidationError as error:
        problems = from_pydantic(error.errors(), section, Prune)
    raise SpecError(
        [str(replace(p, path=".".join(filter(None, (place, p.path))))) for p in problems]
    )


def _read(path: Path, kind: _Kind = _SWEEP) -> dict[str, Any]:
    try:
        if path.is_file() and (size := path.stat().st_size) > 4 * LARGEST:  # bytes of a character
            raise SpecError([f"has {size:,} bytes; a sweep file is far smaller"])
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(["no such file"]) from None
    except IsADirectoryError:
        raise SpecError(["is a folder; give a YAML file"]) from None
    except UnicodeDecodeError:
        raise SpecError(["is not a text file in UTF-8"]) from None
    except OSError as error:
        raise SpecError([f"cannot be read: {error.strerror}"]) from None
    return _mapping(text, kind)


def _mapping(text: str, kind: _Kind) -> dict[str, Any]:
    try:
        raw = read_yaml(text)
    except DuplicateKeyError as error:
        raise SpecError([_at_line(error, _duplicate(error))]) from None
    except MarkedYAMLError as error:
        raise SpecError([_at_line(error, _syntax(error))]) from None
    except RefusedYamlError as error:
        raise SpecError([str(error)]) from None
    except YAMLError as error:
        raise SpecError([f"is not YAML: {' '.join(str(error).split())}"]) from None
    if raw is None:
        raise SpecError([f"is empty; {kind.needs}"])
    if not isinstance(raw, dict):
        raise SpecError([f"must be a mapping of parts such as {kind.parts}; got {_kind(raw)}"])
    bad_keys = [key for key in raw if not isinstance(key, str)]
    if bad_keys:
        raise SpecError([f"keys must be text; got {shown(key)}" for key in bad_keys])
    return raw


def _at_line(error: MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark
    return f"line {mark.line + 1}: {text}" if mark else text


def _duplicate(error: MarkedYAMLError) -> str:
    key = str(error.problem).split('"')[1]
    return f"the key '{key}' stands twice in the same mapping; keep one"


def _syntax(error: MarkedYAMLError) -> str:
    if isinstance(error, ComposerError) and "another document" in str(error.problem):
        return "a second document begins; a sweep file has one"
    if isinstance(error, ConstructorError) and "constructor for the tag" in str(error.problem):
        tag = str(error.problem).split("'")[1]
        return f"a tag, {tag}; a sweep file has none"
    if "'\\t'" in str(error.problem):
        return "a tab; YAML is indented with spaces"
    return f"is not YAML: {error.problem}"


def _kind(raw: Any) -> str:
    return {"list": "a list", "str": "text"}.get(type(raw).__name__, shown(raw))

"""A sweep file → `SweepSpec`, or every problem in it at once."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ganray.errors import SpecError
from ganray.spec import checks
from ganray.spec.models import SweepSpec
from ganray.spec.overrides import apply_overrides
from ganray.spec.problems import from_pydantic, shown


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read and check a sweep file.

    Args:
        path: the YAML file.
        overrides: `key=value` texts; a key is a path such as `budget.updates`, or the name of a
            trial parameter, which is then fixed instead of searched.

    Raises:
        SpecError: with every problem found, each with the file's name, the path in it, what was
            given and what is allowed.
    """
    try:
        raw = _read(Path(path))
        apply_overrides(raw, overrides)
        return parse_sweep(raw)
    except SpecError as error:
        raise SpecError([f"{path}: {problem}" for problem in error.problems]) from None


def parse_sweep(raw: dict[str, Any]) -> SweepSpec:
    """Check a sweep that is already a mapping.

    Raises:
        SpecError: with every problem found.
    """
    try:
        return SweepSpec.model_validate(raw)
    except ValidationError as error:
        details = [e for e in error.errors() if e["type"] != "parts"]
        problems = from_pydantic(details, raw, SweepSpec) + checks.problems(_valid_parts(raw))
    raise SpecError([str(problem) for problem in problems])


def dump_sweep(spec: SweepSpec) -> str:
    """The sweep as YAML that `load_sweep` reads back equal: what was given, no defaults."""
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(spec.model_dump(exclude_unset=True), out)
    return out.getvalue()


def _valid_parts(raw: dict[str, Any]) -> dict[str, Any]:
    """The parts that are valid by themselves: one bad part must not hide another's faults."""
    parts: dict[str, Any] = {}
    for name, info in SweepSpec.model_fields.items():
        if name not in raw:
            if not info.is_required():
                parts[name] = info.get_default(call_default_factory=True)
            continue
        try:
            # the field's own annotation, so that unions are told apart as in the whole
            kind = TypeAdapter(info.rebuild_annotation())
            parts[name] = kind.validate_python(raw[name])
        except ValidationError:
            continue
    return parts


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(["no such file"]) from None
    except IsADirectoryError:
        raise SpecError(["is a folder; give a YAML file"]) from None
    except UnicodeDecodeError:
        raise SpecError(["is not a text file in UTF-8"]) from None
    except OSError as error:
        raise SpecError([f"cannot be read: {error.strerror}"]) from None
    return _mapping(text)


def _mapping(text: str) -> dict[str, Any]:
    try:
        raw = YAML(typ="safe", pure=True).load(text)
    except DuplicateKeyError as error:
        raise SpecError([_at_line(error, _duplicate(error))]) from None
    except MarkedYAMLError as error:
        raise SpecError([_at_line(error, _syntax(error))]) from None
    except YAMLError as error:
        raise SpecError([f"is not YAML: {' '.join(str(error).split())}"]) from None
    if raw is None:
        raise SpecError(["is empty; a sweep needs at least name, data and search"])
    if not isinstance(raw, dict):
        raise SpecError(
            [f"must be a mapping of parts such as name, data, search; got {_kind(raw)}"]
        )
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
    if "'\\t'" in str(error.problem):
        return "a tab; YAML is indented with spaces"
    return f"is not YAML: {error.problem}"


def _kind(raw: Any) -> str:
    return {"list": "a list", "str": "text"}.get(type(raw).__name__, shown(raw))

"""The JSON schema of a sweep file, for editors: each key with what it means and what it takes."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from ganray.spec.models import SweepSpec

Schema = dict[str, Any]


class _Untitled(GenerateJsonSchema):
    """Without a title for each key, which would only repeat it in capitals."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """See pydantic."""
        return False


def json_schema() -> Schema:
    """The schema of a whole sweep file; every property has a description."""
    schema = SweepSpec.model_json_schema(schema_generator=_Untitled)
    parts: dict[str, Schema] = schema["$defs"]
    for part in parts.values():
        _describe_kind(part)
    for entry in parts["Space"]["properties"].values():
        del entry["default"]  # what is not searched is left out: null is no value of it
    return schema


def _describe_kind(part: Schema) -> None:
    """The `name` that tells a data set or an architecture from the others is needed, and described.

    pydantic takes one with a default for optional; but only the part as a whole is.
    """
    name = part.get("properties", {}).get("name")
    if name is not None:
        name["description"] = part["description"].partition("\n")[0]
        name.pop("default", None)
        part["required"] = list(dict.fromkeys(["name", *part.get("required", [])]))

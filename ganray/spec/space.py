"""The search space: for every trial parameter, the choices or the range that it may be given."""

from types import UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

from pydantic import BeforeValidator, Discriminator, Field, Tag, create_model, model_validator
from pydantic_core import PydanticCustomError

from ganray.spec.parameters import Part, Trainer

Condition = dict[str, Annotated[list[Any], Field(min_length=1)]]


class Choices(Part):
    """A finite list of values; `when` limits it to trials whose other parameters have a value."""

    choices: Annotated[list[Any], Field(min_length=1)]
    """The values; a list alone means the same."""
    when: Condition | None = None
    """Only in trials whose other parameters have such a value: `{loss: [wgan]}`; null: all."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for index, value in enumerate(self.choices):
            if any(value == other and type(value) is type(other) for other in self.choices[:index]):
                raise PydanticCustomError("repeated", f"choice {value!r} is listed twice")
        return self

    def admits(self, value: Any) -> bool:
        """Whether a trial may have this value."""
        return value in self.choices

    @property
    def largest(self) -> Any:
        """The largest value."""
        return max(self.choices)

    def describe(self) -> str:
        """The values, for a message."""
        return ", ".join(map(repr, self.choices))


class Range(Part):
    """All values from `low` to `high`, both included, in Optuna's words."""

    low: Any
    """The smallest value."""
    high: Any
    """The largest value, included."""
    log: bool = False
    """Whether to search on a logarithmic scale."""
    step: Annotated[Any, Field(gt=0)] = None
    """Distance between two values; null: every value, or every whole number."""
    when: Condition | None = None
    """Only in trials whose other parameters have such a value: `{loss: [wgan]}`; null: all."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.low > self.high:
            raise PydanticCustomError(
                "inverted", f"low {self.low} is above high {self.high}; swap them"
            )
        if self.log and self.low <= 0:
            raise PydanticCustomError(
                "log_at_zero", f"a log range must start above 0; got low {self.low}"
            )
        if self.log and self.step is not None:
            raise PydanticCustomError("log_step", "a log range takes no step; drop one of the two")
        if self.step is not None and not _divides(self.step, self.high - self.low):
            raise PydanticCustomError(
                "step",
                f"step {self.step} does not lead from low {self.low} to high {self.high}, "
                "so high could never be tried",
            )
        return self

    @property
    def is_countable(self) -> bool:
        """Whether the range has finitely many values: whole numbers, or a step."""
        return self.step is not None or (isinstance(self.low, int) and not self.log)

    def examples(self, most: int) -> list[Any]:
        """Every value of a countable range, or its two ends if there are more than `most`."""
        step = self.step or 1
        if not self.is_countable or round((self.high - self.low) / step) >= most:
            return [self.low, self.high]
        return [
            self.low + index * step for index in range(round((self.high - self.low) / step) + 1)
        ]

    def admits(self, value: Any) -> bool:
        """Whether a trial may have this value."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        on_step = self.step is None or (number and _divides(self.step, value - self.low))
        return number and self.low <= value <= self.high and on_step

    @property
    def largest(self) -> Any:
        """The largest value."""
        return self.high

    def describe(self) -> str:
        """The values, for a message."""
        return f"{self.low} to {self.high}" + (f" in steps of {self.step}" if self.step else "")


def _divides(step: float, width: float) -> bool:
    steps = width / step
    return abs(steps - round(steps)) < 1e-9 * max(1.0, steps)


_CHOICES, _RANGE = "<choices>", "<range>"  # no keys of a file: they are left out of paths
# of models that stand in no file: to look there for the text under their fields takes 5 ms each
_NO_SOURCE = {"use_attribute_docstrings": False}


def _as_entry(value: Any) -> Any:
    if isinstance(value, list):
        return {"choices": value}
    if not isinstance(value, dict):
        raise PydanticCustomError(
            "not_searched",
            "must be a list of choices or a range such as {low: 0.1, high: 1.0}; "
            "a fixed value belongs under trainer",
        )
    return value


def _entry_kind(value: Any) -> str:
    if isinstance(value, dict):
        return _CHOICES if "choices" in value else _RANGE
    return _CHOICES if isinstance(value, Choices) else _RANGE


def _entry_type(name: str, annotation: Any) -> Any:
    """The type of one searched parameter: choices of its own type, or a range if it is a number."""
    values: Any = Annotated[list[annotation], Field(min_length=1)]
    choices = _narrowed(Choices, f"Choices_{name}", choices=values)
    number = _number_type(annotation)
    if number is None:
        return Annotated[choices, _reader(values | choices)]
    step: Any = Annotated[int if _is_integer(number) else float, Field(gt=0)]
    range_ = _narrowed(Range, f"Range_{name}", low=number, high=number, step=step | None)
    union: Any = Annotated[choices, Tag(_CHOICES)] | Annotated[range_, Tag(_RANGE)]
    return Annotated[union, Discriminator(_entry_kind), _reader(values | choices | range_)]


def _narrowed(base: type[Part], name: str, **types: Any) -> Any:
    """The same part with other types of some fields."""
    fields: dict[str, Any] = {}
    for key, kind in types.items():
        info = base.model_fields[key]
        fields[key] = (kind, Field(info.default, description=info.description))
    return create_model(name, __base__=base, __cls_kwargs__=_NO_SOURCE, **fields)


def _reader(written: Any) -> BeforeValidator:
    """Takes what a file has; `written` tells the JSON schema what that may be."""
    return BeforeValidator(_as_entry, json_schema_input_type=written)


def _number_type(annotation: Any) -> Any:
    """The annotation without `None`, or None itself if it does not stand for a number."""
    if get_origin(annotation) in (Union, UnionType):
        return _number_type(next(a for a in get_args(annotation) if a is not type(None)))
    base = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return annotation if base in (int, float) else None


def _is_integer(annotation: Any) -> bool:
    return annotation is int or get_args(annotation)[:1] == (int,)


def _parameter_types() -> dict[str, Any]:
    """The annotation of every trial parameter, limits included."""
    types = {}
    for name, info in Trainer.model_fields.items():
        types[name] = (
            Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        )
    return types


class _SpaceBase(Part):
    @property
    def entries(self) -> dict[str, Choices | Range]:
        """The searched parameters, always in the order of `Trainer`, whatever the file's is."""
        given = ((name, getattr(self, name)) for name in self.model_fields_set)
        order = list(type(self).model_fields)
        return dict(sorted(given, key=lambda item: order.index(item[0])))


_FIELDS: dict[str, Any] = {
    name: (
        _entry_type(name, kind),
        Field(None, description=Trainer.model_fields[name].description),
    )
    for name, kind in _parameter_types().items()
}
Space = create_model("Space", __base__=_SpaceBase, __cls_kwargs__=_NO_SOURCE, **_FIELDS)

"""Rules that concern several parts of a sweep at once."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ganray.spec.parameters import Trainer
from ganray.spec.problems import Problem
from ganray.spec.space import Choices, Range

IMAGE_DATA = ("digits",)
TRAIN_SIZES = {"digits": 1_297}  # of data sets that do not say

Parts = Mapping[str, Any]


def problems(parts: Parts) -> list[Problem]:
    """Every way in which valid parts contradict one another.

    Args:
        parts: the valid parts of a sweep by name; a rule whose parts are not all there is left out.
    """
    found: list[Problem] = []
    if "search" in parts and "trainer" in parts:
        found += _conditions(parts["search"].space.entries, parts["trainer"])
    if "search" in parts:
        found += _space(parts["search"])
        found += _first(parts["search"])
    if "networks" in parts and "data" in parts:
        found += _networks(parts["networks"], parts["data"])
    if "data" in parts and "trainer" in parts and "search" in parts:
        found += _batch(parts["data"], parts["trainer"], parts["search"])
    if "confirm" in parts and (parts["confirm"].top or parts["confirm"].seeds):
        found.append(
            Problem("confirm", "confirming runs are not built yet; leave top and seeds at 0")
        )
    return found


def order(entries: Mapping[str, Choices | Range]) -> list[str]:
    """The searched parameters, each after those that it depends on.

    Raises:
        ValueError: conditions that go round in a circle.
    """
    done: list[str] = []
    left = dict(entries)
    while left:
        ready = [n for n, e in left.items() if not any(p in left for p in (e.when or {}))]
        if not ready:
            raise ValueError(" and ".join(sorted(_circle(left))))
        done += ready
        for name in ready:
            del left[name]
    return done


def _circle(left: Mapping[str, Choices | Range]) -> set[str]:
    """Of parameters that wait for one another, those on the circle, not those behind it."""
    names = set(left)
    while True:
        needed = {parent for name in names for parent in (left[name].when or {})}
        if names <= needed:
            return names
        names &= needed


def _space(search: Any) -> Iterator[Problem]:
    if not search.space.entries:
        yield Problem("search.space", "is empty; give at least one parameter to search")
    if search.sampler == "grid":
        for name, entry in search.space.entries.items():
            if isinstance(entry, Range) and not entry.is_countable:
                yield Problem(
                    f"search.space.{name}",
                    "a grid needs a list of choices or a range with a step",
                )


def _conditions(entries: Mapping[str, Choices | Range], trainer: Trainer) -> Iterator[Problem]:
    for name, entry in entries.items():
        for parent, values in (entry.when or {}).items():
            where = f"search.space.{name}.when.{parent}"
            if parent in entries:
                for value in values:
                    if not entries[parent].admits(value):
                        yield Problem(where, f"{value!r} is not among the values of {parent}")
            elif parent not in trainer.model_fields_set:
                yield Problem(
                    where, f"depends on {parent!r}, which is neither searched nor set under trainer"
                )
            else:
                for value in values:
                    if not _is_valid(parent, value):
                        yield Problem(where, f"{value!r} is not among the values of {parent}")
    try:
        order(entries)
    except ValueError as circle:
        yield Problem("search.space", f"the conditions of {circle} go round in a circle")


def _is_valid(parameter: str, value: Any) -> bool:
    try:
        Trainer.model_validate({parameter: value})
    except ValidationError:
        return False
    return True


def _first(search: Any) -> Iterator[Problem]:
    for index, point in enumerate(search.first):
        for name, value in point.given.items():
            entry = search.space.entries.get(name)
            if entry is not None and not entry.admits(value):
                yield Problem(
                    f"search.first[{index}].{name}",
                    f"{value!r} is outside search.space.{name}: {entry.describe()}",
                )
            for parent, values in (entry.when or {}).items() if entry is not None else ():
                if parent in point.given and point.given[parent] not in values:
                    yield Problem(
                        f"search.first[{index}].{name}",
                        f"does not apply where {parent} is {point.given[parent]!r}",
                    )


def _batch(data: Any, trainer: Trainer, search: Any) -> Iterator[Problem]:
    """A batch is drawn from the training samples, so it cannot be larger than they are many."""
    size = TRAIN_SIZES.get(data.name) or data.train_size
    entry = search.space.entries.get("batch_size")
    largest = entry.largest if entry is not None else trainer.batch_size
    if largest > size:
        where = "search.space.batch_size" if entry is not None else "trainer.batch_size"
        yield Problem(where, f"{largest} is more than the {size} training samples of {data.name}")


def _networks(networks: Any, data: Any) -> Iterator[Problem]:
    if networks.name == "conv" and data.name not in IMAGE_DATA:
        yield Problem(
            "networks.name", f"conv needs images; {data.name} are vectors, which mlp is for"
        )

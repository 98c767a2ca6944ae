"""Rules that concern several parts of a sweep at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ganray.spec import combinations
from ganray.spec.data import Data, UnknownData
from ganray.spec.names import METRIC_SIGNALS
from ganray.spec.networks import Nets
from ganray.spec.parameters import Trainer
from ganray.spec.problems import Problem, shown
from ganray.spec.space import Choices, Range

Parts = Mapping[str, Any]
Broken = Mapping[str, str]  # trial parameters that are wrong, and where they stood
_NONE: Broken = {}


def problems(parts: Parts, broken: Broken = _NONE) -> list[Problem]:
    """Every way in which valid parts contradict one another.

    Args:
        parts: the valid parts of a sweep by name; a check whose parts are not all there is left
            out.
        broken: trial parameters that are wrong by themselves, and of what they were left out,
            `trainer` or `search.space`: no check takes their defaults for what was meant.
    """
    known = {**_UNKNOWN, **parts, "broken": broken}
    return [
        problem
        for needed, check in _CHECKS
        if all(name in known for name in needed)
        for problem in check(*(known[name] for name in needed))
    ]


def missing_files(data: Data) -> Iterator[Problem]:
    """What a data set is to be read from, but is not on this machine."""
    for key, place in data.files.items():
        if not Path(place).expanduser().exists():
            yield Problem(
                f"data.{key}",
                f"no such file or folder here: {shown(place)}, looked for at "
                f"{Path(place).expanduser().absolute()}",
            )


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


def _space(search: Any, broken: Broken) -> Iterator[Problem]:
    if not search.space.entries and "search.space" not in broken.values():
        yield Problem("search.space", "is empty; give at least one parameter to search")
    if search.sampler == "grid":
        for name, entry in search.space.entries.items():
            if isinstance(entry, Range) and not entry.is_countable:
                yield Problem(
                    f"search.space.{name}",
                    "a grid needs a list of choices or a range with a step",
                )


def _conditions(search: Any, trainer: Trainer, broken: Broken) -> Iterator[Problem]:
    entries = search.space.entries
    for name, entry in entries.items():
        for parent, values in (entry.when or {}).items():
            if parent not in broken:
                where = f"search.space.{name}.when.{parent}"
                yield from (Problem(where, t) for t in _idle(parent, values, entries, trainer))
    try:
        order(entries)
    except ValueError as circle:
        yield Problem("search.space", f"the conditions of {circle} go round in a circle")


def _idle(
    parent: str, values: Sequence[Any], entries: Mapping[str, Choices | Range], trainer: Trainer
) -> Iterator[str]:
    """Why a condition on the values of another parameter can never hold."""
    if parent not in entries and parent not in trainer.model_fields_set:
        yield f"depends on {parent!r}, which is neither searched nor set under trainer"
        return
    for value in values:
        is_known = entries[parent].admits(value) if parent in entries else _is_valid(parent, value)
        if not is_known:
            yield f"{value!r} is not among the values of {parent}"


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


def _twice(search: Any, trainer: Trainer) -> Iterator[Problem]:
    """A fixed value beside a searched one; it has a meaning where the other has a condition."""
    for name, value in trainer.given.items():
        entry = search.space.entries.get(name)
        if entry is not None and entry.when is None and not _is_only(value, entry):
            yield Problem(
                f"trainer.{name}",
                f"{shown(value)} is never used: search.space.{name} searches it; keep one of the "
                "two",
            )


def _is_only(value: Any, entry: Choices | Range) -> bool:
    """Whether a searched parameter has no other value: `--set` leaves such a one."""
    return isinstance(entry, Choices) and list(entry.choices) == [value]


def _objective(objective: Any, measure: Any) -> Iterator[Problem]:
    for metric, signals in METRIC_SIGNALS.items():
        if objective.metric in signals and metric not in measure.metrics:
            wanted = [*measure.metrics, metric]
            yield Problem(
                "objective.metric",
                f"{objective.metric} is not measured; add {metric} to measure.metrics, as in "
                f"metrics: [{', '.join(wanted)}]",
            )


def _batch(data: Any, trainer: Trainer, search: Any, broken: Broken) -> Iterator[Problem]:
    """A batch is drawn from the training samples, so it cannot be larger than they are many."""
    if "batch_size" in broken:
        return
    size = data.samples
    entry = search.space.entries.get("batch_size")
    largest = entry.largest if entry is not None else trainer.batch_size
    if size is not None and largest > size:
        where = "search.space.batch_size" if entry is not None else "trainer.batch_size"
        yield Problem(where, f"{largest} is more than the {size} training samples of {data.name}")


def _networks(networks: Nets, data: Data) -> Iterator[Problem]:
    reason = networks.refuses(data.shape) if data.shape is not None else None
    if reason is not None:
        yield Problem("networks.name", f"{networks.name} {reason}")


def _simultaneous(budget: Any, search: Any, trainer: Trainer, broken: Broken) -> Iterator[Problem]:
    entries = search.space.entries
    if combinations.rests_on(("simultaneous",), entries, broken):
        return
    pairs = combinations.admitted(("simultaneous",), entries, trainer)
    if any(values["simultaneous"] for values in pairs) and budget.updates % (2 * budget.reports):
        yield Problem(
            "budget.updates",
            f"simultaneous updates come in pairs, so a report must fall after an even number: "
            f"{budget.updates} is no multiple of twice the {budget.reports} reports",
        )


def _combinations(
    data: Data, networks: Nets, search: Any, trainer: Trainer, broken: Broken
) -> Iterator[Problem]:
    try:
        order(search.space.entries)
    except ValueError:  # told by `_conditions`
        return
    context = combinations.Context(data, networks)
    yield from combinations.problems(search.space.entries, trainer, context, broken)


def _confirm(confirm: Any) -> Iterator[Problem]:
    given = {"top": confirm.top, "seeds": confirm.seeds}
    for name, other in (("top", "seeds"), ("seeds", "top")):
        if given[other] and not given[name]:
            yield Problem(
                f"confirm.{name}",
                f"must be at least 1 where confirm.{other} is {given[other]}; got 0. "
                "With both at 0 nothing is confirmed",
            )


def _slots(resources: Any) -> Iterator[Problem]:
    if resources.fused and resources.slots_per_gpu is None:
        yield Problem(
            "resources.fused",
            "trials step together in slots; give resources.slots_per_gpu, auto or a number",
        )
    if resources.slots_per_gpu is not None and resources.gpu not in ("auto", 0.0, 1.0):
        yield Problem(
            "resources.gpu",
            f"an engine with slots has a whole GPU, or none: 1, 0 or auto; got {resources.gpu:g}",
        )


_UNKNOWN: Parts = {"data": UnknownData(), "networks": Nets(name="unknown")}
_CHECKS: Sequence[tuple[tuple[str, ...], Callable[..., Iterator[Problem]]]] = (
    (("search", "trainer", "broken"), _conditions),
    (("search", "trainer"), _twice),
    (("search", "broken"), _space),
    (("search",), _first),
    (("networks", "data"), _networks),
    (("data", "networks", "search", "trainer", "broken"), _combinations),
    (("budget", "search", "trainer", "broken"), _simultaneous),
    (("data", "trainer", "search", "broken"), _batch),
    (("objective", "measure"), _objective),
    (("confirm",), _confirm),
    (("resources",), _slots),
)

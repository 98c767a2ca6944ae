"""What may be different when a recorded sweep goes on: how much it may use, not what it is."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ganray.errors import SpecError
from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from ganray.spec.names import ADJUSTABLE
from ganray.spec.overrides import apply_overrides


def changed(spec: SweepSpec, settings: Sequence[str], *, asked: int, confirming: bool) -> SweepSpec:
    """A recorded sweep with settings laid over it.

    Args:
        spec: as it was recorded.
        settings: in the words of `--set`.
        asked: trials that it has asked for.
        confirming: whether it has begun to confirm its best.

    Raises:
        SpecError: a setting is wrong, or would make it another sweep.
    """
    found = parse_sweep(json.loads(spec.to_json()), settings)
    kept = [setting for setting in settings if not _is_adjustable(spec, setting)]
    problems = [_kept(kept)] if kept else []
    problems += _problems_of_size(spec, found, asked, confirming)
    if problems:
        raise SpecError(problems)
    return found


def _is_adjustable(spec: SweepSpec, setting: str) -> bool:
    """Whether a setting by itself leaves the sweep what it is."""
    before, after = json.loads(spec.to_json()), json.loads(spec.to_json())
    apply_overrides(after, [setting])
    return all(path.startswith(ADJUSTABLE) for path in _different(before, after))


def _kept(settings: Sequence[str]) -> str:
    """One line for all settings that are refused, whatever each would change."""
    names = ", ".join(dict.fromkeys(setting.partition("=")[0].strip() for setting in settings))
    adjustable = ", ".join(f"{path}*" if path.endswith(".") else path for path in ADJUSTABLE)
    return f"{names}: cannot change when a sweep goes on; adjustable are {adjustable}"


def _problems_of_size(
    spec: SweepSpec, found: SweepSpec, asked: int, confirming: bool
) -> Iterator[str]:
    trials = found.search.trials
    if trials < asked:
        yield f"search.trials: must be at least {asked}, which were asked for; got {trials}"
    if trials != spec.search.trials and confirming:
        yield "search.trials: the sweep has begun to confirm the best of its trials"


def _different(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The dotted paths at which two sweeps differ; a part that is left out is empty."""
    old, new = ({} if part is None else part for part in (before, after))
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _different(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield path

"""Policies by name: the built-in ones, and those of policy files."""

from collections.abc import Sequence
from pathlib import Path

from ganray.errors import SpecError
from ganray.health.rules import HealthRules
from ganray.spec.load import load_prune
from ganray.spec.problems import unknown
from ganray.trial import Outcome
from ganray.tuning.replay.alone import InARow, Judged, Never, has_few_modes, is_js_saturated
from ganray.tuning.replay.chance import Chance
from ganray.tuning.replay.histories import History, by_source
from ganray.tuning.replay.peers import STOCK, Filed, Stock
from ganray.tuning.replay.policies import Policy, Stopped

NONE, RANDOM = "none", "random"
_HEALTH = {f"ganray-{risk}": risk for risk in (0.01, 0.02, 0.05, 0.1)}
_MODEL = "ganray-0.02"  # the default risk: what `random` stops as often as
_ROWS = {
    "js": (is_js_saturated, Outcome.STALLED, "JS of D saturated at three reports in a row"),
    "modes": (has_few_modes, Outcome.COLLAPSED, "few modes at three reports in a row"),
}
BUILT_IN = (NONE, RANDOM, *STOCK, *_ROWS, *_HEALTH)


def make_policies(given: Sequence[str], histories: Sequence[History]) -> list[Policy]:
    """The policies that are asked for, in order.

    Args:
        given: built-in names, or paths of policy files; none: all built-in ones.
        histories: what they will be replayed on; `random` is fitted to them.

    Raises:
        SpecError: a name is unknown, a file is wrong, or two policies have one name.
    """
    policies: list[Policy] = []
    problems: list[str] = []
    for text in given or BUILT_IN:
        try:
            policies.append(_make(text, histories))
        except SpecError as error:
            problems += error.problems
    names = [policy.name for policy in policies]
    problems += [f"two policies are named '{name}'" for name in {*names} if names.count(name) > 1]
    if problems:
        raise SpecError(problems)
    return policies


def decide(policy: Policy, histories: Sequence[History]) -> list[Stopped | None]:
    """What a policy does with each history: every sweep by itself, in the recorded order.

    A stop at the full budget is none: there is nothing left to stop.
    """
    decisions: list[Stopped | None] = [None] * len(histories)
    for indices in by_source(histories).values():
        found = policy.decide(histories[index] for index in indices)
        for index, stop in zip(indices, found, strict=True):
            history = histories[index]
            if stop is not None and history.reports[stop.report].update < history.budget:
                decisions[index] = stop
    return decisions


def _make(text: str, histories: Sequence[History]) -> Policy:
    if text == NONE:
        return Never(text)
    if text == RANDOM:
        return _random(histories)
    if text in STOCK:
        return Stock(text)
    if text in _ROWS:
        return InARow(text, *_ROWS[text])
    if text in _HEALTH:
        return _judged(text)
    return _from_file(text)


def _judged(name: str) -> Judged:
    """By the rules that ganray ships."""
    risk = _HEALTH[name]
    return Judged(name, lambda history: HealthRules.for_risk(risk, history.budget))


def _from_file(text: str) -> Policy:
    path = Path(text)
    if path.suffix not in (".yaml", ".yml") and not path.exists():
        raise SpecError([f"--policy: {unknown('policy', text, BUILT_IN)}; or a YAML file"])
    prune = load_prune(path)
    name = text if path.stem in BUILT_IN else path.stem
    return Never(name) if prune is None else Filed(name, prune)


def _random(histories: Sequence[History]) -> Policy:
    model = decide(_judged(_MODEL), histories)
    stops = [
        None if stop is None else history.reports[stop.report].update / history.budget
        for history, stop in zip(histories, model, strict=True)
    ]
    return Chance(RANDOM, _MODEL, stops)

"""Our own rules, judged only on trials that had no part in fitting them."""

from collections.abc import Callable, Mapping, Sequence

from ganray.health.recovery import RecoveryModel
from ganray.health.rules import HealthRules
from ganray.tuning.replay.alone import Judged
from ganray.tuning.replay.fitting import BAD, BETWEEN, HEALTHY, Example, fit
from ganray.tuning.replay.histories import History
from ganray.tuning.replay.truth import Kind, Truth

_TARGETS = {Kind.HEALTHY: HEALTHY, Kind.BETWEEN: BETWEEN, Kind.BAD: BAD}

Group = Callable[[History], str]


def by_loss(history: History) -> str:
    """The group of a history when one loss is held out."""
    return str(history.config["loss"])


def by_data(history: History) -> str:
    """The group of a history when one data set is held out."""
    return history.data


def examples(histories: Sequence[History], truths: Sequence[Truth]) -> list[Example]:
    """What a fit learns from: the histories whose end is known."""
    return [
        Example(
            reports=history.reports,
            budget=history.budget,
            setting=str(history.cluster),
            target=_TARGETS[truth.kind],
        )
        for history, truth in zip(histories, truths, strict=True)
        if truth.kind is not Kind.UNKNOWN
    ]


def held_out_models(
    histories: Sequence[History], truths: Sequence[Truth], group: Group
) -> dict[str, RecoveryModel]:
    """For each group, a model fitted, and calibrated, on all the others."""
    known = [i for i, truth in enumerate(truths) if truth.kind is not Kind.UNKNOWN]
    found = list(
        zip((group(histories[i]) for i in known), examples(histories, truths), strict=True)
    )
    return {
        name: fit([example for own, example in found if own != name])
        for name in sorted({group(history) for history in histories})
    }


def held_out(risk: float, group: Group, models: Mapping[str, RecoveryModel]) -> Judged:
    """The policy by which each trial is judged by the model that its group had no part in."""

    def rules(history: History) -> HealthRules:
        return HealthRules.for_risk(risk, history.budget, models[group(history)])

    return Judged(f"ganray {risk:g}", rules)

"""Policies side by side on the same histories."""

from collections.abc import Sequence
from dataclasses import dataclass

from ganray.tuning.replay.catalogue import decide
from ganray.tuning.replay.evaluate import Evaluation, bounds_note, evaluate, truth_counts
from ganray.tuning.replay.histories import History, Tell
from ganray.tuning.replay.policies import Policy
from ganray.tuning.replay.regret import RESAMPLES, Regret, regrets
from ganray.tuning.replay.truth import label


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that is found about some policies."""

    sources: dict[str, int]  # histories of each sweep
    truth: dict[str, int]  # histories of each kind
    updates: int  # that all histories took
    seconds: float  # of training that they took
    evaluations: list[Evaluation]
    regrets: list[list[Regret]]  # of each evaluation
    note: str | None  # which figures are bounds, and why


def compare(
    policies: Sequence[Policy],
    histories: Sequence[History],
    resamples: int = RESAMPLES,
    tell: Tell = lambda *_: None,
) -> Comparison:
    """Replay policies on histories.

    Args:
        policies: see `catalogue`.
        histories: in the order in which their sweeps ran them.
        resamples: of the regret.
        tell: hears how far it is.

    Raises:
        DataError: the truth of the histories cannot be told.
    """
    truths = label(histories)  # before any policy is looked at
    evaluations, regret = [], []
    for number, policy in enumerate(policies):
        tell(f"replaying {policy.name}", number, len(policies))
        stops = decide(policy, histories)
        evaluations.append(evaluate(policy, histories, truths, stops))
        regret.append(regrets(policy, histories, resamples, tell))
    names = [history.source for history in histories]
    return Comparison(
        sources={name: names.count(name) for name in dict.fromkeys(names)},
        truth=truth_counts(truths),
        updates=sum(history.cost for history in histories),
        seconds=sum(history.reports[-1].seconds for history in histories),
        evaluations=evaluations,
        regrets=regret,
        note=bounds_note(histories),
    )

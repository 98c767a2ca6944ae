"""A trainer beside its loop by hand: what both are compared by."""

import pytest

from ganray.gan.real import RealData
from ganray.gan.trainer import GanTrainer
from tests.benchmarks.step import PENALISED, QUICK, ByHand, Case, cases, operations

CASES = {case.name: case for case in cases()}


def by_hand(case: Case) -> ByHand:
    return ByHand(case, GanTrainer(case.config, case.networks, RealData(case.data)))


def test_cases_that_are_named_are_there() -> None:
    assert {*QUICK, *PENALISED, *PENALISED.values()} <= CASES.keys()


@pytest.mark.parametrize("name", [name for name in PENALISED if name.startswith("ring")])
def test_operations_of_a_penalty_are_counted(name: str) -> None:
    plain = operations(by_hand(CASES[PENALISED[name]]))
    assert 1.1 * plain < operations(by_hand(CASES[name])) < 2.0 * plain

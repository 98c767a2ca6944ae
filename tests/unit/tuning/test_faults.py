"""After which faults a trial goes on."""

import pytest

from ganray.trial import Cause
from ganray.tuning.faults import RETRIES, Fault, may_go_on


@pytest.mark.parametrize(
    ("cause", "allowed"),
    [
        (Cause.PROCESS_DIED, 3),
        (Cause.OUT_OF_MEMORY, 1),
        (Cause.EXCEPTION, 0),
        (Cause.SILENT, 0),
    ],
)
def test_faults_without_progress_are_not_retried_for_ever(cause: Cause, allowed: int) -> None:
    faults: list[Fault] = []
    for index in range(allowed + 1):
        faults.append(Fault(cause, "", update=10, at=index))
        assert may_go_on(faults) is (index < allowed)


def test_lost_node_never_counts() -> None:
    assert RETRIES[Cause.NODE_LOST] is None
    assert may_go_on([Fault(Cause.NODE_LOST, "")] * 1_000)


def test_progress_and_other_causes_start_the_count_again() -> None:
    once, twice = Fault(Cause.OUT_OF_MEMORY, "", 10), Fault(Cause.OUT_OF_MEMORY, "", 20)
    assert may_go_on([once, twice])
    assert may_go_on([once, Fault(Cause.NODE_LOST, "", 20), twice])
    assert not may_go_on([once, Fault(Cause.NODE_LOST, "", 10), once])

"""After which faults a trial goes on."""

import pytest

from ganray.trial import Cause
from ganray.tuning.faults import RETRIES, Fault, tries_left


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
        assert tries_left(faults) == max(0, allowed - index)


def test_lost_nodes_end_no_trial_but_one_that_loses_every_node() -> None:
    lost = [Fault(Cause.NODE_LOST, "", update) for update in range(1_000)]
    assert tries_left(lost)
    assert tries_left([*lost, *lost[:1] * RETRIES[Cause.NODE_LOST]][-100:])
    assert not tries_left(lost[:1] * (RETRIES[Cause.NODE_LOST] + 1))


def test_progress_and_other_causes_start_the_count_again() -> None:
    once, twice = Fault(Cause.OUT_OF_MEMORY, "", 10), Fault(Cause.OUT_OF_MEMORY, "", 20)
    assert tries_left([once, twice])
    assert tries_left([once, Fault(Cause.NODE_LOST, "", 20), twice])
    assert not tries_left([once, Fault(Cause.NODE_LOST, "", 10), once])

"""Which trial is next, and what becomes of one that fails."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ganray.tracking.recorder import MemoryRecorder
from ganray.trial import Cause, Outcome
from ganray.tuning.roster import Roster, SweepLimits
from ganray.tuning.study import SweepStudy
from tests.conftest import signals_at, small_spec


@pytest.fixture
def study(tmp_path: Path) -> SweepStudy:
    return SweepStudy.create(small_spec(tmp_path, prune=None))


def roster_of(
    study: SweepStudy, capacity: Callable[[], int] = lambda: 2, failures: int = 5
) -> tuple[Roster, MemoryRecorder]:
    memory = MemoryRecorder()
    return Roster(study, [memory], SweepLimits(None, failures), capacity), memory


def numbers(roster: Roster, count: int) -> list[int | None]:
    asked = [roster.next() for _ in range(count)]
    return [None if a is None else a.number for a in asked]


def complete(roster: Roster, number: int) -> None:
    roster.study.report(number, signals_at(100, distance=0.1))
    roster.finish(number, Outcome.COMPLETED, "")


def test_no_more_trials_run_than_there_is_room_for(study: SweepStudy) -> None:
    room = [2]
    roster, memory = roster_of(study, lambda: room[0])
    assert numbers(roster, 3) == [0, 1, None]
    complete(roster, 0)
    assert numbers(roster, 2) == [2, None]
    room[0] = 3  # a node has joined
    assert numbers(roster, 2) == [3, None]
    assert not roster.is_done  # what runs may fail
    for number in (1, 2, 3):
        complete(roster, number)
    assert roster.is_done
    assert sorted(memory.trials) == [0, 1, 2, 3]


def test_the_last_trial_is_told_of_once_as_soon_as_it_is_asked_for(study: SweepStudy) -> None:
    last: list[int] = []
    roster = Roster(
        study,
        [],
        SweepLimits(None, 5),
        lambda: 9,
        on_last=lambda: last.append(study.asked),
    )
    assert numbers(roster, 3) == [0, 1, 2]
    assert last == []
    assert numbers(roster, 2) == [3, None]
    assert numbers(roster, 2) == [None, None]
    assert last == [4]


def test_trial_that_failed_before_it_began_is_told_of_before_its_end(study: SweepStudy) -> None:
    roster, memory = roster_of(study)
    assert numbers(roster, 1) == [0]
    assert roster.fail(0, Cause.NODE_LOST, "gone") is None
    roster.cancel_unfinished("stopped")
    assert list(memory.trials) == list(memory.endings) == [0]


def test_trial_is_told_of_when_it_has_a_worker_and_its_time_counts_from_then(
    study: SweepStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1_000_000]
    monkeypatch.setattr("ganray.tuning.study.now_ms", lambda: clock[0])
    roster, memory = roster_of(study, lambda: 3)
    assert numbers(roster, 3) == [0, 1, 2]
    assert memory.trials == {}
    clock[0] += 7_000  # others have the cluster
    roster.begin(0)
    clock[0] += 1_000
    roster.begin(0)
    assert {n: t.started for n, t in memory.trials.items()} == {0: 1_007_000}
    study.report(0, signals_at(100, distance=0.1), clock[0])
    ending = roster.finish(0, Outcome.COMPLETED, "")
    assert ending is not None
    assert ending.wall_seconds == 1.0
    roster.fail(1, Cause.NODE_LOST, "its node has died")  # before it began
    assert list(memory.trials) == [0]
    assert numbers(roster, 1) == [1]
    roster.cancel_unfinished("stopped")  # a trial that never began has an outcome all the same
    assert memory.trials.keys() == memory.endings.keys() == {0, 1, 2}
    assert memory.endings[2].wall_seconds == 0.0


def test_trial_that_lost_its_process_comes_before_new_ones(study: SweepStudy) -> None:
    roster, memory = roster_of(study)
    assert numbers(roster, 2) == [0, 1]
    assert roster.fail(0, Cause.PROCESS_DIED, "it died") is None
    assert numbers(roster, 2) == [0, None]
    assert memory.endings == {}


def test_last_trial_that_fails_keeps_the_sweep_open(study: SweepStudy) -> None:
    roster, _ = roster_of(study, lambda: 4)
    assert numbers(roster, 5) == [0, 1, 2, 3, None]
    for number in (0, 1, 2):
        complete(roster, number)
    roster.fail(3, Cause.PROCESS_DIED, "it died")
    assert not roster.is_done
    assert numbers(roster, 1) == [3]
    complete(roster, 3)
    assert roster.is_done


def test_own_error_of_a_trial_is_its_end_and_counts(study: SweepStudy) -> None:
    roster, memory = roster_of(study, failures=0)
    numbers(roster, 2)
    ending = roster.fail(0, Cause.EXCEPTION, "ValueError: batch of 9")
    assert ending is not None
    assert (ending.outcome, ending.cause, ending.reason, ending.retries) == (
        Outcome.CRASHED,
        Cause.EXCEPTION,
        "ValueError: batch of 9",
        0,
    )
    assert memory.endings[0] == ending
    assert roster.limits.reason == "1 trials crashed, more than budget.failures 0"
    assert roster.is_done
    assert numbers(roster, 1) == [None]


def test_process_that_keeps_dying_is_a_crash_with_its_retries(study: SweepStudy) -> None:
    roster, memory = roster_of(study, lambda: 1)
    for _ in range(4):
        assert numbers(roster, 1) == [0]
        roster.fail(0, Cause.PROCESS_DIED, "it died")
    ending = memory.endings[0]
    assert (ending.outcome, ending.cause) == (Outcome.CRASHED, Cause.PROCESS_DIED)
    assert ending.retries == 3
    assert numbers(roster, 1) == [1]


def test_error_after_the_end_changes_nothing(study: SweepStudy) -> None:
    roster, memory = roster_of(study)
    numbers(roster, 1)
    complete(roster, 0)
    assert roster.fail(0, Cause.EXCEPTION, "late") is None
    assert memory.endings[0].outcome is Outcome.COMPLETED


def test_sweep_that_goes_on_takes_up_what_was_left_first(tmp_path: Path, study: SweepStudy) -> None:
    roster, _ = roster_of(study)
    numbers(roster, 2)
    roster.cancel_unfinished("stopped")
    again = SweepStudy.load(study.spec)
    assert again.resumable() == [0, 1]
    memory = MemoryRecorder()
    roster = Roster(again, [memory], SweepLimits(None, 5), lambda: 3, again.resumable())
    assert numbers(roster, 4) == [0, 1, 2, None]
    assert again.outcomes() == {}


def test_trial_that_ran_out_of_memory_beside_others_goes_on_when_it_can_be_alone(
    study: SweepStudy,
) -> None:
    roster = Roster(study, [], SweepLimits(None, 5), lambda: 2, crowded=True)
    assert numbers(roster, 2) == [0, 1]
    roster.fail(0, Cause.OUT_OF_MEMORY, "CUDA out of memory")
    assert numbers(roster, 2) == [2, None]
    complete(roster, 1)
    assert numbers(roster, 2) == [3, None]
    complete(roster, 2)
    assert numbers(roster, 1) == [None]  # not beside the last one
    assert not roster.is_done
    complete(roster, 3)
    alone = roster.next()
    assert alone is not None
    assert (alone.number, alone.alone, alone.launches) == (0, True, 2)
    roster.fail(0, Cause.OUT_OF_MEMORY, "CUDA out of memory")
    assert roster.is_done
    assert study.outcomes()[0] is Outcome.CRASHED


def test_trial_whose_process_dies_again_and_again_is_tried_alone_at_last(
    study: SweepStudy,
) -> None:
    """One beside it may be why it dies; or it is itself why others die."""
    roster = Roster(study, [], SweepLimits(None, 5), lambda: 2, crowded=True)
    numbers(roster, 2)
    for _ in range(2):
        roster.fail(0, Cause.PROCESS_DIED, "the actor died")
        assert numbers(roster, 1) == [0]  # at once, beside the other one
    roster.fail(0, Cause.PROCESS_DIED, "the actor died")
    for number in (1, 2, 3):
        assert 0 not in numbers(roster, 1)
        complete(roster, number)
    assert numbers(roster, 2) == [0, None]


def test_trial_that_ran_out_of_memory_with_a_gpu_for_itself_goes_on_at_once(
    study: SweepStudy,
) -> None:
    roster = Roster(study, [], SweepLimits(None, 5), lambda: 2)
    assert numbers(roster, 2) == [0, 1]
    roster.fail(0, Cause.OUT_OF_MEMORY, "CUDA out of memory")
    assert numbers(roster, 2) == [0, None]

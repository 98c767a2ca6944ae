"""Where the time of a sweep went, told from when its trials began and ended."""

import pytest

from tests.benchmarks.sweep import PARTS, divide
from tests.benchmarks.ways import Took


def took(begin: float, end: float, train: float, measure: float) -> Took:
    return Took(begin=begin, end=end, train=train, measure=measure, first=begin + 1.0)


def test_time_of_two_slots_is_divided_without_rest() -> None:
    trials = [
        took(12.0, 20.0, 5.0, 2.0),  # one second of eight waits for whom it reports to
        took(10.0, 15.0, 4.0, 1.0),
        took(16.0, 19.0, 3.0, 0.0),  # in the slot of the second, a second later
    ]
    run = divide(trials, began=0.0, ended=25.0, slots=2, memory={})
    seconds = {part: share * 50.0 for part, share in run.parts.items()}
    assert seconds == pytest.approx(
        {
            "start": 20.0,  # both slots, until the first trial
            "train": 12.0,
            "measure": 3.0,
            "wait": 1.0,
            "turn": 1.0,
            "idle": 3.0,  # two until the first slot's first, one after the second's last
            "end": 10.0,
        }
    )
    assert run.parts.keys() == set(PARTS)
    assert (run.wall, run.turns, run.first) == (25.0, [1.0], 11.0)

"""What a report is made of, read from a store, and which trials it shows."""

from typing import Any

import pytest

from ganray.report.material import find_failed
from ganray.report.style import RUNNING
from tests.unit.report.materials import material, trial, varied
from tests.unit.report.summaries import summary


@pytest.mark.parametrize(
    ("trials", "shown"),
    [
        ([{"outcome": "completed"}], None),
        ([{"outcome": "stalled"}, {"outcome": "collapsed"}, {"outcome": "diverged"}], 1),
        ([{"outcome": "diverged"}, {"outcome": "stalled"}], 1),
        (
            [
                {"outcome": "collapsed", "stopped_at": 0.2},
                {"outcome": "collapsed", "stopped_at": 0.7},
            ],
            1,
        ),
        ([{"outcome": "completed", "ending": "bad"}], 0),
        ([{"outcome": "outranked"}, {"outcome": "crashed"}, {"outcome": None}], None),
        ([], None),
    ],
)
def test_of_the_trials_that_failed_one_that_collapsed_late_is_shown(
    trials: list[dict[str, Any]], shown: int | None
) -> None:
    blank = {"stopped_at": 1.0}
    found = find_failed(summary([{**blank, **one} for one in [*trials, {"phase": "confirm"}]]))
    assert (None if found is None else found["trial"]) == shown


def test_courses_have_the_rank_of_their_trial_among_all() -> None:
    made = material(
        [
            trial(0, distance=0.3),
            trial(1, "stalled"),
            trial(2, distance=0.1),
            trial(3, None),
            trial(4, distance=0.01, phase="confirm", confirms=2),
        ]
    )
    told = [(c.number, c.outcome, c.rank, len(c.reports)) for c in made.courses]
    assert told == [
        (0, "completed", 1, 10),
        (1, "stalled", None, 10),
        (2, "completed", 0, 10),
        (3, RUNNING, None, 10),
    ]


def test_a_large_sweep_shows_some_of_its_courses() -> None:
    made = material(varied(150))
    assert len(made.courses) == 100
    assert [course.number for course in made.courses if course.rank == 0] == [made.best["trial"]]

"""What to try next: for each rule, data that support it and data that nearly do."""

from typing import Any

import pytest

from ganray.report import advice
from ganray.report.advice import Advice, advise
from ganray.tracking.ledger import Audit
from tests.unit.report.materials import SPACE, material, spec_of, trial

SPEC = spec_of()
LOW, HIGH = 1.2e-5, 9e-3  # within a tenth of the decades of d_lr, at either end
MIDDLE = 3e-4


def does(found: list[Advice]) -> list[str]:
    return [one.do for one in found]


# --- ranges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("d_lr", [HIGH] * 5, ["Widen d_lr above 0.01"]),
        ("d_lr", [LOW] * 5, ["Widen d_lr below 1e-05"]),
        ("d_lr", [HIGH] * 4 + [MIDDLE], ["Widen d_lr above 0.01"]),
        ("d_lr", [HIGH] * 3 + [MIDDLE] * 2, ["Widen d_lr above 0.01"]),
        ("d_lr", [HIGH] * 2 + [MIDDLE] * 3, []),
        ("d_lr", [HIGH] * 4, []),  # too few to say anything
        ("d_lr", [HIGH, LOW] * 5, []),
        ("d_lr", [HIGH] * 8 + [MIDDLE] * 8, []),  # no more than half, unlikely as it is
        ("d_lr", [HIGH] * 5 + [None] * 5, ["Widen d_lr above 0.01"]),  # of those that have it
        ("d_steps", [5] * 7, ["Widen d_steps above 5"]),
        ("d_steps", [5] * 5, ["Widen d_steps above 5"]),
        ("d_steps", [5] * 4 + [2], []),  # a third of all values
        ("d_steps", [1] * 9, []),  # no trial can have fewer
        ("loss", ["wgan"] * 9, []),  # has no ends
        ("d_grad_clip", [1.0] * 9, []),  # of one number, beside none
    ],
)
def test_a_range_is_widened_where_most_of_the_best_lie_at_its_end(
    name: str, values: list[Any], told: list[str]
) -> None:
    best = [{} if value is None else {name: value} for value in values]
    assert does(advice.widen(SPEC, best)) == told


def test_the_more_ends_there_are_the_more_it_takes() -> None:
    best = [{"d_lr": HIGH}] * 3 + [{"d_lr": MIDDLE}] * 2  # at one end of five in 23 sweeps
    assert does(advice.widen(SPEC, best)) == ["Widen d_lr above 0.01"]
    more = spec_of({**SPACE, "g_lr": SPACE["d_lr"]})
    assert does(advice.widen(more, best)) == []


def test_it_is_said_how_many_lie_there() -> None:
    (found,) = advice.widen(SPEC, [{"d_lr": HIGH}] * 6 + [{"d_lr": MIDDLE}])
    assert found.because == "6 of the 7 best trials that have it lie at that end."


@pytest.mark.parametrize(
    ("entry", "values", "told"),
    [
        ({"low": 1, "high": 4}, [4] * 6, ["Widen g_steps above 4"]),
        ({"low": 1, "high": 4}, [1] * 6, []),
        ({"low": 1, "high": 40}, [37] * 6, ["Widen g_steps above 40"]),
        ({"low": 1, "high": 40}, [36] * 6, []),
        ({"low": 3, "high": 3}, [3] * 6, []),
        ({"low": 1, "high": 64, "log": True}, [50] * 6, ["Widen g_steps above 64"]),
    ],
)
def test_ends_of_whole_numbers(entry: dict[str, Any], values: list[int], told: list[str]) -> None:
    spec = spec_of({"g_steps": entry})
    assert does(advice.widen(spec, [{"g_steps": value} for value in values])) == told


def test_a_range_that_ends_where_values_must_end_is_not_widened() -> None:
    spec = spec_of({"beta1": {"low": 0.0, "high": 0.9}})
    assert does(advice.widen(spec, [{"beta1": 0.0}] * 9)) == []
    assert does(advice.widen(spec, [{"beta1": 0.9}] * 9)) == ["Widen beta1 above 0.9"]


# --- choices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wgan", "others", "told"),
    [
        ((9, 10), (1, 20), ["Drop loss wgan"]),
        ((5, 5), (3, 15), ["Drop loss wgan"]),
        ((4, 4), (0, 30), []),  # too few trials
        ((7, 10), (0, 90), []),  # three of ten are worth trying
        ((5, 5), (10, 20), []),  # others are hardly better
        ((30, 30), (0, 0), []),  # nothing to set it against
        ((0, 10), (20, 20), ["Drop loss hinge"]),
    ],
)
def test_a_choice_is_dropped_where_it_nearly_always_fails_and_others_do_not(
    wgan: tuple[int, int], others: tuple[int, int], told: list[str]
) -> None:
    trials = [
        ({"loss": loss}, index < failed)
        for loss, (failed, count) in (("wgan", wgan), ("hinge", others))
        for index in range(count)
    ]
    assert does(advice.drop(SPEC, trials)) == told


def test_a_choice_is_judged_among_the_trials_that_it_applied_to() -> None:
    without: list[Any] = [({}, False)] * 30
    assert advice.drop(SPEC, [*without, *([({"d_grad_clip": None}, True)] * 9)]) == []
    found = advice.drop(
        SPEC, [*[({"d_grad_clip": None}, True)] * 9, *[({"d_grad_clip": 1.0}, False)] * 9]
    )
    assert found == [
        Advice(
            "Drop d_grad_clip none", "9 of its 9 trials failed, against 0 of 9 with other values."
        )
    ]


# --- budgets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        ([2.1] * 3 + [0.0] * 2, ["Give trials more than 1,000 updates"]),
        ([2.1] * 2 + [0.0] * 3, []),
        ([1.9] * 5, []),
        ([9.0] * 4, []),
        ([9.0] * 4 + [None] * 4, []),
    ],
)
def test_trials_are_given_more_updates_where_the_best_still_came_nearer(
    progress: list[float | None], told: list[str]
) -> None:
    assert does(advice.train_longer([{"progress": value} for value in progress], 1_000)) == told


@pytest.mark.parametrize(
    ("sampler", "best", "told"),
    [
        ("tpe", [99, 80, 75, 90, 3], ["Give the search more than 100 trials"]),
        ("tpe", [99, 80, 74, 20, 3], []),
        ("random", [99, 98, 97, 96, 95], []),  # it does not learn
        ("tpe", [99, 98, 97, 96], []),
    ],
)
def test_the_search_is_given_more_trials_where_the_best_came_late(
    sampler: str, best: list[int], told: list[str]
) -> None:
    spec = spec_of(search={"sampler": sampler})
    assert does(advice.search_longer(spec, [{"trial": n} for n in best], 100)) == told


def confirmed(
    number: int, median: float | None, worst: float | None, best: float
) -> dict[str, Any]:
    return {"trial": number, "seeds": 5, "median": median, "worst": worst, "best": best}


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ((0.02, 0.04, 0.01), (0.03, 0.05, 0.015), True),
        ((0.02, 0.025, 0.01), (0.03, 0.05, 0.015), False),  # 0.03 is out of the first one's reach
        ((0.02, 0.04, 0.01), (0.03, 0.05, 0.025), False),
        ((0.02, None, 0.01), (0.03, 0.05, 0.015), False),  # a seed was lost
        ((9.0, 7.0, 9.5), (8.5, 6.0, 9.2), True),  # the larger the better
    ],
)
def test_more_seeds_where_those_of_the_best_two_overlap(
    first: tuple[Any, ...], second: tuple[Any, ...], told: bool
) -> None:
    found = advice.confirm_more([confirmed(3, *first), confirmed(8, *second)], "distance")
    assert does(found) == (["Confirm trials 3 and 8 with more seeds"] if told else [])


def test_one_seed_or_one_configuration_tells_nothing_of_seeds() -> None:
    one = confirmed(3, 0.02, 0.04, 0.01)
    assert advice.confirm_more([], "distance") == []
    assert advice.confirm_more([one], "distance") == []
    assert advice.confirm_more([one, {**one, "seeds": 1}], "distance") == []


@pytest.mark.parametrize(
    ("found", "risk", "told"),
    [
        (Audit(20, 10, 4), 0.02, ["Set prune.risk below 0.02"]),  # at least 17 %
        (Audit(20, 10, 4), 0.2, []),
        (Audit(20, 10, 1), 0.02, []),  # at least 1.8 %
        (Audit(20, 0, 0), 0.02, []),
        (Audit(20, 10, 4), None, []),
    ],
)
def test_less_is_stopped_where_audited_stops_were_wrong_too_often(
    found: Audit, risk: float | None, told: list[str]
) -> None:
    assert does(advice.stop_less(found, risk)) == told


def test_memory_that_ran_out_is_told() -> None:
    trials = [{"cause": cause} for cause in ("out_of_memory", None, "exception", "out_of_memory")]
    assert advice.spare_memory(trials) == [
        Advice(
            "Give trials more memory, or smaller batches", "2 trials ran out of memory, twice each."
        )
    ]
    assert advice.spare_memory(trials[1:3]) == []


# --- all of it ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("completed", "top"), [(9, 0), (10, 5), (20, 5), (40, 10)])
def test_the_best_are_a_quarter_of_the_completed_trials(completed: int, top: int) -> None:
    trials = [
        {"trial": n, "phase": "search", "outcome": "completed", "objective": -n}
        for n in range(completed)
    ]
    best = advice.find_top([*trials, {**trials[0], "trial": 99, "outcome": "stalled"}], "min")
    assert [row["trial"] for row in best] == list(range(completed))[::-1][:top]


def test_a_whole_sweep_is_advised_by_each_rule_that_applies() -> None:
    settings = {"loss": "hinge", "d_steps": 2, "d_grad_clip": 1.0}
    good = [trial(n, d_lr=HIGH, progress=3.0, **settings) for n in range(12)]
    bad = [trial(12 + n, "stalled", d_lr=LOW, **{**settings, "loss": "lsgan"}) for n in range(6)]
    made = material([*good, *bad])
    assert does(advise(made.frame, made.spec, [])) == [
        "Widen d_lr above 0.01",
        "Drop loss lsgan",
        "Give trials more than 100 updates",
    ]


def test_a_value_of_a_parameter_that_did_not_apply_is_no_value() -> None:
    entry = SPACE["weight_clip"]
    trials = [trial(n, loss="hinge", weight_clip=entry["high"], d_lr=MIDDLE) for n in range(12)]
    made = material(trials)
    assert advise(made.frame, made.spec, []) == []


def test_nothing_is_advised_without_trials() -> None:
    made = material([])
    assert advise(made.frame, made.spec, []) == []

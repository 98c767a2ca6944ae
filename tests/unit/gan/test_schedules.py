"""Whose turn it is, and how values change over a trial."""

import math
from typing import get_args

import pytest

from ganray.gan.schedules import SCHEDULES, Turns, factor
from ganray.spec.names import ScheduleName
from ganray.trial import TrialConfig


def order(count: int, **options) -> str:
    turns = Turns(TrialConfig(**options))
    return "".join(turns.next() for _ in range(count))


@pytest.mark.parametrize(
    ("d_steps", "g_steps", "expected"),
    [(1, 1, "dgdgdgdgdg"), (3, 1, "dddgdddgdd"), (1, 3, "dgggdgggdg"), (2, 3, "ddgggddggg")],
)
def test_d_and_then_g_have_their_turns_in_each_round(d_steps, g_steps, expected):
    assert order(10, d_steps=d_steps, g_steps=g_steps) == expected


def test_d_has_more_turns_in_the_first_rounds_and_in_every_third():
    options = {"d_steps": 1, "g_steps": 2, "warmup_d_steps": 3}
    assert order(21, **options, warmup_rounds=2) == "dddgg" * 2 + "dgg" * 3 + "dg"
    with_every = order(31, **options, warmup_rounds=2, warmup_every=3)
    #                     rounds 0, 1      2       3         4, 5        6
    assert with_every == "dddgg" * 2 + "dgg" + "dddgg" + "dgg" * 2 + "dddgg" + "dg"


def test_a_warm_up_may_begin_with_round_0_alone_and_may_be_shorter_than_the_rest():
    options = {"warmup_rounds": 0, "warmup_every": 2}
    assert order(9, d_steps=2, warmup_d_steps=1, **options) == "dgddgdgdd"


def test_without_warm_up_turns_there_is_no_warm_up():
    assert order(6, d_steps=2, warmup_rounds=25, warmup_every=2) == "ddgddg"


def test_whose_turn_comes_is_told_before_it_comes():
    turns = Turns(TrialConfig(d_steps=2, g_steps=3, warmup_d_steps=4, warmup_rounds=1))
    told, had = zip(*[(turns.upcoming, turns.next()) for _ in range(20)], strict=True)
    assert told == had


def test_wgans_own_order_counts_as_its_code_does():
    settings = {"d_steps": 5, "warmup_d_steps": 100, "warmup_rounds": 25, "warmup_every": 500}
    rounds = 1001
    expected = [100 if r < 25 or r % 500 == 0 else 5 for r in range(rounds)]
    turns = order(sum(expected) + rounds, **settings)
    assert [len(d) for d in turns.split("g")[:-1]] == expected
    assert turns.endswith("g")


@pytest.mark.parametrize("before", range(14))
def test_turns_go_on_from_their_state(before):
    config = TrialConfig(d_steps=2, g_steps=2, warmup_d_steps=4, warmup_rounds=1, warmup_every=2)
    turns = Turns(config)
    for _ in range(before):
        turns.next()
    state = turns.state_dict()
    assert {type(value) for value in state.values()} == {int}
    expected = [turns.next() for _ in range(20)]
    other = Turns(config)
    other.load_state_dict(state)
    assert [other.next() for _ in range(20)] == expected


@pytest.mark.parametrize("name", ["d_steps", "g_steps", "warmup_d_steps", "warmup_every"])
def test_a_player_that_never_moves_is_refused(name):
    with pytest.raises(ValueError, match=rf"at least 1; got {{'{name}': 0}}"):
        Turns(TrialConfig(**{name: 0}))


# Factors at progress 0, 1/4, 1/2, 3/4, 1, on the way to 0.2.
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
ROOT = math.sqrt(0.5)
FACTORS = {
    "constant": (1.0, 1.0, 1.0, 1.0, 1.0),
    "linear": (1.0, 0.8, 0.6, 0.4, 0.2),
    "cosine": (1.0, 0.2 + 0.4 * (1 + ROOT), 0.6, 0.2 + 0.4 * (1 - ROOT), 0.2),
}


@pytest.mark.parametrize("name", sorted(FACTORS))
def test_factors_go_from_1_to_the_final_one(name):
    found = [factor(name, progress, 0.2) for progress in QUARTERS]
    assert found == pytest.approx(FACTORS[name], rel=1e-12)


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("final", [0.0, 0.1, 1 / 3, 1.0, 7.3])
def test_both_ends_are_exact_and_what_lies_beyond_them_stays_there(name, final):
    for progress in (-0.5, 0.0):
        assert factor(name, progress, final) == 1.0
    for progress in (1.0, 1.5):
        assert factor(name, progress, final) == final


def test_the_names_are_those_of_a_sweep_file():
    assert set(SCHEDULES) == set(get_args(ScheduleName)) == set(FACTORS)

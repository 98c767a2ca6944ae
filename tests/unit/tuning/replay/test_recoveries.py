"""How long trials look dead, and whether they recover."""

from typing import Any

import pytest

from ganray.health.endings import ended
from ganray.trial import Outcome
from ganray.tuning.replay.recoveries import Spell, curve, first_spell, look, looks_dead
from ganray.tuning.replay.truth import label
from tests.conftest import past, signals_at

GOOD = {"mode_ratio": 0.95, "distance": 0.05}
DEAD = {"mode_ratio": 0.1, "distance": 0.9}


@pytest.mark.parametrize(
    "values",
    [
        {"mode_ratio": 0.5, "distance": 0.4},
        {"mode_ratio": 0.49, "distance": 0.0},
        {"mode_ratio": 1.0, "distance": 0.41},
        {"mode_ratio": 1.0},
        {"distance": 0.0},
        {"mode_ratio": float("nan"), "distance": 0.0},
        GOOD,
    ],
)
def test_to_look_dead_is_to_end_bad_with_that_report(values: dict[str, Any]) -> None:
    signals = signals_at(100, **values)
    assert looks_dead(signals) == (ended([signals]) == "bad")


@pytest.mark.parametrize(
    ("reports", "spell"),
    [
        ([GOOD] * 10, None),
        ([*[DEAD] * 3, *[GOOD] * 7], Spell(0.1, 0.3, recovered=True)),
        ([GOOD, GOOD, *[DEAD] * 8], Spell(0.3, 0.7, recovered=False)),
        ([DEAD, GOOD, *[DEAD] * 3, *[GOOD] * 5], Spell(0.1, 0.5, recovered=True)),  # one is luck
        ([*[DEAD] * 9, GOOD], Spell(0.1, 0.9, recovered=False)),
        ([GOOD, DEAD, GOOD, GOOD, *[DEAD] * 6], Spell(0.2, 0.1, recovered=True)),  # the first
    ],
)
def test_spell_ends_with_two_good_reports_in_a_row(
    reports: list[dict[str, Any]], spell: Spell | None
) -> None:
    found = first_spell(past(0, reports))
    if spell is None or found is None:
        assert found is spell
    else:
        assert (found.start, found.length) == pytest.approx((spell.start, spell.length))
        assert found.recovered == spell.recovered


def test_spell_of_a_trial_that_breaks_lasts_to_the_end_of_its_budget() -> None:
    found = first_spell(past(0, [GOOD, DEAD, DEAD, {"nonfinite": "loss of D"}]))
    assert found is not None
    assert (found.start, found.length, found.recovered) == (0.2, 0.8, False)


def test_what_comes_before_the_warm_up_is_no_spell() -> None:
    reports = [*[DEAD] * 3, *[GOOD] * 37]
    assert first_spell(past(0, reports, budget=4_000)) is None


def test_curve_allows_for_trials_that_end_first() -> None:
    """Of four, one recovers at .2; one is lost sight of at .3; then one of two recovers at .4."""
    found = curve(
        [
            Spell(0.1, 0.2, recovered=True),
            Spell(0.7, 0.3, recovered=False),
            Spell(0.1, 0.4, recovered=True),
            Spell(0.1, 0.9, recovered=False),
        ]
    )
    assert (found.spells, found.recovered) == (4, 2)
    assert found.within(0.1) == 0.0
    assert found.within(0.2) == pytest.approx(0.25)
    assert found.within(0.39) == pytest.approx(0.25)
    assert found.within(0.5) == pytest.approx(1.0 - 0.75 * 0.5)
    low, high = found.interval(0.5)
    assert low < found.within(0.5) < high
    assert found.interval(0.1) == (0.0, 0.0)
    assert all(
        low <= share <= high
        for low, share, high in zip(found.low, found.shares, found.high, strict=True)
        if low == low and high == high  # undefined where nothing has ended yet
    )


def test_a_look_counts_those_that_look_dead_then_and_end_healthy() -> None:
    late = past(0, [*[DEAD] * 5, *[GOOD] * 5])
    never = past(1, [DEAD] * 10)
    always = past(2, [GOOD] * 10)
    broken = past(3, [*[DEAD] * 2, {"nonfinite": "loss of D"}])
    cut = past(4, [DEAD] * 6, outcome=Outcome.STALLED)
    histories = [late, never, always, broken, cut]
    truths = label(histories)
    early = look(histories, truths, 0.25)
    assert (early.dead, early.healthy) == (3, 1)
    assert early.interval is not None
    assert early.interval[0] < 1 / 3 < early.interval[1]
    half = look(histories, truths, 0.5)
    assert (half.dead, half.healthy) == (2, 1)
    last = look(histories, truths, 0.9)
    assert (last.dead, last.healthy) == (1, 0)

"""The ledger and the audit, by hand: what was used, what was saved, how often a stop was wrong."""

from typing import Any

import pytest

from ganray.tracking.ledger import (
    AMOUNT_COLUMNS,
    COLUMNS,
    NOT_FINITE,
    Audit,
    Compute,
    Entry,
    audit,
    ledger,
    wilson,
)

FULL = {
    "phase": "search",
    "outcome": "completed",
    "rule": None,
    "stopped_at": 1.0,
    "audited": False,
    "would_be_outcome": None,
    "ending": "healthy",
    "d_updates": 500,
    "g_updates": 500,
    "seconds": 99.0,
    "measured_seconds": 1.0,
    "gpu_hours": 1.0,
}


def row(**values: Any) -> dict[str, Any]:
    return {**FULL, **values}


def stopped(outcome: str = "collapsed", rule: str = "few_modes", **values: Any) -> dict[str, Any]:
    """At a quarter of 1,000 updates, at half the speed of `FULL`."""
    used = {"d_updates": 200, "g_updates": 50, "seconds": 48.0, "measured_seconds": 2.0}
    end = {"outcome": outcome, "rule": rule, "stopped_at": 0.25, "ending": None, "gpu_hours": 0.5}
    return row(**{**used, **end, **values})


def ran_on(ending: str | None, would_be: str = "collapsed", **values: Any) -> dict[str, Any]:
    return row(audited=True, would_be_outcome=would_be, ending=ending, **values)


def close(amount: Compute) -> Any:
    return pytest.approx((amount.updates, amount.seconds, amount.gpu_hours))


def amounts(entry: Entry) -> list[tuple[float, float, float]]:
    of = (entry.used, entry.saved, entry.surely_saved)
    return [(amount.updates, amount.seconds, amount.gpu_hours) for amount in of]


# --- audit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [  # Wilson's interval without continuity correction, as R's prop.test(correct = FALSE) has it
        (1, 3, 0.0615, 0.7923),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (2, 100, 0.0055, 0.0700),
        (1, 50, 0.0035, 0.1050),
        (0, 0, 0.0, 1.0),
    ],
)
def test_interval_of_a_share(successes: int, count: int, low: float, high: float) -> None:
    assert wilson(successes, count) == pytest.approx((low, high), abs=5e-5)


def test_audit_counts_what_pruning_stopped_or_would_have() -> None:
    trials = [
        *[row()] * 5,
        *[stopped()] * 3,
        stopped("outranked", "MedianPruner"),
        stopped("diverged", NOT_FINITE),  # had to stop
        stopped("diverged", "exploded"),
        row(outcome="crashed"),
        row(outcome=None),
        ran_on("healthy"),
        ran_on("between", "outranked"),
        ran_on("bad", "stalled", outcome="diverged", rule=NOT_FINITE),
        ran_on(None, outcome="cancelled"),  # nobody knows how it would have ended
        ran_on("bad", outcome="crashed"),  # nor of this one
        row(phase="confirm", ending="bad"),
        stopped("diverged", None, phase="confirm"),
    ]
    assert audit(trials) == Audit(stops=8, ran_on=3, healthy=1)
    assert audit(trials, ranked=False) == Audit(stops=6, ran_on=2, healthy=1)


def test_share_of_false_prunes_is_not_known_where_none_ran_on() -> None:
    found = audit([row(), stopped()])
    assert (found.stops, found.share, found.interval) == (1, None, (0.0, 1.0))
    assert audit([ran_on("healthy"), ran_on("bad")]).share == 0.5


# --- ledger ---------------------------------------------------------------------------------------


def test_ledger_has_a_line_a_rule_and_adds_up() -> None:
    trials = [row(), row(), stopped(), stopped("stalled", "separable"), stopped()]
    *lines, total = ledger(trials, risk=0.1)
    assert [line.rule for line in lines] == ["few_modes", "separable", "none", "measuring"]
    assert [line.trials for line in lines] == [2, 1, 2, 0]
    assert (total.rule, total.trials) == ("total", 5)
    for index, amount in enumerate(amounts(total)):
        assert amount == pytest.approx(
            tuple(sum(values) for values in zip(*(amounts(x)[index] for x in lines), strict=True))
        )


def test_stopped_trial_saved_what_it_had_left_at_its_own_speed() -> None:
    few_modes, measuring, total = ledger([stopped()], risk=0.1)
    assert few_modes.used == Compute(250, 48.0, pytest.approx(0.48))
    assert few_modes.saved == Compute(750.0, 144.0, pytest.approx(1.44))
    assert few_modes.surely_saved == few_modes.saved * 0.9
    assert measuring.used == Compute(0.0, 2.0, pytest.approx(0.02))
    assert measuring.saved == Compute()
    # 2 s are worth 250 / 48 * 2 updates
    assert close(measuring.surely_saved) == (-250 / 24, -2.0, -0.02)
    assert close(total.used) == (250, 50.0, 0.5)
    assert close(total.surely_saved) == (675 - 250 / 24, 127.6, 1.276)


@pytest.mark.parametrize(
    "trial",
    [
        stopped("diverged", NOT_FINITE),
        stopped("outranked", "MedianPruner"),
    ],
    ids=["not finite", "outranked"],
)
def test_only_stops_for_ill_health_are_beyond_doubt(trial: dict[str, Any]) -> None:
    line, _, _ = ledger([trial], risk=0.1)
    assert line.saved.updates == 750.0
    assert line.surely_saved == Compute()


def test_bound_goes_by_the_audit_once_ten_ran_on() -> None:
    for count, doubt in ((9, 0.02), (10, wilson(1, 10)[1])):
        trials = [stopped(), ran_on("healthy"), *[ran_on("bad")] * (count - 1)]
        trials += [ran_on("healthy", "outranked")] * 20  # tells nothing of health rules
        few_modes, *_ = ledger(trials, risk=0.02)
        assert few_modes.surely_saved.updates == pytest.approx(750.0 * (1.0 - doubt))


def test_confirming_trials_use_and_save_nothing() -> None:
    trials = [row(), row(phase="confirm"), stopped("diverged", NOT_FINITE, phase="confirm")]
    none, confirming, measuring, total = ledger(trials, risk=0.1)
    assert (none.rule, none.trials) == ("none", 1)
    assert (confirming.rule, confirming.trials) == ("confirming", 2)
    assert close(confirming.used) == (1_250, 147.0, 0.99 + 0.48)
    assert (confirming.saved, confirming.surely_saved) == (Compute(), Compute())
    assert close(measuring.used) == (0.0, 4.0, 0.04)
    assert measuring.surely_saved.seconds == -1.0  # that of the search
    assert close(total.used) == (2_250, 250.0, 2.5)


def test_nothing_is_sure_where_nobody_knows_the_risk() -> None:
    few_modes, *_ = ledger([stopped()], risk=None)
    assert few_modes.surely_saved == Compute()


@pytest.mark.parametrize(
    "trial",
    [
        row(),
        row(outcome="crashed", stopped_at=0.5),
        row(outcome="cancelled", stopped_at=0.5),
        row(outcome=None, stopped_at=None, gpu_hours=None, measured_seconds=None),
        ran_on("bad"),
    ],
    ids=["completed", "crashed", "cancelled", "running", "audited"],
)
def test_trial_that_no_rule_stopped_saved_nothing(trial: dict[str, Any]) -> None:
    none, _, _ = ledger([trial], risk=0.1)
    assert (none.rule, none.trials) == ("none", 1)
    assert (none.used.updates, none.used.seconds) == (1_000, 99.0)
    assert (none.saved, none.surely_saved) == (Compute(), Compute())


def test_trial_that_never_reported_used_nothing_that_is_known() -> None:
    undefined = dict.fromkeys(("d_updates", "g_updates", "seconds"))
    none, measuring, total = ledger([row(**undefined, stopped_at=0.0, measured_seconds=0.0)], 0.1)
    assert none.used == Compute(0, 0.0, 1.0)
    assert measuring.used == Compute()
    assert total.used.gpu_hours == 1.0


def test_old_record_without_a_rule_is_told_by_its_outcome() -> None:
    assert ledger([stopped(rule=None)], 0.1)[0].rule == "collapsed"


def test_ledger_of_no_trials_is_empty_but_for_its_sums() -> None:
    assert ledger([], None) == [Entry("measuring"), Entry("total")]


def test_line_is_flat_under_the_names_of_its_columns() -> None:
    line = Entry("few_modes", 2, Compute(1, 2, 3), Compute(4, 5, 6), Compute(7, 8, 9))
    assert tuple(line.flat()) == COLUMNS == ("rule", "trials", *AMOUNT_COLUMNS)
    assert list(line.flat().values()) == ["few_modes", *range(2, 3), *range(1, 10)]
    assert line.flat()["surely_saved_gpu_hours"] == 9

"""Each policy on histories that are rigged for it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ganray.errors import SpecError
from ganray.health.judge import judge
from ganray.health.rules import HealthRules
from ganray.trial import LOG_2, Signals, State, Verdict
from ganray.tuning import pruner
from ganray.tuning.replay import alone
from ganray.tuning.replay.catalogue import BUILT_IN, decide, make_policies
from ganray.tuning.replay.histories import History
from ganray.tuning.replay.policies import Stopped
from tests.conftest import past

GOOD = {"distance": 0.1, "modes": 8.0, "mode_ratio": 1.0, "high_quality": 0.9, "js": 0.1}
ONE_MODE = {"distance": 0.8, "modes": 1.0, "mode_ratio": 0.125, "high_quality": 0.9, "js": 0.3}
NOT_FINITE = {"nonfinite": "loss of D"}
SATURATED = {**GOOD, "js": 0.88 * LOG_2}


RISKS = (0.01, 0.02, 0.05, 0.1)


@pytest.fixture
def plain_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that finds few modes dead after four reports at the largest risk, later at others."""

    def judge(history: Sequence[Signals], rules: HealthRules) -> Verdict:
        milder = [HealthRules.for_risk(risk, rules.budget).hopeless for risk in RISKS]
        reports = 3 + sum(rules.hopeless <= hopeless for hopeless in milder)
        dead = len(history) >= reports and history[-1].mode_ratio < 0.35
        return Verdict(State.COLLAPSED, "why", "few_modes") if dead else Verdict(State.HEALTHY)

    monkeypatch.setattr(alone, "judge", judge)
    monkeypatch.setattr(pruner, "judge", judge)


def stops(policy: str, histories: list[History]) -> list[Stopped | None]:
    (made,) = make_policies([policy], histories)
    return decide(made, histories)


def at(policy: str, histories: list[History]) -> list[int | None]:
    """At which report each trial is stopped."""
    return [stop.report if stop else None for stop in stops(policy, histories)]


def peers(count: int, distance: float = 0.1) -> list[History]:
    return [past(i, [{**GOOD, "distance": distance}] * 10) for i in range(count)]


def test_none_stops_nothing() -> None:
    assert at("none", [past(0, [ONE_MODE] * 10), past(1, [NOT_FINITE])]) == [None, None]


@pytest.mark.parametrize(
    ("policy", "reports", "index"),
    [
        ("js", [SATURATED] * 10, 2),
        ("js", [*[SATURATED] * 2, GOOD, *[SATURATED] * 7], 5),
        ("js", [{**GOOD, "js": 0.87 * LOG_2}] * 10, None),
        ("js", [SATURATED, SATURATED, {**GOOD, "js": None}] * 3, None),
        ("js", [SATURATED, SATURATED, {**SATURATED, **NOT_FINITE}], None),
        ("modes", [ONE_MODE] * 10, 2),
        ("modes", [*[GOOD] * 6, ONE_MODE, ONE_MODE, GOOD, ONE_MODE], None),
        ("modes", [*[GOOD] * 6, *[ONE_MODE] * 4], 8),
        ("modes", [*[GOOD] * 7, *[ONE_MODE] * 3], None),  # nothing is left to stop
        ("modes", [{**GOOD, "mode_ratio": 0.35}] * 10, None),
        ("modes", [{**GOOD, "mode_ratio": None}] * 10, None),
    ],
)
def test_rule_needs_three_reports_in_a_row(
    policy: str, reports: list[dict[str, Any]], index: int | None
) -> None:
    (stop,) = stops(policy, [past(0, reports)])
    assert (stop and stop.report) == index
    if stop:
        assert stop.rule == policy


@pytest.mark.usefixtures("plain_judge")
def test_judge_stops_the_dead_and_a_larger_risk_does_so_earlier() -> None:
    histories = [past(0, [ONE_MODE] * 10), past(1, [GOOD] * 10)]
    found = [at(f"ganray-{risk}", histories) for risk in RISKS]
    assert all(healthy is None for _, healthy in found)
    when = [dead for dead, _ in found]
    assert None not in when
    assert when == sorted(when, reverse=True)
    assert when[0] > when[-1] == 3
    stop = stops("ganray-0.1", histories)[0]
    assert stop == Stopped(3, "collapsed", "why", "few_modes")


def test_judge_decides_by_the_reports_until_then() -> None:
    reports = [{**ONE_MODE, "distance": 1.8, "js": 0.69, "probe_js": 0.69}] * 10
    history = past(0, reports)
    (index,) = at("ganray-0.1", [history])
    rules = HealthRules.for_risk(0.1, history.budget)
    dead = [judge(history.reports[: i + 1], rules).state.is_dead for i in range(10)]
    assert index == (dead.index(True) if True in dead else None)


@pytest.mark.parametrize("policy", BUILT_IN)
def test_trial_that_ends_by_itself_is_stopped_by_nobody(policy: str) -> None:
    worst = [{**ONE_MODE, "distance": 9.0, "js": LOG_2, **NOT_FINITE}]
    assert at(policy, [*peers(8), past(8, worst)]) == [None] * 9


@pytest.mark.parametrize(
    ("policy", "before", "index"),
    [
        ("median", 4, None),  # Optuna's own default: five trials to begin with
        ("median", 5, 0),  # and no warm-up
        ("percentile", 5, 0),
        ("successive_halving", 4, 0),
        ("hyperband", 30, 2),  # of the second bracket
        ("patient", 5, None),  # a plateau is no step back
        ("wilcoxon", 1, 3),
    ],
)
def test_optunas_pruners_are_asked_as_their_users_ask_them(
    policy: str, before: int, index: int | None
) -> None:
    found = at(policy, [*peers(before), past(before, [{**GOOD, "distance": 0.5}] * 10)])
    assert found[before] == index
    stopped = stops(policy, [*peers(before), past(before, [{**GOOD, "distance": 0.5}] * 10)])
    if index is not None:
        assert stopped[before].outcome == "outranked"
        assert stopped[before].rule == policy


def test_patient_pruner_waits_for_four_reports_after_the_best() -> None:
    falling = [{**GOOD, "distance": 0.5 + 0.01 * max(0, i - 2)} for i in range(10)]
    assert at("patient", [*peers(5), past(5, falling)])[5] == 7


@pytest.mark.parametrize("policy", ["median", "percentile", "patient", "wilcoxon"])
def test_better_trial_than_its_peers_goes_on(policy: str) -> None:
    histories = [*peers(6, 0.5), past(6, [GOOD] * 10)]
    assert at(policy, histories)[6] is None


def test_larger_is_better_where_the_objective_says_so() -> None:
    def one(number: int, modes: float) -> History:
        values = [{**GOOD, "modes": modes}] * 10
        return past(number, values, metric="modes", direction="max")

    histories = [*(one(i, 8.0) for i in range(5)), one(5, 2.0), one(6, 9.0)]
    assert at("median", histories)[5:] == [0, None]


def test_trial_that_a_policy_stopped_is_no_peer_any_more() -> None:
    bad = [past(5 + i, [{**GOOD, "distance": 0.5}] * 10) for i in range(9)]
    last = past(14, [{**GOOD, "distance": 0.2}] * 10)
    assert at("median", [*peers(5), *bad, last])[-1] == 0


def test_trials_of_different_sweeps_are_not_compared() -> None:
    worse = [past(i, [{**GOOD, "distance": 0.5}] * 10, source="other") for i in range(2)]
    assert at("median", [*peers(6), *worse])[6:] == [None, None]


def test_report_without_an_objective_is_passed_over() -> None:
    reports = [{}, {"distance": float("inf")}, {"distance": 0.5}, *[{}] * 7]
    assert at("median", [*peers(6), past(6, reports)])[6] == 2


def test_best_trial_drawn_again_is_not_worse_than_itself() -> None:
    best = past(0, [{**GOOD, "distance": 0.1 + 0.01 * (i % 3)} for i in range(10)])
    assert at("wilcoxon", [best, past(1, [{}] * 10), best]) == [None, None, None]


@pytest.mark.usefixtures("plain_judge")
def test_random_stops_as_many_trials_at_the_same_times_as_the_judge() -> None:
    histories = [past(i, [ONE_MODE if i % 3 == 0 else GOOD] * 10) for i in range(12)]
    judged = [i for i in at("ganray-0.02", histories) if i is not None]
    drawn = at("random", histories)
    assert sorted(i for i in drawn if i is not None) == judged
    assert len(judged) == 4
    assert drawn == at("random", histories)
    (policy,) = make_policies(["random"], histories)
    others = [list(policy.decide(histories, seed)) for seed in range(5)]
    assert len({tuple(s is not None for s in stops) for stops in others}) > 1
    elsewhere = [replace(h, source=f"ring-{n}") for n in range(2, 7) for h in histories]
    dealt = at("random", [*histories, *elsewhere])
    assert len({tuple(dealt[i : i + 12]) for i in range(0, 72, 12)}) > 1  # each sweep another


# --- policy files ---------------------------------------------------------------------------------


@pytest.fixture
def filed(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        (tmp_path / "mine.yaml").write_text(text)
        return str(tmp_path / "mine.yaml")

    return write


LATE = {**GOOD, "distance": 0.5}


@pytest.mark.usefixtures("plain_judge")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{risk: 0.1, then: none}", [None, ("few_modes", 3)]),
        ("prune: {risk: 0.1, then: median}", [("median", 4), ("few_modes", 3)]),
        ("prune: {risk: null, then: median}", [("median", 4), ("median", 4)]),
        ("{risk: null, then: wilcoxon}", [("wilcoxon", 3), ("wilcoxon", 3)]),
        ("prune: null", [None, None]),
    ],
)
def test_policy_file_is_replayed_as_a_sweep_would_have_run(
    text: str, found: list[tuple[str, int] | None], filed: Callable[[str], str]
) -> None:
    histories = [*peers(5), past(5, [LATE] * 10), past(6, [ONE_MODE] * 10)]
    decisions = stops(filed(text), histories)
    assert decisions[:5] == [None] * 5
    assert [stop and stop.report for stop in decisions[5:]] == [f and f[1] for f in found]
    for stop, expected in zip(decisions[5:], found, strict=True):
        if expected and expected[0] in ("median", "wilcoxon"):
            assert (stop.rule, stop.outcome) == (expected[0], "outranked")
        elif expected:
            assert (stop.rule, stop.outcome) == (expected[0], "collapsed")


def test_same_histories_again_are_decided_alike(filed: Callable[[str], str]) -> None:
    histories = [*peers(5), past(5, [LATE] * 10), past(6, [ONE_MODE] * 10)]
    (policy,) = make_policies([filed("{risk: 0.1}")], histories)
    assert decide(policy, histories) == decide(policy, histories)


def test_policy_file_has_the_name_of_the_file(filed: Callable[[str], str], tmp_path: Path) -> None:
    path = filed("{risk: 0.5}")
    (tmp_path / "median.yaml").write_text("{risk: 0.5}")
    made = make_policies([path, str(tmp_path / "median.yaml"), "median"], [])
    assert [policy.name for policy in made] == ["mine", str(tmp_path / "median.yaml"), "median"]


def test_whatever_is_wrong_is_told_at_once(filed: Callable[[str], str]) -> None:
    path = filed("{risk: 2, then: medain, odd: 1}")
    with pytest.raises(SpecError) as error:
        make_policies(["medain", path, "js", "js"], [])
    known = "hyperband, median, none, patient, percentile, successive_halving, wilcoxon"
    assert list(error.value.problems) == [
        "--policy: unknown policy 'medain'; did you mean 'median'? "
        f"Known: {', '.join(sorted(BUILT_IN))}; or a YAML file",
        f"{path}: risk: must be less than 1; got 2",
        f"{path}: then: unknown pruner 'medain'; did you mean 'median'? Known: {known}",
        f"{path}: odd: unknown key 'odd'. Known: audit, risk, then",
        "two policies are named 'js'",
    ]


def test_without_a_policy_all_built_in_ones_are_made() -> None:
    assert tuple(policy.name for policy in make_policies([], peers(2))) == BUILT_IN

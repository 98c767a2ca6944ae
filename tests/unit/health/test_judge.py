"""The judge: histories, and what it says at each of their reports."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganray.health.judge import judge, lowest_odds
from ganray.health.recovery import RecoveryModel
from ganray.health.rules import HealthRules
from ganray.trial import LOG_2, SIGNALS, Signals, State, Verdict

REPORTS = 20
EVERY = 50
WEIGHTS = {"modes": 4.0, "nearness": 2.0, "quality": 1.0, "overlap": 1.0, "motion": 0.0}
MODEL = RecoveryModel(early=WEIGHTS, late=WEIGHTS, bias=(-3.0, -3.0), calibration=(-1.0, 1.0))
RULES = HealthRules(
    budget=REPORTS * EVERY, model=MODEL, hopeless=-0.5, doubted=0.5, trusted=2.0, patience=0.1
)
# A trial is judged from report 2. What it stands by is its last two reports, and it is given up
# when that has been hopeless at three reports in a row.

HEALTHY = {
    "distance": 0.05,
    "modes": 8.0,
    "mode_ratio": 1.0,
    "high_quality": 0.9,
    "diversity": 1.0,
    "extent": 1.0,
    "js": 0.1 * LOG_2,
    "probe_js": 0.1 * LOG_2,
}  # log odds 5.4
FAR = {"distance": 1.2}
SEPARABLE = {"js": 0.95 * LOG_2, "probe_js": 0.97 * LOG_2}
FEW = {"modes": 1.6, "mode_ratio": 0.2, **FAR}  # good samples of few kinds; -0.5
ONE = {"modes": 0.8, "mode_ratio": 0.1, **FAR, **SEPARABLE}  # -1.8
POINT = {"diversity": 0.05, "high_quality": 0.0, "modes": 0.0, "mode_ratio": 0.0, **FAR}  # -2.3
LOST = {"high_quality": 0.01, "modes": 0.0, "mode_ratio": 0.0, **FAR, **SEPARABLE}  # -3.0
SOME = {"modes": 4.0, "mode_ratio": 0.5, "distance": 0.5, "high_quality": 0.3}  # 1.0
EXPLODED = {**LOST, "extent": 25.0}
NAN = {"nonfinite": "loss of D"}

WORDS = {
    "w": State.WARMING_UP,
    "h": State.HEALTHY,
    "s": State.SUSPECT,
    "C": State.COLLAPSED,
    "S": State.STALLED,
    "D": State.DIVERGED,
}


def report(number: int, **changes: object) -> Signals:
    """Report `number`, from 1, of a healthy trial but for the changes."""
    update = number * EVERY
    counters = {"update": update, "d_updates": update // 2, "g_updates": update // 2}
    return Signals(**{**counters, "images": update * 64, "seconds": 1.0, **HEALTHY, **changes})


def history(*phases: tuple[int, dict[str, object]]) -> list[Signals]:
    """A trial of 20 reports, from phases of (reports, changes); the last goes on to the end."""
    changes = [change for reports, change in phases for _ in range(reports)]
    changes += [phases[-1][1]] * (REPORTS - len(changes))
    return [report(number, **change) for number, change in enumerate(changes, start=1)]


def at(number: int, change: dict[str, object], reports: list[Signals]) -> list[Signals]:
    """The same trial with one report changed."""
    return [replace(s, **change) if n == number else s for n, s in enumerate(reports, start=1)]


def verdicts(reports: list[Signals], rules: HealthRules = RULES) -> list[Verdict]:
    return [judge(reports[: n + 1], rules) for n in range(len(reports))]


def states(reports: list[Signals], rules: HealthRules = RULES) -> str:
    letters = {state: letter for letter, state in WORDS.items()}
    return "".join(letters[v.state] for v in verdicts(reports, rules))


# name, history, the state at each of the twenty reports
TABLE = [
    ("healthy", history((20, {})), "w" + "h" * 19),
    ("one mode from the first", history((20, ONE)), "w" + "ss" + "C" * 17),
    ("all samples one point", history((20, POINT)), "w" + "ss" + "C" * 17),
    ("one point that wanders", history((20, {**POINT, "velocity": 0.02})), "w" + "ss" + "C" * 17),
    ("never set in motion", history((20, {**POINT, "velocity": 0.0004})), "w" + "ss" + "S" * 17),
    ("far off and told apart", history((20, LOST)), "w" + "ss" + "S" * 17),
    ("samples far out", history((20, EXPLODED)), "w" + "ss" + "D" * 17),
    ("some modes from the first", history((20, SOME)), "w" + "h" * 19),
    ("recovers", history((3, LOST), (17, {})), "w" + "ss" + "sh" + "h" * 15),
    ("recovers by half", history((2, LOST), (18, SOME)), "w" + "s" * 19),
    ("peaked, then lost its modes", history((12, {}), (8, ONE)), "w" + "h" * 12 + "ss" + "C" * 5),
    ("lost them at the very end", history((18, {}), (2, ONE)), "w" + "h" * 18 + "s"),
    ("one odd report", at(10, LOST, history((20, {}))), "w" + "h" * 19),
    ("one good report among bad", at(10, {}, history((20, LOST))), "w" + "ss" + "S" * 17),
    (
        "one much better report begins the wait anew",
        at(10, HEALTHY, history((20, LOST))),
        "w" + "ss" + "S" * 6 + "sss" + "s" + "S" * 7,
    ),
    ("NaN at once", at(1, NAN, history((20, {}))), "D" + "h" * 19),
    ("NaN at the last", at(20, NAN, history((20, {}))), "w" + "h" * 18 + "D"),
    ("NaN in a collapse", at(14, NAN, history((20, ONE)))[:14], "w" + "ss" + "C" * 10 + "D"),
]


@pytest.mark.parametrize(
    ("reports", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_judge_says_at_each_report(reports, expected):
    assert states(reports) == expected


def test_no_report_yet_is_warming_up():
    assert judge([], RULES) == Verdict(State.WARMING_UP, "no report yet")


@pytest.mark.parametrize("rules", [RULES, HealthRules(budget=RULES.budget)])
def test_a_trial_that_exploded_before_its_first_report_is_given_up(rules):
    """Nothing but its extent could ever be measured of it, as `Meter` has it."""
    unmeasured = dict.fromkeys(HEALTHY) | {"extent": 1e7, "modes": 0.0, "mode_ratio": 0.0}
    found = verdicts(history((20, {**unmeasured, "high_quality": 0.0})), rules)
    assert State.DIVERGED in {verdict.state for verdict in found}


def test_a_trial_is_warming_up_until_its_share_of_the_budget():
    rules = replace(RULES, warm_up=0.5)
    assert states(history((20, LOST)), rules) == "w" * 9 + "ss" + "S" * 9


def test_without_patience_one_hopeless_report_is_enough():
    rules = replace(RULES, patience=0.0)
    assert states(history((20, LOST)), rules) == "w" + "S" * 19


def test_patience_is_a_share_of_the_budget_not_a_number_of_reports():
    seldom = history((20, LOST))[1::2]  # at 10, 20, … % of the budget
    assert states(seldom) == "s" + "S" * 9


@pytest.mark.parametrize("dead", [ONE, LOST, EXPLODED, POINT])
def test_a_trial_with_few_reports_is_suspect_at_worst(dead):
    """Fewer than ten: the windows of the rules would be without a report of their own."""
    for every in (3, 4, 5, 10):  # 6, 5, 4 and 2 reports in a trial
        seldom = history((20, dead))[every - 1 :: every]
        assert set(states(seldom)) == {"s"}


def test_what_is_not_finite_ends_a_trial_however_few_its_reports():
    seldom = at(15, NAN, history((20, LOST)))[4::5]
    assert states(seldom) == "ssDs"


def falling(share: float, *, reports: int = REPORTS) -> list[Signals]:
    """A trial that covers no mode, and is nearer by a share at each tenth of its budget."""
    every = REPORTS // reports
    lost = history((REPORTS, {**LOST, "modes": 0.0}))[every - 1 :: every]
    per_report = (1.0 - share) ** (10 / reports)
    return [replace(s, distance=2.0 * per_report**n) for n, s in enumerate(lost)]


@pytest.mark.parametrize("reports", [10, 20])
def test_no_trial_is_given_up_while_its_distance_clearly_falls(reports):
    rules = replace(RULES, hopeless=20.0, doubted=20.0, trusted=20.0)  # whatever the estimate
    assert "S" not in states(falling(0.5, reports=reports), rules)[: reports // 2]
    assert "S" in states(falling(0.1, reports=reports), rules)


def test_a_trial_whose_distance_fell_is_given_up_when_it_no_longer_does():
    rules = replace(RULES, hopeless=20.0, doubted=20.0, trusted=20.0)
    stuck = [replace(s, distance=max(s.distance, 0.5)) for s in falling(0.5)]
    found = states(stuck, rules)
    assert found.index("S") > 5
    assert found.endswith("S" * 10)


def test_a_distance_that_was_not_measured_is_none_that_falls():
    rules = replace(RULES, hopeless=20.0, doubted=20.0, trusted=20.0)
    unknown = at(7, {"distance": None}, falling(0.5))
    assert states(unknown, rules)[6:10] == "SSSS"


def test_a_trial_is_given_up_only_below_the_level_that_is_hopeless():
    odds = MODEL.log_odds(history((20, SOME)), RULES.budget)
    for hopeless, is_dead in ((odds - 0.01, False), (odds + 0.01, True)):
        rules = replace(RULES, hopeless=hopeless, doubted=odds + 0.1)
        assert judge(history((20, SOME)), rules).state.is_dead is is_dead


def test_suspicion_begins_below_one_level_and_ends_above_another():
    between = {"modes": 5.2, "mode_ratio": 0.65, **FAR}  # 1.4
    assert states(history((20, between))) == "w" + "h" * 19
    assert states(history((4, FEW), (16, between))).endswith("s" * 16)
    assert states(history((4, LOST), (16, {}))).endswith("h" * 15)


@pytest.mark.parametrize(
    ("name", "collapsed", "stalled", "others"),
    [
        ("mode_ratio", 0.59, 0.61, {**FAR, **SEPARABLE}),
        ("high_quality", 0.31, 0.29, ONE),
        ("diversity", 0.14, 0.16, {**POINT, "velocity": 0.05}),
        ("velocity", 0.00051, 0.00049, POINT),
    ],
)
def test_what_a_dead_trial_died_of_is_told_by_its_samples(name, collapsed, stalled, others):
    rules = replace(RULES, hopeless=4.0, doubted=4.0, trusted=5.0)
    for value, state in ((collapsed, State.COLLAPSED), (stalled, State.STALLED)):
        assert judge(history((20, {**others, name: value})), rules).state is state


def test_samples_beyond_ten_times_the_reach_of_real_data_have_exploded():
    for extent, state in ((9.9, State.STALLED), (10.1, State.DIVERGED)):
        assert judge(history((20, {**LOST, "extent": extent})), RULES).state is state


# --- the risk -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dead", [ONE, LOST, EXPLODED], ids=["one", "lost", "exploded"])
def test_a_larger_risk_gives_up_no_later(dead):
    fading = [
        replace(s, distance=0.3 * 1.15**n) for n, s in enumerate(history((20, dead)), start=1)
    ]
    first_dead = []
    model = replace(MODEL, calibration=(-2.2, -1.9, -1.2, -0.8, 0.3, 0.9, 2.0))
    for risk in (0.01, 0.13, 0.26, 0.4, 0.6):
        rules = HealthRules.for_risk(risk, RULES.budget, model)
        dead_at = [v.state.is_dead for v in verdicts(fading, rules)]
        first_dead.append(dead_at.index(True) if any(dead_at) else REPORTS)
    assert first_dead == sorted(first_dead, reverse=True)
    assert first_dead[0] > first_dead[-1]


# --- reasons --------------------------------------------------------------------------------------


def test_a_collapse_is_told_in_a_plain_sentence():
    verdict = judge(history((20, ONE))[:8], RULES)
    assert verdict.reason == (
        "covers 0.8 of 8 modes, in doubt for 7 reports, not recovering (chance 14.7 %); "
        "JS 0.66 nats (95% of log 2), probe JS 0.67 nats (97% of log 2), distance 1.20"
    )


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (ONE, "few_modes", "covers 0.8 of 8 modes"),
        (POINT, "narrow", "all samples are nearly one (5% of the real spread)"),
        (LOST, "stalled", "samples stay far from real data (distance 1.20)"),
        (EXPLODED, "exploded", "samples reach 25 times as far as real data"),
    ],
)
def test_every_stop_names_its_rule_its_thresholds_js_and_modes(change, rule, words):
    verdict = judge(history((20, change)), RULES)
    signals = report(20, **change)
    assert verdict.rule == rule
    assert verdict.reason.startswith(f"{words}, in doubt for 19 reports, not recovering (chance ")
    assert f"JS {signals.js:.2f} nats" in verdict.reason
    assert f"probe JS {signals.probe_js:.2f} nats" in verdict.reason
    assert ("of 8 modes" if signals.modes else "no mode") in verdict.reason
    assert verdict.thresholds["patience"] == RULES.patience
    assert verdict.thresholds["hopeless"] == pytest.approx(1 / (1 + math.exp(0.5)))
    assert verdict.recovery < verdict.thresholds["hopeless"]


def test_a_stall_near_real_data_is_not_told_as_far_from_it():
    rules = replace(RULES, hopeless=4.0, doubted=4.0, trusted=5.0)
    blurred = {"mode_ratio": 0.0, "modes": 0.0, "high_quality": 0.02, "distance": 0.06}
    verdict = judge(history((20, blurred)), rules)
    assert verdict.state is State.STALLED
    assert verdict.reason.startswith("samples come near, but 2% of them are good, in doubt for")
    assert verdict.reason.endswith("distance 0.06")


def test_the_thresholds_of_a_rule_are_those_it_compared_with():
    assert judge(history((20, ONE)), RULES).thresholds["few_modes"] == RULES.few_modes
    assert judge(history((20, POINT)), RULES).thresholds["narrow"] == RULES.narrow
    assert judge(history((20, EXPLODED)), RULES).thresholds["exploded"] == RULES.exploded


def test_a_reason_counts_the_reports_since_the_suspicion_began():
    reason = judge(history((12, {}), (8, ONE)), RULES).reason
    assert " for 7 reports, " in reason
    assert judge(history((2, ONE))[:2], RULES).reason.endswith(", in doubt for 1 report")


def test_a_reason_names_what_is_not_finite_and_when():
    verdict = judge(at(3, {"nonfinite": "gradient norm of G"}, history((3, {})))[:3], RULES)
    assert verdict.reason == "gradient norm of G not finite at update 150"
    assert verdict.rule == "nonfinite"


def test_the_numbers_of_a_reason_are_the_latest():
    now = {"modes": 0.4, "mode_ratio": 0.05, "js": 0.9 * LOG_2, "distance": 1.37}
    reason = judge(at(20, now, history((20, ONE))), RULES).reason
    assert "covers 0.4 of 8 modes" in reason
    assert "JS 0.62 nats (90% of log 2), " in reason
    assert reason.endswith("distance 1.37")


def test_a_reason_leaves_out_what_was_not_measured():
    unknown = {"js": None, "probe_js": None, "modes": None, "mode_ratio": None, "distance": None}
    reason = judge(at(20, unknown, history((20, LOST))), RULES).reason
    assert reason.endswith("; modes not known")
    assert "(distance not known)" in reason


def test_js_of_packs_stands_in_where_d_says_nothing_of_single_samples():
    reason = judge(history((20, {**ONE, "js": None, "joint_js": 0.5})), RULES).reason
    assert "; JS 0.50 nats" in reason


def test_a_small_chance_is_not_told_as_none():
    rules = replace(RULES, model=replace(MODEL, bias=(-20.0, -20.0)))
    assert "(chance under 0.1 %)" in judge(history((20, ONE)), rules).reason


def test_the_chance_to_recover_is_told_of_every_judged_report():
    found = [v.recovery for v in verdicts(history((10, {}), (10, LOST)))]
    assert found[0] is None
    assert found[1] == pytest.approx(1 / (1 + math.exp(-MODEL.log_odds([report(1)], 1_000))))
    assert found[9] > 0.99 > 0.1 > found[-1]


# --- what the calibration is made of --------------------------------------------------------------


@pytest.mark.parametrize(
    "reports",
    [
        history((20, ONE)),
        history((5, LOST), (15, {})),
        history((3, ONE), (2, LOST), (1, {}), (14, SOME)),
        at(10, LOST, history((20, {}))),
        history((17, {}), (3, LOST)),
    ],
)
def test_a_trial_is_given_up_exactly_where_its_lowest_odds_are_below_hopeless(reports):
    lowest = lowest_odds(odds_of(reports), RULES.patience * RULES.budget)
    for hopeless, is_dead in ((lowest - 1e-9, False), (lowest + 1e-9, True)):
        rules = replace(RULES, hopeless=hopeless, doubted=hopeless + 1.0, trusted=hopeless + 2.0)
        assert any(v.state.is_dead for v in verdicts(reports, rules)) is is_dead


def odds_of(reports: list[Signals]) -> dict[int, float]:
    judged = range(2, len(reports) + 1)  # the first is in the warm-up
    return {n * EVERY: MODEL.log_odds(reports[:n], RULES.budget) for n in judged}


def test_a_trial_too_short_to_be_judged_has_no_lowest_odds():
    assert lowest_odds(odds_of(history((20, LOST))[:3]), 100) == math.inf


# --- properties -----------------------------------------------------------------------------------

ORDER = {State.WARMING_UP: 0, State.HEALTHY: 0, State.SUSPECT: 1}  # else dead: 2
VALUES = {
    "mode_ratio": [0.0, 0.1, 0.3, 0.45, 0.59, 0.61, 0.8, 1.1],
    "high_quality": [0.0, 0.29, 0.31, 0.9],
    "diversity": [0.0, 0.14, 0.16, 1.0],
    "distance": [-0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1.2, 30.0],
    "js": [share * LOG_2 for share in (0.0, 0.5, 0.95, 1.0)],
    "probe_js": [share * LOG_2 for share in (0.0, 0.5, 1.0)],
    "velocity": [0.0, 0.001, 0.1, 2.0],
    "extent": [0.5, 9.9, 10.1, 1e6],
    "modes": [0.0, 1.0, 8.0],
}
EVENTS = [FEW, ONE, SOME, POINT, LOST, SEPARABLE, EXPLODED, HEALTHY]
ANY_RULES = [RULES, HealthRules(budget=RULES.budget), HealthRules.for_risk(0.1, RULES.budget)]


@st.composite
def histories(draw: st.DrawFn) -> list[Signals]:
    """Trials to which one thing after another happens, so that several are wrong at once."""
    now: dict[str, float | None] = {}
    phases = []
    for _ in range(draw(st.integers(1, 5))):
        now = now | draw(st.sampled_from(EVENTS))
        for name in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=1)):
            now = now | {name: draw(st.sampled_from([None, *VALUES[name]]))}
        phases.append((draw(st.sampled_from([1, 3, 6, 12])), now))
    return history(*phases)[:REPORTS]


def badness(reports: list[Signals], rules: HealthRules) -> int:
    return ORDER.get(judge(reports, rules).state, 2)


def assert_never_worse(
    reports: list[Signals], rules: HealthRules, name: str, larger_is_better: bool
) -> None:
    """At no report does the verdict get worse if that report's signal had been a better value."""
    for n, last in enumerate(reports):
        now = getattr(last, name)
        for value in VALUES[name] if now is not None else []:
            if (value > now) is larger_is_better:
                better = [*reports[:n], replace(last, **{name: value})]
                assert badness(better, rules) <= badness(reports[: n + 1], rules)


@settings(max_examples=100)
@given(histories(), st.sampled_from(ANY_RULES))
def test_more_modes_at_the_latest_report_never_worsen_a_verdict(reports, rules):
    assert_never_worse(reports, rules, "mode_ratio", larger_is_better=True)


@settings(max_examples=100)
@given(histories(), st.sampled_from(ANY_RULES))
def test_a_smaller_distance_at_the_latest_report_never_worsens_a_verdict(reports, rules):
    assert_never_worse(reports, rules, "distance", larger_is_better=False)


any_value = st.none() | st.floats()
any_report = st.fixed_dictionaries(dict.fromkeys(SIGNALS, any_value))


@given(st.lists(any_report, max_size=20), st.sampled_from([None, "loss of D"]))
def test_every_history_has_a_verdict_whatever_is_missing_or_not_a_number(rows, nonfinite):
    reports = [report(n, **row) for n, row in enumerate(rows, start=1)]
    if reports:
        reports[-1] = replace(reports[-1], nonfinite=nonfinite)
    verdict = judge(reports, RULES)
    assert isinstance(verdict.state, State)
    assert not verdict.state.is_dead or verdict.reason
    assert verdict.recovery is None or 0.0 <= verdict.recovery <= 1.0


@pytest.mark.parametrize("name", sorted(SIGNALS))
@pytest.mark.parametrize("value", [None, math.nan])
@pytest.mark.parametrize("change", [{}, ONE, LOST, EXPLODED, POINT])
def test_a_signal_that_is_missing_once_never_saves_a_trial(name, value, change):
    known = verdicts(history((20, change)))
    found = verdicts(at(12, {name: value}, history((20, change))))
    for before, after in zip(known, found, strict=True):
        assert ORDER.get(after.state, 2) >= ORDER.get(before.state, 2)


@pytest.mark.parametrize("name", sorted(SIGNALS))
@pytest.mark.parametrize("value", [None, math.nan])
@pytest.mark.parametrize("change", [{}, ONE, LOST, EXPLODED, POINT])
def test_a_signal_that_is_never_measured_never_speaks_against_a_trial(name, value, change):
    known = verdicts(history((20, change)))
    found = verdicts(history((20, {**change, name: value})))
    for before, after in zip(known, found, strict=True):
        assert ORDER.get(after.state, 2) <= ORDER.get(before.state, 2)


@given(histories(), st.sampled_from(ANY_RULES))
def test_a_verdict_depends_on_the_history_alone(reports, rules):
    """Report by report, all at once, from a tuple, read back after a restart: the same."""
    one_by_one = verdicts(reports, rules)
    copies = [Signals.from_dict(s.to_dict()) for s in reports]
    assert judge(tuple(copies), rules) == one_by_one[-1]
    assert verdicts(copies, replace(rules, model=replace(rules.model))) == one_by_one
    assert copies == reports


@given(histories())
def test_nothing_but_what_is_not_finite_stops_a_trial_in_its_warm_up(reports):
    for signals, verdict in zip(reports, verdicts(reports), strict=True):
        if signals.update < RULES.warm_up * RULES.budget:
            assert verdict.state is State.WARMING_UP


def test_no_threshold_puts_off_what_is_not_finite():
    verdict = judge([report(1, **NAN)], replace(RULES, warm_up=1.0, patience=1.0))
    assert verdict.state is State.DIVERGED


def test_reports_that_come_twice_change_nothing():
    for reports in (history((20, ONE)), history((5, LOST), (15, {}))):
        twice = [signals for signals in reports[:13] for _ in range(2)]
        assert judge(twice, RULES).state is judge(reports[:13], RULES).state

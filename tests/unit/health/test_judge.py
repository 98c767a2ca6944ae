"""The judge: histories, and what it says at each of their reports."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganray.health.judge import judge
from ganray.health.rules import HealthRules
from ganray.trial import LOG_2, SIGNALS, Signals, State, Verdict

REPORTS = 20
EVERY = 50
RULES = HealthRules(budget=REPORTS * EVERY)
# By default a trial is judged from report 3, and given up from report 12 at the earliest, six
# reports after it began to look dead.

HEALTHY = {
    "distance": 0.05,
    "modes": 8.0,
    "mode_ratio": 1.0,
    "high_quality": 0.9,
    "diversity": 1.0,
    "extent": 1.0,
    "js": 0.1 * LOG_2,
    "probe_js": 0.1 * LOG_2,
}
FEW = {"modes": 1.6, "mode_ratio": 0.2}  # looks collapsed
SOME = {"modes": 4.0, "mode_ratio": 0.5}  # between the entry and the exit level
BLURRED = {"high_quality": 0.1}
ENOUGH = {"modes": 5.6, "mode_ratio": 0.7}
POINT = {"diversity": 0.05, "high_quality": 0.0, "modes": 0.0, "mode_ratio": 0.0}
FAR = {"distance": 0.8}
SATURATED = {**FAR, "js": 0.95 * LOG_2, "probe_js": 0.95 * LOG_2}
SEPARABLE = {**FAR, "js": 0.75 * LOG_2, "probe_js": 0.75 * LOG_2}  # between entry and exit
FUZZY = {**FAR, "js": 0.5 * LOG_2, "probe_js": 0.5 * LOG_2}
EXPLODED = {"extent": 25.0, **FAR}
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


def curve(name: str, value_at, **changes: object) -> list[Signals]:
    """A trial whose signal `name` is a function of the update."""
    return [report(n, **{**changes, name: value_at(n * EVERY)}) for n in range(1, REPORTS + 1)]


def at(number: int, change: dict[str, object], reports: list[Signals]) -> list[Signals]:
    """The same trial with one report changed."""
    return [replace(s, **change) if n == number else s for n, s in enumerate(reports, start=1)]


def verdicts(reports: list[Signals], rules: HealthRules = RULES) -> list[Verdict]:
    return [judge(reports[: n + 1], rules) for n in range(len(reports))]


def states(reports: list[Signals], rules: HealthRules = RULES) -> str:
    letters = {state: letter for letter, state in WORDS.items()}
    return "".join(letters[v.state] for v in verdicts(reports, rules))


FINE = "ww" + "h" * 18
COLLAPSED = "ww" + "s" * 9 + "C" * 9
STALLED = "ww" + "s" * 9 + "S" * 9

# name, history, the state at each of the twenty reports
TABLE = [
    ("healthy", history((20, {})), FINE),
    # --- collapse
    ("collapsed from the first", history((20, FEW)), COLLAPSED),
    ("all samples one point", history((20, POINT)), COLLAPSED),
    ("one point that wanders", history((20, {**POINT, "velocity": 0.02})), COLLAPSED),
    ("one point on the only mode", history((20, {"diversity": 0.05})), COLLAPSED),
    ("diversity just enough", history((20, {**POINT, "diversity": 0.16})), FINE),
    ("never set in motion", history((20, {**POINT, "velocity": 0.0004})), FINE),
    ("collapsed, then recovers", history((10, FEW), (10, {})), "ww" + "s" * 8 + "h" * 10),
    ("recovers just in time", history((11, FEW), (9, {})), "ww" + "s" * 9 + "h" * 9),
    ("peaked, then collapsed late", history((12, {}), (8, FEW)), "ww" + "h" * 10 + "ssssssCC"),
    ("collapses at the very end", history((15, {}), (5, FEW)), "ww" + "h" * 13 + "s" * 5),
    ("half the modes from the first", history((20, SOME)), FINE),
    ("half the modes after few", history((3, FEW), (17, SOME)), "ww" + "s" * 18),
    ("too few good samples to tell, once", at(9, BLURRED, history((20, FEW))), COLLAPSED),
    ("climbs from few to half", history((8, FEW), (12, SOME)), "ww" + "s" * 18),
    ("few modes of few good samples", history((20, {**FEW, "high_quality": 0.29})), FINE),
    ("few modes of enough good ones", history((20, {**FEW, "high_quality": 0.31})), COLLAPSED),
    ("quality not measured", history((20, {**FEW, "high_quality": None})), FINE),
    ("few modes, but gaining", curve("mode_ratio", lambda u: 0.00062 * u), "ww" + "s" * 17 + "h"),
    ("gaining too slowly", curve("mode_ratio", lambda u: 0.0003 * u), COLLAPSED),
    (
        "gained, then no more",
        curve("mode_ratio", lambda u: min(max(0.0, 0.001 * u - 0.3), 0.34)),
        "ww" + "s" * 12 + "C" * 6,
    ),
    # --- one odd report
    ("few modes at one report", at(10, FEW, history((20, {}))), "ww" + "h" * 7 + "s" + "h" * 10),
    ("one report a little better", at(8, SOME, history((20, FEW))), COLLAPSED),
    ("one odd report in the trend", at(12, SOME, history((20, FEW))), "ww" + "s" * 10 + "C" * 8),
    (
        "one report well above begins the wait anew",
        at(8, ENOUGH, history((20, FEW))),
        "ww" + "s" * 5 + "h" + "s" * 6 + "C" * 6,
    ),
    ("one less saturated report", at(8, SEPARABLE, history((20, SATURATED))), STALLED),
    (
        "one report hard to tell apart begins the wait anew",
        at(8, FUZZY, history((20, SATURATED))),
        "ww" + "s" * 5 + "h" + "s" * 6 + "S" * 6,
    ),
    # --- stall
    ("saturated and far", history((20, SATURATED)), STALLED),
    ("saturated by D alone", history((20, {**SATURATED, "probe_js": None})), STALLED),
    ("saturated by the probe alone", history((20, {**SATURATED, "js": None})), STALLED),
    ("saturated by the probe, D weak", history((20, {**SATURATED, "js": 0.0})), STALLED),
    ("never set in motion by D", history((20, {**SATURATED, **POINT, "velocity": 0.0})), STALLED),
    ("saturated with good samples", history((20, {**SATURATED, "distance": 0.2})), FINE),
    ("far, but hard to tell apart", history((20, SEPARABLE)), FINE),
    ("far, but nobody measured JS", history((20, {**FAR, "js": None, "probe_js": None})), FINE),
    ("saturated, distance not known", history((20, {**SATURATED, "distance": None})), FINE),
    ("separable after saturated", history((3, SATURATED), (17, SEPARABLE)), STALLED),
    (
        "saturated from half-way",
        history((10, {}), (10, SATURATED)),
        "ww" + "h" * 8 + "s" * 6 + "S" * 4,
    ),
    (
        "saturated, but samples improve",
        curve("distance", lambda u: 1.0 - 0.0009 * u, js=0.95 * LOG_2),
        "ww" + "s" * 14 + "h" * 4,
    ),
    (
        "saturated, and samples get worse",
        curve("distance", lambda u: 0.5 + 0.001 * u, js=0.95 * LOG_2),
        STALLED,
    ),
    # --- divergence
    ("NaN at once", at(1, NAN, history((20, {}))), "Dw" + "h" * 18),
    ("NaN at the last", at(20, NAN, history((20, {}))), "ww" + "h" * 17 + "D"),
    ("NaN in a collapse", at(14, NAN, history((20, FEW)))[:14], "ww" + "s" * 9 + "CCD"),
]


@pytest.mark.parametrize(
    ("reports", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_judge_says_at_each_report(reports, expected):
    assert states(reports) == expected


def test_a_trial_that_explodes_all_through_patience_is_suspect_then_diverges():
    assert states(history((20, EXPLODED))) == "ww" + "s" * 9 + "D" * 9


def test_a_trial_that_explodes_late_is_given_up_after_patience():
    assert states(history((12, {}), (8, EXPLODED))) == "ww" + "h" * 10 + "s" * 6 + "D" * 2


def test_a_trial_that_explodes_and_returns_is_healthy_again():
    assert states(history((5, EXPLODED), (15, {}))) == "ww" + "s" * 3 + "h" * 15


@pytest.mark.parametrize(("change", "state"), [(FEW, State.COLLAPSED), (SATURATED, State.STALLED)])
def test_an_explosion_that_waits_does_not_hide_what_is_dead_already(change, state):
    reports = history((16, change), (4, {**change, "extent": 25.0}))
    assert {v.state for v in verdicts(reports)[16:]} == {state}


@pytest.mark.parametrize("number", [8, 11])
def test_one_report_back_in_range_begins_the_wait_anew_for_an_exploded_trial(number):
    found = verdicts(at(number, {"extent": 1.0}, history((20, EXPLODED))))
    assert [v.state.is_dead for v in found].index(True) == number + 6


@pytest.mark.parametrize("dead", [FEW, SATURATED, EXPLODED], ids=["few", "saturated", "exploded"])
def test_a_larger_risk_gives_up_no_later(dead):
    first_dead = [
        [v.state.is_dead for v in verdicts(history((20, dead)), rules)].index(True)
        for rules in (HealthRules.for_risk(r, RULES.budget) for r in (0.01, 0.02, 0.05, 0.1, 0.5))
    ]
    assert first_dead == sorted(first_dead, reverse=True)
    assert first_dead[0] > first_dead[-1]


def test_no_report_yet_is_warming_up():
    assert judge([], RULES) == Verdict(State.WARMING_UP, "no report yet")


@pytest.mark.parametrize(
    ("name", "dead", "alive", "others"),
    [
        ("mode_ratio", 0.34, 0.36, {}),
        ("high_quality", 0.31, 0.29, FEW),
        ("diversity", 0.14, 0.16, {**POINT, "velocity": 0.05}),
        ("velocity", 0.00051, 0.00049, POINT),
        ("js", 0.86 * LOG_2, 0.84 * LOG_2, {**FAR, "probe_js": None}),
        ("probe_js", 0.86 * LOG_2, 0.84 * LOG_2, {**FAR, "js": None}),
        ("distance", 0.26, 0.24, SATURATED),
        ("extent", 10.1, 9.9, {}),
    ],
)
def test_each_threshold_lies_where_it_is_said_to(name, dead, alive, others):
    assert judge(history((20, {**others, name: dead})), RULES).state.is_dead
    assert judge(history((20, {**others, name: alive})), RULES).state is State.HEALTHY


@pytest.mark.parametrize(
    ("name", "inside", "outside", "start"),
    [
        ("mode_ratio", 0.59, 0.61, FEW),
        ("js", 0.66 * LOG_2, 0.64 * LOG_2, {**SATURATED, "probe_js": None}),
    ],
)
def test_a_spell_ends_only_beyond_the_exit_level(name, inside, outside, start):
    for value, is_dead in ((inside, True), (outside, False)):
        assert judge(at(15, {name: value}, history((20, start))), RULES).state.is_dead is is_dead


def test_without_patience_the_first_report_after_the_earliest_time_is_enough():
    rules = replace(RULES, earliest=0.5, patience=0.0)
    assert states(history((15, {}), (5, FEW)), rules) == "ww" + "h" * 13 + "C" * 5


# --- when two things are wrong at once ------------------------------------------------------------


def test_few_modes_in_a_stall_do_not_put_off_the_end():
    """A stalled trial that has just lost its modes, too, is not better off for it."""
    stalled = history((20, SATURATED))
    assert judge(stalled[:14], RULES).state is State.STALLED
    assert judge(at(14, FEW, stalled)[:14], RULES).state.is_dead


def test_modes_that_come_back_in_a_stall_do_not_put_off_the_end():
    stalled = curve("mode_ratio", lambda update: 0.00062 * update, **SATURATED)
    assert judge(stalled[:14], RULES).state.is_dead


# --- reasons --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "change"),
    [
        (State.COLLAPSED, {**FEW, "js": 0.5 * LOG_2}),
        (State.STALLED, SATURATED),
        (State.DIVERGED, EXPLODED),
    ],
)
def test_js_and_modes_stand_in_the_reason_of_every_stop(state, change):
    verdict = judge(history((20, change)), RULES)
    signals = report(20, **change)
    assert verdict.state is state
    assert f"modes {signals.modes:.1f}" in verdict.reason
    assert f"JS {signals.js / LOG_2:.0%} of log 2" in verdict.reason
    assert f"distance {signals.distance:.2f}" in verdict.reason


def test_a_reason_names_what_is_not_finite_and_when():
    reports = at(3, {"nonfinite": "gradient norm of G"}, history((3, {})))[:3]
    assert judge(reports, RULES).reason == "gradient norm of G not finite at update 150"


def test_a_reason_says_since_when():
    assert "since update 650" in judge(history((12, {}), (8, FEW)), RULES).reason
    assert "since update 550" in judge(history((10, {}), (10, SATURATED)), RULES).reason
    assert "25 times as far" in judge(history((20, EXPLODED)), RULES).reason


@pytest.mark.parametrize("change", [FEW, SATURATED])
def test_the_numbers_of_a_reason_are_the_latest(change):
    now = {"modes": 2.3, "js": 0.9 * LOG_2, "probe_js": 0.97 * LOG_2, "distance": 0.87}
    verdict = judge(at(20, now, history((20, change))), RULES)
    expected = "modes 2.3, JS 90% of log 2, probe JS 97%, distance 0.87"
    assert verdict.state.is_dead
    assert verdict.reason.endswith(expected)


def test_a_suspicion_says_what_it_rests_on():
    assert judge(history((5, FEW))[:5], RULES).reason.startswith("few modes: modes 1.6")
    gaining = curve("mode_ratio", lambda update: max(0.0, 0.0008 * update - 0.15))[:12]
    assert judge(gaining, RULES).reason.startswith("few modes, but gaining")
    assert judge(history((5, SATURATED))[:5], RULES).reason.startswith("JS saturated: ")
    exploding = judge(history((5, EXPLODED))[:5], RULES).reason
    assert exploding.startswith("samples reach 25 times as far as real data: modes 8.0, JS 10%")
    improving = curve("distance", lambda u: 1.0 - 0.0009 * u, js=0.95 * LOG_2)[:13]
    assert judge(improving, RULES).reason.startswith("JS saturated, but samples improve")


def test_a_reason_leaves_out_what_was_not_measured():
    verdict = judge(history((20, {**FEW, "js": None, "probe_js": None})), RULES)
    assert verdict.reason == "few modes since update 50: modes 1.6, distance 0.05"


# --- the trend ------------------------------------------------------------------------------------


def test_the_trend_is_the_median_of_all_slopes_in_the_last_patience():
    """Of 0.2, 0.21, …, 0.26 at 300, …, 600 each slope is 0.0002: 0.34 at the end. Just enough?"""
    reports = curve("mode_ratio", lambda u: 0.2 + 0.0002 * (u - 300) if u >= 300 else 0.05)[:12]
    for enough, state in ((0.33, State.SUSPECT), (0.35, State.COLLAPSED)):
        rules = replace(RULES, few_modes=0.3, enough_modes=enough)
        assert judge(reports, rules).state is state


def test_the_trend_of_a_stall_must_take_a_fifth_off_the_distance_within_patience():
    """At 0.5, a fifth is 0.1; patience is 300 updates."""
    for slope, state in ((-0.00032, State.STALLED), (-0.00034, State.SUSPECT)):
        reports = curve("distance", lambda u, s=slope: 0.5 + s * (u - 600), js=0.95 * LOG_2)[:12]
        assert judge(reports, RULES).state is state


def test_the_trend_leaves_out_reports_without_the_signal():
    reports = history((20, {**FEW, "high_quality": 0.0, "diversity": 0.05, "mode_ratio": None}))
    assert judge(reports, RULES).state is State.COLLAPSED
    reports = at(10, {"mode_ratio": None, "diversity": 0.05}, history((20, FEW)))
    assert judge(reports[:12], RULES).state is State.COLLAPSED


def test_reports_that_come_twice_change_nothing():
    for reports in (history((20, FEW)), curve("distance", lambda u: 1.0 - 0.0009 * u, js=LOG_2)):
        twice = [signals for signals in reports[:13] for _ in range(2)]
        assert judge(twice, RULES).state is judge(reports[:13], RULES).state


# --- properties -----------------------------------------------------------------------------------

ORDER = {State.WARMING_UP: 0, State.HEALTHY: 0, State.SUSPECT: 1}  # else dead: 2
NEAR_THRESHOLDS = {
    "mode_ratio": [0.0, 0.1, 0.3, 0.34, 0.35, 0.45, 0.59, 0.6, 0.8, 1.1],
    "high_quality": [0.0, 0.29, 0.3, 0.9],
    "diversity": [0.0, 0.14, 0.15, 1.0],
    "distance": [-0.01, 0.1, 0.24, 0.25, 0.3, 0.5, 0.8, 1.2],
    "js": [share * LOG_2 for share in (0.0, 0.64, 0.65, 0.8, 0.85, 0.95, 1.0)],
    "probe_js": [share * LOG_2 for share in (0.0, 0.64, 0.65, 0.85, 1.0)],
    "extent": [0.5, 1.0, 9.9, 10.1, 1e6],
    "modes": [0.0, 1.0, 8.0],
}


EVENTS = [FEW, SOME, ENOUGH, POINT, SATURATED, SEPARABLE, FUZZY, EXPLODED, HEALTHY]


@st.composite
def histories(draw: st.DrawFn) -> list[Signals]:
    """Trials to which one thing after another happens, so that several are wrong at once."""
    now: dict[str, float | None] = {}
    phases = []
    for _ in range(draw(st.integers(1, 5))):
        now = now | draw(st.sampled_from(EVENTS))
        for name in draw(st.lists(st.sampled_from(sorted(NEAR_THRESHOLDS)), max_size=1)):
            now = now | {name: draw(st.sampled_from([None, *NEAR_THRESHOLDS[name]]))}
        phases.append((draw(st.sampled_from([1, 3, 6, 12])), now))
    return history(*phases)[:REPORTS]


def badness(reports: list[Signals]) -> int:
    return ORDER.get(judge(reports, RULES).state, 2)


def assert_never_worse(reports: list[Signals], name: str, larger_is_better: bool) -> None:
    """At no report does the verdict get worse if that report's signal had been a better value."""
    for n, last in enumerate(reports):
        now = getattr(last, name)
        for value in NEAR_THRESHOLDS[name] if now is not None else []:
            if (value > now) is larger_is_better:
                better = [*reports[:n], replace(last, **{name: value})]
                assert badness(better) <= badness(reports[: n + 1])


@settings(max_examples=200)
@given(histories())
def test_more_modes_at_the_latest_report_never_worsen_a_verdict(reports):
    assert_never_worse(reports, "mode_ratio", larger_is_better=True)


@settings(max_examples=200)
@given(histories())
def test_a_smaller_distance_at_the_latest_report_never_worsens_a_verdict(reports):
    assert_never_worse(reports, "distance", larger_is_better=False)


any_value = st.none() | st.floats(allow_nan=False, allow_infinity=False)
any_report = st.fixed_dictionaries(dict.fromkeys(SIGNALS, any_value))


@given(st.lists(any_report, max_size=20), st.sampled_from([None, "loss of D"]))
def test_every_history_has_a_verdict_whatever_is_missing(rows, nonfinite):
    reports = [report(n, **row) for n, row in enumerate(rows, start=1)]
    if reports:
        reports[-1] = replace(reports[-1], nonfinite=nonfinite)
    verdict = judge(reports, RULES)
    assert isinstance(verdict.state, State)
    assert isinstance(verdict.reason, str)
    assert not verdict.state.is_dead or verdict.reason


@pytest.mark.parametrize("name", sorted(SIGNALS))
@pytest.mark.parametrize("change", [{}, FEW, SATURATED, EXPLODED, POINT])
def test_a_signal_that_is_never_measured_does_not_raise(name, change):
    always = history((20, {**change, name: None}))
    once = at(12, {name: None}, history((20, change)))
    for reports in (always, once):
        assert all(isinstance(v.state, State) for v in verdicts(reports))


@given(histories())
def test_a_verdict_depends_on_the_history_alone(reports):
    """Report by report, all at once, from a tuple, in another process' copy: the same."""
    one_by_one = verdicts(reports)
    copies = [Signals.from_dict(s.to_dict()) for s in reports]
    assert judge(tuple(copies), RULES) == one_by_one[-1]
    assert verdicts(copies) == one_by_one
    assert copies == reports


@given(histories())
def test_nothing_but_divergence_stops_a_trial_before_the_earliest_time(reports):
    for signals, verdict in zip(reports, verdicts(reports), strict=True):
        if signals.update < RULES.earliest * RULES.budget:
            assert not verdict.state.is_dead
        if signals.update < RULES.warm_up * RULES.budget:
            assert verdict.state is State.WARMING_UP


def test_no_threshold_puts_off_what_is_not_finite():
    verdict = judge([report(1, **NAN)], replace(RULES, warm_up=1.0, earliest=1.0, patience=1.0))
    assert verdict == Verdict(State.DIVERGED, "loss of D not finite at update 50")


def test_a_saturated_trial_that_improves_steadily_is_not_stalled():
    for end in (0.5, 0.4, 0.3, 0.2):
        reports = curve("distance", lambda u, e=end: 1.0 - (1.0 - e) * u / 1000, js=0.95 * LOG_2)
        assert not any(v.state.is_dead for v in verdicts(reports, RULES)), end


def test_few_good_samples_do_not_stand_in_for_reports_of_few_modes():
    blurred, now = {**FEW, **BLURRED}, {**FEW, "high_quality": 0.35}
    reports = history((3, FEW), (14, blurred), (3, now))
    assert not any(v.state.is_dead for v in verdicts(reports, RULES))

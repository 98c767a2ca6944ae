"""History → Verdict: arithmetic on plain records, the same at once or report by report."""

import math
from collections.abc import Mapping, Sequence

from ganray.health.endings import BAD_DISTANCE
from ganray.health.recovery import LATELY
from ganray.health.rules import FEWEST_REPORTS, HealthRules
from ganray.trial import LOG_2, NOT_FINITE, Signals, State, Verdict


def judge(history: Sequence[Signals], rules: HealthRules) -> Verdict:
    """What the reports so far say of a trial.

    A trial is dead when something is not finite, or when its chance to end healthy, as estimated
    from its history, has been hopeless for some time. It is suspect from the report at which that
    chance becomes doubtful to the one at which it can be trusted again. It is no worse than suspect
    while its reports are too few to judge it by, or its distance clearly falls.

    Args:
        history: all reports of the trial, oldest first.
        rules: the thresholds.
    """
    if not history:
        return Verdict(State.WARMING_UP, "no report yet")
    last = history[-1]
    if last.nonfinite is not None:
        reason = f"{last.nonfinite} not finite at update {last.update}"
        return Verdict(State.DIVERGED, reason, rule=NOT_FINITE)
    if last.update < rules.warm_up * rules.budget:
        return Verdict(State.WARMING_UP)
    return _by_recovery(history, rules)


def lowest_odds(odds: Mapping[int, float], patience: float) -> float:
    """The level of `hopeless` above which a trial is given up; infinite if it never is.

    Args:
        odds: log odds of ending healthy after each report that is judged, by its update.
        patience: how long a trial must look hopeless without a break, in updates.
    """
    found = math.inf
    for end in odds:
        first = max((start for start in odds if start <= end - patience), default=None)
        if first is not None:
            found = min(found, max(odds[at] for at in odds if first <= at <= end))
    return found


def _odds(history: Sequence[Signals], rules: HealthRules) -> dict[int, float]:
    """Log odds of ending healthy after so many reports, the last first.

    Back to the warm-up, or to a report that can be trusted: what was before it is forgiven.
    """
    odds: dict[int, float] = {}
    for end in range(len(history), 0, -1):
        if history[end - 1].update < rules.warm_up * rules.budget:
            break
        odds[end] = rules.model.log_odds(history[:end], rules.budget)
        if odds[end] >= rules.trusted:
            break
    return odds


def _by_recovery(history: Sequence[Signals], rules: HealthRules) -> Verdict:
    odds = _odds(history, rules)
    recovery = _probability(odds[len(history)])
    doubted = _spell(odds, rules.doubted, rules.trusted)
    if not doubted:
        return Verdict(State.HEALTHY, recovery=recovery)
    state, rule = _cause(history, rules)
    reason = f"{_told(history[-1], rule)}, in doubt for {_reports(len(doubted))}"
    hopeless = _spell(odds, rules.hopeless, rules.hopeless)
    if not hopeless or not _is_long(history, hopeless[-1], rules) or _is_open(history, rules):
        return Verdict(State.SUSPECT, reason, rule, _thresholds(rule, rules), recovery)
    reason += f", not recovering (chance {_percent(recovery)}); {_numbers(history[-1], rule)}"
    return Verdict(state, reason, rule, _thresholds(rule, rules), recovery)


def _spell(odds: dict[int, float], enter: float, leave: float) -> list[int]:
    """The reports of the present spell below a level, the last first as in `odds`.

    A spell begins with a report below `enter` and lasts until one that is not below `leave`.
    """
    below: list[int] = []
    for end in odds:
        if not odds[end] < leave:
            break
        below.append(end)
    while below and not odds[below[-1]] < enter:
        below.pop()
    return below


def _is_long(history: Sequence[Signals], first: int, rules: HealthRules) -> bool:
    since = history[first - 1].update
    return history[-1].update - since >= rules.patience * rules.budget


def _is_open(history: Sequence[Signals], rules: HealthRules) -> bool:
    """Whether the end of a trial that looks hopeless cannot be told yet."""
    too_seldom = len(history) * rules.budget < FEWEST_REPORTS * history[-1].update
    return too_seldom or _clearly_falls(history, rules)


def _clearly_falls(history: Sequence[Signals], rules: HealthRules) -> bool:
    """Whether every distance of the last window is well below every one of the window before."""
    window = LATELY * rules.budget
    last, before = history[-1].update - window, history[-1].update - 2.0 * window
    now = [s.distance for s in history if s.update > last]
    then = [s.distance for s in history if before < s.update <= last]
    farthest = max(math.inf if distance is None else distance for distance in now)
    nearest = min((-math.inf if distance is None else distance for distance in then), default=0.0)
    return farthest <= (1.0 - rules.falls) * nearest


def _cause(history: Sequence[Signals], rules: HealthRules) -> tuple[State, str]:
    """What a trial that will hardly recover is dying of: the state, and the rule that names it."""
    last = history[-1]
    if last.extent is not None and last.extent > rules.exploded:
        return State.DIVERGED, "exploded"
    narrow = last.diversity is not None and last.diversity < rules.narrow
    if narrow and _was_set_in_motion(history, rules):
        return State.COLLAPSED, "narrow"
    countable = (last.high_quality or 0.0) >= rules.counted_quality
    if countable and last.mode_ratio is not None and last.mode_ratio < rules.few_modes:
        return State.COLLAPSED, "few_modes"
    return State.STALLED, "stalled"


def _was_set_in_motion(history: Sequence[Signals], rules: HealthRules) -> bool:
    """A generator that stays where it began is narrow, too; that is D's victory, a stall."""
    motions = [s.velocity for s in history if s.velocity is not None]
    return not motions or sum(motions) >= rules.frozen


def _thresholds(rule: str, rules: HealthRules) -> dict[str, float]:
    """What the rule compared with, by name."""
    names = {
        "exploded": ("exploded",),
        "narrow": ("narrow", "frozen"),
        "few_modes": ("few_modes", "counted_quality"),
        "stalled": (),
    }
    found = {name: getattr(rules, name) for name in (*names[rule], "warm_up", "patience")}
    return {**found, "hopeless": _probability(rules.hopeless)}


def _told(last: Signals, rule: str) -> str:
    match rule:
        case "exploded":
            return f"samples reach {last.extent:.3g} times as far as real data"
        case "narrow":
            return f"all samples are nearly one ({last.diversity:.0%} of the real spread)"
        case "few_modes":
            return f"covers {_modes(last)}"
    if _is_near(last):
        return f"samples come near, but {last.high_quality or 0.0:.0%} of them are good"
    return f"samples stay far from real data (distance {_shown(last.distance)})"


def _is_near(last: Signals) -> bool:
    return last.distance is not None and last.distance <= BAD_DISTANCE


def _numbers(last: Signals, rule: str) -> str:
    """JS and the mode count stand in every reason, whichever rule spoke."""
    js = {"JS": last.js if last.js is not None else last.joint_js, "probe JS": last.probe_js}
    found = [f"{name} {_nats(value)}" for name, value in js.items() if value is not None]
    if rule != "few_modes":  # it has told the modes
        found.insert(0, _modes(last))
    if rule != "stalled" or _is_near(last):  # else it has told the distance
        found.append(f"distance {_shown(last.distance)}")
    return ", ".join(found)


def _modes(last: Signals) -> str:
    if last.modes is None or last.mode_ratio is None:
        return "modes not known"
    if not last.mode_ratio:
        return "no mode"
    return f"{last.modes:.1f} of {round(last.modes / last.mode_ratio, 1):g} modes"


def _nats(js: float) -> str:
    return f"{js:.2f} nats ({js / LOG_2:.0%} of log 2)"


def _shown(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f}"


def _reports(count: int) -> str:
    return "1 report" if count == 1 else f"{count} reports"


def _percent(probability: float) -> str:
    return "under 0.1 %" if probability < 0.001 else f"{100 * probability:.1f} %"


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(log_odds, 700.0), -700.0)))

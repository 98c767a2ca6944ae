"""History → Verdict: arithmetic on plain records, the same at once or report by report."""

import statistics
from collections.abc import Callable, Sequence
from itertools import combinations

from ganray.health.rules import HealthRules
from ganray.trial import LOG_2, Signals, State, Verdict

Test = Callable[[Signals, HealthRules], bool]


def judge(history: Sequence[Signals], rules: HealthRules) -> Verdict:
    """What the reports so far say of a trial.

    Args:
        history: all reports of the trial, oldest first.
        rules: the thresholds.

    Returns:
        The first that applies of diverged, warming up, collapsed, stalled, suspect, healthy.
    """
    if not history:
        return Verdict(State.WARMING_UP, "no report yet")
    first = _diverged(history, rules) or _warming_up(history, rules)
    if first is not None:
        return first
    # a death outweighs a suspicion, whichever rule it comes from
    tests = (_collapsed, _stalled, _exploding)
    found = [verdict for test in tests if (verdict := test(history, rules)) is not None]
    found.sort(key=lambda verdict: not verdict.state.is_dead)
    return found[0] if found else Verdict(State.HEALTHY)


def _diverged(history: Sequence[Signals], rules: HealthRules) -> Verdict | None:
    last = history[-1]
    if last.nonfinite is not None:
        return Verdict(State.DIVERGED, f"{last.nonfinite} not finite at update {last.update}")
    since = _looks_dead_since(history, _is_exploded, _is_exploded, rules)
    if since is None or _waits(since, last, rules):
        return None
    return Verdict(State.DIVERGED, f"{_reach(last)} since update {since}: {_numbers(last)}")


def _warming_up(history: Sequence[Signals], rules: HealthRules) -> Verdict | None:
    if _progress(history[-1], rules) < rules.warm_up:
        return Verdict(State.WARMING_UP)
    return None


def _collapsed(history: Sequence[Signals], rules: HealthRules) -> Verdict | None:
    since = _looks_dead_since(history, _stays_below_exit, _has_few_modes, rules)
    if since is None or not _was_set_in_motion(history, rules):
        return None
    last, numbers = history[-1], _numbers(history[-1])
    # dead is who is below the entry level now; the exit level only says how long it has been
    recent = [s for s in history if s.update >= max(since, last.update - _patience(rules))]
    seldom = sum(_has_few_modes(s, rules) for s in recent) < 0.5 * len(recent)
    if _waits(since, last, rules) or seldom or not _has_few_modes(last, rules):
        return Verdict(State.SUSPECT, f"few modes: {numbers}")
    slope = _slope(history, since, rules, "mode_ratio")
    coming = (last.mode_ratio or 0.0) + slope * (rules.budget - last.update)
    if coming >= rules.enough_modes and not _is_narrow(last, rules):
        return Verdict(State.SUSPECT, f"few modes, but gaining: {numbers}")
    return Verdict(State.COLLAPSED, f"few modes since update {since}: {numbers}")


def _stalled(history: Sequence[Signals], rules: HealthRules) -> Verdict | None:
    since = _looks_dead_since(history, _stays_separable, _is_saturated, rules)
    if since is None:
        return None
    last, numbers = history[-1], _numbers(history[-1])
    if _waits(since, last, rules):
        return Verdict(State.SUSPECT, f"JS saturated: {numbers}")
    loss = -_slope(history, since, rules, "distance") * _patience(rules)
    if last.distance is not None and loss > rules.progress * last.distance:
        return Verdict(State.SUSPECT, f"JS saturated, but samples improve: {numbers}")
    return Verdict(
        State.STALLED, f"JS saturated since update {since}, too little progress: {numbers}"
    )


def _exploding(history: Sequence[Signals], rules: HealthRules) -> Verdict | None:
    last = history[-1]
    if not _is_exploded(last, rules):
        return None
    return Verdict(State.SUSPECT, f"{_reach(last)}: {_numbers(last)}")


def _has_few_modes(signals: Signals, rules: HealthRules) -> bool:
    """Good samples of few kinds, or all samples at one point."""
    few = _is_countable(signals, rules) and (signals.mode_ratio or 0.0) < rules.few_modes
    return _is_narrow(signals, rules) or few


def _is_narrow(signals: Signals, rules: HealthRules) -> bool:
    """All samples at one point, wherever that is."""
    return signals.diversity is not None and signals.diversity < rules.narrow


def _stays_below_exit(signals: Signals, rules: HealthRules) -> bool:
    """Once in the state, a trial leaves it only by modes that count, well above the entry level."""
    return (
        _is_narrow(signals, rules)
        or not _is_countable(signals, rules)
        or (signals.mode_ratio or 0.0) < rules.enough_modes
    )


def _is_countable(signals: Signals, rules: HealthRules) -> bool:
    """Whether enough samples are good for their modes to mean anything; else it is no collapse."""
    return signals.mode_ratio is not None and (signals.high_quality or 0.0) >= rules.counted_quality


def _was_set_in_motion(history: Sequence[Signals], rules: HealthRules) -> bool:
    """A generator that stays where it began is narrow, too; that is D's victory, a stall."""
    motions = [s.velocity for s in history if s.velocity is not None]
    return not motions or sum(motions) >= rules.frozen


def _is_exploded(signals: Signals, rules: HealthRules) -> bool:
    return signals.extent is not None and signals.extent > rules.exploded


def _is_saturated(signals: Signals, rules: HealthRules) -> bool:
    """Real and generated are told apart almost always, and the samples are still far off."""
    return _js_above(signals, rules, rules.saturated)


def _stays_separable(signals: Signals, rules: HealthRules) -> bool:
    return _js_above(signals, rules, rules.separable)


def _js_above(signals: Signals, rules: HealthRules, level: float) -> bool:
    """By D or by the probe; a sharp D with samples that are near real data is no stall."""
    bounds = [js for js in (signals.js, signals.probe_js) if js is not None]
    far = signals.distance is not None and signals.distance >= rules.still_far
    return far and bool(bounds) and max(bounds) >= level * LOG_2


def _looks_dead_since(
    history: Sequence[Signals], stays: Test, enters: Test, rules: HealthRules
) -> int | None:
    """The update at which the present spell of looking dead began.

    Args:
        stays: what every report of the spell must pass: the exit level.
        enters: what its first report must pass.

    Returns:
        None if the trial is in no such spell.
    """
    since = None
    for signals in reversed(history):
        if not stays(signals, rules):
            break
        if enters(signals, rules):
            since = signals.update
    return since


def _waits(since: int, last: Signals, rules: HealthRules) -> bool:
    """Whether it is too early, in the trial or in the spell, to give it up."""
    too_early = _progress(last, rules) < rules.earliest
    return too_early or (last.update - since) < _patience(rules)


def _slope(history: Sequence[Signals], since: int, rules: HealthRules, signal: str) -> float:
    """By how much a signal grows with each update, over the last `patience`.

    The median of the slopes between all pairs of reports (Theil 1950; Sen 1968), which one odd
    report does not bend; 0 where there are no two.
    """
    start = max(since, history[-1].update - _patience(rules))
    points = [(s.update, getattr(s, signal)) for s in history if s.update >= start]
    defined = [(update, value) for update, value in points if value is not None]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(defined, 2) if a[0] != b[0]]
    return statistics.median(slopes) if slopes else 0.0


def _patience(rules: HealthRules) -> float:
    """In updates."""
    return rules.patience * rules.budget


def _progress(signals: Signals, rules: HealthRules) -> float:
    return signals.update / rules.budget


def _reach(signals: Signals) -> str:
    return f"samples reach {signals.extent:.3g} times as far as real data"


def _numbers(signals: Signals) -> str:
    """JS and the mode count stand in every reason, whichever rule spoke."""
    shown = {
        "modes": (signals.modes, "{:.1f}"),
        "JS": (None if signals.js is None else signals.js / LOG_2, "{:.0%} of log 2"),
        "probe JS": (None if signals.probe_js is None else signals.probe_js / LOG_2, "{:.0%}"),
        "distance": (signals.distance, "{:.2f}"),
    }
    return ", ".join(
        f"{name} {text.format(value)}" for name, (value, text) in shown.items() if value is not None
    )

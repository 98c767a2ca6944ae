"""The evidence behind the health rules: histories, tables, and the fit that ganray ships."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ganray.health.recovery import FITTED
from ganray.tuning.replay.archive import load_histories, save_histories
from ganray.tuning.replay.catalogue import BUILT_IN, decide, make_policies
from ganray.tuning.replay.crossfit import (
    Group,
    by_data,
    by_loss,
    examples,
    held_out,
    held_out_models,
)
from ganray.tuning.replay.evaluate import Evaluation, Saving, Tally, evaluate
from ganray.tuning.replay.fitting import fit
from ganray.tuning.replay.histories import History, fetch_histories
from ganray.tuning.replay.policies import Policy
from ganray.tuning.replay.recoveries import LOOKS, Curve, curve, first_spell, look
from ganray.tuning.replay.regret import SIZES, regrets
from ganray.tuning.replay.truth import Kind, Truth, label

HISTORIES = Path(__file__).parent / "histories"
SWEEPS = Path(__file__).parents[2] / "sweeps"
REPEATED = {"ring": 22, "grid": 19, "digits": 15}  # settings that run again with two more seeds
SEEDS = (0, 1, 2)
RISKS = (0.01, 0.02, 0.05, 0.1)
MORE_RISKS = (0.005, 0.03, 0.07, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RESAMPLES = 200  # of the regret
OTHERS = [name for name in BUILT_IN if not name.startswith("ganray")]


def histories(folder: Path = HISTORIES) -> None:
    """Run the unpruned sweeps `health-*.yaml` and keep every report: hours on two cores."""
    folder.mkdir(parents=True, exist_ok=True)
    for data, repeated in REPEATED.items():
        with tempfile.TemporaryDirectory() as scratch:
            store = f"sqlite:///{scratch}/mlflow.db"
            for seed in SEEDS:
                options = ["--trials", str(repeated), "--set", f"seed={seed}"] if seed else []
                places = ["--storage", scratch, "--tracking-uri", store]
                _ganray("run", _file(data), "--name", _name(data, seed), *options, *places)
            found = [h for seed in SEEDS for h in fetch_histories(_name(data, seed), store)]
        save_histories(found, folder / f"{data}.parquet")


def _ganray(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "ganray", *arguments], check=True)


def _file(data: str) -> str:
    return str(SWEEPS / f"health-{data}.yaml")


def _name(data: str, seed: int) -> str:
    return f"health-{data}-{seed}" if seed else f"health-{data}"


def health(folder: Path = HISTORIES) -> None:
    """The tables of the README, each trial judged by rules that it had no part in."""
    found = _load(folder)
    truths = label(found)
    _print_counts(found, truths)
    by_losses = held_out_models(found, truths, by_loss)
    ours = [held_out(risk, by_loss, by_losses) for risk in RISKS]
    _print_policies([*make_policies(OTHERS, found), *ours], found, truths)
    more = [held_out(risk, by_loss, by_losses) for risk in sorted((*RISKS, *MORE_RISKS))]
    _print_equal(found, truths, more)
    _print_groups("one data set held out", by_data, found, truths)
    _print_recovery(found, truths)


def fit_rules(folder: Path = HISTORIES) -> None:
    """Fit the estimate of recovery on all histories and write it where ganray reads it."""
    found = _load(folder)
    model = fit(examples(found, label(found)))
    model.save(FITTED)
    print(f"{FITTED.name}: fitted on {len(found)} histories, {len(model.calibration)} healthy")


def _load(folder: Path) -> list[History]:
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise SystemExit(f"no histories in {folder}: make histories")
    return [history for path in files for history in load_histories(path)]


def _print_counts(found: Sequence[History], truths: Sequence[Truth]) -> None:
    print("\n| histories | bad | between | healthy | top quarter |\n|---|---|---|---|---|")
    for data in sorted({history.data for history in found}):
        own = [t for h, t in zip(found, truths, strict=True) if h.data == data]
        counts = [sum(t.kind is kind for t in own) for kind in (Kind.BAD, Kind.BETWEEN)]
        healthy, top = sum(t.kind is Kind.HEALTHY for t in own), sum(t.top for t in own)
        print(f"| {data}: {len(own)} | {counts[0]} | {counts[1]} | {healthy} | {top} |")


HEAD = (
    "\n| policy | healthy stopped | of the top | between | bad caught | of bad compute saved "
    f"| bad stopped at | regret at {SIZES[0]}, {SIZES[1]} |\n|---|---|---|---|---|---|---|---|"
)


def _print_policies(
    policies: Sequence[Policy],
    found: Sequence[History],
    truths: Sequence[Truth],
) -> None:
    print(HEAD)
    for policy in policies:
        result = evaluate(policy, found, truths, decide(policy, found))
        regret = ", ".join(f"{r.median:+.4f}" for r in regrets(policy, found, RESAMPLES))
        print(f"{_row(result)} {regret} |", flush=True)


def _row(result: Evaluation) -> str:
    tallies = result.tallies
    at = "–" if result.median_stop is None else f"{result.median_stop:.0%}"
    saved = _saved(result.savings["bad_updates"])
    return (
        f"| {result.policy} | {_share(tallies[Kind.HEALTHY])} | {_count(tallies['top'])} "
        f"| {_count(tallies[Kind.BETWEEN])} | {_share(tallies[Kind.BAD])} | {saved} | {at} |"
    )


def _count(tally: Tally) -> str:
    return f"{tally.stopped} of {tally.total}"


def _share(tally: Tally) -> str:
    """The share with its interval, by drawing settings."""
    if tally.bootstrap is None or tally.share is None:
        return "–"
    is_mixed = 0 < tally.stopped < tally.total  # else no draw differs from another
    low, high = tally.bootstrap if is_mixed else tally.wilson or (0.0, 0.0)
    return f"{_count(tally)}: {tally.share:.1%} ({low:.1%} … {high:.1%})"


def _saved(saving: Saving | None) -> str:
    if saving is None or saving.bootstrap is None:
        return "–"
    low, high = saving.bootstrap
    return f"{saving.net:.0%} ({low:.0%} … {high:.0%})"


def _print_equal(found: Sequence[History], truths: Sequence[Truth], ours: Sequence[Policy]) -> None:
    """Ours beside every other policy, at the risk that stops no more healthy trials than it."""
    print("\n| policy | healthy stopped | bad compute saved | ours at no more | saves |")
    print("|---|---|---|---|---|")
    rows = [evaluate(p, found, truths, decide(p, found)) for p in ours]
    for policy in make_policies(OTHERS, found):
        other = evaluate(policy, found, truths, decide(policy, found))
        lost = other.tallies[Kind.HEALTHY].stopped
        fair = [row for row in rows if row.tallies[Kind.HEALTHY].stopped <= lost]
        best = max(fair, key=_net, default=None)
        beside = "– |" if best is None else f"{best.policy} | {_net(best):.0%}"
        print(f"| {policy.name} | {lost} | {_net(other):.0%} | {beside} |")


def _net(result: Evaluation) -> float:
    saving = result.savings["bad_updates"]
    return saving.net if saving is not None else 0.0


def _print_groups(
    title: str, group: Group, found: Sequence[History], truths: Sequence[Truth]
) -> None:
    models = held_out_models(found, truths, group)
    print(f"\n{title}\n{HEAD.replace('policy', 'held out, risk', 1)}")
    for risk in RISKS:
        policy = held_out(risk, group, models)
        stops = decide(policy, found)
        for name in (*models, None):
            kept = [i for i, h in enumerate(found) if name in (None, group(h))]
            result = evaluate(
                policy,
                [found[i] for i in kept],
                [truths[i] for i in kept],
                [stops[i] for i in kept],
            )
            row = _row(result).replace(policy.name, f"{name or 'all'}, {risk:g}", 1)
            print(f"{row} |")


def _print_recovery(found: Sequence[History], truths: Sequence[Truth]) -> None:
    print("\n| of the budget used | look dead | end healthy all the same |\n|---|---|---|")
    for at in LOOKS:
        seen = look(found, truths, at)
        low, high = seen.interval or (0.0, 0.0)
        share = seen.healthy / seen.dead if seen.dead else 0.0
        print(f"| {at:.0%} | {seen.dead} | {seen.healthy}: {share:.0%} ({low:.0%} … {high:.0%}) |")
    print("\n| loss | look dead after the warm-up | recover within 10 % | 25 % | 50 % of budget |")
    print("|---|---|---|---|---|")
    for loss in (None, *sorted({by_loss(history) for history in found})):
        own = [h for h in found if loss in (None, by_loss(h))]
        spells = [spell for h in own if (spell := first_spell(h)) is not None]
        if not any(spell.recovered for spell in spells):
            print(f"| {loss} | {len(spells)} of {len(own)} | 0 | 0 | 0 |")
            continue
        kept = curve(spells)
        within = " | ".join(_within(kept, length) for length in (0.1, 0.25, 0.5))
        print(f"| {loss or 'all'} | {len(spells)} of {len(own)} | {within} |")


def _within(found: Curve, length: float) -> str:
    low, high = found.interval(length)
    return f"{found.within(length):.0%} ({low:.0%} … {high:.0%})"

"""`ganray train`: one trial in this process, a line a report."""

from typing import Any

from rich.console import Console

from ganray.cli.board import show_js, show_number, show_settings
from ganray.data.registry import load_dataset
from ganray.spec.models import SweepSpec
from ganray.trial import Signals, TrialConfig
from ganray.tuning.session import Session, Workbench


def train_one(spec: SweepSpec, trial: int | None) -> Signals:
    """Train one trial and show its progress on stderr.

    Args:
        spec: the sweep.
        trial: a trial of the recorded sweep to repeat; None: the file's fixed parameters, and what
            they leave open from `search.first`.

    Returns:
        The last report's signals.
    """
    console = Console(stderr=True, highlight=False)
    spec, config = _what(spec, trial)
    console.print(show_settings(_settings(spec, config)), style="dim")
    session = Session(Workbench(spec, load_dataset(spec.data.model_dump())), config)
    while True:
        signals = session.next_report()
        modes, good = show_number(signals.modes), show_number(signals.high_quality, 2)
        console.print(
            f"update {signals.update:>7}  distance {show_number(signals.distance):>8}  "
            f"modes {modes:>5}  good {good:>5}  JS {show_js(signals.js):>4} of log 2"
        )
        if session.done or signals.nonfinite is not None:
            return signals


def _what(spec: SweepSpec, trial: int | None) -> tuple[SweepSpec, TrialConfig]:
    """The sweep as it was recorded, if a trial of it is to be repeated, and the trial."""
    if trial is None:
        first = spec.search.first[0].given if spec.search.first else {}
        return spec, spec.trial_config(0, first)
    from ganray.tuning.study import SweepStudy

    study = SweepStudy.load(spec)
    return study.spec, study.config(trial)


def _settings(spec: SweepSpec, config: TrialConfig) -> dict[str, Any]:
    """What the sweep file decides or searches, with the trial's values."""
    first = spec.search.first[0].given if spec.search.first else {}
    named = {*spec.trainer.given, *spec.search.space.entries, *first}
    return {name: getattr(config, name) for name in config.__slots__ if name in named}

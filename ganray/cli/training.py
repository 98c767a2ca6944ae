"""`ganray train`: one trial in this process, a line a report."""

import time
from pathlib import Path
from typing import Any

from rich.console import Console

from ganray.cli.board import show_js, show_modes, show_number, show_settings, show_share, show_time
from ganray.data.registry import load_dataset
from ganray.errors import OutputError
from ganray.spec.models import SweepSpec
from ganray.trial import Signals, TrialConfig
from ganray.tuning.fit import check_fit
from ganray.tuning.places import CHECKPOINT
from ganray.tuning.session import Session, Workbench


def train_one(spec: SweepSpec, trial: int | None, output: Path | None = None) -> Signals:
    """Train one trial and show its progress on stderr.

    Args:
        spec: the sweep.
        trial: a trial of the recorded sweep to repeat; None: the file's fixed parameters, and what
            they leave open from `search.first`.
        output: where to leave the checkpoint and a picture at the end; None: nowhere.

    Returns:
        The last report's signals.
    """
    console = Console(stderr=True, highlight=False)
    spec, config = _what(spec, trial)
    console.print(
        show_settings(_settings(spec, config)), style="dim", soft_wrap=not console.is_terminal
    )
    dataset = load_dataset(spec.data.model_dump())
    check_fit(spec, dataset)
    session = Session(Workbench(spec, dataset), config)
    started = time.monotonic()
    while True:
        signals = session.next_report()
        pace = (time.monotonic() - started) / signals.update
        left = pace * max(0, spec.budget.updates - signals.update)
        console.print(_line(signals, left), soft_wrap=True)
        if session.done or signals.nonfinite is not None:
            break
    if output is not None:
        _leave(session, output)
    return signals


def _line(signals: Signals, left: float) -> str:
    """What a report says, and for how many seconds the trial may go on."""
    distance, modes = show_number(signals.distance), show_modes(signals.modes, 3)
    return (
        f"update {signals.update:>7}  distance {distance:>8}  modes {modes:>5}  "
        f"good {show_share(signals.high_quality):>4}  JS {show_js(signals.js):>4} of log 2  "
        f"{show_time(left)} left"
    )


def _leave(session: Session, output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / CHECKPOINT).write_bytes(session.checkpoint())
        (output / "samples.png").write_bytes(session.picture())
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror}") from None


def _what(spec: SweepSpec, trial: int | None) -> tuple[SweepSpec, TrialConfig]:
    """The sweep as it was recorded, if a trial of it is to be repeated, and the trial."""
    if trial is None:
        first = spec.search.first[0].given if spec.search.first else {}
        return spec, spec.trial_config(0, first)
    from ganray.tuning.confirm import find_config

    return find_config(spec, trial)


def _settings(spec: SweepSpec, config: TrialConfig) -> dict[str, Any]:
    """What the sweep file decides or searches, with the trial's values."""
    first = spec.search.first[0].given if spec.search.first else {}
    named = {*spec.trainer.given, *spec.search.space.entries, *first}
    return {name: getattr(config, name) for name in config.__slots__ if name in named}

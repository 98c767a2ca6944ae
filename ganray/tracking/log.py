"""A sweep told in plain lines: for a driver's log, which people read from afar."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ganray.tracking.recorder import BestGenerator, Evidence, Load, SweepRecord, TrialRecord
from ganray.trial import Ending, Outcome, Signals, Verdict

PARTS = 10  # of a trial's budget, each told in a line


class LogRecorder:
    """A `Recorder` that writes a line when a trial starts, ends, or has used a tenth more.

    Args:
        write: takes one line, without its end; raises nothing.
        clock: the time in front of each line.
    """

    complete = True  # nothing is ever lost

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._write_line = write
        self._clock = clock
        self._sweep: SweepRecord | None = None
        self._parts: dict[int, int] = {}

    def start_sweep(self, sweep: SweepRecord) -> None:
        """See `Recorder`."""
        self._sweep = sweep
        then = f", then up to {sweep.confirming} that confirm the best" if sweep.confirming else ""
        self._write(f"{sweep.name}: {sweep.trials} trials of {sweep.updates} updates{then}")

    def real_picture(self, load: Load) -> None:
        """See `Recorder`; of no use here."""

    def start_trial(self, trial: TrialRecord) -> None:
        """See `Recorder`."""
        settings = " ".join(f"{name}={_show(value)}" for name, value in trial.searched.items())
        self._write(f"trial {trial.number} starts: {settings}")

    def report(self, number: int, signals: Signals, verdict: Verdict, at: int) -> None:
        """See `Recorder`."""
        if self._sweep is None:
            return
        part = PARTS * signals.update // self._sweep.updates
        if part > self._parts.get(number, 0):
            self._parts[number] = part
            names = dict.fromkeys((self._sweep.objective, "modes", "js"))
            values = ((name, getattr(signals, name)) for name in names)
            shown = " ".join(
                f"{name} {_show(value)}" for name, value in values if value is not None
            )
            share = signals.update / self._sweep.updates
            self._write(f"trial {number} {share:.0%} {verdict.state.value} {shown}".rstrip())

    def picture(self, number: int, update: int, load: Load) -> None:
        """See `Recorder`; of no use here."""

    def end_trial(self, ending: Ending) -> None:
        """See `Recorder`."""
        value = "" if ending.objective is None else f" objective {_show(ending.objective)}"
        reason = " ".join(ending.reason.split())
        self._write(f"trial {ending.number} {ending.outcome.value}{value}: {reason}")

    def start_confirming(self, trials: int) -> None:
        """See `Recorder`."""
        self._write(f"confirming the best with fresh seeds: {trials} trials")

    def evidence(self, number: int, evidence: Evidence) -> None:
        """See `Recorder`; of no use here."""

    def generator(self, best: BestGenerator) -> None:
        """See `Recorder`; of no use here."""

    def wants_generator(self, number: int, register: str | None) -> bool:
        """See `Recorder`; of no use here."""
        return False

    def end_sweep(self, outcomes: Mapping[int, Outcome], *, cancelled: bool) -> None:
        """See `Recorder`."""
        found = list(outcomes.values())
        counts = ", ".join(f"{found.count(o)} {o.value}" for o in Outcome if o in found)
        self._write(f"{'stopped' if cancelled else 'done'}: {counts or 'no trial ended'}")

    def wants(self, number: int, outcome: Outcome | None) -> bool:
        """See `Recorder`: an earlier attempt's log told how it ended."""
        return outcome is None

    def rest(self) -> None:
        """See `Recorder`."""

    def hurry(self, seconds: float) -> None:
        """See `Recorder`; nothing here takes long."""

    def close(self) -> None:
        """See `Recorder`; every line was written when it came."""

    def _write(self, text: str) -> None:
        self._write_line(f"[{self._clock():%Y-%m-%d %H:%M:%S}] {text}")


def _show(value: Any) -> str:
    """In few characters."""
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)

"""What a trial leaves in its folder: pictures, its last checkpoint, and its best one."""

from typing import Any

from ganray.trial import Signals
from ganray.tuning.places import (
    BEST_CHECKPOINT,
    BEST_PICTURE,
    CHECKPOINT,
    STOP_PICTURE,
    samples_name,
    write_file,
)
from ganray.tuning.session import Session


class TrialFiles:
    """Writes a trial's files: at milestones, when it is stopped, and when it ends.

    Health rules hear of one trial alone, so that the worker knows as soon as the driver when they
    stop it. What else stops a trial is decided in the driver; then `leave` writes what is missing.

    Args:
        session: the trial.
        folder: or URL, where to.
    """

    def __init__(self, session: Session, folder: str) -> None:
        self._session = session
        self._folder = folder
        self._last: Signals | None = None
        self._saved_at = 0  # the update of each checkpoint that is written
        self._best_at = 0
        self._names: set[str] = set()

    def after_report(self, signals: Signals) -> dict[str, Any]:
        """Write what this report calls for.

        Returns:
            What the driver is told: `picture`, where that of a milestone lies; `kept`, the names of
            all files so far, sorted, where they are all that there will be if the trial ends here.
        """
        self._last = signals
        told: dict[str, Any] = {}
        ends = self._session.done
        if self._session.is_milestone:
            name = samples_name(signals.update)
            told["picture"] = self._write(name, self._session.picture())
        if self._is_stopped(signals):
            ends = True
            self._write(STOP_PICTURE, self._session.picture())
        if ends or self._session.is_milestone:
            self._save(signals)
        if ends:
            told["kept"] = tuple(sorted(self._names))
        return told

    def leave(self) -> None:
        """Write what is missing of a trial that goes no further."""
        if self._last is None:
            return
        if not self._session.done and STOP_PICTURE not in self._names:
            self._write(STOP_PICTURE, self._session.picture())
        self._save(self._last)

    def _is_stopped(self, signals: Signals) -> bool:
        """Whether health rules stop it here, or would, for the first time, if it is audited."""
        first = STOP_PICTURE not in self._names
        return signals.nonfinite is not None or (first and self._session.is_condemned)

    def _save(self, signals: Signals) -> None:
        """Both checkpoints as they are now, where they are not written yet."""
        best = self._session.best
        if signals.nonfinite is None and self._saved_at != signals.update:
            self._write(CHECKPOINT, self._session.checkpoint())
            self._saved_at = signals.update
        if best is not None and self._best_at != best.update:
            self._write(BEST_CHECKPOINT, best.checkpoint())
            self._write(BEST_PICTURE, self._session.picture(best.samples))
            self._best_at = best.update

    def _write(self, name: str, content: bytes) -> str:
        self._names.add(name)
        return write_file(self._folder, name, content)

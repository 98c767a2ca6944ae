"""What a trial leaves in its folder: pictures, its last checkpoint, and its best one.

At any time that is at most two checkpoints and `MILESTONES + 2` pictures a trial, and one file more
that is being written; at the end of its sweep, the best trial has its exported generator, too.
"""

import time
from collections.abc import Sequence
from typing import Any

import pyarrow

from ganray.errors import CheckpointError
from ganray.secrets import redacted_log
from ganray.trial import Signals
from ganray.tuning.places import (
    BEST_CHECKPOINT,
    BEST_PICTURE,
    CHECKPOINT,
    STOP_PICTURE,
    delete_file,
    drop_parts,
    list_files,
    read_file,
    samples_name,
    write_file,
)
from ganray.tuning.session import Session

log = redacted_log("ganray.tuning")

SAVE_SECONDS = 60.0  # of work that a trial may lose with its process, beside one report
SAVE_SHARE = 0.01  # of a trial's time that checkpoints of its milestones may take
PATIENCE = 10.0  # seconds that the end of a trial waits for storage that is away
PAUSE = 1.0
STORAGE_ERRORS = (OSError, pyarrow.ArrowException)


class TrialFiles:
    """Writes a trial's files: at milestones, every minute, when it is stopped, and when it ends.

    Where milestones follow each other fast, not each of them is worth a checkpoint.

    Health rules hear of one trial alone, so that the worker knows as soon as the driver when they
    stop it. What else stops a trial is decided in the driver; then `leave` writes what is missing.
    Storage that is full or away is no fault of the trial: what could not be written is tried again
    at the next report, and for a while at the end.

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
        self._saved = time.monotonic()
        self._save_seconds = 0.0  # that the last checkpoints took
        self._names: set[str] = set()
        self._unsaved: dict[str, bytes] = {}
        self._shown: dict[str, int] = {}  # updates of pictures that the driver was not told of

    def resume(self) -> None:
        """Go on from the checkpoint that an earlier process left; from the start if there is none.

        A checkpoint that cannot be read costs what was trained, and nothing else.
        """
        try:
            names, content = self._found()
            if content is not None:
                self._session.restore(content)
        except (*STORAGE_ERRORS, CheckpointError) as error:
            log.warning("trial at %s starts again from its beginning: %s", self._folder, error)
            return
        history, best = self._session.history, self._session.best
        if history:
            self._names = set(names)
            self._last = history[-1]
            self._saved_at = history[-1].update
            self._best_at = best.update if best is not None else 0

    def _found(self) -> tuple[Sequence[str], bytes | None]:
        """What an earlier process left: the names of all files, and the checkpoint if any."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                drop_parts(self._folder)
                names = list_files(self._folder)
                found = CHECKPOINT in names
                return names, read_file(f"{self._folder}/{CHECKPOINT}") if found else None
            except STORAGE_ERRORS:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(PAUSE)

    def after_report(self, signals: Signals) -> dict[str, Any]:
        """Write what this report calls for.

        Returns:
            What the driver is told, nothing of it a dict, which Tune would flatten: `pictures`, the
            updates of milestones whose pictures are written by now, with their places; `kept`, the
            names of all files so far, sorted, where there will be no more if the trial ends here.
        """
        self._last = signals
        if self._session.is_milestone:
            name = samples_name(signals.update)
            self._shown[name] = signals.update
            self._write(name, self._session.picture())
        stopped = self._is_stopped(signals)
        if stopped:
            self._write(STOP_PICTURE, self._session.picture())
        ends = stopped or self._session.done
        if ends or self._is_due:
            self._save(signals, goes_on=not stopped)
        self._write_unsaved(PATIENCE if ends else 0.0)
        return {**self._new_pictures(), **({"kept": tuple(sorted(self._names))} if ends else {})}

    def again(self, signals: Signals) -> dict[str, Any]:
        """What the driver was told of a report that an earlier process made, less `kept`."""
        self._shown[samples_name(signals.update)] = signals.update
        return self._new_pictures()

    def leave(self) -> None:
        """Write what is missing of a trial that goes no further, for now or for ever."""
        if self._last is None:
            return
        if not self._session.done and STOP_PICTURE not in self._names:
            self._write(STOP_PICTURE, self._session.picture())
        self._save(self._last, goes_on=not self._session.is_condemned)
        self._write_unsaved(PATIENCE)

    @property
    def _is_due(self) -> bool:
        pause = SAVE_SECONDS
        if self._session.is_milestone:
            pause = min(pause, self._save_seconds / SAVE_SHARE)
        return time.monotonic() - self._saved > pause

    def _is_stopped(self, signals: Signals) -> bool:
        """Whether health rules stop it here, or would, for the first time, if it is audited."""
        first = STOP_PICTURE not in self._names
        return signals.nonfinite is not None or (first and self._session.is_condemned)

    def _save(self, signals: Signals, *, goes_on: bool) -> None:
        began = time.monotonic()
        self._save_best()
        if goes_on:
            self._save_last(signals)
        self._saved = time.monotonic()
        self._save_seconds = self._saved - began

    def _save_best(self) -> None:
        """Before the last checkpoint: who finds that one finds the best so far, too."""
        best = self._session.best
        if best is not None and best.captured is not None and self._best_at != best.update:
            self._write(BEST_PICTURE, self._session.picture(best.samples))
            if self._write(BEST_CHECKPOINT, best.checkpoint()):
                self._best_at = best.update

    def _save_last(self, signals: Signals) -> None:
        if signals.nonfinite is not None or self._saved_at == signals.update:
            return
        if self._write(CHECKPOINT, self._session.checkpoint()):
            self._saved_at = signals.update

    def _new_pictures(self) -> dict[str, tuple[tuple[int, str], ...]]:
        written = sorted(self._shown.keys() & self._names)
        return {"pictures": tuple((self._shown.pop(n), f"{self._folder}/{n}") for n in written)}

    def _write(self, name: str, content: bytes) -> bool:
        """Whether it was written now; else it waits for a better time."""
        try:
            write_file(self._folder, name, content)
        except STORAGE_ERRORS as error:
            if not self._unsaved:
                log.warning("%s waits for its storage: %s", name, error)
            self._unsaved[name] = content
            return False
        self._unsaved.pop(name, None)
        self._names.add(name)
        return True

    def _write_unsaved(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while True:
            for name, content in list(self._unsaved.items()):
                self._write(name, content)
            if not self._unsaved or time.monotonic() >= deadline:
                return
            time.sleep(PAUSE)


def drop_checkpoint(folder: str) -> bool:
    """Delete the last checkpoint of a trial that was stopped: its best and its pictures stay.

    Returns:
        Whether it is gone; False: storage is out of reach.
    """
    try:
        delete_file(f"{folder}/{CHECKPOINT}")
    except STORAGE_ERRORS:
        return False
    return True

"""A cohort that many threads use at once, each for a trial of its own.

A thread calls `advance` of its trainer, as ever, and waits until its updates are made. Of those
that wait, one makes the ticks for all. When its own updates are made, another one goes on; whoever
comes while a tick is under way is in the next.

On a GPU the cohort has a stream of its own. Whoever comes may have one, too: the cohort's waits for
it, and it for the cohort's, whenever a trial goes from one to the other.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import Condition

from ganray.gan.cohort import Cohort
from ganray.gan.fusing import Signature
from ganray.gan.real import RealData
from ganray.gan.streams import current_stream, new_stream, on_stream, wait
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig


class CohortError(RuntimeError):
    """An update of all rows failed: none of their trials can go on in this process."""


class SharedCohort:
    """See `Cohort` for its arguments and errors."""

    def __init__(
        self, size: int, config: TrialConfig, networks: Mapping[str, object], data: RealData
    ) -> None:
        self._cohort = Cohort(size, config, networks, data)
        self._stream = new_stream()
        self._changed = Condition()
        self._left: dict[int, int] = {}  # updates that are still to be made, by row
        self._is_ticking = False
        self._failure: BaseException | None = None
        self._guests = 0  # threads that wait for the next pause between two ticks

    @property
    def signature(self) -> Signature:
        """Of the trials that may join."""
        return self._cohort.signature

    @property
    def is_recorded(self) -> bool:
        """As of `Cohort`."""
        return self._cohort.is_recorded

    @property
    def free(self) -> list[int]:
        """The rows that nobody is in."""
        return self._cohort.free

    def join(self, trainer: GanTrainer) -> int:
        """As of `Cohort`; from now on `trainer.advance` goes with the cohort."""
        with self.paused():
            row = self._cohort.join(trainer)
        trainer.updater = partial(self._make_updates, row)
        return row

    def leave(self, row: int) -> GanTrainer:
        """As of `Cohort`; from now on the trainer makes its updates itself."""
        with self.paused():
            trainer = self._cohort.leave(row)
        trainer.updater = None
        return trainer

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Between two ticks, when a trainer in a row may be written to: `load_state_dict`, say."""
        with self._changed:
            self._guests += 1
            self._changed.wait_for(lambda: not self._is_ticking)
            self._guests -= 1
            wait(current_stream(), self._stream)
            try:
                yield
            finally:
                wait(self._stream, current_stream())
                self._changed.notify_all()

    def _make_updates(self, row: int, updates: int) -> None:
        with self._changed:
            wait(self._stream, current_stream())
            self._left[row] = updates
            while row in self._left:
                if self._failure is not None:
                    raise CohortError("an update of the whole cohort failed") from self._failure
                if self._is_ticking or self._guests:
                    self._changed.wait()
                else:
                    self._tick()
            wait(current_stream(), self._stream)

    def _tick(self) -> None:
        """One tick for all that wait; the lock is free meanwhile, so that others can come."""
        asked = dict(self._left)
        self._is_ticking = True
        self._changed.release()
        try:
            with on_stream(self._stream):
                left = self._cohort.tick(asked)
        except BaseException as error:
            self._failure = error  # rows are somewhere within an update: nobody can go on
            raise CohortError("an update of the whole cohort failed") from error
        finally:
            self._changed.acquire()
            self._is_ticking = False
            if self._failure is not None or self._guests or len(left) < len(asked):
                self._changed.notify_all()
        for row in asked:
            del self._left[row]
        self._left.update(left)

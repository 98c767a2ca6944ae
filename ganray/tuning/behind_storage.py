"""An Optuna storage that nobody waits for at a report: of a database, which takes its time."""

import threading
from collections.abc import Callable
from functools import partial
from queue import Queue
from typing import Any

from optuna.storages import BaseStorage

from ganray.tuning.patience import PATIENCE
from ganray.tuning.patient_storage import PatientStorage

MOST = 1_000  # writes that may be under way; then one waits for them


class BehindStorage(PatientStorage):
    """Writes what trials report in a thread of its own, in order.

    Attributes and intermediate values of trials are queued. Every other call first waits until all
    that was queued is written: who reads finds it, and an outcome is never there without it. What
    a driver that is killed has not written by then, the last milliseconds, its trials report again
    when they go on.

    Args:
        storage: as of `PatientStorage`.
        patience: as of `PatientStorage`.

    Raises:
        StorageError: as of `PatientStorage`; from any call after the one that was queued.
    """

    def __init__(self, storage: BaseStorage, patience: float = PATIENCE) -> None:
        super().__init__(_Settled(storage, self._settle), patience)  # type: ignore[arg-type]
        self._written = PatientStorage(storage, patience)
        self._writes: Queue[Callable[[], None]] = Queue(MOST)
        self._failure: Exception | None = None
        self._starting = threading.Lock()
        self._is_writing = False

    def hurry(self, seconds: float) -> None:
        """As of `PatientStorage`, for what is queued, too."""
        super().hurry(seconds)
        self._written.hurry(seconds)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute, soon."""
        self._queue(partial(self._written.set_trial_user_attr, trial_id, key, value))

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Set an intermediate value, soon."""
        value = intermediate_value
        self._queue(partial(self._written.set_trial_intermediate_value, trial_id, step, value))

    def _queue(self, write: Callable[[], None]) -> None:
        self._tell_failure()
        with self._starting:
            if not self._is_writing:
                threading.Thread(target=self._write, name="ganray-study", daemon=True).start()
                self._is_writing = True
        self._writes.put(write)

    def _write(self) -> None:
        """One after the other; after a failure none any more, as there would be gaps."""
        while True:
            write = self._writes.get()
            try:
                if self._failure is None:
                    write()
            except Exception as error:  # whoever calls next is told
                self._failure = error
            finally:
                self._writes.task_done()

    def _settle(self) -> None:
        self._writes.join()
        self._tell_failure()

    def _tell_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


class _Settled:
    """A storage each call of which waits for something first."""

    def __init__(self, storage: BaseStorage, settle: Callable[[], None]) -> None:
        self._storage = storage
        self._settle = settle

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._storage, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._settle()
            return method(*args, **kwargs)

        return call

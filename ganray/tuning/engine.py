"""Many trials in one process: what hosts them, a slot each."""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ganray.data.dataset import Dataset
from ganray.gan.shared_cohort import CohortError
from ganray.gan.streams import (
    Stream,
    check_gpu,
    keep_workspaces_small,
    new_stream,
    on_stream,
)
from ganray.secrets import redacted_errors, redacted_log
from ganray.tuning.cohorts import Cohorts, Leave
from ganray.tuning.faults import TrialLostError
from ganray.tuning.worker import Worker, Workplace

log = redacted_log("ganray.tuning")

HUNG = 10.0  # seconds that a trial has for the step that it is in, once it is taken for dead


def _part_from_nobody() -> None:
    """A trial that steps alone."""


@dataclass(eq=False)
class Seat:
    """A trial that an engine hosts.

    Attributes:
        busy: held by whoever works on the trial.
        stream: of the GPU, its own, so that trials overlap there; None without one.
        worker: None until it is there.
        has_slot: whether it trains; else it waits for one that does to leave.
        has_left: whether it is to go, or gone.
        part: ends what it has in common with others.
    """

    stream: Stream
    busy: threading.Lock = field(default_factory=threading.Lock)
    worker: Worker | None = None
    has_slot: bool = False
    has_left: bool = False
    part: Leave = _part_from_nobody


class Engine:
    """Trains trials of one sweep side by side, each in threads, and on a stream, of its own.

    As many train as there are slots. Those beyond are ready, and wait: who leaves lets the next one
    in, without a process to be started or anything to be loaded. A trial's numbers do not depend on
    those beside it, and an error is that trial's alone, unless the GPU takes no more work after it.
    What ends the whole process is to each of its trials what the death of a process of its own
    would be.

    Args:
        spec: the sweep, as JSON.
        dataset: its data.
        slots: how many train at a time.
    """

    def __init__(self, spec: str, dataset: Dataset, slots: int) -> None:
        keep_workspaces_small()
        self._workplace = Workplace(spec, dataset)
        self._slots = self._free = slots
        self._cohorts: Cohorts | None = None
        self._seats: dict[int, Seat] = {}
        self._changed = threading.Condition()  # guards seats and slots

    @redacted_errors()
    def step(self, number: int, config: Mapping[str, Any] | None) -> dict[str, Any]:
        """Train a trial up to its next report; with its first step, as soon as there is a slot.

        Args:
            number: of the trial.
            config: what a `Worker` is told, with the first step. Whoever had the number leaves.

        Returns:
            As `Worker.next_report`.

        Raises:
            TrialLostError: it is not here; else what its training raises, and then it leaves.
        """
        seat = self._seat(number) if config is None else self._sit(number)
        try:
            with seat.busy, on_stream(seat.stream):
                if config is not None:
                    seat.worker = self._workplace.begin(config)  # before it has a slot
                    self._await_slot(seat)
                    self._fuse(seat)
                if seat.worker is None or seat.has_left:
                    raise TrialLostError(f"trial {number} is not in this engine")
                return seat.worker.next_report()
        except CohortError as error:  # it was one trial's, and nobody knows whose
            log.error("trials that step together cannot go on, their engine ends: %r", error)
            os._exit(1)
        except BaseException:
            seat.has_left = True
            self._end_if_broken()
            with seat.busy:
                self._let_go(number, seat)
            raise

    def is_waiting(self, number: int) -> bool:
        """Whether a trial waits for others to leave."""
        seat = self._seats.get(number)
        return seat is not None and not seat.has_slot

    def leave(self, number: int) -> None:
        """Let a trial go once its step is over; harmless if it has gone.

        What is missing of its files is written, then its slot is free.
        """
        seat = self._doomed(number)
        if seat is not None:
            with seat.busy:
                self._let_go(number, seat)

    def evict(self, number: int) -> None:
        """Let a trial go that is taken for dead; if it is, its engine ends with it.

        So its slot, and what it holds of the GPU, is not lost; others go on in the next engine.
        """
        seat = self._doomed(number)
        if seat is None:
            return
        if not seat.busy.acquire(timeout=HUNG):
            log.error("trial %d hangs: its engine ends, and the others go on in a new one", number)
            os._exit(1)
        seat.busy.release()
        self.leave(number)

    def _seat(self, number: int) -> Seat:
        with self._changed:
            if number not in self._seats:
                raise TrialLostError(f"trial {number} is not in this engine")
            return self._seats[number]

    def _end_if_broken(self) -> None:
        """End the engine if nothing runs on its GPU any more, whosever error that was."""
        try:
            check_gpu()
        except Exception as error:
            log.error("the GPU takes no more work of this engine, which ends: %r", error)
            os._exit(1)

    def _sit(self, number: int) -> Seat:
        """A seat for a trial; an earlier launch of it, unheard by now, leaves first."""
        self.leave(number)
        self._end_if_broken()
        seat = Seat(new_stream())
        with self._changed:
            self._seats[number] = seat
        return seat

    def _await_slot(self, seat: Seat) -> None:
        with self._changed:
            self._changed.wait_for(lambda: seat.has_left or self._free > 0)
            if not seat.has_left:
                self._free -= 1
                seat.has_slot = True

    def _fuse(self, seat: Seat) -> None:
        """Let a trial that has a slot step with others of its kind, where the sweep asks for it."""
        if seat.worker is None or not seat.has_slot or not self._workplace.spec.resources.fused:
            return
        with self._changed:
            if self._cohorts is None:
                self._cohorts = Cohorts(self._slots, self._workplace.workbench.networks)
        seat.part = self._cohorts.join(seat.worker.trainer)

    def _doomed(self, number: int) -> Seat | None:
        """The seat of a trial, which takes no further step; one that waits for a slot stops."""
        with self._changed:
            seat = self._seats.get(number)
            if seat is not None:
                seat.has_left = True
                self._changed.notify_all()
            return seat

    def _let_go(self, number: int, seat: Seat) -> None:
        worker, seat.worker = seat.worker, None
        try:
            if worker is not None and seat.has_slot:
                with on_stream(seat.stream):
                    seat.part()
                    worker.leave()
        except Exception as error:  # there was no memory, say: others need its slot all the same
            log.warning("trial %d left its engine with less than it should: %r", number, error)
        finally:
            self._free_slot(number, seat)

    def _free_slot(self, number: int, seat: Seat) -> None:
        with self._changed:
            if self._seats.get(number) is seat:
                del self._seats[number]
            self._free += seat.has_slot
            seat.has_slot = False
            self._changed.notify_all()

"""Stops a sweep that another process of this machine drives."""

import os
import signal
import time
from contextlib import suppress

from optuna.study import Study

from ganray.errors import SweepRunningError
from ganray.tuning.lease import Holder, holder
from ganray.tuning.places import Located
from ganray.tuning.recorded import open_study

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.2


def stop_sweep(place: Located, wait: float = WAIT_SECONDS) -> bool:
    """Stop a sweep in order, as Ctrl-C would, and wait until its driver has ended.

    Args:
        place: where the sweep is recorded.
        wait: seconds.

    Returns:
        Whether it ran; False: it had ended before.

    Raises:
        UnknownSweepError, ResourceError: it is not recorded there.
        SweepRunningError: it runs where this process cannot stop it, or did not end in time.
    """
    study = open_study(place)
    driver = holder(study)
    if driver is None or not driver.is_alive(study):
        return False
    _refuse_elsewhere(place.name, driver)
    with suppress(ProcessLookupError):  # it ended just now
        os.kill(driver.pid, signal.SIGINT)
    deadline = time.monotonic() + wait
    while _drives(driver, study):
        if time.monotonic() > deadline:
            raise SweepRunningError(f"'{place.name}' was asked to stop, but runs: {driver}")
        time.sleep(LOOK_SECONDS)
    return True


def _drives(driver: Holder, study: Study) -> bool:
    """Whether it still has the lease: its process may live on, such as a notebook's."""
    now = holder(study)
    return now is not None and now.token == driver.token and now.is_alive(study)


def _refuse_elsewhere(name: str, driver: Holder) -> None:
    if driver.job is not None:
        raise SweepRunningError(
            f"'{name}' runs on a cluster: {driver}; stop it with: ganray stop {name} --address URL"
        )
    if not driver.is_here:
        raise SweepRunningError(f"'{name}' runs on another machine: {driver}; stop it there")

"""Brings MLflow up to date from a sweep's study, and tells what it brought."""

from collections.abc import Mapping

from ganray.spec.models import Storage
from ganray.tuning.places import Place
from ganray.tuning.sync import Synced, sync_sweep


def bring(name: str, storage: Mapping[str, str | None], tracking_uri: str | None) -> str:
    """A line that says what the store lacked.

    Args:
        name: of the sweep.
        storage: where its study or its results are, in the words of `--set`.
        tracking_uri: of the store; None: that of the sweep.

    Raises:
        UnknownSweepError, SweepRunningError, TrackingError: see `sync_sweep`.
    """
    parts = {key.removeprefix("storage."): value for key, value in storage.items()}
    return _line(name, sync_sweep(Place(name, Storage(**parts)), tracking_uri))


def _line(name: str, synced: Synced) -> str:
    brought = [trial for trial in synced.trials if trial.wanted]
    reports = sum(trial.reports for trial in brought)
    pictures = sum(trial.pictures for trial in brought)
    return (
        f"{name}: {len(brought)} of {len(synced.trials)} trials brought to {synced.store}, with "
        f"{reports} reports and {pictures} pictures; the others stood there already"
    )

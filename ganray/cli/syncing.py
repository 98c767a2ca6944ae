"""Brings MLflow up to date from a sweep's study, and tells what it brought."""

from collections.abc import Mapping

from ganray.spec.models import Storage
from ganray.tuning.places import Place
from ganray.tuning.sync import Synced, sync_sweep


def bring(name: str, storage: Mapping[str, str], tracking_uri: str | None) -> str:
    """A line that says what the store lacked.

    Args:
        name: of the sweep.
        storage: where its study or its results are, as in a sweep file.
        tracking_uri: of the store; None: that of the sweep.

    Raises:
        UnknownSweepError, SweepRunningError, TrackingError: see `sync_sweep`.
    """
    place = Place(name, Storage.model_validate(storage))
    return _line(name, sync_sweep(place, tracking_uri))


def _line(name: str, synced: Synced) -> str:
    brought = [trial for trial in synced.trials if trial.wanted]
    reports = sum(trial.reports for trial in brought)
    pictures = sum(trial.pictures for trial in brought)
    if not brought:
        return f"{name}: all {len(synced.trials)} trials stood in {synced.store} already"
    return (
        f"{name}: {len(brought)} of {len(synced.trials)} trials brought to {synced.store}, with "
        f"{reports} reports and {pictures} pictures; the others stood there already"
    )

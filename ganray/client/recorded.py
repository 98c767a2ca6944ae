"""How sweeps stand by the tracking store alone, where there is no cluster to ask."""

from collections.abc import Mapping

from ganray.client.names import check_name
from ganray.client.status import State, SweepStatus
from ganray.errors import UnknownSweepError
from ganray.secrets import redact
from ganray.tracking.reader import SweepHead, TrialRow, fetch_head, fetch_heads
from ganray.tracking.store import tracking_uri
from ganray.trial import Outcome

STATES: Mapping[str, State] = {
    "RUNNING": "running",  # or its driver was killed: MLflow cannot tell
    "FINISHED": "finished",
    "KILLED": "stopped",
    "FAILED": "failed",
}


def recorded_sweeps(uri: str | None = None) -> list[SweepStatus]:
    """Every sweep of a tracking store, by name.

    Raises:
        TrackingError: the store cannot be read.
    """
    return [_status(head, uri) for head in sorted(fetch_heads(uri), key=lambda head: head.name)]


def recorded_status(name: str, uri: str | None = None) -> SweepStatus:
    """One sweep of a tracking store.

    Raises:
        UnknownSweepError: it is not recorded there.
        TrackingError: the store cannot be read.
    """
    try:
        return _status(fetch_head(check_name(name), uri), uri)
    except UnknownSweepError as error:
        raise UnknownSweepError(f"{error}; or name a cluster with --address") from None


def _status(head: SweepHead, uri: str | None) -> SweepStatus:
    cancelled = head.outcomes.get(Outcome.CANCELLED.value, 0)
    ended = sum(head.outcomes.values()) - cancelled
    return SweepStatus(
        name=head.name,
        state=STATES.get(head.status, "failed"),
        trials={
            "total": head.trials,
            "ended": ended,
            "running": head.running,
            "outcomes": head.outcomes,
        },
        objective={"metric": head.objective, "mode": head.direction},
        best=_best(head.best, head),
        started=head.started,
        ended=head.ended,
        tracking_uri=redact(tracking_uri(uri)),
    )


def _best(trial: TrialRow | None, head: SweepHead) -> dict[str, object] | None:
    if trial is None or "objective" not in trial.metrics:
        return None
    settings = {name: trial.params.get(name) for name in head.searched}
    return {"number": trial.number, "objective": trial.metrics["objective"], "settings": settings}

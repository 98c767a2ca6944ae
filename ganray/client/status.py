"""How a sweep stands, put together from its job, its driver's file and the cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from ganray.client.jobs import Job
from ganray.client.text import plain

State = Literal["pending", "running", "finished", "stopped", "failed"]
ENDED: frozenset[State] = frozenset({"finished", "stopped", "failed"})
JOB_STATES: Mapping[str, State] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "finished",
    "STOPPED": "stopped",
    "FAILED": "failed",
}
_OWN = "ganray: "  # how the driver's last words begin


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepStatus:
    """How a sweep stands. None: not known."""

    name: str
    state: State
    message: str = ""  # why it failed or ended early
    attempt: int | None = None
    submission_id: str | None = None
    waiting: bool = False  # it runs, but no trial has the resources that it needs
    # total, ended (cancelled ones may go on), running, and `outcomes`: how many of each
    trials: Mapping[str, Any] | None = None
    objective: Mapping[str, str] | None = None  # metric and mode
    best: Mapping[str, Any] | None = None  # number, objective, settings
    running: Sequence[Mapping[str, Any]] = ()  # number, settings, update, verdict, signals
    budget: Mapping[str, Any] | None = None  # trials, hours, updates: used and left
    eta_seconds: float | None = None
    started: datetime | None = None
    ended: datetime | None = None
    updated: datetime | None = None  # when the driver last wrote what it knew
    tracking_uri: str | None = None
    cluster: Mapping[str, float] | None = None  # nodes, cpus, gpus

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens unless somebody resumes it."""
        return self.state in ENDED

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times as ISO 8601."""
        items = asdict(self).items()
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in items}


@dataclass(frozen=True, slots=True)
class Told:
    """What the driver wrote of a sweep, if it came as far, for the attempt that a job is.

    Attributes:
        is_known: False: it could not be read, so that nobody can say how far the driver came.
    """

    content: Mapping[str, Any] = field(default_factory=dict)
    is_known: bool = True

    @property
    def has_begun(self) -> bool:
        """Whether there is a study, so that the sweep can be resumed."""
        return bool(self.content)

    @property
    def message(self) -> str:
        """Why the sweep ended early, if the driver came to say so."""
        return plain(self.content.get("message") or "")

    def is_of(self, job: Job) -> bool:
        """Whether this attempt wrote it: an earlier one's numbers are the last known ones."""
        return self.content.get("attempt") == job.attempt


def sweep_status(job: Job, told: Told, cluster: Mapping[str, float] | None = None) -> SweepStatus:
    """What is known of a sweep.

    Args:
        job: its newest attempt.
        told: what a driver wrote.
        cluster: its nodes and what they have.
    """
    state, message = _state(job, told)
    known = told.content
    ours = told.is_of(job)
    return SweepStatus(
        name=job.name,
        state=state,
        message=message,
        attempt=job.attempt,
        submission_id=job.submission_id,
        waiting=ours and state == "running" and bool(known.get("waiting")),
        trials=known.get("trials"),
        objective=known.get("objective"),
        best=known.get("best"),
        running=known.get("running", ()),
        budget=known.get("budget"),
        eta_seconds=known.get("eta_seconds") if ours and state == "running" else None,
        started=job.started,
        ended=job.ended,
        updated=_time(known.get("updated")),
        tracking_uri=known.get("tracking_uri"),
        cluster=cluster,
    )


def _state(job: Job, told: Told) -> tuple[State, str]:
    """A job that failed may have ended a sweep in order: its driver says so."""
    state = JOB_STATES[job.status]
    if state != "failed":
        return state, ""
    if told.is_of(job) and told.content.get("state") in ("stopped", "failed"):
        return told.content["state"], told.message or last_words(job.message)
    return state, last_words(job.message)


def last_words(message: str) -> str:
    """Why a job failed: its driver's own words, else the last line that Ray kept of its log."""
    lines = [line.strip() for line in plain(message).splitlines() if line.strip()]
    own = [line.removeprefix(_OWN) for line in lines if line.startswith(_OWN)]
    if own:
        return "\n".join(own)
    if len(lines) > 1 and "exit code" in lines[0]:
        return f"{lines[0].partition(',')[0]}; its log ends with: {lines[-1]}"
    return lines[-1] if lines else ""


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

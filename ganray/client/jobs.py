"""The jobs of a cluster that drive sweeps, as its dashboard tells of them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ganray.client import request
from ganray.tracking.times import as_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt at a sweep."""

    submission_id: str
    name: str
    attempt: int
    digest: str  # of the sweep, and of the user's code
    asked: str  # digest of what this attempt is to do
    code: str  # digest of the user's code; "" without any
    places: Mapping[str, Any]  # storage and tracking, as given
    status: str  # Ray's: PENDING, RUNNING, SUCCEEDED, STOPPED, FAILED
    message: str
    node: str | None  # where the driver runs or ran; None before that
    started: datetime | None
    ended: datetime | None

    @property
    def is_over(self) -> bool:
        """Whether the driver has ended, or never will start."""
        return self.status not in ("PENDING", "RUNNING")

    @property
    def log_name(self) -> str:
        """The file of its driver's log, in the folder where the session's logs are."""
        return f"job-driver-{self.submission_id}.log"

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self | None:
        """A job as the dashboard tells of it; None if it drives no sweep."""
        metadata = found.get("metadata") or {}
        if request.NAME not in metadata or found.get("submission_id") is None:
            return None
        return cls(
            submission_id=found["submission_id"],
            name=metadata[request.NAME],
            attempt=int(metadata[request.ATTEMPT]),
            digest=metadata.get(request.DIGEST, ""),
            asked=metadata.get(request.ASKED, ""),
            code=metadata.get(request.CODE, ""),
            places=json.loads(metadata.get(request.PLACES, "{}")),
            status=str(found["status"]),
            message=found.get("message") or "",
            node=found.get("driver_node_id"),
            started=as_time(found.get("start_time")),
            ended=as_time(found.get("end_time")),
        )


def attempts(found: Iterable[Mapping[str, Any]]) -> dict[str, list[Job]]:
    """All attempts at each sweep, the last first, by name in the order of the alphabet."""
    jobs: dict[str, list[Job]] = {}
    for job in filter(None, map(Job.read, found)):
        jobs.setdefault(job.name, []).append(job)
    return {
        name: sorted(jobs[name], key=lambda job: job.attempt, reverse=True) for name in sorted(jobs)
    }

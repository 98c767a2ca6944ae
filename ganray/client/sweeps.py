"""Sweeps on a cluster: submit them, see how they stand, stop and resume them."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ganray.client.address import (
    DEFAULT_ADDRESS,
    find_token,
    given_address,
    parse_address,
    refuse_open,
)
from ganray.client.api import Api
from ganray.client.code import read_code
from ganray.client.follow import Follower
from ganray.client.jobs import Job, attempts
from ganray.client.names import check_name
from ganray.client.request import STOP_SECONDS, JobRequest, resume_request, start_request
from ganray.client.status import JOB_STATES, State, SweepStatus, Told, last_words, sweep_status
from ganray.errors import (
    ClusterError,
    NameTakenError,
    SpecError,
    SweepRunningError,
    UnknownSweepError,
    VersionError,
)
from ganray.similar import did_you_mean
from ganray.spec.job import JobFile
from ganray.spec.models import SweepSpec
from ganray.tracking.environment import describe_versions
from ganray.tracking.status import status_name

WAIT_PENDING_SECONDS = 300.0
LOOK_SECONDS = 0.5
READS = 10  # tries to read what a driver wrote, before nobody can say what became of it
LET_GO_SECONDS = 10.0  # for Ray to notice that a job which never started is to be stopped
STOP_WAIT_SECONDS = STOP_SECONDS + 30.0
NO_FILE = "A file is not found"  # how a dashboard's answer of 500 begins where there is none


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submission.

    Attributes:
        is_new: False: the same sweep had been submitted before, and nothing was sent.
    """

    name: str
    state: State
    is_new: bool


class SweepClient:
    """The sweeps of one cluster.

    Args:
        address: of the cluster's dashboard; None: `RAY_ADDRESS` if it is a URL, else
            http://127.0.0.1:8265, without the token: on a machine that others use, too, nobody
            knows who listens there.
        insecure: whether to submit to another machine's cluster that asks for no token.
        pause: how to wait.

    Raises:
        AddressError: it is no address.
        TokenError: the file of the token cannot be read.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        insecure: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        named = given_address(address)
        self.address = parse_address(named or DEFAULT_ADDRESS)
        self._token = find_token() if named is not None else None
        self._insecure = insecure
        self._pause = pause
        self._api = Api(self.address, self._token, pause)

    @property
    def is_overheard(self) -> bool:
        """Whether the token goes over a network in plain text."""
        return (
            self._token is not None
            and self.address.scheme == "http"
            and not self.address.is_loopback
        )

    def submit(
        self,
        spec: SweepSpec,
        *,
        code: Path | None = None,
        wait_pending: float = WAIT_PENDING_SECONDS,
    ) -> Submission:
        """Start a sweep; again with the same sweep, only say how it stands.

        Args:
            spec: the sweep.
            code: a folder of the user's own modules, if the sweep names any.
            wait_pending: seconds in which its driver must start; 0: do not wait for it.

        Raises:
            AddressError: refused, for the cluster is open to others.
            SpecError: the sweep cannot be submitted.
            NameTakenError: another sweep has the name, or this one ended before it was done.
            VersionError: the cluster runs another Ray.
            ClusterError, TokenError: the cluster cannot be reached, does not take the job, or
                cannot say whether an earlier attempt began the sweep.
        """
        refuse_open(self.address, self._token, insecure=self._insecure)
        request = self.request(spec, code)
        self._check_version()
        jobs = self._attempts().get(spec.name, ())
        if jobs and self._has_begun(jobs):
            return self._as_submitted(jobs[0], request)
        if jobs:
            request = self.request(spec, code, attempt=jobs[0].attempt + 1)
        return self._send(request, spec.name, wait_pending)

    def request(
        self,
        spec: SweepSpec,
        code: Path | None = None,
        *,
        attempt: int = 1,
        in_image: bool = False,
    ) -> JobRequest:
        """What `submit` sends; asks nothing of the cluster.

        Args:
            spec: the sweep.
            code: as in `submit`.
            attempt: at this sweep.
            in_image: whether the user's own modules are in the image of every node.

        Raises:
            SpecError: as in `submit`.
        """
        files = read_code(code) if code is not None else None
        return start_request(
            spec, files, attempt=attempt, versions=describe_versions(), in_image=in_image
        )

    def resume(
        self,
        name: str,
        *,
        settings: Sequence[str] = (),
        storage: Mapping[str, str] | None = None,
        code: Path | None = None,
        wait_pending: float = WAIT_PENDING_SECONDS,
    ) -> Submission:
        """Continue a sweep that was stopped, failed, or is to have a larger budget.

        Args:
            name: of the sweep.
            settings: what changes, as `key=value`.
            storage: where its study and results are; None: as when it was submitted here.
            code: the user's own modules, which must be given again.
            wait_pending: as in `submit`.

        Raises:
            SweepRunningError: it runs, or somebody else resumed it just now with other settings.
            UnknownSweepError: the cluster does not know it, and no storage is given.
            SpecError: it was submitted with code, which is not given.
            AddressError, VersionError, ClusterError, TokenError: as in `submit`.
        """
        check_name(name)
        refuse_open(self.address, self._token, insecure=self._insecure)
        self._check_version()
        job = self._newest(name)
        if job is None and not storage:
            raise UnknownSweepError(
                f"no sweep named '{name}' was submitted to {self.address}; if it ran elsewhere, "
                "say with --storage where its study is"
            )
        if job is not None and not job.is_over:
            raise _running(name)
        request = self._resume_request(job, name, settings, storage, code)
        return self._send(request, name, wait_pending)

    def list(self) -> "list[SweepStatus]":
        """Every sweep that was submitted to the cluster, by name.

        Raises:
            ClusterError, TokenError: the cluster cannot be asked.
        """
        newest = [jobs[0] for jobs in self._attempts().values()]
        return [sweep_status(job, self._told(job)) for job in newest]

    def status(self, name: str) -> SweepStatus:
        """How a sweep stands.

        Raises:
            UnknownSweepError: no such sweep was submitted to this cluster.
            ClusterError, TokenError: the cluster cannot be asked.
        """
        job = self._known(name)
        return sweep_status(job, self._told(job), self._resources())

    def logs(self, name: str, *, follow: bool = False) -> Iterator[bytes]:
        """The log of a sweep's driver, piece by piece.

        Args:
            name: of the sweep.
            follow: whether to wait for more until the sweep has ended; survives lost connections.

        Raises:
            UnknownSweepError, ClusterError, TokenError: as in `status`.
        """
        job = self._known(name)
        if not follow:
            return iter([self._log(job)])
        identity = job.submission_id

        def current() -> Job:
            return self._job(identity)

        return Follower(
            open_stream=lambda: self._api.stream(self._log_path(current(), "stream")),
            read=lambda: self._log(current()),
            has_ended=lambda: current().is_over,
            pause=self._pause,
        ).chunks()

    def stop(self, name: str, *, wait: float = STOP_WAIT_SECONDS) -> SweepStatus:
        """Stop a sweep in order and wait until its driver has ended; harmless if it had before.

        Raises:
            UnknownSweepError, TokenError: as in `status`.
            ClusterError: it did not end in time, or as in `status`.
        """
        job = self._known(name)
        if not job.is_over:
            self._ask_to_stop(job)
            if self._wait(job.submission_id, wait, lambda now: now.is_over) is None:
                raise ClusterError(f"'{name}' was asked to stop, but runs after {wait:g} seconds")
        return self.status(name)

    # --- submitting -------------------------------------------------------------------------------

    def _send(self, request: JobRequest, name: str, wait_pending: float) -> Submission:
        """Put the package and the job there; again is harmless, for both have an identity."""
        path = f"/api/packages/gcs/{request.package_name}"
        if self._api.call("GET", path).status != 200:
            self._done(self._api.call("PUT", path, request.package()))
        reply = self._api.call("POST", "/api/jobs/", json.dumps(request.body()).encode())
        if reply.status != 200:
            # either an answer to an earlier try was lost, or somebody else was faster
            found = self._api.find(f"/api/jobs/{request.submission_id}", dict)
            job = Job.read(found) if found else None
            if job is None:
                self._done(reply)
            elif job.digest != request.digest:
                raise _taken(name)
            elif job.asked != request.asked:
                raise _resumed(name)
        if wait_pending <= 0:
            return Submission(name, "pending", is_new=True)
        return self._wait_for_driver(request.submission_id, name, wait_pending)

    def _wait_for_driver(self, identity: str, name: str, seconds: float) -> Submission:
        job = self._wait(identity, seconds, lambda now: now.status != "PENDING")
        if job is None:
            self._ask_to_stop(self._job(identity))
            self._wait(identity, LET_GO_SECONDS, lambda now: now.is_over)
            raise ClusterError(
                f"the job of '{name}' was pending for {seconds:g} seconds, so it was stopped: "
                "the cluster has no room for a driver, or cannot set up its environment"
            )
        if job.status == "FAILED":
            raise ClusterError(f"'{name}' failed at once: {last_words(job.message)}")
        return Submission(name, JOB_STATES[job.status], is_new=True)

    def _as_submitted(self, job: Job, request: JobRequest) -> Submission:
        """What a sweep that is there already means for a submission."""
        if job.digest != request.digest:
            raise _taken(job.name)
        state = sweep_status(job, self._told(job)).state
        if state in ("stopped", "failed"):
            raise NameTakenError(
                f"'{job.name}' was submitted before and is {state}; continue it with: "
                f"ganray resume {job.name} --address {self.address}, or give this one another "
                "name with --name"
            )
        return Submission(job.name, state, is_new=False)

    def _has_begun(self, jobs: Sequence[Job]) -> bool:
        """Whether there is more of a sweep than jobs that ended before there was a study.

        Args:
            jobs: every attempt at it, the last first.

        Raises:
            ClusterError: nobody can say.
        """
        newest = jobs[0]
        if newest.status not in ("FAILED", "STOPPED"):
            return True
        for _ in range(READS):
            told = [self._told(job) for job in jobs]
            if any(one.has_begun for one in told):
                return True
            if all(one.is_known for one in told):
                return False
            self._pause(LOOK_SECONDS)  # a busy node answers late, or not to all that is asked
        raise ClusterError(
            f"'{newest.name}' was submitted before and has {newest.status.lower()}, and what "
            "its driver wrote cannot be read now; try again, or if its node is gone for good, "
            f"continue it with: ganray resume {newest.name} --address {self.address}"
        )

    def _resume_request(
        self,
        job: Job | None,
        name: str,
        settings: Sequence[str],
        storage: Mapping[str, str] | None,
        code: Path | None,
    ) -> JobRequest:
        if job is not None and job.code and code is None:
            raise SpecError(
                [f"--code: '{name}' was submitted with code of its own; give that folder again"]
            )
        places = {**(job.places if job is not None else {})}
        if storage:
            places["storage"] = {**places.get("storage", {}), **storage}
        file = JobFile(
            name=name,
            attempt=job.attempt + 1 if job is not None else 1,
            versions=describe_versions(),
            storage=places.get("storage", {}),
            settings=tuple(settings),
        )
        files = read_code(code) if code is not None else None
        return resume_request(file, job.digest if job is not None else "", places, files)

    def _check_version(self) -> None:
        """Refuse a cluster with another Ray; the job compares the rest, where they are known."""
        there = self._api.get("/api/version", dict).get("ray_version")
        here = describe_versions()["ray"]
        if there != here:
            raise VersionError(
                f"the cluster at {self.address} runs Ray {there}, this client has {here}; "
                "install the same on both"
            )

    # --- asking -----------------------------------------------------------------------------------

    def _attempts(self) -> Mapping[str, Sequence[Job]]:
        """Every attempt at every sweep, the last first."""
        return attempts(self._api.get("/api/jobs/", list))

    def _newest(self, name: str) -> Job | None:
        return next(iter(self._attempts().get(name, ())), None)

    def _known(self, name: str) -> Job:
        check_name(name)
        found = self._attempts()
        if name not in found:
            near = did_you_mean(name, found) or ";"
            raise UnknownSweepError(
                f"no sweep named '{name}' was submitted to {self.address}{near} see: `ganray list "
                f"--address {self.address}`"
            )
        return found[name][0]

    def _job(self, identity: str) -> Job:
        found = self._api.find(f"/api/jobs/{identity}", dict)
        job = Job.read(found) if found else None
        if job is None:
            raise ClusterError(
                f"the cluster at {self.address} has forgotten the job {identity}: it was "
                "restarted, or somebody deleted the job"
            )
        return job

    def _wait(self, identity: str, seconds: float, until: Callable[[Job], bool]) -> Job | None:
        """The job as soon as something holds of it; None if it does not in time."""
        deadline = time.monotonic() + seconds
        while not until(job := self._job(identity)):
            if time.monotonic() >= deadline:
                return None
            self._pause(LOOK_SECONDS)
        return job

    def _ask_to_stop(self, job: Job) -> None:
        self._done(self._api.call("POST", f"/api/jobs/{job.submission_id}/stop", b"{}"))

    def _done(self, reply: Any) -> None:
        if reply.status != 200:
            raise ClusterError(
                f"the cluster at {self.address} answered {reply.status}: {reply.text}"
            )

    # --- reading ----------------------------------------------------------------------------------

    def _told(self, job: Job) -> Told:
        """What the driver wrote; nothing if it did not, or it cannot be read."""
        if job.node is None:
            return Told()
        reply = self._api.call("GET", _file(job.node, status_name(job.name), "file"), once=True)
        if reply.status != 200:
            return Told(is_known=reply.text.startswith(NO_FILE))
        try:
            return Told(reply.json())
        except ValueError:
            return Told(is_known=False)

    def _log(self, job: Job) -> bytes:
        """The driver's log; where there is none, why."""
        if job.node is not None:
            reply = self._api.call("GET", self._log_path(job, "file"), once=True)
            if reply.status == 200:
                return reply.body
        return f"{job.message}\n".encode()

    def _log_path(self, job: Job, kind: str) -> str:
        if job.node is None:
            raise ClusterError(f"the driver of '{job.name}' has not started")
        return _file(job.node, job.log_name, kind)

    def _resources(self) -> dict[str, float]:
        """Living nodes, and the CPUs and GPUs that they have."""
        found = self._api.get("/api/v0/nodes", dict)["data"]["result"]["result"]
        alive = [node["resources_total"] for node in found if node["state"] == "ALIVE"]
        return {
            "nodes": len(alive),
            "cpus": sum(resources.get("CPU", 0.0) for resources in alive),
            "gpus": sum(resources.get("GPU", 0.0) for resources in alive),
        }


def _file(node: str, name: str, kind: str) -> str:
    """The path of a file in a node's log folder: as it is, or with what is added to it."""
    return f"/api/v0/logs/{kind}?{urlencode({'node_id': node, 'filename': name, 'lines': '-1'})}"


def _taken(name: str) -> NameTakenError:
    return NameTakenError(
        f"another sweep named '{name}' was submitted before, from another file or with other "
        f"settings; give this one another name with --name, or see that one with: "
        f"ganray status {name}"
    )


def _running(name: str) -> SweepRunningError:
    return SweepRunningError(f"'{name}' runs; stop it first with: ganray stop {name}")


def _resumed(name: str) -> SweepRunningError:
    return SweepRunningError(
        f"'{name}' was resumed at the same moment with other settings, and runs with those; stop "
        f"it first with: ganray stop {name}"
    )

"""What a cluster runs for a submitted sweep: `python -m ganray.job`, always.

It takes no argument. What to do stands in the file that the client put into the job's folder.
"""

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import ray

from ganray.errors import GanrayError, SpecError, VersionError
from ganray.secrets import RedactingFilter, redact
from ganray.spec.job import REQUEST_FILE, JobFile
from ganray.spec.models import SweepSpec
from ganray.tracking.environment import describe_versions
from ganray.tracking.log import LogRecorder
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import Recorder
from ganray.tracking.status import StatusRecorder, status_name
from ganray.tracking.store import tracking_uri
from ganray.tuning import driver
from ganray.tuning.attempts import hours_used
from ganray.tuning.places import Place
from ganray.tuning.recorded import open_study, recorded_spec
from ganray.tuning.result import SweepResult

MUST_AGREE = ("ganray", "ray")
INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended


def main() -> int:
    """Drive the sweep that the working folder asks for.

    Returns:
        0: it is done; 1: it failed or ended early; 2: it cannot be run as asked.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(RedactingFilter())
    try:
        return _drive(Path.cwd())
    except GanrayError as error:
        for line in str(error).splitlines():
            _tell(f"ganray: {line}")
        return error.exit_code
    except KeyboardInterrupt:
        _tell("ganray: stopped before the first trial")
        return INTERRUPTED
    except Exception as error:
        _tell(f"{traceback.format_exc()}\nganray: {_in_short(error)}")
        return 1


def _drive(folder: Path) -> int:
    job = JobFile.from_json((folder / REQUEST_FILE).read_text(encoding="utf-8"))
    for line in compare_versions(job.versions, describe_versions()):
        _tell(line)
    ray.init(address="auto", log_to_driver=False, logging_level=logging.WARNING)
    place = Place(job.name, job.place)
    spec = job.spec or recorded_spec(place, job.settings)
    uri = _store(spec)
    status = StatusRecorder(
        _log_folder() / status_name(job.name),
        attempt=job.attempt,
        tracking_uri=uri,
        hours=spec.budget.hours,
        hours_used=0.0 if job.spec is not None else hours_used(open_study(place)),
    )
    recorders: list[Recorder] = [
        MlflowRecorder(uri, spec.tracking.experiment),
        status,
        LogRecorder(_tell),
    ]
    try:
        result = _run(job, recorders)
    except Exception as error:
        status.end("failed", _in_short(error))
        raise
    if result.reason is not None:
        status.end("stopped" if result.cancelled else "failed", result.reason)
        _tell(f"ganray: the sweep ended early: {result.reason}")
    if not result.cancelled:  # who stops a sweep gives it no time for that
        _report(job.name, uri)
    return 1 if result.cancelled or result.reason is not None else 0


def compare_versions(
    client: Mapping[str, str | None], cluster: Mapping[str, str | None]
) -> list[str]:
    """What to tell of versions that differ, but go together.

    Raises:
        VersionError: ganray or Ray differ: the sweep could mean something else here.
    """
    differ = {
        name: f"{name} {client[name]} at the client, {cluster.get(name)} on the cluster"
        for name in client
        if client[name] is not None and client[name] != cluster.get(name)
    }
    bad = [differ[name] for name in MUST_AGREE if name in differ]
    if bad:
        raise VersionError(f"versions do not agree: {'; '.join(bad)}; install the same on both")
    return [f"note: {text}" for text in differ.values()]


def _run(job: JobFile, recorders: Sequence[Recorder]) -> SweepResult:
    if job.spec is not None:
        return driver.run_sweep(job.spec, recorders)
    return driver.resume_sweep(Place(job.name, job.place), job.settings, recorders)


def _report(name: str, uri: str) -> None:
    """Add the sweep's report to its run; what goes wrong is told, and is no fault of the sweep."""
    try:
        from ganray.report.recording import record_report

        record_report(name, uri)
    except Exception as error:
        _tell(f"ganray: the report of the sweep is missing: {_in_short(error)}")


def _store(spec: SweepSpec) -> str:
    """The MLflow store, which must outlive the job's folder.

    Raises:
        SpecError: neither the sweep nor the cluster names one.
    """
    if spec.tracking.uri is None and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise SpecError(
            [
                "tracking.uri: is not given, and the cluster has no MLFLOW_TRACKING_URI; "
                "submit with --tracking-uri, such as http://localhost:5000"
            ]
        )
    return tracking_uri(spec.tracking.uri)


def _log_folder() -> Path:
    """Of the Ray session, which the cluster's dashboard reads from."""
    context = ray.get_runtime_context()
    return Path(context.get_temp_dir()) / context.get_session_name() / "logs"


def _in_short(error: Exception) -> str:
    """What an error says at its end, where Ray puts the cause; the log has all of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join([type(error).__name__, *lines[-1:]])


def _tell(line: str) -> None:
    """Write to the driver's log; a full disk must not end the sweep."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{redact(line)}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

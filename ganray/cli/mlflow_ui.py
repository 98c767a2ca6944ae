"""`ganray ui`: MLflow's server, told of when it answers, and ended with all its processes."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from ganray.cli.screen import tell, working
from ganray.errors import ResourceError, TrackingError
from ganray.secrets import redact

HOST = "127.0.0.1"
PATIENCE = 120.0  # seconds until it answers: on a busy machine MLflow takes half of it to load
GRACE = 5.0  # seconds that its processes have to end by themselves
LAST_LINES = 10  # of its log, where it dies
_LEFT_BY = (signal.SIGTERM, signal.SIGHUP)  # Ctrl-C is Python's own


def serve(uri: str, port: int) -> int:
    """Serve a store until somebody ends it; returns the exit code.

    Raises:
        ResourceError: the port is taken.
        TrackingError: the server died, or does not answer.
    """
    _refuse_taken(port)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with _ending_on_signals(), _server(uri, port, log) as server:
            with working("MLflow's server is starting"):
                _wait_until_it_answers(server, port, log)
            where = f"The MLflow UI of {redact(uri)} is at http://{HOST}:{port}"
            return _until_it_ends(server, log, f"{where} (Ctrl-C ends it)")


def _refuse_taken(port: int) -> None:
    """A server of somebody else would answer in place of ours."""
    with socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            ours.bind((HOST, port))
        except OSError as error:
            raise ResourceError(
                f"port {port} cannot be used: {error.strerror}; give another one with --port"
            ) from None


@contextlib.contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Signals that would kill this process make it leave in order."""
    before = {number: signal.signal(number, _leave) for number in _LEFT_BY}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


@contextlib.contextmanager
def _server(uri: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server in a process group of its own, of which nothing is left afterwards."""
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port)]
    command += ["--workers", "1"]  # each takes seconds of a core to load, and one reader needs one
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # a crowd of processes that sweeps need not
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,  # whoever lists processes reads their arguments
    }
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield server
    finally:
        _end_group(server)


def _end_group(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers: asked to at first, then by force."""
    try:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(GRACE)
    finally:  # also if somebody who ends us is in a hurry
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _answers(port):
        if server.poll() is not None:
            raise _died(server, log)
        if time.monotonic() > deadline:
            raise TrackingError(
                f"MLflow's server has not answered within {PATIENCE:g} s{_last_lines(log)}"
            )
        time.sleep(0.2)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2.0)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _until_it_ends(server: subprocess.Popen[bytes], log: Path, told: str) -> int:
    try:
        print(told, flush=True)
        server.wait()
    except KeyboardInterrupt:
        tell("")  # after the terminal's ^C
        return 0
    raise _died(server, log)


def _died(server: subprocess.Popen[bytes], log: Path) -> TrackingError:
    code = f"exit code {server.returncode}"
    return TrackingError(f"MLflow's server has ended with {code}{_last_lines(log)}")


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return "".join([": its last words were", *(f"\n{line}" for line in lines)]) if lines else ""

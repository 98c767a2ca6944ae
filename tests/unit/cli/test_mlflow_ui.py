"""`ganray ui`: what it tells when, and that no server is left; a small one stands in for MLflow."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

STORE = "postgresql://me:pl4nted@host/db"
SERVER = """\
import http.server, os, subprocess, sys, time
open("started", "w").write(" ".join(sys.argv[1:]) + "\\n" + os.environ["MLFLOW_BACKEND_STORE_URI"])
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("pids", "w").write(f"{os.getpid()} {worker.pid}")
time.sleep(0.5)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[5])), Handler).serve_forever()
"""
DYING = "import sys; sys.exit('no store at postgresql://me:pl4nted@host/db')"


@pytest.fixture
def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start(here: Path, server: str, port: int) -> subprocess.Popen[str]:
    """`ganray ui` in the working folder, where `python -m mlflow` is another server."""
    (here / "mlflow.py").write_text(server)
    path = os.pathsep.join([str(here), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-m", "ganray", "ui", "--tracking-uri", STORE, "--port", str(port)],
        env=os.environ | {"PYTHONPATH": path},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def serving(here: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    program = start(here, SERVER, port)
    yield program
    program.terminate()  # not killed, or its server would be left
    program.communicate(timeout=20)


def first_line(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.readline()


def test_address_is_told_when_it_answers(
    serving: subprocess.Popen[str], here: Path, port: int
) -> None:
    told = "The MLflow UI of postgresql://***@host/db is at"
    assert first_line(serving) == f"{told} http://127.0.0.1:{port} (Ctrl-C ends it)\n"
    with socket.create_connection(("127.0.0.1", port), timeout=1.0):
        pass
    arguments, store = (here / "started").read_text().splitlines()
    assert arguments.startswith(f"ui --host 127.0.0.1 --port {port} ")
    assert store == STORE  # in the environment: whoever lists processes sees their arguments


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 0)]
)
def test_no_process_of_the_server_is_left(
    number: int, code: int, serving: subprocess.Popen[str], here: Path
) -> None:
    first_line(serving)
    serving.send_signal(number)
    assert serving.wait(10) == code
    assert [pid for pid in map(int, (here / "pids").read_text().split()) if is_alive(pid)] == []


def is_alive(pid: int) -> bool:
    """Whether it runs; whoever was killed a moment ago may still have to be buried."""
    for _ in range(50):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.02)
    return True


def test_server_that_dies_is_told_with_its_last_words(here: Path, port: int) -> None:
    program = start(here, DYING, port)
    out, err = program.communicate(timeout=20)
    assert (program.returncode, out) == (1, "")
    assert "ganray: MLflow's server has ended with exit code 1: its last words were" in err
    assert "no store at postgresql://***@host/db" in err


def test_taken_port_is_refused(here: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        program = start(here, SERVER, port)
        out, err = program.communicate(timeout=20)
    assert (program.returncode, out) == (2, "")
    assert f"ganray: port {port} cannot be used" in err
    assert "--port" in err
    assert not (here / "pids").exists()


def test_server_that_never_answers_is_given_up(
    here: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganray.cli import mlflow_ui
    from ganray.errors import TrackingError

    (here / "mlflow.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), *sys.path]))
    monkeypatch.setattr(mlflow_ui, "PATIENCE", 0.3)
    with pytest.raises(TrackingError, match=r"has not answered within 0\.3 s"):
        mlflow_ui.serve("sqlite:///mlflow.db", port)
    assert not [child for child in psutil.Process().children() if "mlflow" in child.cmdline()]

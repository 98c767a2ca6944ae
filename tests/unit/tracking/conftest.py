"""Recorders that wait less than they would."""

import pytest

from ganray.tracking import mlflow_recorder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same recorder with less waiting."""
    monkeypatch.setattr(mlflow_recorder, "FLUSH_SECONDS", 0.02)
    monkeypatch.setattr(mlflow_recorder, "GRACE_SECONDS", 3.0)
    monkeypatch.setattr(mlflow_recorder, "LONGEST_PAUSE", 0.02)

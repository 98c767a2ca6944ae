"""Sweeps that run here: what the command does once they have ended."""

from pathlib import Path
from typing import Any

import pytest

from ganray.cli import local
from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from ganray.trial import Outcome
from ganray.tuning.driver import SweepResult


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    return parse_sweep(
        {
            "name": "ended",
            "data": {"name": "ring"},
            "search": {"space": {"loss": ["hinge"]}},
            "storage": {"results": str(tmp_path)},
            "tracking": {"uri": f"sqlite:///{tmp_path}/mlflow.db"},
        }
    )


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_store_that_lacks_the_sweep_is_told_and_no_error_of_the_user(
    cancelled: bool,
    spec: SweepSpec,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run_sweep(spec: SweepSpec, recorders: list[Any]) -> SweepResult:
        for recorder in recorders:  # which were told nothing: the store was away all the time
            recorder.close()
        return SweepResult(spec.name, {0: Outcome.COMPLETED}, cancelled)

    monkeypatch.setattr("ganray.tuning.driver.run_sweep", run_sweep)
    assert local.run_here(spec) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "No summary yet: " in told.err

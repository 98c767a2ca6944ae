"""The weights that ganray ships are those of the histories that its benchmark ships."""

import pytest

from ganray.health.recovery import fitted
from ganray.tuning.replay.archive import load_histories
from ganray.tuning.replay.crossfit import examples
from ganray.tuning.replay.fitting import fit
from ganray.tuning.replay.truth import label
from tests.benchmarks.health import HISTORIES


def test_weights_come_from_the_histories() -> None:
    histories = [h for path in sorted(HISTORIES.glob("*.parquet")) for h in load_histories(path)]
    found, shipped = fit(examples(histories, label(histories))), fitted()
    assert found.early == pytest.approx(shipped.early, rel=1e-3, abs=1e-3)
    assert found.late == pytest.approx(shipped.late, rel=1e-3, abs=1e-3)
    assert found.bias == pytest.approx(shipped.bias, rel=1e-3)
    assert found.calibration == pytest.approx(shipped.calibration, rel=1e-3, abs=1e-3)

"""The benchmark of trials that step together."""

import pytest

from tests.benchmarks import fused as benchmark


@pytest.mark.usefixtures("one_thread")
def test_each_size_is_compared_with_as_many_trials_in_turns(monkeypatch, capsys) -> None:
    for name, value in {"SIZES": (1, 2), "BLOCKS": 2, "PAIRS": 1}.items():
        monkeypatch.setattr(benchmark, name, value)
    rows = benchmark.fused(1)
    assert [row.case for row in rows if "one loss" in row.case] == [
        "1 trials, one loss / in turns",
        "2 trials, one loss / in turns",
    ]
    assert all(row.value > 0.0 for row in rows)
    assert "2 trials, five losses" in capsys.readouterr().out

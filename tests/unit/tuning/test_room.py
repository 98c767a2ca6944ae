"""How many trials fit on a GPU; what torch says of one is made up."""

from pathlib import Path

import pytest
import torch

from ganray.data.gaussians import ring
from ganray.errors import ResourceError
from ganray.tuning import room as module
from ganray.tuning.room import Room, candidates, measure_room
from ganray.tuning.session import Workbench
from tests.conftest import small_spec

GIB = 2**30


def test_trials_that_are_tried_have_the_largest_batches_and_every_kind_of_penalty(
    tmp_path: Path,
) -> None:
    space = {
        "penalty": ["none", "r1", "wgan_gp"],
        "batch_size": [16, 64, 32],
        "latent_dim": {"low": 2, "high": 9},
    }
    found = list(candidates(small_spec(tmp_path, search={"space": space})))
    assert {(c.batch_size, c.latent_dim) for c in found} == {(64, 9)}
    assert {c.penalty for c in found} == {"none", "r1", "wgan_gp"}


@pytest.mark.parametrize(("trial", "fits"), [(1.0, 76), (0.5, 152), (75.0, 1), (77.0, 0)])
def test_trials_fit_into_all_but_a_twentieth_of_the_memory(trial: float, fits: int) -> None:
    assert Room("GPU", 80 * GIB, int(trial * GIB)).fits == fits


def test_the_largest_trial_and_its_context_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = iter([0.1, 0.4, *[0.2] * module.TRIED])
    monkeypatch.setattr(module, "Workbench", lambda spec, data, _: Workbench(spec, data, "cpu"))
    for name, answer in {
        "reset_peak_memory_stats": lambda: None,
        "empty_cache": lambda: None,
        "max_memory_reserved": lambda: int(next(peaks) * GIB),
        "memory_reserved": lambda: int(0.5 * GIB),
        "mem_get_info": lambda: (7 * GIB, 8 * GIB),
        "get_device_name": lambda: "Made Up",
    }.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    room = measure_room(small_spec(tmp_path), ring(train_size=200))
    assert room.device == "Made Up"
    assert room.trial == pytest.approx(0.9 * GIB, rel=1e-6)  # 0.4 of a trial, 0.5 of its process
    assert room.fits == 8


def test_trial_that_does_not_fit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(session: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(module, "Workbench", lambda spec, data, _: Workbench(spec, data, "cpu"))
    monkeypatch.setattr(module.Session, "next_report", full)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    with pytest.raises(ResourceError, match="a trial does not fit on this GPU: CUDA out of memory"):
        measure_room(small_spec(tmp_path), ring(train_size=200))

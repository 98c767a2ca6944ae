"""How many trials fit on a GPU; what torch says of one is made up."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from ganray.data.gaussians import ring
from ganray.errors import ResourceError
from ganray.gan.shared_cohort import CohortError, SharedCohort
from ganray.tuning import room as module
from ganray.tuning.room import Room, candidates, measure_room, measure_slots
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


@pytest.mark.parametrize(
    ("paces", "slots"),
    [
        ([100.0, 105.0], 1),
        ([100.0, 190.0, 300.0, 310.0], 4),
        ([100.0, 190.0, None], 2),  # four run out of memory
        ([2.0**power for power in range(7)], module.MOST),
    ],
)
def test_slots_are_doubled_as_long_as_more_gets_done(
    paces: list[float | None], slots: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def pace(workbench: object, configs: list[object], slots: int) -> float:
        assert len(configs) == slots + max(1, slots // 8)
        tried.append(slots)
        found = paces[len(tried) - 1]
        if found is None:
            raise torch.OutOfMemoryError
        return found

    monkeypatch.setattr(module, "_pace", pace)
    assert measure_slots(small_spec(tmp_path), ring(train_size=200)) == slots
    assert tried == [2**power for power in range(len(paces))]


def test_slots_are_measured_by_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACED", 4)
    monkeypatch.setattr(module, "MOST", 2)
    assert measure_slots(small_spec(tmp_path), ring(train_size=200)) in (1, 2)


def test_slots_of_trials_that_step_together_are_measured_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PACED", 4)
    monkeypatch.setattr(module, "MOST", 2)
    joined: list[int] = []
    join = SharedCohort.join
    monkeypatch.setattr(
        SharedCohort, "join", lambda self, it: joined.append(join(self, it)) or joined[-1]
    )
    resources = {"slots_per_gpu": "auto", "fused": True}
    measure_slots(small_spec(tmp_path, resources=resources), ring(train_size=200))
    assert joined == [0, 0, 1]


@pytest.mark.parametrize(
    ("cause", "error"), [(torch.OutOfMemoryError(), None), (ValueError(), CohortError)]
)
def test_slots_that_memory_is_not_there_for_when_they_step_together_are_not_taken(
    cause: Exception, error: type[Exception] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pace(workbench: object, configs: list[object], slots: int) -> float:
        if slots == 4:
            raise CohortError from cause
        return float(slots)

    monkeypatch.setattr(module, "_pace", pace)
    with pytest.raises(error) if error else nullcontext():
        assert measure_slots(small_spec(tmp_path), ring(train_size=200)) == 2

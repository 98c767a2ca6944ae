"""Advice on how many trials are to share a GPU."""

from pathlib import Path

import pytest
import torch

from ganray.cli.sharing import GIB, advise, describe
from ganray.errors import ResourceError
from ganray.tuning.room import Room
from tests.conftest import small_spec


@pytest.mark.parametrize(
    ("trial", "asked", "told"),
    [
        (
            0.9,
            "auto",
            "a trial takes up to 0.9 GiB of the 8 GiB of GPU: 8 fit, resources.gpu: 0.125; ",
        ),
        (1.05, 0.5, "7 fit, resources.gpu: 0.1428; each takes resources.cpu: 1, too"),
        (1.05, 0.1, "7 fit, resources.gpu: 0.1428 at least, not 0.1"),
        (5.0, "auto", "give each one of its own, resources.gpu: 1"),
    ],
)
def test_advice_is_what_to_write_into_the_file(
    trial: float, asked: float | str, told: str, tmp_path: Path
) -> None:
    spec = small_spec(tmp_path, resources={"gpu": asked})
    assert told in describe(Room("GPU", 8 * GIB, int(trial * GIB)), spec)


def test_machine_without_a_gpu_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="--measure trains on a GPU"):
        advise(small_spec(tmp_path))

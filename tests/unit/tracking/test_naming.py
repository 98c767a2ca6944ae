"""A trial's name tells it from its neighbours in a list of runs."""

from dataclasses import asdict
from typing import Any

import pytest

from ganray.tracking.naming import LONGEST, run_name
from ganray.tracking.recorder import TrialRecord
from ganray.trial import TrialConfig


def name(confirms: int | None = None, searched: tuple[str, ...] = (), **settings: Any) -> str:
    params = asdict(TrialConfig(**settings))
    return run_name(
        TrialRecord(
            number=17,
            params=params,
            searched={key: params[key] for key in searched},
            started=0,
            confirms=confirms,
        )
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"loss": "hinge"}, "17 hinge"),
        ({"loss": "wgan", "d_steps": 5, "weight_clip": 0.01}, "17 wgan k=5 clip=0.01"),
        ({"loss": "lsgan", "d_steps": 5, "g_steps": 2}, "17 lsgan 5:2"),
        ({"loss": "lsgan", "d_steps": 1, "g_steps": 2}, "17 lsgan 1:2"),
        ({"loss": "lsgan", "d_steps": 2, "g_steps": 2}, "17 lsgan 2:2"),
        ({"model": "vae", "d_steps": 5}, "17 vae"),  # which has no loss and no D
        ({"loss": "wgan", "confirms": 3}, "17 confirms 3 wgan"),
    ],
)
def test_name_has_what_every_trial_is_known_by(settings: dict[str, Any], told: str) -> None:
    assert name(**settings) == told


def test_name_has_searched_parameters_the_telling_ones_first() -> None:
    searched = ("batch_size", "g_lr", "loss", "spectral_norm", "d_lr", "penalty")
    told = name(
        searched=searched, loss="hinge", penalty="r1", spectral_norm=True, d_lr=1.234e-4, g_lr=2e-3
    )
    assert told == "17 hinge r1 spectral_norm d_lr=0.00012 g_lr=0.002"  # no room for the batch


def test_name_leaves_out_what_is_off_or_not_searched() -> None:
    searched = ("penalty", "spectral_norm", "d_grad_clip", "weight_clip")
    assert name(searched=searched, loss="hinge", d_lr=0.5) == "17 hinge"


def test_name_has_as_much_as_there_is_room_for() -> None:
    searched = tuple(name for name in asdict(TrialConfig()) if name != "model")
    told = name(searched=searched, confirms=1_000, loss="relativistic_average", weight_clip=1e-4)
    assert 45 < len(told) <= LONGEST
    assert told.startswith("17 confirms 1000 relativistic_average clip=0.0001 ")

"""Advice on how many trials are to share a GPU."""

import math

import torch

from ganray.data.registry import load_dataset
from ganray.errors import ResourceError
from ganray.spec.models import SweepSpec
from ganray.tuning.fit import check_fit
from ganray.tuning.room import Room, measure_room

GIB = 2**30
STEPS = 10_000  # shares of a GPU that Ray tells apart


def advise(spec: SweepSpec) -> str:
    """What a trial takes of the GPU here, and what to write into the sweep file.

    Raises:
        ResourceError: there is no GPU here, or a trial does not fit on it.
        DataError, SpecError, NetworkError: as when the sweep is run.
    """
    if not torch.cuda.is_available():
        raise ResourceError("--measure trains on a GPU, and PyTorch sees none here")
    dataset = load_dataset(spec.data.model_dump())
    check_fit(spec, dataset)
    return describe(measure_room(spec, dataset), spec)


def describe(room: Room, spec: SweepSpec) -> str:
    """The advice in words."""
    takes = f"a trial takes up to {room.trial / GIB:.2g} GiB of the {room.memory / GIB:.0f} GiB of"
    if room.fits < 2:
        return f"{takes} {room.device}: give each one of its own, resources.gpu: 1"
    share = math.floor(STEPS / room.fits) / STEPS
    told = f"{takes} {room.device}: {room.fits} fit, resources.gpu: {share:g}"
    asked, cpu = spec.resources.gpu, spec.resources.cpu
    if asked != "auto" and 0.0 < asked < share:
        return f"{told} at least, not {asked:g}"
    return f"{told}; each takes resources.cpu: {cpu:g}, too"

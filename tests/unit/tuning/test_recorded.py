"""A recorded sweep, read and stopped by others than its driver."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganray.errors import SpecError, SweepRunningError, UnknownSweepError
from ganray.spec.models import SweepSpec
from ganray.tuning.lease import Lease
from ganray.tuning.places import Place
from ganray.tuning.recorded import open_study, recorded_spec
from ganray.tuning.stopping import stop_sweep
from ganray.tuning.study import SweepStudy
from tests.conftest import small_spec

ROOT = Path(__file__).parents[3]
DRIVER = """\
import sys, time
from ganray.spec.models import Storage
from ganray.tuning.lease import Lease
from ganray.tuning.places import Place
from ganray.tuning.recorded import open_study
place = Place("small", Storage(results=sys.argv[1]))
lease = Lease.acquire(open_study(place), job=sys.argv[2] or None)
try:
    print("driving", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    lease.release()
    print("stopped", flush=True)
"""


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    spec = small_spec(tmp_path)
    SweepStudy.create(spec)
    return spec


@pytest.fixture
def place(spec: SweepSpec) -> Place:
    return Place(spec.name, spec.storage)


def drive(spec: SweepSpec, job: str = "") -> "subprocess.Popen[str]":
    """Another process that drives the sweep until it is interrupted."""
    command = [sys.executable, "-c", DRIVER, str(spec.storage.results), job]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "driving\n"
    return process


def test_specification_is_as_it_was_recorded(spec: SweepSpec, place: Place) -> None:
    assert recorded_spec(place) == spec
    assert recorded_spec(place, ["search.trials=9"]).search.trials == 9
    assert recorded_spec(place) == spec  # nothing was written


def test_settings_that_are_wrong_are_refused(place: Place) -> None:
    with pytest.raises(SpecError, match=r"search\.trials: must be a whole number"):
        recorded_spec(place, ["search.trials=many"])


def test_sweep_that_is_not_recorded_is_unknown(spec: SweepSpec, tmp_path: Path) -> None:
    for name, folder in (("other", "results"), ("small", "elsewhere")):
        storage = spec.storage.model_copy(update={"results": str(tmp_path / folder)})
        with pytest.raises(UnknownSweepError, match=f"no sweep named '{name}'.*--storage"):
            open_study(Place(name, storage))
    assert not (tmp_path / "elsewhere").exists()


def test_driver_of_another_process_is_stopped_as_by_ctrl_c(spec: SweepSpec, place: Place) -> None:
    process = drive(spec)
    began = time.monotonic()
    assert stop_sweep(place)
    assert process.communicate(timeout=10)[0] == "stopped\n"
    assert time.monotonic() - began < 10
    assert not stop_sweep(place)


def test_driver_that_was_killed_does_not_run(spec: SweepSpec, place: Place) -> None:
    process = drive(spec)
    process.kill()
    process.wait()
    assert not stop_sweep(place)


def test_driver_in_a_cluster_is_left_to_the_cluster(spec: SweepSpec, place: Place) -> None:
    process = drive(spec, job="02000000")
    try:
        with pytest.raises(SweepRunningError, match="stop it with: ganray stop small --address"):
            stop_sweep(place)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_driver_that_does_not_end_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease.acquire(open_study(place))  # this process, which the signal must not reach
    monkeypatch.setattr(os, "kill", lambda pid, sign: None)
    try:
        with pytest.raises(SweepRunningError, match="was asked to stop, but runs: process"):
            stop_sweep(place, wait=0.1)
    finally:
        lease.release()

"""What a sweep goes through on one machine, beside the same sweep left in peace.

After each fault nothing is lost or doubled, the study, MLflow and the summary agree, no trial that
had ended ran again, and the best trial is the same. See the table in the README.
"""

import contextlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ganray.summary import summarize
from ganray.trial import Cause, Outcome
from ganray.tuning.study import SweepStudy
from tests.agreement import Expected, disagreements, ended_launches, expectation
from tests.faults import REPORTS, SWEEP, Driver, Sweep

pytestmark = [pytest.mark.slow, pytest.mark.proof]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Sweep]]:
    """Makes sweeps, and leaves no process of theirs behind."""
    with contextlib.ExitStack() as stack:

        def make(**parts: Any) -> Sweep:
            sweep = Sweep(tmp_path / "disturbed", **parts)
            stack.callback(sweep.close)
            return sweep

        yield make


@pytest.fixture
def sweep(make: Callable[..., Sweep]) -> Sweep:
    return make()


def one_has_ended(sweep: Sweep) -> bool:
    return len(sweep.outcomes()) >= 1 and sweep.reports() > REPORTS + 2


# --- processes that are killed --------------------------------------------------------------------


def test_trial_whose_process_is_killed_goes_on(sweep: Sweep, peaceful: Expected) -> None:
    driver = sweep.start()
    for reports in (3, 20, REPORTS + 10):
        driver.wait_for_reports(reports)
        driver.kill_a_trial()
    driver.wait()
    assert disagreements(sweep.spec, peaceful) == []
    retries = [t.ending.retries for t in SweepStudy.load(sweep.spec).recorded() if t.ending]
    assert sum(retries) == 3


@pytest.mark.parametrize("how", ["the driver", "the whole cluster"])
def test_killed_sweep_goes_on_where_it_was(how: str, sweep: Sweep, peaceful: Expected) -> None:
    driver = sweep.start()
    driver.wait_until(lambda: one_has_ended(sweep))
    if how == "the driver":
        driver.kill()
    else:
        driver.kill_all()
    before = ended_launches(sweep.spec)
    sweep.resume()
    assert before
    assert disagreements(sweep.spec, peaceful, before) == []


def test_sweep_killed_again_and_again_goes_on(sweep: Sweep, peaceful: Expected) -> None:
    """At its very start, in the middle, and while it goes on."""
    place = ("resume", "fault", "--storage", str(sweep.folder / "results"))
    driver = sweep.start()
    driver.wait_until(lambda: (sweep.folder / "results/fault/study.journal").exists())
    driver.kill_all()
    for reports in (5, 40):
        driver = sweep.start(*place)
        driver.wait_for_reports(reports)
        driver.kill_all()
    before = ended_launches(sweep.spec)
    sweep.resume()
    assert disagreements(sweep.spec, peaceful, before) == []


# --- sweeps that are stopped ----------------------------------------------------------------------


def has_begun(sweep: Sweep) -> bool:
    """Whether its driver is one: before that, Ctrl-C leaves nothing to be recorded."""
    journal = sweep.folder / "results/fault/study.journal"
    return journal.exists() and '"attempts"' in journal.read_text()


@pytest.mark.parametrize(
    ("number", "reports"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 12), (signal.SIGINT, 3 * REPORTS + 5)],
    ids=["Ctrl-C at the start", "SIGTERM in the middle", "Ctrl-C near the end"],
)
def test_stopped_sweep_is_recorded_within_half_a_minute_and_goes_on(
    number: signal.Signals, reports: int, sweep: Sweep, peaceful: Expected
) -> None:
    driver = sweep.start()
    if reports:
        driver.wait_for_reports(reports)
    else:
        driver.wait_until(lambda: has_begun(sweep))
    assert driver.interrupt(number) < 30.0
    assert driver.process.returncode == 1
    frame = summarize("fault", sweep.spec.tracking.uri)
    assert not frame["outcome"].isna().any()
    assert "Traceback" not in sweep.log.read_text()
    before = ended_launches(sweep.spec)
    sweep.resume()
    assert disagreements(sweep.spec, peaceful, before) == []


# --- trials that fail -----------------------------------------------------------------------------


def test_trial_that_exhausts_memory_is_tried_again_once_and_is_crashed(
    make: Callable[..., Sweep],
) -> None:
    search = {**SWEEP["search"], "first": [{"latent_dim": 10**11}], "trials": 3}
    sweep = make(search=search)
    sweep.run("run", str(sweep.file))
    crashed, *others = SweepStudy.load(sweep.spec).recorded()
    assert crashed.ending is not None
    assert crashed.ending.outcome is Outcome.CRASHED
    assert crashed.ending.cause is Cause.OUT_OF_MEMORY
    assert crashed.ending.retries == 1
    assert len(others) == 2
    assert disagreements(sweep.spec, expectation(sweep.spec)) == []
    frame = summarize("fault", sweep.spec.tracking.uri).set_index("trial")
    assert frame.loc[0, "cause"] == "out_of_memory"
    assert frame.loc[0, "retries"] == 1


def test_trial_that_exhausts_its_share_of_a_gpu_is_tried_again_with_a_whole_one(
    make: Callable[..., Sweep],
) -> None:
    networks = {"name": "custom", "generator": "crowded:Generator"}
    networks |= {"discriminator": "crowded:Discriminator"}
    space = {"latent_dim": [4, 5, 6], "loss": ["hinge", "lsgan"]}
    search = {"sampler": "grid", "trials": 6, "concurrency": 2, "space": space}
    budget = {"updates": 600, "reports": 6}
    resources = {"cpu": 1, "gpu": 0.5}
    sweep = make(networks=networks, search=search, budget=budget, resources=resources, prune=None)
    (sweep.folder / "crowded.py").write_text(CROWDED)
    two_share_one = {"RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": 2, "GPU": 1})}
    sweep.start(environment=two_share_one).wait()
    found = {4: [], 5: [], 6: []}
    for trial in SweepStudy.load(sweep.spec).recorded():
        assert trial.ending is not None
        ending = (trial.ending.outcome, trial.ending.cause, trial.ending.retries)
        found[trial.assignment.config.latent_dim].append(ending)
    completed, crashed = Outcome.COMPLETED, Outcome.CRASHED
    assert found[4] == [(completed, None, 0)] * 2
    assert found[5] == [(completed, None, 1)] * 2  # a whole GPU is enough
    assert found[6] == [(crashed, Cause.OUT_OF_MEMORY, 1)] * 2
    assert disagreements(sweep.spec, expectation(sweep.spec)) == []


CROWDED = """
import ray
import torch
from torch import nn

NEEDS = {5: 1.0, 6: 2.0}  # GPUs, by the length of the latent vector


def gpus():
    return ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)


class Generator(nn.Module):
    def __init__(self, shape, latent_dim):
        super().__init__()
        self.needs = NEEDS.get(latent_dim, 0.0)
        self.layer = nn.Linear(latent_dim, *shape)

    def forward(self, noise):
        if self.needs and gpus() < self.needs:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return self.layer(noise)


class Discriminator(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layer = nn.Linear(*shape, 1)

    def forward(self, samples):
        return self.layer(samples).squeeze(1)
"""


def test_trial_that_hangs_is_ended_and_the_sweep_goes_on(make: Callable[..., Sweep]) -> None:
    networks = {"name": "custom", "generator": "hanging:Generator"}
    networks |= {"discriminator": "hanging:Discriminator"}
    space = {"batch_size": [64, 65]}  # the network hangs on one of them
    search = {"sampler": "grid", "trials": 2, "concurrency": 2, "space": space}
    budget = {"updates": 600, "reports": 6, "silence_minutes": 0.2}
    sweep = make(networks=networks, search=search, budget=budget, prune=None)
    (sweep.folder / "hanging.py").write_text(HANGING)
    sweep.run("run", str(sweep.file))
    found = {
        t.assignment.config.batch_size: t.ending for t in SweepStudy.load(sweep.spec).recorded()
    }
    hung, other = found[65], found[64]
    assert hung is not None
    assert other is not None
    assert (hung.outcome, hung.cause) == (Outcome.CRASHED, Cause.SILENT)
    assert hung.reason == "reported nothing for 0.2 minutes (budget.silence_minutes)"
    assert 0 < len(hung.history) < 6
    assert other.outcome is Outcome.COMPLETED
    assert disagreements(sweep.spec, expectation(sweep.spec)) == []


HANGING = """
import time

import torch
from torch import nn


class Generator(nn.Module):
    def __init__(self, shape, latent_dim):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(latent_dim, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, latents):
        return self.layers(latents)


class Discriminator(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
        self.calls = 0

    def forward(self, samples):
        self.calls += len(samples) == 65
        if self.calls > 600:
            time.sleep(3600)
        return self.layers(samples).squeeze(1)
"""


# --- places that fail -----------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_full_disk_holds_the_sweep_up_until_there_is_room(
    small_disk: Path, make: Callable[..., Sweep], peaceful: Expected
) -> None:
    sweep = make(storage={"results": str(small_disk)})
    driver = sweep.start()
    driver.wait_for_reports(8)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(b"\0" * 4096)
    assert shutil.disk_usage(small_disk).free == 0
    time.sleep(8)
    held_up = _reports(sweep, driver)
    time.sleep(5)
    assert _reports(sweep, driver) == held_up
    filler.unlink()
    driver.wait()
    assert disagreements(sweep.spec, peaceful) == []
    assert "the study's storage fails" in sweep.log.read_text()


def _reports(sweep: Sweep, driver: Driver) -> int:
    assert driver.process.poll() is None, sweep.log.read_text()
    return sweep.reports()

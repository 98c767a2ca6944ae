"""A sweep whose trials share processes, beside the same sweep with a process for each trial.

Whatever dies, the study, MLflow and the summary agree, nothing is lost or doubled, and each trial
has the reports that it has in a process of its own; or, where trials step together, those that it
has if nothing dies.
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganray.trial import Outcome
from tests.agreement import Expected, disagreements, expectation
from tests.faults import REPORTS, SWEEP, Driver, Sweep

pytestmark = [pytest.mark.slow, pytest.mark.proof]

SEARCH = {**SWEEP["search"], "concurrency": "auto"}


@pytest.fixture
def sweep(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sweep]:
    """Of four trials: with a slot on each of two cores two of them wait, with two slots none."""
    resources = {"slots_per_gpu": getattr(request, "param", 1)}
    found = Sweep(tmp_path / "slots", resources=resources, search=SEARCH)
    yield found
    found.close()


def kill_a_proxy(driver: Driver) -> None:
    driver.kill_a_trial()


def kill_an_engine(driver: Driver) -> None:
    driver.kill_an_engine()


@pytest.mark.parametrize("sweep", [1, 2], indirect=True, ids="{} a process".format)
@pytest.mark.parametrize("kill", [kill_an_engine, kill_a_proxy])
def test_trials_whose_engine_or_proxy_is_killed_go_on(
    kill: Callable[[Driver], None], sweep: Sweep, peaceful: Expected
) -> None:
    driver = sweep.start()
    for reports in (3, REPORTS + 10):
        driver.wait_for_reports(reports)
        kill(driver)
    driver.wait()
    assert disagreements(sweep.spec, peaceful) == []


def test_trials_that_step_together_go_on_bit_for_bit(tmp_path: Path) -> None:
    """Killed twice, then interrupted: neither their rows nor their neighbours are the same then.

    Some diverge, are pruned, and others take their rows.
    """
    resources = {"cpu": 2, "slots_per_gpu": 3, "fused": True}
    search = {**SEARCH, "trials": 6, "space": {**SEARCH["space"], "g_lr": [1e-3, 1e30]}}
    peaceful, hurt = (
        Sweep(tmp_path / name, resources=resources, search=search) for name in ("peaceful", "hurt")
    )
    try:
        peaceful.run("run", str(peaceful.file))
        driver = hurt.start()
        for reports in (3, REPORTS + 10):
            driver.wait_for_reports(reports)
            driver.kill_an_engine()
        driver.wait_for_reports(2 * REPORTS)
        driver.interrupt(signal.SIGINT)
        hurt.resume()
    finally:
        hurt.close()
        peaceful.close()
    expected = expectation(peaceful.spec)
    assert {Outcome.COMPLETED, Outcome.DIVERGED} <= set(expected.outcomes.values())
    assert disagreements(peaceful.spec, expected) == []
    assert disagreements(hurt.spec, expected) == []


def test_sweep_whose_driver_is_killed_goes_on_in_slots(sweep: Sweep, peaceful: Expected) -> None:
    driver = sweep.start()
    driver.wait_for_reports(REPORTS + 2)
    driver.kill_all()
    sweep.resume()
    assert disagreements(sweep.spec, peaceful) == []


def test_sweep_that_is_interrupted_has_its_trials_recorded(
    sweep: Sweep, peaceful: Expected
) -> None:
    driver = sweep.start()
    driver.wait_for_reports(REPORTS + 2)
    assert driver.interrupt(signal.SIGINT) < 60.0
    sweep.resume()
    assert disagreements(sweep.spec, peaceful) == []

"""What a sweep on a cluster goes through, beside the same sweep left in peace.

As in `test_faults.py`, but with nodes, a submitted driver and databases that die. See the table in
the README.
"""

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from ganray.client.status import SweepStatus
from ganray.spec.load import load_sweep
from ganray.spec.models import SweepSpec
from ganray.summary import summarize
from ganray.trial import Cause
from ganray.tuning.study import SweepStudy
from tests.agreement import Expected, disagreements, ended_launches
from tests.conftest import Answer
from tests.faults import SWEEP
from tests.service import SECONDS, Service, raylet, training

pytestmark = [pytest.mark.slow, pytest.mark.proof]

Program = Callable[..., Answer]


def one_has_ended(status: SweepStatus) -> bool:
    assert not status.has_ended, status
    return bool(status.trials and status.trials["ended"] >= 1 and status.running)


# --- processes that are killed --------------------------------------------------------------------


def test_sweep_goes_on_after_its_driver_was_killed(
    served: Service, ganray: Program, peaceful: Expected
) -> None:
    spec = served.start("driver")
    served.until("driver", one_has_ended)
    served.driver("driver").kill()
    assert served.until("driver", lambda found: found.has_ended).state == "failed"
    before = ended_launches(spec)
    assert before
    assert ganray("resume", "driver") == (0, "driver\n", "")
    assert served.finish("driver").attempt == 2
    assert disagreements(spec, peaceful, before) == []


def test_sweep_goes_on_elsewhere_after_its_whole_cluster_was_killed(
    served: Service, ganray: Program, peaceful: Expected
) -> None:
    spec = served.start("cluster")
    served.until("cluster", one_has_ended)
    for node in reversed(served.cluster.nodes[:]):
        served.cluster.kill_node(node)
    before = ended_launches(spec)
    served.cluster.start_head(cpus=1)
    address = ("--address", served.cluster.address)
    unknown = ganray("resume", "cluster", *address)
    assert (unknown.code, unknown.out) == (2, "")
    assert "say with --storage where its study is" in unknown.err
    asked = ganray("resume", "cluster", *address, "--storage", served.study)
    assert asked == (0, "cluster\n", "")
    served.cluster.add_node(cpus=1)  # for the trials that there is no room for yet, and later tests
    served.finish("cluster")
    assert before
    assert disagreements(spec, peaceful, before) == []


def test_trials_of_a_lost_node_go_on_at_one_that_joins(served: Service, peaceful: Expected) -> None:
    """And a lost node is no failure, of which this sweep allows none."""
    budget, search = {**SWEEP["budget"], "failures": 0}, {"concurrency": "auto"}
    spec = served.start("nodes", budget=budget, search=search)
    head, worker = served.cluster.nodes
    wait(lambda: training(head))
    (held,) = training(head)
    held.suspend()  # or the sweep could be over before a node has joined
    wait(lambda: training(worker))
    left = worker.processes()
    raylet(worker).kill()
    joined = served.cluster.add_node(cpus=1)
    wait(lambda: training(joined))
    held.resume()
    served.finish("nodes")
    assert disagreements(spec, peaceful) == []
    faults = {t.number: t.user_attrs.get("faults", []) for t in SweepStudy.load(spec).record.trials}
    assert [f["cause"] for of_one in faults.values() for f in of_one] == [Cause.NODE_LOST]
    (lost,) = [number for number, of_one in faults.items() if of_one]
    assert {n: t.ending.retries for n, t in enumerate(SweepStudy.load(spec).recorded())} == {
        number: int(number == lost) for number in faults
    }
    served.cluster.kill_node(worker)
    wait(lambda: not any(process.is_running() for process in left))


def test_trials_in_slots_of_a_lost_node_go_on_in_those_of_another(
    served: Service, peaceful: Expected
) -> None:
    spec = served.start("engines", resources={"slots_per_gpu": 2}, search={"concurrency": "auto"})
    _, worker = served.cluster.nodes
    wait(lambda: all(training(node) for node in served.cluster.nodes))
    served.until_updates("engines", 1_000)
    raylet(worker).kill()
    served.finish("engines")
    served.cluster.kill_node(worker)
    served.cluster.add_node(cpus=1)  # for later tests
    assert disagreements(spec, peaceful) == []
    faults = [t.user_attrs.get("faults", []) for t in SweepStudy.load(spec).record.trials]
    assert {fault["cause"] for of_one in faults for fault in of_one} == {Cause.NODE_LOST}


def wait(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


# --- servers that are away ------------------------------------------------------------------------


def database_crashes(service: Service) -> None:
    """With the study on it, and what the MLflow server keeps."""
    service.postgres.restart(crash=True, away=3.0)


def mlflow_is_away(service: Service) -> None:
    service.mlflow.kill()
    time.sleep(5.0)
    service.mlflow.start()


@pytest.mark.parametrize("fault", [database_crashes, mlflow_is_away])
def test_sweep_outlives_a_server_that_is_away(
    fault: Callable[[Service], None], served: Service, peaceful: Expected
) -> None:
    name = fault.__name__.replace("_", "-")
    spec = served.start(name)
    served.until_updates(name, 2_000)
    fault(served)
    assert served.finish(name).attempt == 1
    assert disagreements(spec, peaceful) == []


# --- sweeps that are stopped ----------------------------------------------------------------------


def by_ganray(service: Service, name: str) -> None:
    service.client.stop(name)


def by_ray(service: Service, name: str) -> None:
    """By its command line, which takes longer to start than all the rest."""
    job = service.client.status(name).submission_id
    command = [sys.executable, "-m", "ray.scripts.scripts", "job", "stop", str(job)]
    command += ["--address", service.cluster.address, "--no-wait"]
    environment = service.cluster.environment()
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=SECONDS, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("stop", [by_ganray, by_ray])
def test_sweep_is_stopped_at_any_moment_and_goes_on(
    stop: Callable[[Service, str], None], served: Service, ganray: Program, peaceful: Expected
) -> None:
    name = f"stopped-{stop.__name__.replace('_', '-')}"
    file = served.write(name)
    assert ganray("submit", file)[:2] == (0, f"{name}\n")
    end(stop, served, name)
    go_on(ganray, name, file)
    spec = load_sweep(file)
    for moment in (lambda found: updates(found) > 2_000, lambda found: ended(found) >= 3):
        served.until(name, moment)
        end(stop, served, name)
        check_recorded(spec)
        before = ended_launches(spec)
        assert ganray("resume", name) == (0, f"{name}\n", "")
    served.finish(name)
    assert disagreements(spec, peaceful, before) == []


def go_on(ganray: Program, name: str, file: str) -> None:
    """Submit it again where its driver had not begun, so that there is nothing to resume."""
    again = ganray("submit", file)
    if again.code == 2:
        assert f"continue it with: ganray resume {name}" in again.err
        again = ganray("resume", name)
    assert again[:2] == (0, f"{name}\n"), again.err


def end(stop: Callable[[Service, str], None], service: Service, name: str) -> None:
    stop(service, name)
    asked = time.monotonic()
    status = service.until(name, lambda found: found.has_ended)
    assert time.monotonic() - asked < 30.0
    assert status.state in ("stopped", "finished"), status


def check_recorded(spec: SweepSpec) -> None:
    """Nothing of a sweep that was stopped looks as if it ran."""
    frame = summarize(spec.name, spec.tracking.uri)
    assert not frame["outcome"].isna().any()
    assert len(frame) == len(SweepStudy.load(spec).outcomes())
    assert frame.attrs["status"] == "KILLED"


def updates(status: SweepStatus) -> int:
    assert not status.has_ended, status
    return status.budget["updates"]["used"] if status.budget else 0


def ended(status: SweepStatus) -> int:
    assert not status.has_ended, status
    return status.trials["ended"] if status.trials else 0

"""One driver a study: who is alive is refused, who died is replaced, who was replaced hears it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import Study

from ganray.errors import StorageError, SweepRunningError
from ganray.tuning import lease
from ganray.tuning.lease import Holder, Lease, holder
from tests.conftest import open_study

SOON = {"interval": 0.05, "watch": 0.5}


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a study is kept, in each kind of storage."""
    if request.param == "postgresql":
        found: str = request.getfixturevalue("database")
        return found
    return f"sqlite:///{tmp_path}/a.db" if request.param == "sqlite" else f"{tmp_path}/a.journal"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return open_study(f"{tmp_path}/a.journal")


@pytest.fixture
def leases() -> Iterator[list[Lease]]:
    """Released at the end."""
    found: list[Lease] = []
    yield found
    for each in found:
        each.release()


def elsewhere(**changes: Any) -> Holder:
    """A driver on another machine."""
    plain: dict[str, Any] = {"host": "far", "machine": "far/1", "pid": 7, "process_start": "1"}
    return replace(lease._this_process(1, None), **{**plain, **changes})


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return child.pid


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> bool:
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.01)
    return bool(condition())


# --- acquire, beat, release -----------------------------------------------------------------------


def test_lease_is_held_until_it_is_released(place: str) -> None:
    study = open_study(place)
    assert holder(study) is None
    before = lease.now_ms()
    mine = Lease.acquire(study, job="raysubmit_1")
    found = holder(open_study(place))
    assert found == mine.holder
    assert (found.pid, found.job, found.is_here) == (os.getpid(), "raysubmit_1", True)
    assert before <= found.since == found.at <= lease.now_ms()
    assert found.is_alive(study)
    mine.release()
    assert holder(open_study(place)) is None
    assert not found.is_alive(study)
    Lease.acquire(open_study(place)).release()


def test_running_sweep_is_refused(place: str, leases: list[Lease]) -> None:
    leases.append(Lease.acquire(open_study(place), job="raysubmit_1"))
    with pytest.raises(SweepRunningError) as error:
        Lease.acquire(open_study(place))
    text = str(error.value)
    assert text.startswith(f"sweep 'ring' is run by process {os.getpid()} on ")
    assert ", Ray job raysubmit_1, since 20" in text
    assert text.endswith("or stop it there with Ctrl-C or: ganray stop ring")
    assert holder(open_study(place)) == leases[0].holder
    assert not leases[0].lost.is_set()


def test_sweep_that_is_no_job_is_stopped_by_its_process(study: Study, leases: list[Lease]) -> None:
    leases.append(Lease.acquire(study))
    with pytest.raises(SweepRunningError, match=rf"with Ctrl-C or: kill {os.getpid()}$"):
        Lease.acquire(study)


def test_holder_beats(place: str, leases: list[Lease]) -> None:
    study = open_study(place)
    leases.append(Lease.acquire(open_study(place), **SOON))
    first = holder(study)
    assert first is not None
    assert eventually(lambda: holder(study).beats >= first.beats + 3)
    last = holder(study)
    assert last.at > first.at
    assert replace(last, at=first.at, beats=first.beats) == first


def test_no_beat_comes_after_the_release(study: Study) -> None:
    mine = Lease.acquire(study, interval=0.001)
    assert eventually(lambda: mine.holder.beats > 3)
    mine.release()
    mine.release()
    left = study.user_attrs
    mine._beat()  # one that waited while the lease was released
    assert study.user_attrs == left
    assert holder(study) is None


def test_other_attributes_of_the_study_stay(study: Study) -> None:
    study.set_user_attr("spec", "{}")
    Lease.acquire(study).release()
    assert study.user_attrs["spec"] == "{}"


# --- dead or alive --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "alive"),
    [
        ({}, True),
        ({"process_start": "1"}, False),  # the id was given to another process
        ({"pid": -1}, False),  # that of a process that has ended
        ({"pid": os.getpid()}, False),  # this one, which does not hold it
        ({"released": True}, False),
    ],
)
def test_process_of_this_machine_is_looked_for(changes: dict, alive: bool, study: Study) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        start = lease._process_start(child.pid)
        pid = dead_process() if changes.get("pid") == -1 else changes.get("pid", child.pid)
        here = replace(lease._this_process(1, None), process_start=start)
        found = replace(here, **{**changes, "pid": pid})
        lease._write(study, found)
        began = time.monotonic()
        assert found.is_alive(study) is alive
        assert time.monotonic() - began < 10.0
        if alive:
            with pytest.raises(SweepRunningError):
                Lease.acquire(study)
        else:
            Lease.acquire(study).release()


def test_killed_process_that_nobody_waited_for_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert lease._process_start(child.pid) is not None
        child.kill()
        assert eventually(lambda: lease._process_start(child.pid) is None)
        os.kill(child.pid, 0)  # there is a process of that id


def test_suspended_process_of_this_machine_is_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        start = lease._process_start(child.pid)
        child.send_signal(signal.SIGSTOP)
        assert lease._process_start(child.pid) == start
        child.kill()


def test_machine_is_told_by_more_than_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    here = lease._machine.__wrapped__()
    assert here == lease._machine.__wrapped__()
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[1]")  # another container
    assert lease._machine.__wrapped__() != here


def test_where_processes_cannot_be_looked_for_no_machine_is_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(path: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "readlink", missing)
    assert lease._machine.__wrapped__() != lease._machine.__wrapped__()


def test_driver_elsewhere_is_dead_when_its_beats_have_stopped(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    study, gone = open_study(place), elsewhere()
    lease._write(study, gone)
    began = time.monotonic()
    mine = Lease.acquire(study, watch=0.5)
    assert 0.5 <= time.monotonic() - began < 10.0
    assert mine.holder.generation == gone.generation + 1
    mine.release()
    (message,) = [
        record.getMessage() for record in caplog.records if record.name == "ganray.tuning"
    ]
    assert message.startswith("sweep 'ring' was run by process 7 on far, since 20")
    assert message.endswith("looking for 0 s whether it still is")


def test_driver_elsewhere_that_beats_is_refused(place: str) -> None:
    study, far = open_study(place), elsewhere(at=1)  # its clock is wrong, which is no matter
    lease._write(study, far)
    beat = threading.Timer(
        0.3, lambda: lease._write(open_study(place), replace(far, beats=1, at=1))
    )
    beat.start()
    with pytest.raises(SweepRunningError, match="process 7 on far, since 20"):
        Lease.acquire(study, watch=20.0)
    beat.join()
    assert holder(study).token == far.token


def test_driver_elsewhere_that_releases_is_not_waited_for(study: Study) -> None:
    far = elsewhere()
    lease._write(study, far)
    released = threading.Timer(0.2, lambda: lease._write(study, replace(far, released=True)))
    released.start()
    began = time.monotonic()
    Lease.acquire(study, watch=30.0).release()
    assert time.monotonic() - began < 10.0
    released.join()


# --- one of several -------------------------------------------------------------------------------


def test_replaced_driver_hears_of_it(place: str, leases: list[Lease]) -> None:
    told = threading.Event()
    suspended = Lease.acquire(open_study(place), interval=0.3, on_lost=told.set)
    leases.append(suspended)
    lease._held.discard(suspended.holder.token)  # as if it had died
    leases.append(Lease.acquire(open_study(place), **SOON))
    assert suspended.lost.wait(10.0)
    assert told.wait(10.0)
    suspended.release()
    found = holder(open_study(place))
    assert found is not None
    assert found.token == leases[1].holder.token
    assert not leases[1].lost.is_set()


def test_replaced_driver_hears_of_it_also_when_the_other_has_ended(study: Study) -> None:
    suspended = Lease.acquire(study, interval=0.3)
    lease._held.discard(suspended.holder.token)
    Lease.acquire(study).release()
    assert suspended.lost.wait(10.0)
    assert holder(study) is None


def test_drivers_before_have_a_last_sign_of_life(study: Study) -> None:
    first = Lease.acquire(study)
    assert first.last_beat_before == 0
    first.release()
    second = Lease.acquire(study)
    assert second.last_beat_before == first.holder.at > 0
    second.release()


def test_driver_of_a_deleted_study_has_lost(study: Study, leases: list[Lease]) -> None:
    leases.append(Lease.acquire(study, **SOON))
    optuna.delete_study(study_name="ring", storage=study._storage)
    assert leases[0].lost.wait(10.0)


@pytest.mark.parametrize("generation", [1, 2, 3])  # it looked before this one did, with it, after
def test_driver_that_comes_at_the_same_time_is_given_way(
    generation: int, study: Study, monkeypatch: pytest.MonkeyPatch, leases: list[Lease]
) -> None:
    lease._write(study, elsewhere(holds=True))  # which is dead
    lease._write(study, elsewhere(generation=1, released=True))  # which only wanted the lease
    rival = elsewhere(generation=generation)
    write, written = lease._write, []

    def meet(study: Study, mine: Holder) -> None:
        if not written:
            write(study, rival)
        written.append(mine)
        write(study, mine)

    monkeypatch.setattr(lease, "_write", meet)
    leases.append(Lease.acquire(study, watch=0.2))
    first, withdrawn, second, held = written[:4]
    assert withdrawn == replace(first, released=True)
    assert second.generation == max(first.generation, generation) + 1  # the rival never beat
    assert held == replace(second, holds=True)


def test_driver_that_has_had_the_lease_since_this_one_looked_is_not_doubled(
    study: Study, monkeypatch: pytest.MonkeyPatch, leases: list[Lease]
) -> None:
    """It looked before the claims were withdrawn that this one saw: its generation is lower."""
    lease._write(study, elsewhere(generation=1, released=True))
    parent = os.getppid()  # which lives as long as this process
    start = lease._process_start(parent)
    rival = replace(lease._this_process(1, None), pid=parent, process_start=start, holds=True)
    write, rivals = lease._write, [rival]

    def meet(study: Study, mine: Holder) -> None:
        if rivals:
            write(study, rivals.pop())
        write(study, mine)

    monkeypatch.setattr(lease, "_write", meet)
    with pytest.raises(SweepRunningError, match=f"process {parent} on "):
        leases.append(Lease.acquire(study))


def test_claim_that_is_withdrawn_takes_the_lease_from_nobody(
    study: Study, leases: list[Lease]
) -> None:
    leases.append(Lease.acquire(study, interval=0.05))
    lease._write(study, elsewhere(generation=9))
    beats = leases[0].holder.beats
    assert eventually(lambda: leases[0].holder.beats > beats + 3)
    assert not leases[0].lost.is_set()
    assert holder(study).token == leases[0].holder.token


def test_driver_that_was_killed_while_it_tried_hides_no_other(
    study: Study, leases: list[Lease]
) -> None:
    leases.append(Lease.acquire(study))
    killed = replace(lease._this_process(1, None), pid=dead_process())
    lease._write(study, killed)
    with pytest.raises(SweepRunningError):
        Lease.acquire(study)
    assert not leases[0].lost.is_set()


DRIVE = """
import sys, time
from pathlib import Path
from ganray.errors import SweepRunningError
from ganray.tuning import lease
from tests.conftest import open_study
study = open_study(sys.argv[1])
machine = sys.argv[2]
if machine:
    lease._machine = lambda: machine
print("ready", flush=True)
sys.stdin.readline()
try:
    mine = lease.Lease.acquire(study, interval=0.2, watch=30.0)
except SweepRunningError:
    print("refused", flush=True)
else:
    print("acquired", flush=True)
    print("lost" if mine.lost.wait(60.0) else "kept", flush=True)
"""


class Driver:
    """A process that tries to get the lease of a study when it is told to."""

    def __init__(self, place: str, machine: str = "") -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", DRIVE, place, machine]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self.hears() == "ready"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def hears(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def drivers() -> Iterator[Callable[..., Driver]]:
    started: list[Driver] = []

    def start(place: str, machine: str = "") -> Driver:
        started.append(Driver(place, machine))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def test_one_of_several_processes_gets_the_lease(place: str, drivers) -> None:
    open_study(place)
    started = [drivers(place, machine) for machine in ("", "", "far")]
    for each in started:
        each.go()
    assert sorted(each.hears() for each in started) == ["acquired", "refused", "refused"]


def test_lease_of_a_killed_process_is_taken_at_once(
    study: Study, tmp_path: Path, drivers, leases: list[Lease]
) -> None:
    driver = drivers(f"{tmp_path}/a.journal")
    driver.go()
    assert driver.hears() == "acquired"
    with pytest.raises(SweepRunningError, match=f"process {driver.process.pid} on"):
        Lease.acquire(study)
    driver.kill()
    began = time.monotonic()
    leases.append(Lease.acquire(study))
    assert time.monotonic() - began < 10.0


def test_suspended_process_elsewhere_is_replaced_and_hears_of_it(
    study: Study, tmp_path: Path, drivers, leases: list[Lease]
) -> None:
    driver = drivers(f"{tmp_path}/a.journal", "far")
    driver.go()
    assert driver.hears() == "acquired"
    driver.process.send_signal(signal.SIGSTOP)
    leases.append(Lease.acquire(study, interval=0.2, watch=2.0))
    driver.process.send_signal(signal.SIGCONT)
    assert driver.hears() == "lost"
    assert not leases[0].lost.is_set()


# --- faults of the storage ------------------------------------------------------------------------


def test_beats_go_on_while_another_thread_waits_for_the_storage(
    study: Study, leases: list[Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = study._storage._storage  # type: ignore[attr-defined]
    set_value = plain.set_trial_intermediate_value
    away = threading.Event()

    def fail(*given: Any) -> None:
        if away.is_set():
            raise OSError(28, "No space left on device")
        set_value(*given)

    monkeypatch.setattr(plain, "set_trial_intermediate_value", fail)
    leases.append(Lease.acquire(study, **SOON))
    trial = study.ask()
    away.set()
    waiting = threading.Thread(target=trial.report, args=(1.0, 1))
    waiting.start()
    before = holder(study).beats
    assert eventually(lambda: holder(study).beats >= before + 5)
    assert waiting.is_alive()
    away.clear()
    waiting.join(10.0)
    assert study.trials[0].intermediate_values == {1: 1.0}


def test_beats_go_on_after_a_beat_that_failed(
    study: Study, leases: list[Lease], monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    write, faults = lease._write, [StorageError("away"), OSError("odd")]

    def fail(study: Study, mine: Holder) -> None:
        if mine.beats and faults:
            raise faults.pop(0)
        write(study, mine)

    monkeypatch.setattr(lease, "_write", fail)
    leases.append(Lease.acquire(study, **SOON))
    assert eventually(lambda: holder(study).beats >= 4)
    assert caplog.messages == ["no beat of sweep 'ring': away", "no beat of sweep 'ring': odd"]
    assert not leases[0].lost.is_set()


def test_release_that_fails_is_told_and_not_raised(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mine = Lease.acquire(study)

    def fail(*given: Any) -> None:
        raise StorageError("the study's storage failed")

    with monkeypatch.context() as patch:
        patch.setattr(lease, "_write", fail)
        mine.release()
    assert caplog.messages == ["the lease of sweep 'ring' stays: the study's storage failed"]
    Lease.acquire(study).release()  # this process knows that it does not hold it


def test_claim_that_fails_leaves_nothing_held(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise StorageError("the study's storage failed")

    held = set(lease._held)
    with monkeypatch.context() as patch:
        patch.setattr(lease, "_write", fail)
        with pytest.raises(StorageError):
            Lease.acquire(study)
    assert lease._held == held

"""A study's storage under real faults: nothing that was reported is missing or doubled."""

import contextlib
import json
import logging
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.storages.journal._storage import JournalOperation
from optuna.study import Study
from optuna.trial import Trial, TrialState

from ganray.tuning.journal import JournalFile
from ganray.tuning.lease import Lease, holder
from tests.conftest import open_study
from tests.servers import PASSWORD, PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.proof]

REPORTS = 10


def drive(study: Study, is_over: Callable[[], bool]) -> int:
    """Run trials as a driver does, one after the other, until it is over; returns how many."""
    ended = 0
    while not is_over():
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        orphans = [trial for trial in running if "config" not in trial.user_attrs]
        trial = Trial(study, orphans[0]._trial_id) if orphans else study.ask()
        value = trial.suggest_float("x", 0.0, 1.0)
        trial.set_user_attr("config", {"x": value})
        for step in range(REPORTS):
            trial.set_user_attr(f"signals:{step}", {"distance": value + step, "text": "x" * 200})
            trial.report(value + step, step)
            time.sleep(0.002)  # a study in memory would fill a disk by itself
        study.tell(trial, value)
        ended += 1
    return ended


def check(study: Study, ended: int) -> None:
    """Every trial is there, once, with all of its reports."""
    trials = [trial for trial in study.get_trials() if "config" in trial.user_attrs]
    orphans = len(study.get_trials()) - len(trials)
    assert orphans <= 1  # of the very last call, which nobody asked for any more
    assert len(trials) == ended
    assert len({trial.number for trial in trials}) == ended
    for trial in trials:
        value = trial.params["x"]
        assert (trial.state, trial.value) == (TrialState.COMPLETE, value)
        assert trial.intermediate_values == {step: value + step for step in range(REPORTS)}
        signals = [trial.user_attrs[f"signals:{step}"]["distance"] for step in range(REPORTS)]
        assert signals == [value + step for step in range(REPORTS)]


# --- PostgreSQL restarts --------------------------------------------------------------------------


def test_restarts_of_postgresql_lose_and_double_nothing(
    postgres: PostgresServer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    study, chance, over = open_study(database), random.Random(0), threading.Event()
    lease = Lease.acquire(study, interval=0.1)

    def disturb() -> None:
        for restart in range(12):
            time.sleep(chance.uniform(0.05, 1.0))
            postgres.restart(crash=restart % 2 == 0, away=chance.choice([0.0, 0.0, 0.5]))
        time.sleep(0.5)
        over.set()

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        ended = drive(study, over.is_set)
    finally:
        disturbing.join()
    check(open_study(database), ended)
    assert ended > 3
    assert caplog.text.count("the study's storage fails") >= 3
    assert not lease.lost.is_set()
    found = holder(study)
    assert found is not None
    assert found.token == lease.holder.token
    lease.release()
    assert PASSWORD not in caplog.text


# --- a full disk ----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no program `mount`")
    if done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(b"x" * 4_096)
    return filler


@pytest.mark.parametrize("place", ["{disk}/a.journal", "sqlite:///{disk}/a.db"])
def test_full_disk_is_waited_for_and_nothing_is_lost(
    place: str, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "ganray.tuning")
    place = place.format(disk=small_disk)
    study, over, ended = open_study(place), threading.Event(), []
    driver = threading.Thread(target=lambda: ended.append(drive(study, over.is_set)))
    driver.start()
    try:
        for outage in range(1, 4):
            time.sleep(0.3)
            filler = fill(small_disk)
            wait_until(lambda times=outage: caplog.text.count("storage fails") == times)
            time.sleep(0.3)
            filler.unlink()
            wait_until(lambda times=outage: caplog.text.count("storage works again") == times)
    finally:
        over.set()
        driver.join()
    check(open_study(place), *ended)
    assert "No space left on device" in caplog.text or "disk is full" in caplog.text
    if place.endswith(".journal"):
        lines = Path(place).read_text().splitlines()
        records = [json.loads(line) for line in lines]
        reported = [
            (record["trial_id"], record["step"])
            for record in records
            if record["op_code"] == JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE
        ]
        assert len(reported) == len(set(reported)) == ended[0] * REPORTS


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


# --- a killed driver ------------------------------------------------------------------------------

APPEND = """
import sys
from ganray.tuning.journal import JournalFile
file = JournalFile(sys.argv[1])
number = sum(1 for _ in file.read_logs(0))
print("ready", flush=True)
while True:
    file.append_logs([{"number": number, "text": "x" * (number * 7_919 % 30_000)}])
    print(number, flush=True)
    number += 1
"""


def test_journal_of_killed_processes_holds_what_they_appended(tmp_path: Path) -> None:
    path, chance = tmp_path / "a.journal", random.Random(0)
    command = [sys.executable, "-c", APPEND, str(path)]
    for _ in range(12):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 0.1))
            child.kill()
            told = child.stdout.read().split("\n")[:-1]
        found = [record["number"] for record in JournalFile(str(path)).read_logs(0)]
        assert found == list(range(len(found)))
        if told:
            # the last one may have been written and not told
            assert int(told[-1]) + 1 <= len(found) <= int(told[-1]) + 2
    assert len(found) > 12


DRIVE = """
import sys
from tests.conftest import open_study
from tests.integration.test_storage_faults import drive
study = open_study(sys.argv[1])
print("ready", flush=True)
drive(study, lambda: False)
"""


def test_study_of_a_killed_driver_goes_on_at_once(tmp_path: Path) -> None:
    place, chance = f"{tmp_path}/a.journal", random.Random(0)
    for _ in range(3):
        command = [sys.executable, "-c", DRIVE, place]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 0.3))
            child.kill()
        began = time.monotonic()
        study = open_study(place)
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
        assert time.monotonic() - began < 5.0
    before = len(study.get_trials())
    finished = iter([False, False, True])
    assert drive(study, lambda: next(finished)) == 2
    assert len(study.get_trials()) == before + 2

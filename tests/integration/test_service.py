"""The demo's sweep on real parts, as a user sends and follows it, beside the same run here."""

import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ganray.trial import SIGNALS
from ganray.tuning.lease import holder
from ganray.tuning.study import SweepStudy
from tests.agreement import CLOCKS, disagreements, expectation
from tests.conftest import Answer
from tests.service import SECONDS, Service

pytestmark = pytest.mark.slow

SWEEP = Path(__file__).parents[2] / "sweeps" / "ring.yaml"
UPDATES, REPORTS, TRIALS = 2_000, 10, 6
# its second pruner ranks a trial among those that ended before it: a clock decides which
SETTINGS = ["search.sampler=random", "prune.then=none"]
SETTINGS += [f"budget.updates={UPDATES}", f"budget.reports={REPORTS}"]
ASKED = [str(SWEEP), *(word for each in SETTINGS for word in ("--set", each))]
ASKED += ["--trials", str(TRIALS)]
# when, how long, how fast, and under which name: all else is decided by the sweep and its seed
BY_CLOCK = {*CLOCKS, "measured_seconds", "gpu_hours", "started", "ended", "run_id"}
BY_CLOCK |= {f"best_{name}" for name in CLOCKS if SIGNALS.get(name) is not None}
STATES = ["pending", "running", "finished"]
Program = Callable[..., Answer]


def test_sweep_on_the_service_equals_the_same_sweep_here(
    served: Service, ganray: Program, here: Path
) -> None:
    submitted = ganray("submit", *ASKED, *places(served))
    assert submitted[:2] == (0, "ring\n")
    with Following(here / "log") as following:
        seen = poll(ganray)
        following.wait()
    check_sequence(seen)
    last = seen[-1]
    assert (last["state"], last["message"], last["waiting"]) == ("finished", "", False)
    assert (last["trials"]["ended"], last["trials"]["running"]) == (TRIALS, 0)
    check_log(following.text, ganray("logs", "ring").out, last)

    local = ("--tracking-uri", f"sqlite:///{here}/local.db", "--storage", here / "results")
    assert ganray("run", *ASKED, *local).code == 0
    theirs = summary(ganray, served.mlflow.uri)
    pd.testing.assert_frame_equal(theirs, summary(ganray, local[1]), check_exact=True)
    assert len(theirs) == TRIALS
    assert last["best"]["objective"] == theirs["objective"][theirs["outcome"] == "completed"].min()

    spec = served.spec_of("ring")
    assert disagreements(spec, expectation(spec)) == []
    assert holder(SweepStudy.load(spec).record) is None
    jobs = [v["job"] for k, v in SweepStudy.load(spec).record.user_attrs.items() if "lease:" in k]
    assert jobs == ["ganray-ring-1"]


def places(service: Service) -> list[str]:
    """Where the sweep keeps what: no URL has a user or a password."""
    assert "@" not in service.study
    storage = ["--storage", str(service.results), "--set", f"storage.study={service.study}"]
    return [*storage, "--tracking-uri", service.mlflow.uri]


class Following:
    """`ganray logs -f` in a process of its own."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> "Following":
        command = [sys.executable, "-m", "ganray", "logs", "ring", "-f"]
        with self._file.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, env=os.environ.copy())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait(self) -> None:
        """It ends with the sweep."""
        assert self._process.wait(60) == 0

    @property
    def text(self) -> str:
        return self._file.read_text()


# --- what status says -----------------------------------------------------------------------------


def poll(ganray: Program) -> list[dict[str, Any]]:
    """What `status --json` says until the sweep has ended, each time checked by itself."""
    seen, deadline = [], time.monotonic() + SECONDS
    while not seen or seen[-1]["state"] in ("pending", "running"):
        assert time.monotonic() < deadline, seen[-1]
        answer = ganray("status", "ring", "--json")
        assert (answer.code, answer.err) == (0, "")
        seen.append(json.loads(answer.out))
        check(seen[-1])
        time.sleep(0.5)
    return seen


def check(status: dict[str, Any]) -> None:
    """Counts add up, and nothing is out of its bounds."""
    assert (status["name"], status["attempt"]) == ("ring", 1)
    assert status["state"] in STATES
    assert status["cluster"] == {"nodes": 2, "cpus": 2.0, "gpus": 0.0}
    if status["trials"] is None:  # its driver has not begun
        assert (status["best"], status["running"], status["budget"]) == (None, [], None)
        return
    trials, running, budget = status["trials"], status["running"], status["budget"]
    assert trials["total"] == TRIALS
    assert trials["ended"] == sum(trials["outcomes"].values())
    assert trials["running"] == len(running) <= min(2, TRIALS - trials["ended"])
    assert status["waiting"] is (not running and trials["ended"] < TRIALS)
    assert len({trial["number"] for trial in running}) == len(running)
    for trial in running:
        assert trial["update"] in range(0, UPDATES + 1, UPDATES // REPORTS)
        assert bool(trial["signals"]) is (trial["update"] > 0)
    assert budget["trials"] == {"used": trials["ended"], "left": TRIALS - trials["ended"]}
    assert 0 <= budget["updates"]["used"] + budget["updates"]["left"] <= TRIALS * UPDATES
    assert status["eta_seconds"] is None or status["eta_seconds"] >= 0
    assert (status["best"] is None) is ("completed" not in trials["outcomes"])


def check_sequence(seen: list[dict[str, Any]]) -> None:
    """From one look to the next nothing goes backwards."""
    for before, after in itertools.pairwise(seen):
        assert STATES.index(before["state"]) <= STATES.index(after["state"])
        if before["trials"] is None:
            continue
        for outcome, count in before["trials"]["outcomes"].items():
            assert count <= after["trials"]["outcomes"].get(outcome, 0)
        assert before["budget"]["updates"]["used"] <= after["budget"]["updates"]["used"]
        assert before["budget"]["updates"]["left"] >= after["budget"]["updates"]["left"]
        assert before["updated"] <= after["updated"]
        if before["best"] is not None:
            assert after["best"]["objective"] <= before["best"]["objective"]
        updates = {trial["number"]: trial["update"] for trial in after["running"]}
        for trial in before["running"]:
            assert trial["update"] <= updates.get(trial["number"], UPDATES)


def check_log(followed: str, whole: str, last: dict[str, Any]) -> None:
    """Every line once, and what it says is what status said."""
    assert followed == whole
    lines = followed.splitlines()
    assert sum(f"ring: {TRIALS} trials of {UPDATES} updates" in line for line in lines) == 1
    for number in range(TRIALS):
        assert sum(f"trial {number} starts: " in line for line in lines) == 1
    for outcome, count in last["trials"]["outcomes"].items():
        assert f"{count} {outcome}" in lines[-1]
        ends = [line for line in lines if f" {outcome}" in line and " trial " in line]
        assert len([line for line in ends if line.split()[4].startswith(outcome)]) == count


def summary(ganray: Program, uri: str) -> pd.DataFrame:
    """`ganray summary` in what no clock decides, a trial a row."""
    answer = ganray("summary", "ring", "--format", "json", "--tracking-uri", uri)
    assert answer.code == 0, answer.err
    frame = pd.read_json(io.StringIO(answer.out), dtype=False, precise_float=True)
    assert set(frame.columns) >= BY_CLOCK
    return frame.drop(columns=sorted(BY_CLOCK)).sort_values("trial", ignore_index=True)

"""Sweeps that run here: what the command does once they have ended."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganray.cli import local
from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from ganray.tracking.reader import fetch_sweep
from ganray.trial import Outcome
from ganray.tuning.places import Place
from ganray.tuning.result import SweepResult
from ganray.tuning.roster import OUT_OF_TIME
from tests.conftest import Answer, small_spec
from tests.driving import DIES, drive

Program = Callable[..., Answer]

CONFIRM = {"top": 1, "seeds": 1}
ENDED = SweepResult("ended", {0: Outcome.COMPLETED}, cancelled=False)


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    return parse_sweep(
        {
            "name": "ended",
            "data": {"name": "ring"},
            "search": {"space": {"loss": ["hinge"]}},
            "storage": {"results": str(tmp_path)},
            "tracking": {"uri": f"sqlite:///{tmp_path}/mlflow.db"},
        }
    )


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_store_that_lacks_the_sweep_is_told_and_no_error_of_the_user(
    cancelled: bool,
    spec: SweepSpec,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run_sweep(spec: SweepSpec, recorders: list[Any]) -> SweepResult:
        for recorder in recorders:  # which were told nothing: the store was away all the time
            recorder.close()
        return SweepResult(spec.name, {0: Outcome.COMPLETED}, cancelled)

    monkeypatch.setattr("ganray.tuning.driver.run_sweep", run_sweep)
    monkeypatch.setattr(sys, "argv", ["ganray"])
    assert local.run_here(spec) == int(cancelled)  # how the sweep went
    told = capsys.readouterr()
    assert told.out == ""
    assert "No summary yet: " in told.err
    assert told.err.endswith(f"\n  ganray sync ended --storage {spec.storage.results}\n")


@pytest.fixture
def ended(here: Path, store: str) -> SweepSpec:
    """A sweep of four trials, all of which have ended, but for the record in MLflow."""
    spec = small_spec(here, budget={"updates": 40, "reports": 2})
    drive(spec, [])
    return spec


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The settings that trials are driven with, for which it would take Ray."""
    found: list[str] = []

    def resume_sweep(place: Place, settings: list[str], recorders: list[Any]) -> SweepResult:
        found.extend(settings)
        for recorder in recorders:
            recorder.close()
        return SweepResult(place.name, {}, cancelled=False)

    monkeypatch.setattr("ganray.tuning.driver.resume_sweep", resume_sweep)
    return found


@pytest.mark.parametrize("options", [[], ["--trials", "4"], ["--hours", "3"]])
def test_resuming_what_is_finished_completes_its_record_and_trains_nothing(
    options: list[str], ended: SweepSpec, store: str, started: list[str], ganray: Program
) -> None:
    answer = ganray("resume", "small", "--storage", "results", *options)
    assert answer.code == 0
    assert answer.out.startswith(f"small: 4 of 4 trials brought to {store}")
    assert "small: all 4 trials are finished, nothing is left to resume.\n" in answer.err
    assert "\n  ganray resume small --storage results --trials 8\n" in answer.err
    assert len(fetch_sweep("small", store).trials) == 4
    assert started == []


def test_confirmed_sweep_has_no_more_trials_to_be_given(
    here: Path, store: str, started: list[str], ganray: Program
) -> None:
    drive(small_spec(here, budget={"updates": 40, "reports": 2}, confirm=CONFIRM), [])
    answer = ganray("resume", "small", "--storage", "results")
    assert answer.code == 0
    assert "Its best are confirmed" in answer.err
    assert "--trials" not in answer.err
    assert started == []


@pytest.mark.parametrize(
    ("option", "setting"),
    [(["--trials", "6"], "search.trials=6"), (["--set", "tracking.register=g"], None)],
)
def test_finished_sweep_that_gets_more_goes_on(
    option: list[str], setting: str | None, ended: SweepSpec, started: list[str], ganray: Program
) -> None:
    ganray("resume", "small", "--storage", "results", *option)
    assert started == [setting or option[1]]


def test_sweep_with_a_trial_that_was_left_goes_on(
    here: Path, store: str, started: list[str], ganray: Program
) -> None:
    spec = small_spec(here, budget={"updates": 40, "reports": 2})
    drive(spec, [], lambda number, update: DIES if (number, update) == (3, 20) else None)
    ganray("resume", "small", "--storage", "results", "--set", "budget.failures=9")
    assert started == ["budget.failures=9"]


def test_name_that_is_nearly_that_of_a_sweep_is_told_with_it(
    ended: SweepSpec, ganray: Program
) -> None:
    answer = ganray("resume", "smal", "--storage", "results")
    assert (answer.code, answer.out) == (2, "")
    assert "; did you mean 'small'? say with --storage where it is" in answer.err


def test_commands_to_go_on_with_are_lines_of_their_own(
    spec: SweepSpec,
    recorded: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["ganray"])
    monkeypatch.setenv("COLUMNS", "30")
    local._tell_next(spec, recorded, ENDED, is_whole=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if "ganray" in line]
    assert lines == [
        f"  ganray {words} --tracking-uri {recorded}"
        for words in ("ui", "report ended", "summary ended")
    ]


@pytest.mark.parametrize(
    ("budget", "result", "more"),
    [
        ({}, {"cancelled": True}, ""),
        ({"hours": 1.5}, {"cancelled": True, "reason": OUT_OF_TIME}, " --hours 3"),
        ({"failures": 1}, {"reason": "2 trials crashed, …"}, " --failures 4"),
    ],
    ids=["Ctrl-C", "hours", "failures"],
)
def test_sweep_that_ended_early_is_first_told_how_to_go_on(
    budget: dict[str, Any],
    result: dict[str, Any],
    more: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["ganray"])
    spec = small_spec(tmp_path, budget={"updates": 40, "reports": 2, **budget})
    crashed = dict.fromkeys(range(2), Outcome.CRASHED)
    ended = SweepResult(**{"name": "small", "outcomes": crashed, "cancelled": False, **result})
    local._tell_next(spec, "sqlite:///mlflow.db", ended, is_whole=True)
    commands = [line for line in capsys.readouterr().err.splitlines() if "ganray" in line]
    assert commands[0] == f"  ganray resume small --storage {spec.storage.results}{more}"
    assert commands[1].startswith("  ganray ui")


def test_what_the_store_lacks_is_told_with_how_to_bring_it(
    spec: SweepSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    local._tell_next(spec, "sqlite:///mlflow.db", ENDED, is_whole=False)
    told = capsys.readouterr().err
    assert "MLflow lacks a part of it" in told
    assert told.endswith(f"sync ended --storage {spec.storage.results}\n")

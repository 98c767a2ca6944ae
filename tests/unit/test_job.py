"""What a cluster runs for a submitted sweep: versions, recorders, exit codes."""

import errno
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from ganray import job
from ganray.errors import NameTakenError, VersionError
from ganray.report import recording
from ganray.spec.job import REQUEST_FILE, JobFile
from ganray.spec.models import SweepSpec
from ganray.tracking import mlflow_recorder
from ganray.tracking.environment import describe_versions
from ganray.tracking.recorder import Recorder
from ganray.trial import Outcome
from ganray.tuning import driver
from ganray.tuning.places import Place
from ganray.tuning.result import SweepResult
from ganray.tuning.study import SweepStudy
from tests.conftest import small_spec, sweep_record

pytestmark = pytest.mark.usefixtures("own_filters")

SAME = {"python": "3.11.4", "ganray": "0.1.0", "ray": "2.60.0", "torch": "2.13.0"}
Work = Callable[[Sequence[Recorder]], SweepResult]


@pytest.fixture
def logs(tmp_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a cluster that is none keeps its logs; the working folder is the job's."""
    folder = tmp_path / "ray" / "session_1" / "logs"
    folder.mkdir(parents=True)
    context = SimpleNamespace(
        get_temp_dir=lambda: str(tmp_path / "ray"), get_session_name=lambda: "session_1"
    )
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(mlflow_recorder, "GRACE_SECONDS", 0.0)
    return folder


def ask(spec: SweepSpec, **changes: Any) -> None:
    plain: dict[str, Any] = {
        "name": spec.name,
        "attempt": 1,
        "versions": describe_versions(),
        "sweep": json.loads(spec.to_json()),
    }
    Path(REQUEST_FILE).write_text(JobFile(**{**plain, **changes}).to_json())


def runs(monkeypatch: pytest.MonkeyPatch, work: Work) -> list[SweepSpec]:
    """Let `run_sweep` only do some work with the recorders; the sweeps that it was given."""
    heard: list[SweepSpec] = []

    def run_sweep(spec: SweepSpec, recorders: Sequence[Recorder]) -> SweepResult:
        heard.append(spec)
        try:
            return work(recorders)
        finally:
            recorders[0].close()

    monkeypatch.setattr(driver, "run_sweep", run_sweep)
    return heard


def result(**changes: Any) -> SweepResult:
    return SweepResult(**{"name": "small", "outcomes": {}, "cancelled": False, **changes})


def test_job_runs_the_sweep_that_was_asked_for(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(recorders: Sequence[Recorder]) -> SweepResult:
        for recorder in recorders[1:]:
            recorder.start_sweep(sweep_record(name="small"))
            recorder.end_sweep({0: Outcome.COMPLETED}, cancelled=False)
        return result()

    heard = runs(monkeypatch, work)
    spec = small_spec(tmp_path)
    ask(spec)
    assert job.main() == 0
    assert heard == [spec]
    status = json.loads((logs / "ganray-small.json").read_text())
    assert (status["state"], status["attempt"]) == ("finished", 1)
    assert status["tracking_uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert "done: 1 completed" in capsys.readouterr().err


class FullDisk(io.StringIO):
    """A log on a disk without room for another line."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_log_on_a_full_disk_does_not_end_the_sweep(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(recorders: Sequence[Recorder]) -> SweepResult:
        recorders[2].start_sweep(sweep_record(name="small"))
        return result(reason="6 trials crashed")

    runs(monkeypatch, work)
    ask(small_spec(tmp_path), versions={**describe_versions(), "torch": "1.0"})
    monkeypatch.setattr(sys, "stderr", FullDisk())
    assert job.main() == 1


@pytest.mark.parametrize(
    ("ended", "state"),
    [
        ({"cancelled": True, "reason": "the sweep's hours are over"}, "stopped"),
        ({"reason": "6 trials crashed"}, "failed"),
    ],
)
def test_sweep_that_ended_early_says_so(
    logs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ended: dict[str, Any],
    state: str,
) -> None:
    def work(recorders: Sequence[Recorder]) -> SweepResult:
        recorders[1].start_sweep(sweep_record(name="small"))
        return result(**ended)

    runs(monkeypatch, work)
    ask(small_spec(tmp_path))
    assert job.main() == 1
    status = json.loads((logs / "ganray-small.json").read_text())
    assert (status["state"], status["message"]) == (state, ended["reason"])
    assert f"ganray: the sweep ended early: {ended['reason']}" in capsys.readouterr().err


def test_errors_of_ganray_are_told_in_a_line_with_their_exit_code(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(recorders: Sequence[Recorder]) -> SweepResult:
        raise NameTakenError("a sweep named 'small' exists")

    runs(monkeypatch, work)
    ask(small_spec(tmp_path))
    assert job.main() == 2
    assert capsys.readouterr().err.endswith("ganray: a sweep named 'small' exists\n")
    assert list(logs.iterdir()) == []


def test_other_errors_are_the_last_word_of_status_and_log_without_their_secrets(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(recorders: Sequence[Recorder]) -> SweepResult:
        recorders[1].start_sweep(sweep_record(name="small"))
        raise RuntimeError("Traceback …\n\nValueError: no postgresql://me:hunter22@db\n")

    runs(monkeypatch, work)
    ask(small_spec(tmp_path))
    assert job.main() == 1
    told = capsys.readouterr().err
    status = json.loads((logs / "ganray-small.json").read_text())
    said = "RuntimeError: ValueError: no postgresql://***@db"
    assert (status["state"], status["message"]) == ("failed", said)
    assert told.endswith(f"\nganray: {said}\n")
    assert "Traceback" in told
    assert "hunter22" not in told


def test_interrupt_before_the_first_trial_is_no_traceback(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(recorders: Sequence[Recorder]) -> SweepResult:
        raise KeyboardInterrupt

    runs(monkeypatch, work)
    ask(small_spec(tmp_path))
    assert job.main() == 130
    assert capsys.readouterr().err.endswith("ganray: stopped before the first trial\n")


def test_sweep_without_a_tracking_store_is_refused(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    heard = runs(monkeypatch, lambda recorders: result())
    ask(small_spec(tmp_path))
    assert job.main() == 2
    assert "ganray: tracking.uri: is not given" in capsys.readouterr().err
    assert heard == []


def test_resumed_sweep_is_found_by_its_name_and_storage(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec(tmp_path)
    SweepStudy.create(spec)
    heard: list[Any] = []

    def resume_sweep(
        place: Place, settings: Sequence[str], recorders: Sequence[Recorder]
    ) -> SweepResult:
        heard.extend([place, settings, len(recorders)])
        recorders[0].close()
        return result()

    monkeypatch.setattr(driver, "resume_sweep", resume_sweep)
    settings = ("search.trials=9",)
    storage = spec.storage.model_dump()
    ask(spec, attempt=2, sweep=None, storage=storage, settings=settings)
    assert job.main() == 0
    assert heard == [Place("small", spec.storage), settings, 3]


def test_resume_of_what_is_not_recorded_is_told(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(small_spec(tmp_path), sweep=None, storage={"results": str(tmp_path)})
    assert job.main() == 2
    assert "ganray: no sweep named 'small' is recorded in" in capsys.readouterr().err


# --- versions -------------------------------------------------------------------------------------


def test_equal_versions_need_no_word() -> None:
    assert job.compare_versions(SAME, SAME) == []


def test_other_torch_or_python_is_told() -> None:
    told = job.compare_versions({**SAME, "torch": "2.12.0"}, {**SAME, "python": "3.12.1"})
    assert told == [
        "note: python 3.11.4 at the client, 3.12.1 on the cluster",
        "note: torch 2.12.0 at the client, 2.13.0 on the cluster",
    ]


def test_client_need_not_have_torch() -> None:
    assert job.compare_versions({**SAME, "torch": None}, SAME) == []


@pytest.mark.parametrize("package", ["ganray", "ray"])
def test_other_ganray_or_ray_is_refused(package: str) -> None:
    with pytest.raises(VersionError, match=f"{package} 9 at the client, {SAME[package]} on"):
        job.compare_versions({**SAME, package: "9"}, SAME)


def test_versions_are_those_that_are_installed() -> None:
    found = describe_versions()
    assert set(found) == {"python", "ganray", "ray", "torch", "optuna"}
    assert found["ray"] == ray.__version__


@pytest.mark.parametrize("cancelled", [False, True])
def test_report_is_added_to_a_sweep_that_was_not_stopped(
    cancelled: bool, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, str]] = []
    monkeypatch.setattr(recording, "record_report", lambda *given: drawn.append(given))
    runs(monkeypatch, lambda recorders: result(cancelled=cancelled))
    ask(small_spec(tmp_path))
    assert job.main() == int(cancelled)
    assert drawn == ([] if cancelled else [("small", f"sqlite:///{tmp_path}/mlflow.db")])


def test_report_that_cannot_be_drawn_is_no_fault_of_the_sweep(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs(monkeypatch, lambda recorders: result())
    ask(small_spec(tmp_path))
    assert job.main() == 0  # there is no store
    assert "the report of the sweep is missing: TrackingError: " in capsys.readouterr().err

"""The report of a recorded sweep: where it is written, and what becomes of a sweep without."""

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from PIL import Image

from ganray.report import files
from ganray.spec.load import dump_sweep
from ganray.spec.models import SweepSpec
from ganray.tracking import mlflow_recorder
from ganray.tracking.recorder import TrialRecord
from ganray.trial import Ending, Outcome, State, TrialConfig, Verdict
from ganray.tuning import driver
from ganray.tuning.result import SweepResult
from tests.conftest import STARTED, Answer, signals_at, small_spec, sweep_record, writing
from tests.unit.tracking.playing import EVIDENCE, png

Program = Callable[..., Answer]

PAGE = "report.html"
FIGURES = ["outcomes.png", "best.png", "curves.png", "collapse_map.png", "coordinates.png"]
FIGURES += ["importance.png", "samples.png"]
TABLE = "importance.csv"
FILES = [PAGE, *FIGURES, TABLE]
OF_FEW = [name for name in FILES if name != "importance.png"]
OWN = {"sweep.yaml", "environment.json", "ledger.json", "real.png"}
SPACE = {"loss": ["hinge", "lsgan"], "d_steps": [1, 2]}


@pytest.fixture(scope="module")
def reported(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a store with `enough`, 24 trials that fail by their loss, and `few`, 19."""
    folder = tmp_path_factory.mktemp("reported")
    with writing(empty_store, folder) as uri:
        for name, trials in (("enough", 24), ("few", 19)):
            spec = small_spec(folder, name=name, search={"space": SPACE})
            record(mlflow_recorder.MlflowRecorder(uri, "ganray"), spec, trials)
    return uri


def record(recorder: mlflow_recorder.MlflowRecorder, spec: SweepSpec, trials: int) -> None:
    recorder.start_sweep(
        sweep_record(
            name=spec.name,
            study_id=spec.name,
            sweep_file=dump_sweep(spec),
            searched=tuple(spec.search.space.entries),
            environment={"python": "3.12.1"},
        )
    )
    recorder.real_picture(png)
    for number in range(trials):
        settings = {"loss": SPACE["loss"][number % 2], "d_steps": 1 + number // 2 % 2}
        params = {**asdict(TrialConfig()), **settings}
        recorder.start_trial(
            TrialRecord(number=number, params=params, searched=settings, started=STARTED)
        )
        outcome = Outcome.COLLAPSED if settings["loss"] == "hinge" else Outcome.COMPLETED
        signals = signals_at(100, distance=0.1, mode_ratio=1.0)
        recorder.report(number, signals, Verdict(State.HEALTHY), STARTED)
        recorder.picture(number, 100, png)
        recorder.end_trial(
            Ending(number=number, outcome=outcome, at=STARTED, objective=0.1, history=[signals])
        )
        recorder.evidence(number, EVIDENCE)
    recorder.end_sweep({}, cancelled=False)
    recorder.close()


@pytest.fixture
def own(reported: str, here: Path) -> Iterator[str]:
    """The same store, to be written to: its artifacts are beside the first one, and are removed."""
    shutil.copy(reported.removeprefix("sqlite:///"), here / "mlflow.db")
    uri = f"sqlite:///{here / 'mlflow.db'}"
    yield uri
    for name in ("enough", "few"):
        for file in artifacts(uri, name) & set(FILES):
            (folder_of(uri, name) / file).unlink()


def parent(uri: str, name: str) -> Any:
    where = f"tags.`ganray.sweep` = '{name}' and tags.`ganray.kind` = 'sweep'"
    client = MlflowClient(uri)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()], where)
    return run


def artifacts(uri: str, name: str) -> set[str]:
    return {file.path for file in MlflowClient(uri).list_artifacts(parent(uri, name).info.run_id)}


def folder_of(uri: str, name: str) -> Path:
    return Path(parent(uri, name).info.artifact_uri.removeprefix("file://"))


# --- report ---------------------------------------------------------------------------------------


def test_report_writes_the_page_and_its_figures_and_prints_where(
    reported: str, here: Path, ganray: Program
) -> None:
    answer = ganray("report", "enough", "--output", "a/b", "--tracking-uri", reported)
    assert answer.code == 0
    assert answer.out.splitlines() == [f"a/b/{file}" for file in FILES]  # the page first
    assert answer.err == (
        "What decides quality cannot be told: it takes 20 trials that did not fail; "
        "this sweep has 12\n"
    )
    for file in FIGURES:
        assert Image.open(here / "a" / "b" / file).width > 400
    with (here / "a" / "b" / TABLE).open() as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["question"], row["parameter"]) for row in rows] == [
        ("failing", "loss"),
        ("failing", "d_steps"),
    ]
    assert float(rows[0]["importance"]) > 0.9


def test_page_has_what_the_store_has(reported: str, here: Path, ganray: Program) -> None:
    ganray("report", "enough", "--output", "out", "--tracking-uri", reported)
    page = (here / "out" / PAGE).read_text(encoding="utf-8")
    for told in (
        "12 of 24 trials had the full budget: 12 stopped early",
        "12 of 24 trials failed",
        "Python 3.12.1",
        "Trial 1, the best one.",
        "Trial 0, which collapsed",
        "First picture, at update 100",
        'alt="Real data"',
        "networks:\n  depth: 1\n  name: mlp\n  width: 8",
    ):
        assert told in page, told


def test_report_of_few_trials_says_what_cannot_be_told(
    reported: str, here: Path, ganray: Program
) -> None:
    answer = ganray("report", "few", "--output", "out", "--tracking-uri", reported)
    assert answer.code == 0
    assert "What decides failing cannot be told: it takes 20 trials" in answer.err
    assert answer.out.splitlines() == [f"out/{file}" for file in OF_FEW]
    assert sorted(path.name for path in (here / "out").iterdir()) == sorted(OF_FEW)
    assert (here / "out" / TABLE).read_text().count("\n") == 1


def test_report_without_a_folder_has_one_of_the_name_of_the_sweep(
    reported: str, here: Path, ganray: Program
) -> None:
    answer = ganray("report", "few", "--tracking-uri", reported)
    assert answer.code == 0
    assert answer.out.splitlines() == [f"few-report/{file}" for file in OF_FEW]
    assert (here / "few-report" / PAGE).exists()


def test_report_says_what_it_lacks(reported: str, here: Path, ganray: Program) -> None:
    answer = ganray("report", "nope", "--output", "out", "--tracking-uri", reported)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"ganray: no sweep named 'nope' is recorded in {reported}; ")
    (here / "file").touch()
    answer = ganray("report", "few", "--output", "file", "--tracking-uri", reported)
    assert answer == (2, "", "ganray: file cannot be written: File exists\n")


# --- run ------------------------------------------------------------------------------------------

FILE = """\
name: enough
data: {name: ring, train_size: 200}
networks: {name: mlp, width: 8, depth: 1}
search: {sampler: random, trials: 3, space: {loss: [hinge, lsgan], d_steps: [1, 2]}}
budget: {updates: 20, reports: 2}
"""


@pytest.fixture
def run(here: Path, own: str, ganray: Program, monkeypatch: pytest.MonkeyPatch) -> Program:
    """`ganray run` of a sweep that is recorded already; only the running is left out."""
    (here / "s.yaml").write_text(FILE)

    def fake(spec: SweepSpec, recorders: Any) -> SweepResult:
        for recorder in recorders:
            recorder.close()
        return SweepResult(spec.name, {}, cancelled=False)

    monkeypatch.setattr(driver, "run_sweep", fake)
    return lambda name: ganray("run", "s.yaml", "--name", name, "--tracking-uri", own)


@pytest.mark.parametrize(("name", "files"), [("enough", FILES), ("few", OF_FEW)])
def test_run_adds_the_report_to_the_run_of_the_sweep(
    run: Program, own: str, name: str, files: list[str]
) -> None:
    assert artifacts(own, name) == OWN
    answer = run(name)
    assert answer.code == 0
    assert "missing" not in answer.err
    assert artifacts(own, name) == {*OWN, *files}
    assert parent(own, name).info.status == "FINISHED"  # as before


def test_a_report_that_cannot_be_made_does_not_fail_the_sweep(
    run: Program, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no [font] at all")

    monkeypatch.setattr(files, "render", broken)
    answer = run("enough")
    assert answer.code == 0
    assert answer.out.startswith("enough: 24 trials")
    told = "The report of the sweep is missing: RuntimeError: no [font] at all\n"
    assert told in answer.err
    assert artifacts(own, "enough") == OWN

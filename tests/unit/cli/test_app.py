"""The commands, through the program's own entry: what they print where, and their exit codes."""

import contextlib
import csv
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ganray.cli.tables import _headline
from ganray.client import sweeps as client_sweeps
from ganray.data.registry import load_dataset
from ganray.errors import NameTakenError
from ganray.gan.losses import LOSS_NAMES
from ganray.spec.load import load_sweep
from ganray.spec.models import SweepSpec
from ganray.spec.names import ADJUSTABLE
from ganray.summary import summarize
from ganray.tracking.recorder import MemoryRecorder, Recorder
from ganray.trial import Outcome
from ganray.tuning import cluster as cluster_module
from ganray.tuning import driver
from ganray.tuning.confirm import ConfirmStudy
from ganray.tuning.result import SweepResult
from ganray.tuning.session import Session, Workbench
from ganray.tuning.study import SweepStudy
from tests.conftest import Answer, signals_at

Program = Callable[..., Answer]

FILE = """\
name: small
data: {name: ring, train_size: 200}
networks: {name: mlp, width: 8, depth: 1}
trainer: {batch_size: 16, d_lr: 0.001}
search:
  sampler: random
  trials: 3
  first: [{loss: lsgan, d_steps: 2}]
  space: {loss: [hinge, lsgan], d_steps: [1, 2]}
budget: {updates: 20, reports: 2}
prune: {risk: null}
"""
OPTIONS = {
    "validate": ["--set", "--schema"],
    "run": [
        *["--trials", "--seed", "--name", "--no-prune", "--set", "--tracking-uri", "--storage"],
        "--register",
    ],
    "train": ["--trial", "--name", "--set", "--storage", "--output", "--json"],
    "sample": [
        *["--output", "--trial", "--at", "-n", "--seed", "--label", "--checkpoint"],
        "--tracking-uri",
    ],
    "summary": ["--format", "--output", "--tracking-uri"],
    "report": ["--output", "--tracking-uri"],
    "replay": ["--policy", "--output", "--save", "--resamples", "--json", "--tracking-uri"],
    "sync": ["--tracking-uri", "--storage"],
    "ui": ["--tracking-uri", "--port"],
    "submit": [
        *["--address", "--name", "--trials", "--seed", "--no-prune", "--set", "--tracking-uri"],
        *["--register", "--storage", "--code", "--dry-run", "--insecure", "--wait-pending"],
        *["--kuberay", "--image", "--gpus", "--secret", "--service-account"],
    ],
    "list": ["--address", "--tracking-uri", "--json"],
    "status": ["--address", "--tracking-uri", "--json"],
    "logs": ["--address", "--follow", "-f"],
    "stop": ["--address", "--storage"],
    "resume": [
        *["--address", "--trials", "--hours", "--failures", "--set", "--storage"],
        *["--tracking-uri", "--code", "--insecure", "--wait-pending"],
    ],
}


@pytest.fixture
def file(here: Path) -> str:
    (here / "s.yaml").write_text(FILE)
    return "s.yaml"


def controls(text: str) -> set[str]:
    """The control characters in a text, line ends aside."""
    return set(re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text))


# --- help -----------------------------------------------------------------------------------------


def test_help_lists_every_command(here: Path) -> None:
    command = [sys.executable, "-m", "ganray", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(f" {command} " in done.stdout for command in OPTIONS)
    assert done.stderr == ""


@pytest.mark.parametrize("command", OPTIONS)
def test_every_command_tells_its_options(command: str, ganray: Program) -> None:
    answer = ganray(command, "--help")
    assert answer.code == 0
    missing = [option for option in OPTIONS[command] if option not in answer.out]
    assert missing == []


@pytest.mark.parametrize(
    ("command", "default"),
    [
        ("list", "$RAY_ADDRESS"),
        ("run", "$MLFLOW_TRACKING_URI"),
        ("run", "~/ray_results"),
        ("replay", "all built-in ones"),
        ("sample", "all in turn"),
        ("resume", "resources.max_gpus=2"),
    ],
)
def test_help_tells_what_an_option_is_where_it_is_not_given(
    command: str, default: str, ganray: Program
) -> None:
    assert default in ganray(command, "--help").out


def test_help_of_resume_names_what_may_change_and_nothing_that_it_refuses(ganray: Program) -> None:
    told = " ".join(ganray("resume", "--help").out.replace("│", " ").split())
    assert all(path.removesuffix(".") in told for path in ADJUSTABLE)
    assert "budget.updates" not in told
    assert "loss=hinge" not in told


def test_program_without_a_command_shows_its_help(ganray: Program) -> None:
    answer = ganray()
    assert answer.code == 2
    assert "validate" in answer.out + answer.err


# --- validate -------------------------------------------------------------------------------------


def test_valid_file_is_told_in_one_line(file: str, ganray: Program) -> None:
    assert ganray("validate", file) == (
        0,
        "s.yaml: valid. 'small': 3 random trials of 20 updates on ring, searching loss, d_steps\n",
        "",
    )


def test_valid_grid_is_told_with_as_many_trials_as_it_has_points(
    file: str, ganray: Program
) -> None:
    answer = ganray("validate", file, "--set", "search.sampler=grid", "--set", "search.trials=99")
    assert "'small': 5 grid trials" in answer.out  # four points, after the first one


def test_valid_file_that_confirms_its_best_says_so(file: str, ganray: Program) -> None:
    answer = ganray("validate", file, "--set", "confirm={top: 3, seeds: 5}")
    assert answer.out.endswith(
        "searching loss, d_steps; the best 3 again with 5 fresh seeds each\n"
    )


def test_trials_of_the_command_line_are_those_of_the_search(
    run_recorded: Callable[..., tuple[Answer, SweepSpec]],
) -> None:
    _, spec = run_recorded("--trials", "7", "--set", "confirm={top: 3, seeds: 5}")
    assert (spec.search.trials, spec.confirm.trials) == (7, 15)


def test_settings_are_validated_with_the_file(file: str, ganray: Program) -> None:
    good = ganray("validate", file, "--set", "budget.updates=50", "--set", "loss=hinge")
    assert good.code == 0
    assert "of 50 updates on ring, searching d_steps\n" in good.out
    bad = ganray("validate", file, "--set", "budget.updates=many")
    assert (bad.code, bad.out) == (2, "")
    assert bad.err == "ganray: s.yaml: budget.updates: must be a whole number; got 'many'\n"


def test_schema_is_json_that_names_every_loss(ganray: Program) -> None:
    answer = ganray("validate", "--schema")
    assert (answer.code, answer.err) == (0, "")
    schema = json.loads(answer.out)
    assert set(schema["required"]) == {"name", "data", "search"}
    definitions = schema["$defs"]
    assert set(definitions["Trainer"]["properties"]["loss"]["enum"]) == set(LOSS_NAMES)
    choices = definitions["Choices_loss"]["properties"]["choices"]
    assert set(choices["items"]["enum"]) == set(LOSS_NAMES)
    assert definitions["Trainer"]["additionalProperties"] is False


def test_validate_needs_a_file_or_the_schema(ganray: Program) -> None:
    answer = ganray("validate")
    assert (answer.code, answer.out) == (2, "")
    assert "give a sweep file, or --schema" in answer.err


# --- run ------------------------------------------------------------------------------------------


class FakeSweep:
    """Stands where `run_sweep` does; remembers what it was given, and ends as it is told."""

    def __init__(self, **result: Any) -> None:
        self.result = {"name": "recorded", "outcomes": {}, "cancelled": False, **result}
        self.spec: SweepSpec | None = None

    def __call__(self, spec: SweepSpec, recorders: Sequence[Recorder]) -> SweepResult:
        self.spec = spec
        for recorder in recorders:
            recorder.close()
        return SweepResult(**self.result)


@pytest.fixture
def run_recorded(
    ganray: Program, file: str, recorded: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Answer, SweepSpec]]:
    """`ganray run` of the sweep that stands in the store already; only the running is left out."""

    def run(*options: str, **result: Any) -> tuple[Answer, SweepSpec]:
        fake = FakeSweep(**result)
        monkeypatch.setattr(driver, "run_sweep", fake)
        name = [] if "--name" in options else ["--name", "recorded"]
        answer = ganray("run", file, *name, "--tracking-uri", recorded, *options)
        assert fake.spec is not None
        return answer, fake.spec

    return run


def test_run_prints_the_summary_on_stdout_and_the_rest_on_stderr(
    run_recorded: Callable[..., tuple[Answer, SweepSpec]], recorded: str
) -> None:
    answer, _ = run_recorded()
    assert answer.code == 0
    assert answer.out.startswith(
        "recorded: 5 trials, 2 completed (1 ended badly), 1 collapsed, 1 crashed"
    )
    assert f"ganray ui --tracking-uri {recorded}" in answer.err.replace("\n", "")
    assert controls(answer.out + answer.err) == set()
    lines = answer.err.splitlines()
    assert lines[0] == "loading Ray, Optuna and PyTorch …"  # which takes seconds
    assert "writing the report …" in lines


def test_options_of_run_change_the_sweep(
    run_recorded: Callable[..., tuple[Answer, SweepSpec]], file: str, recorded: str
) -> None:
    options = ["--trials", "7", "--seed", "5", "--no-prune", "--storage", "kept"]
    options += ["--register", "ring-g"]
    _, spec = run_recorded(*options, "--set", "budget.updates=40", "--set", "loss=hinge")
    assert (spec.search.trials, spec.search.seed, spec.prune) == (7, 5, None)
    assert (spec.name, spec.tracking.uri) == ("recorded", recorded)
    assert spec.tracking.register_as == "ring-g"
    assert (spec.storage.study, spec.storage.results) == (None, "kept")
    assert (spec.budget.updates, spec.trainer.loss) == (40, "hinge")
    _, plain = run_recorded()
    changes = {"name": "recorded", "tracking": plain.tracking}
    assert plain == load_sweep(file).model_copy(update=changes)


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite:///study.db", "mysql://host/db"])
def test_storage_that_is_a_database_is_for_the_study(
    url: str, run_recorded: Callable[..., tuple[Answer, SweepSpec]]
) -> None:
    _, spec = run_recorded("--storage", url)
    assert (spec.storage.study, spec.storage.results) == (url, None)


@pytest.mark.parametrize("place", ["s3://bucket/x", "folder", "sqlite-files", "/data/postgresql"])
def test_storage_that_is_no_database_is_for_the_results(
    place: str, run_recorded: Callable[..., tuple[Answer, SweepSpec]]
) -> None:
    _, spec = run_recorded("--storage", place)
    assert (spec.storage.study, spec.storage.results) == (None, place)


@pytest.mark.parametrize(
    "result",
    [
        {"cancelled": True, "outcomes": {0: Outcome.CANCELLED}},
        {"reason": "6 trials crashed, more than budget.failures 5"},
    ],
)
def test_sweep_that_ended_early_is_exit_code_1(
    result: dict[str, Any], run_recorded: Callable[..., tuple[Answer, SweepSpec]]
) -> None:
    answer, _ = run_recorded(**result)
    assert answer.code == 1
    assert answer.out.startswith("recorded: 5 trials")
    assert result.get("reason", "") in answer.err


@pytest.mark.parametrize("command", ["validate", "run"])
def test_reports_too_few_for_the_rules_are_a_warning_with_what_to_change(
    command: str, file: str, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganray.cli.local.run_here", lambda spec: 0)
    few = ["--set", "budget.updates=90", "--set", "prune.risk=0.02", "--set", "budget.reports=9"]
    answer = ganray(command, file, *few)
    assert answer.code == 0
    assert answer.err.startswith("ganray: warning: s.yaml: budget.reports: 9 are too few for the ")
    assert "set budget.reports to at least 10" in answer.err
    for enough in ("budget.reports=10", "prune=null", "prune.risk=null"):
        assert "warning" not in ganray(command, file, *few, "--set", enough).err


@pytest.mark.parametrize(
    ("outcomes", "is_hinted"),
    [
        ([Outcome.STALLED, Outcome.COLLAPSED], True),
        ([Outcome.OUTRANKED, Outcome.DIVERGED], True),
        ([Outcome.STALLED, Outcome.COMPLETED], False),
        ([Outcome.DIVERGED], False),  # which nothing would have kept alive
        ([Outcome.CRASHED], False),
        ([Outcome.STALLED, Outcome.CANCELLED], False),
        ([], False),
    ],
    ids=str,
)
def test_sweep_whose_trials_were_all_stopped_is_told_the_way_to_let_them_go_on(
    outcomes: list[Outcome],
    is_hinted: bool,
    run_recorded: Callable[..., tuple[Answer, SweepSpec]],
) -> None:
    answer, _ = run_recorded(outcomes=dict(enumerate(outcomes)))
    assert ("--no-prune" in answer.err) is is_hinted


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster of two CPUs that is not there: enough for what is refused before any trial."""
    monkeypatch.setattr(driver, "joined", lambda meanwhile: contextlib.nullcontext())
    monkeypatch.setattr(cluster_module, "cluster_resources", lambda: {"CPU": 2.0})


def test_name_that_exists_is_refused_with_both_ways_out(
    cluster: None, file: str, ganray: Program
) -> None:
    SweepStudy.create(load_sweep(file))
    answer = ganray("run", file)
    assert (answer.code, answer.out) == (2, "")
    told = [line for line in answer.err.splitlines() if line.startswith("ganray: ")]
    assert len(told) == 1
    assert "a sweep named 'small' exists in" in told[0]
    assert "--name" in told[0]
    assert "ganray summary small" in told[0]


def test_taken_name_is_refused_before_ray_starts(
    file: str, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(driver, "joined", lambda meanwhile: started.append(True))
    SweepStudy.create(load_sweep(file))
    assert ganray("run", file).code == 2
    assert started == []


def test_place_for_results_that_is_none_is_refused_before_ray_starts(
    file: str, here: Path, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(driver, "joined", lambda meanwhile: started.append(True))
    answer = ganray("run", file, "--storage", "foo://bar")
    assert (answer.code, answer.out) == (2, "")
    (told,) = [line for line in answer.err.splitlines() if line.startswith("ganray: ")]
    assert told.startswith("ganray: storage.results: foo://bar cannot be used: ")
    assert started == []
    assert list(Path.home().iterdir()) == []


def test_storage_that_cannot_be_opened_is_refused(
    cluster: None, file: str, ganray: Program
) -> None:
    answer = ganray("run", file, "--storage", "sqlite:////proc/nowhere/study.db")
    assert (answer.code, answer.out) == (2, "")
    told = [line for line in answer.err.splitlines() if line.startswith("ganray: ")]
    assert len(told) == 1
    assert "sqlite:////proc/nowhere/study.db" in told[0]


def test_refused_sweep_leaves_no_recorder_open(cluster: None, file: str) -> None:
    spec = load_sweep(file)
    SweepStudy.create(spec)
    recorder = MemoryRecorder()
    with pytest.raises(NameTakenError, match="small"):
        driver.run_sweep(spec, [recorder])
    assert recorder.closed


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("resources.gpu=1", "resources.gpu: a trial asks for 1 GPUs; there are 0"),
        ("resources.cpu=3", "resources.cpu: a trial asks for 3 CPUs; there are 2"),
    ],
)
def test_resources_that_are_not_there_are_refused_and_nothing_is_created(
    setting: str, problem: str, cluster: None, file: str, here: Path, ganray: Program
) -> None:
    answer = ganray("run", file, "--set", setting)
    assert (answer.code, answer.out) == (2, "")
    assert f"ganray: {problem}\n" in answer.err
    assert [path.name for path in here.iterdir()] == ["s.yaml"]
    assert list(Path.home().iterdir()) == []


# --- train ----------------------------------------------------------------------------------------


def train(ganray: Program, *options: str) -> tuple[Answer, dict[str, Any]]:
    answer = ganray("train", "s.yaml", "--json", *options)
    signals = json.loads(answer.out)
    return answer, {k: v for k, v in signals.items() if "second" not in k}


def test_train_takes_what_is_not_set_from_the_first_point(file: str, ganray: Program) -> None:
    answer, signals = train(ganray)
    assert answer.code == 0
    settings = answer.err.replace("\n", " ")
    assert "loss=lsgan d_steps=2" in settings
    assert "d_lr=0.001" in settings
    assert (signals["update"], signals["d_updates"]) == (20, 14)
    assert answer.err.count("distance ") == 2  # a line a report
    assert re.findall(r" (\d+:\d\d) left$", answer.err, re.MULTILINE)[1:] == ["0:00"]
    assert controls(answer.err) == set()
    changed, _ = train(ganray, "--set", "loss=hinge")
    assert "loss=hinge d_steps=2" in changed.err.replace("\n", " ")


def test_train_prints_nothing_on_stdout_unless_asked_to(file: str, ganray: Program) -> None:
    assert ganray("train", file).out == ""


def test_train_repeats_a_recorded_trial(file: str, ganray: Program) -> None:
    spec = load_sweep(file)
    study = SweepStudy.create(spec)
    configs = [asked.config for _ in range(3) if (asked := study.ask()) is not None]
    session = Session(Workbench(spec, load_dataset(spec.data.model_dump())), configs[2])
    while not session.done:
        expected = session.next_report()
    _, signals = train(ganray, "--trial", "2")
    assert signals == {k: v for k, v in expected.to_dict().items() if "second" not in k}
    assert signals["distance"] != train(ganray, "--trial", "1")[1]["distance"]


def test_train_repeats_a_confirming_trial(file: str, ganray: Program) -> None:
    options = ["search.trials=1", "confirm={top: 1, seeds: 1}"]
    spec = load_sweep(file, options)
    study = SweepStudy.create(spec)
    study.ask()
    study.report(0, signals_at(20, distance=0.1))
    study.finish(0, Outcome.COMPLETED)
    asked = ConfirmStudy.create(spec).ask()
    assert asked is not None
    session = Session(Workbench(spec, load_dataset(spec.data.model_dump())), asked.config)
    while not session.done:
        expected = session.next_report()
    _, signals = train(ganray, "--trial", "1")
    assert signals == {k: v for k, v in expected.to_dict().items() if "second" not in k}
    assert signals["distance"] != train(ganray, "--trial", "0")[1]["distance"]
    answer = ganray("train", file, "--trial", "2")
    assert answer == (2, "", "ganray: sweep 'small' has no trial 2; it has 2\n")


def test_train_may_have_everything_set(file: str, ganray: Program) -> None:
    answer = ganray("train", file, "--set", "loss=hinge", "--set", "d_steps=1")
    assert (answer.code, answer.err[:11]) == (0, "loss=hinge ")


def test_train_refuses_what_is_not_recorded(file: str, ganray: Program) -> None:
    answer = ganray("train", file, "--trial", "0")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("ganray: no sweep named 'small' is recorded in ")
    SweepStudy.create(load_sweep(file)).ask()
    answer = ganray("train", file, "--trial", "9")
    assert answer == (2, "", "ganray: sweep 'small' has no trial 9; it has 1\n")
    answer = ganray("train", file, "--trial", "0", "--set", "loss=hinge")
    assert (answer.code, answer.out) == (2, "")


def test_train_that_diverges_is_exit_code_1(file: str, ganray: Program) -> None:
    options = ["--set", "loss=lsgan", "--set", "d_lr=1e30", "--set", "g_lr=1e30"]
    answer, signals = train(ganray, *options)
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == f"ganray: diverged: {signals['nonfinite']} not finite"


# --- sample ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [[], ["ema=0.9"], ["model=vae"], ["model=autoencoder"], ["conditioning=acgan"], ["pack=3"]],
    ids=str,
)
def test_what_was_trained_can_be_drawn_from(
    settings: list[str], file: str, here: Path, ganray: Program
) -> None:
    options = [part for setting in settings for part in ("--set", setting)]
    assert ganray("train", file, "--output", "kept", *options).code == 0
    assert Image.open(here / "kept" / "samples.png").format == "PNG"
    arguments = ["sample", "--checkpoint", "kept/checkpoint.pt", "-n", "10"]
    answer = ganray(*arguments, "--output", "drawn.npy", "--seed", "1")
    assert answer == (0, "drawn.npy\n", "")
    samples = np.load(here / "drawn.npy")
    assert samples.shape == (10, 2)
    assert np.isfinite(samples).all()
    ganray(*arguments, "--output", "again.npy", "--seed", "1")
    assert (np.load(here / "again.npy") == samples).all()
    ganray(*arguments, "--output", "other.npy", "--seed", "2")
    assert (np.load(here / "other.npy") != samples).any(axis=1).all()
    assert ganray(*arguments).out == "samples.png\n"
    assert Image.open(here / "samples.png").format == "PNG"


@pytest.mark.parametrize("output", ["no/such/drawn.npy", "no/such/drawn.png"])
def test_samples_that_cannot_be_written_are_told(
    output: str, file: str, here: Path, ganray: Program
) -> None:
    assert ganray("train", file, "--output", "kept").code == 0
    answer = ganray("sample", "--checkpoint", "kept/checkpoint.pt", "--output", output)
    problem = f"{output} cannot be written: No such file or directory"
    assert answer == (2, "", f"ganray: {problem}\n")
    assert not (here / "no").exists()


def test_one_class_is_drawn_from_a_model_that_is_told_classes(
    file: str, here: Path, ganray: Program
) -> None:
    arguments = ["sample", "--checkpoint", "kept/checkpoint.pt", "--label", "3"]
    ganray("train", file, "--output", "kept", "--set", "conditioning=concat")
    assert ganray(*arguments).code == 0
    refused = ganray(*arguments[:-1], "8")
    assert refused == (2, "", "ganray: label 8: this model is told classes 0 to 7\n")
    ganray("train", file, "--output", "kept")
    assert ganray(*arguments) == (2, "", "ganray: label 3: this model is told no class\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "none.pt"], "none.pt cannot be read: No such file or directory"),
        (["--checkpoint", "s.yaml"], "this is no checkpoint: "),
        (["recorded", "--output", "x.jpg"], "x.jpg: must end in .png or .npy"),
        (["recorded", "--trial", "9"], "sweep 'recorded' has no trial 9; it has 5, or give `best`"),
        (["recorded", "--trial", "1"], "trial 1 of 'recorded' has no last checkpoint at "),
        (
            ["recorded", "--trial", "1", "--at", "best"],
            "trial 1 of 'recorded' has no best checkpoint at ",
        ),
        (["empty"], "sweep 'empty' has no completed trial; give --trial NUMBER"),
        (["nosuch"], "no sweep named 'nosuch' is recorded in "),
    ],
)
def test_sample_says_what_it_lacks(
    arguments: list[str], message: str, file: str, here: Path, recorded: str, ganray: Program
) -> None:
    options = [] if "--checkpoint" in arguments else ["--tracking-uri", recorded]
    answer = ganray("sample", *arguments, *options)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"ganray: {message}")
    assert len(answer.err.splitlines()) == 1
    assert {path.name for path in here.iterdir()} == {"s.yaml"}


@pytest.mark.parametrize("arguments", [[], ["recorded", "--checkpoint", "c.pt"]])
def test_sample_is_of_a_sweep_or_of_a_file(arguments: list[str], ganray: Program) -> None:
    answer = ganray("sample", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "give the name of a sweep, or --checkpoint FILE" in answer.err


# --- summary --------------------------------------------------------------------------------------


LEGEND = re.compile("at: |Saved, ")


def without_legends(out: str) -> list[str]:
    """The lines of a summary, less those that explain its columns."""
    return [line.rstrip() for line in out.splitlines() if not LEGEND.match(line)]


def test_summary_is_a_table_with_the_best_trials_first(recorded: str, ganray: Program) -> None:
    answer = ganray("summary", "recorded", "--tracking-uri", recorded)
    assert (answer.code, answer.err) == (0, "")
    assert LEGEND.match(answer.out.splitlines()[7])
    lines = without_legends(answer.out)
    assert lines == [
        "recorded: 5 trials, 2 completed (1 ended badly), 1 collapsed, 1 crashed, 1 running",
        "trial  outcome      at  distance  modes  JS/log 2  settings",
        "    3  completed  100%     0.125      8       29%  "
        "loss=hinge d_steps=2 d_grad_clip=1 d_lr=1",
        "    0  completed  100%     0.333      2       14%  "
        "loss=wgan d_steps=5 weight_clip=0.01 d_lr=0.3",
        "    1  collapsed   50%       0.9      1       87%  "
        "loss=hinge d_steps=1 d_grad_clip=1 d_lr=1e-300",
        "    2  crashed      0%         –      –         –  loss=lsgan d_steps=2 d_lr=0.0002",
        "    4  running                 –      3         –  "
        "loss=wgan d_steps=1 weight_clip=1 d_lr=0.5",
        "1 crashed, exception: trial 2, because crashed",
        "",
        "Best: trial 3, distance 0.125, 8 effective modes, 8 covered",
        "",
        "stopped by   trials  GPU-hours used  saved, estimated  saved, at least",
        "few_modes         1            0.50              0.50             0.49",
        "not stopped       4            1.50              0.00             0.00",
        "measuring         0            0.00              0.00             0.00",
        "total             5            2.00              0.50             0.49",
        "Stopped by few_modes: its good samples cover few modes.",
        "",
        "audit: 1 of 2 stops ran on; 1 ended healthy: 100 % (21 to 100 %)",
    ]
    assert controls(answer.out) == set()


def test_summary_tells_how_many_completed_trials_ended_badly() -> None:
    frame = pd.DataFrame({"outcome": ["completed"] * 2, "ending": ["bad", "healthy"]})
    assert _headline("s", frame).plain == "s: 2 trials, 2 completed (1 ended badly)"
    assert _headline("s", frame[1:]).plain == "s: 1 trial, 1 completed"


def test_summary_tells_what_was_confirmed_and_what_it_used(
    confirming: str, ganray: Program
) -> None:
    answer = ganray("summary", "confirmed", "--tracking-uri", confirming)
    assert (answer.code, answer.err) == (0, "")
    lines = without_legends(answer.out)
    assert lines[0] == "confirmed: 3 trials, 2 completed, 1 stalled"
    assert [line.split()[:1] for line in lines[2:5]] == [["1"], ["0"], ["2"]]
    assert lines[6:] == [
        "Best: trial 1, distance 0.125, – effective modes, – covered",
        "",
        "Confirmed with fresh seeds: 7 trials, 4 completed (2 ended badly), "
        "1 diverged, 1 cancelled, 1 running",
        "trial  seeds  median distance  worst    best  ended badly  settings",
        "    0      2            0.375    0.5    0.25          50%  loss=wgan",
        "    1      3              0.5      –  0.0625          67%  loss=hinge",
        "",
        "stopped by   trials  time used (m:s)  saved, estimated  saved, at least",
        "stalled           1             0:00              0:00             0:00",
        "not stopped       2             0:00              0:00             0:00",
        "confirming        7             0:00              0:00             0:00",
        "measuring         0             0:00              0:00             0:00",
        "total            10             0:00              0:00             0:00",
        "Stopped by stalled: its samples stay far from the data, or come near but too few are "
        "good.",
    ]
    assert controls(answer.out) == set()


def test_summary_of_a_sweep_without_trials_is_a_line(recorded: str, ganray: Program) -> None:
    answer = ganray("summary", "empty", "--tracking-uri", recorded)
    assert answer == (0, "empty: 0 trials\n", "")


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_summary_in_a_file_reads_back_equal(
    form: str, recorded: str, here: Path, ganray: Program
) -> None:
    options = ["--format", form, "--output", f"out.{form}", "--tracking-uri", recorded]
    assert ganray("summary", "recorded", *options) == (0, "", "")
    frame = summarize("recorded", recorded)
    if form == "parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(here / "out.parquet"), frame)
    elif form == "json":
        read = json.loads((here / "out.json").read_text())
        assert [row["d_lr"] for row in read] == [0.1 + 0.2, 1e-300, 2e-4, 1.0, 0.5]
        assert [row["weight_clip"] for row in read] == [0.01, None, None, None, 1.0]
        assert list(read[0]) == list(frame.columns)
    else:
        text = (here / "out.csv").read_text()
        read = list(csv.DictReader(io.StringIO(text)))
        assert [float(row["d_lr"]) for row in read] == [0.1 + 0.2, 1e-300, 2e-4, 1.0, 0.5]
        assert [row["outcome"] for row in read] == [
            *["completed", "collapsed", "crashed", "completed", ""],
        ]
        assert list(read[0]) == list(frame.columns)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_summary_on_stdout_is_what_a_file_would_have(
    form: str, recorded: str, here: Path, ganray: Program
) -> None:
    options = ["--format", form, "--tracking-uri", recorded]
    printed = ganray("summary", "recorded", *options)
    ganray("summary", "recorded", *options, "--output", "out")
    assert printed.out == (here / "out").read_text()
    assert controls(printed.out) == set()


@pytest.mark.parametrize("form", ["xml", "CSV", ""])
def test_unknown_format_is_refused_with_the_known_ones(form: str, ganray: Program) -> None:
    answer = ganray("summary", "recorded", "--format", form)
    assert (answer.code, answer.out) == (2, "")
    told = " ".join(answer.err.replace("│", " ").split())
    assert f"'{form}' is not one of 'table', 'csv', 'json', 'parquet'" in told


def test_summary_of_an_unknown_sweep_is_exit_code_2(recorded: str, ganray: Program) -> None:
    answer = ganray("summary", "nope", "--tracking-uri", recorded)
    assert (answer.code, answer.out) == (2, "")
    told = f"no sweep named 'nope' is recorded in {recorded}; `ganray list` names those that are"
    assert answer.err.startswith(f"ganray: {told}; ")
    assert answer.err.count("\n") == 1
    assert "--tracking-uri" in answer.err


def test_store_that_cannot_be_read_is_exit_code_1(here: Path, ganray: Program) -> None:
    answer = ganray("summary", "nope", "--tracking-uri", "http://127.0.0.1:9")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("ganray: the tracking store")


def test_file_that_cannot_be_written_is_told(recorded: str, here: Path, ganray: Program) -> None:
    options = ["--format", "csv", "--tracking-uri", recorded]
    answer = ganray("summary", "recorded", *options, "--output", "no/such/folder/out.csv")
    problem = "no/such/folder/out.csv cannot be written: No such file or directory"
    assert answer == (2, "", f"ganray: {problem}\n")


# --- ui -------------------------------------------------------------------------------------------


def test_ui_of_a_server_is_where_the_server_is(ganray: Program) -> None:
    answer = ganray("ui", "--tracking-uri", "http://host:5000")
    assert answer == (0, "The MLflow UI is at http://host:5000\n", "")


def test_ui_of_a_server_is_told_without_its_password(ganray: Program) -> None:
    answer = ganray("ui", "--tracking-uri", "http://me:secret@host:5000")
    assert answer == (0, "The MLflow UI is at http://***@host:5000\n", "")


# --- secrets --------------------------------------------------------------------------------------


def test_error_is_told_without_secrets(
    here: Path, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "pl4nted")
    answer = ganray("summary", "nope", "--tracking-uri", "http://me:secret@127.0.0.1:9")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("ganray: the tracking store http://***@127.0.0.1:9 cannot be read")
    assert "secret" not in answer.err
    assert ganray("validate", "pl4nted").err == "ganray: ***: no such file\n"


def test_unexpected_error_and_what_is_logged_are_told_without_secrets(
    recorded: str, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        logging.getLogger("some.library").warning("trying %s", "http://me:secret@host")
        raise ZeroDivisionError("http://me:secret@host")

    monkeypatch.setattr("ganray.cli.tables.print_summary", fail)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a process of its own
    answer = ganray("summary", "recorded", "--tracking-uri", recorded)
    assert (answer.code, answer.out) == (1, "")
    logged, *told = answer.err.splitlines()
    assert logged == "trying http://***@host"
    assert told[0] == "Traceback (most recent call last):"
    assert told[-1] == "ZeroDivisionError: http://***@host"


HOSTILE_NAMES = [
    *["../ring", "/etc/passwd", "a/b", ".", "..", "x' or '1'='1", 'x" or ""="', "x;--", "`x`"],
    *["ring\n", "a b", "\u202ering", "ring.confirm", "-", "a" * 101, "%", "ring\\"],
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_name_that_no_sweep_can_have_is_refused_in_a_file(
    name: str, file: str, ganray: Program, here: Path
) -> None:
    before = set(here.parent.rglob("*"))
    for answer in (
        ganray("run", file, "--name", name),
        ganray("validate", file, "--set", f"name={json.dumps(name)}"),
    ):
        assert (answer.code, answer.out) == (2, "")
        assert "name: must be at most 100 letters, digits, - and _" in answer.err
    assert set(here.parent.rglob("*")) == before


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "' or tags.`ganray.sweep` like '%"])
def test_name_that_no_sweep_can_have_is_not_looked_for(
    name: str, recorded: str, ganray: Program
) -> None:
    answer = ganray("summary", "--tracking-uri", recorded, "--", name)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("ganray: the name of a sweep has at most 100 letters, digits")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("key", ["storage.study", "storage.results", "tracking.uri"])
def test_url_with_a_password_is_refused_and_not_shown(key: str, file: str, ganray: Program) -> None:
    answer = ganray("validate", file, "--set", f"{key}=postgresql://me:secret@host/db")
    assert (answer.code, answer.out) == (2, "")
    assert f"{key}: postgresql://***@host/db holds a password" in answer.err
    assert "PGPASSWORD" in answer.err
    assert "secret" not in answer.err


# --- pipes ----------------------------------------------------------------------------------------

IN_A_PIPE = {
    "validate": ["s.yaml"],
    "run": ["s.yaml", "--storage", "foo://bar"],
    "train": ["s.yaml"],
    "sample": ["recorded", "--trial", "3"],
    "summary": ["recorded"],
    "report": ["recorded"],
    "replay": ["recorded", "--resamples", "1"],
    "sync": ["recorded"],
    "ui": ["--tracking-uri", "http://127.0.0.1:9"],
    "submit": ["s.yaml", "--dry-run", "--tracking-uri", "http://127.0.0.1:9"],
    "list": [],
    "status": ["recorded"],
    "logs": ["recorded"],
    "stop": ["recorded"],
    "resume": ["recorded"],
}


@pytest.mark.parametrize("command", IN_A_PIPE)
def test_nothing_that_goes_into_a_pipe_has_control_characters(
    command: str, file: str, recorded: str, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not where the answer is an error: some of these sweeps have no study, or no cluster."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", recorded)
    monkeypatch.setattr(client_sweeps, "DEFAULT_ADDRESS", "http://127.0.0.1:9")
    answer = ganray(command, *IN_A_PIPE[command])
    assert answer.out + answer.err
    assert controls(answer.out + answer.err) == set()
    assert max(map(len, answer.err.splitlines()), default=0) < 1_000


def test_every_command_was_put_into_a_pipe() -> None:
    assert IN_A_PIPE.keys() == OPTIONS.keys()

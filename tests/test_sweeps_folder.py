"""Every sweep that is shipped can be run: it is valid, asks for valid trials, and they train."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import jsonschema
import optuna
import pytest
import torch
from threadpoolctl import threadpool_limits

from ganray.data.registry import load_dataset
from ganray.spec.load import load_sweep
from ganray.spec.parameters import Trainer
from ganray.spec.schema import json_schema
from ganray.spec.yaml import read_yaml
from ganray.trial import TrialConfig
from ganray.tuning.session import Session, Workbench
from ganray.tuning.study import SweepStudy
from tests.conftest import Answer

FOLDER = Path(__file__).parents[1] / "sweeps"
SWEEPS = sorted(FOLDER.glob("*.yaml"))
SCHEMA = FOLDER / "schema.json"

every_sweep = pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def test_there_are_sweeps() -> None:
    assert {"ring"} <= {path.stem for path in SWEEPS}


@every_sweep
def test_sweep_is_valid_and_named_like_its_file(path: Path, ganray) -> None:
    answer: Answer = ganray("validate", path)
    assert (answer.code, answer.err) == (0, "")
    assert load_sweep(path).name == path.stem
    assert load_sweep(path).description


def test_schema_is_that_of_the_code() -> None:
    stale = "run `ganray validate --schema > sweeps/schema.json`"
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema(), stale


@every_sweep
def test_editors_find_the_schema_of_a_sweep_and_no_fault_by_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA.name}\n")
    jsonschema.validate(read_yaml(text), json_schema())


@every_sweep
def test_sweep_asks_for_valid_trials(path: Path) -> None:
    spec = load_sweep(path)
    study = SweepStudy(spec, optuna.create_study())
    for number in range(3):
        asked = study.ask()
        assert asked is not None
        assert asked.number == number
        assert isinstance(asked.config, TrialConfig)
        # the limits of the file hold for what is asked, too
        assert Trainer.model_validate(asdict(asked.config)).model_dump() == asdict(asked.config)
        applicable = set(spec.search.space.entries) - {
            name for name, entry in spec.search.space.entries.items() if entry.when
        }
        assert applicable <= set(asked.searched) <= {field.name for field in fields(TrialConfig)}


# of sweeps that need files, or hours even for a few updates
SMALLER = {
    "mnist": ["networks.width=2"],
    "stacked-mnist": [
        *("networks.width=2", "data.train_size=200"),
        *("measure.metrics=[]", "objective.metric=distance"),
    ],
}


@every_sweep
def test_first_trial_of_a_sweep_trains(path: Path, one_thread: None, digit_files: Path) -> None:
    smaller = SMALLER.get(path.stem, [])
    files = [f"data.path={digit_files}"] if smaller else []
    spec = load_sweep(path, ["budget={updates: 8, reports: 2}", *smaller, *files])
    asked = SweepStudy(spec, optuna.create_study()).ask()
    assert asked is not None
    dataset = load_dataset(spec.data.model_dump())
    session = Session(Workbench(spec, dataset, device="cpu"), asked.config)
    for update in (4, 8):
        signals = session.next_report()
        assert signals.update == update
        assert signals.nonfinite is None
        value = getattr(signals, spec.objective.metric)
        assert value is not None
        assert math.isfinite(value)
    assert session.done
    assert session.picture() is not None

"""The best trial's generator: exported where somebody wants it, and never a sweep's fault."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganray.errors import CheckpointError, ExportError
from ganray.gan.checkpoint import draw, load
from ganray.spec.models import SweepSpec
from ganray.tracking.recorder import MemoryRecorder
from ganray.trial import GeneratorSignature, Outcome
from ganray.tuning.exporting import export_file
from ganray.tuning.generators import best_generator
from ganray.tuning.places import CHECKPOINT, GENERATOR, list_files, trial_location, write_file
from ganray.tuning.study import SweepStudy
from tests.conftest import small_spec
from tests.driving import drive, leave_checkpoint

SIGNATURE = GeneratorSignature(latent_dim=16, shape=(2,))
BEST = 3  # of the trials that `drive` makes: each has a smaller distance than the one before


class Wanting(MemoryRecorder):
    """Wants every generator, and remembers which it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, str | None]] = []

    def wants_generator(self, number: int, register: str | None) -> bool:
        self.asked.append((number, register))
        return True


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    return small_spec(tmp_path, budget={"updates": 40, "reports": 2})


def never(folder: str) -> GeneratorSignature:
    raise AssertionError(f"{folder} is exported, and nobody wants it")


def test_generator_is_exported_beside_the_checkpoint_that_samples_are_drawn_from(
    tmp_path: Path,
) -> None:
    content = leave_checkpoint(str(tmp_path))
    assert export_file(str(tmp_path)) == SIGNATURE
    assert list_files(str(tmp_path)) == (CHECKPOINT, GENERATOR)
    noise = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    drawn = torch.export.load(tmp_path / GENERATOR).module()(noise)
    torch.testing.assert_close(drawn, draw(load(content), 5, seed=1))


@pytest.mark.parametrize(
    ("content", "error"), [(None, FileNotFoundError), (b"nothing", CheckpointError)]
)
def test_checkpoint_that_is_missing_or_broken_cannot_be_exported(
    content: bytes | None, error: type[Exception], tmp_path: Path
) -> None:
    if content is not None:
        write_file(str(tmp_path), CHECKPOINT, content)
    with pytest.raises(error):
        export_file(str(tmp_path))


def test_best_trial_of_the_search_is_the_one_that_is_exported(spec: SweepSpec) -> None:
    study, recorder = drive(spec, []), Wanting()
    folders = []

    def export(folder: str) -> GeneratorSignature:
        folders.append(folder)
        write_file(folder, GENERATOR, b"a program")
        return SIGNATURE

    best = best_generator(study, [MemoryRecorder(), recorder], export)
    assert best is not None
    assert folders == [trial_location(spec, BEST)]
    assert (best.number, best.problem, best.register) == (BEST, "", None)
    assert best.params["loss"] in ("hinge", "lsgan")
    assert best.exported is not None
    assert (best.exported.load(), best.exported.signature) == (b"a program", SIGNATURE)


def test_name_to_register_it_under_is_that_of_the_sweep(spec: SweepSpec) -> None:
    tracking = spec.tracking.model_copy(update={"register_as": "ring-g"})
    study, recorder = drive(spec, []), Wanting()
    study.spec = spec.model_copy(update={"tracking": tracking})
    best = best_generator(study, [recorder], lambda folder: SIGNATURE)
    assert best is not None
    assert (best.register, recorder.asked) == ("ring-g", [(BEST, "ring-g")])


def test_nothing_is_exported_that_nobody_wants(spec: SweepSpec) -> None:
    study = drive(spec, [])
    assert best_generator(study, [MemoryRecorder()], never) is None
    assert best_generator(study, [], never) is None


def test_sweep_that_completed_nothing_has_no_generator(spec: SweepSpec) -> None:
    study = SweepStudy.create(spec)
    asked = study.ask()
    assert asked is not None
    study.finish(asked.number, Outcome.STALLED, "far from real data")
    assert best_generator(study, [Wanting()], never) is None


def test_generator_that_cannot_be_exported_is_told_with_the_reason(
    spec: SweepSpec, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASSWORD", "planted-secret")

    def fails(folder: str) -> GeneratorSignature:
        raise ExportError("the network is planted-secret odd\nand more of it")

    best = best_generator(drive(spec, []), [Wanting()], fails)
    assert best is not None
    assert best.exported is None
    assert best.problem == "ExportError: the network is *** odd"
    assert caplog.messages == [
        f"the generator of trial {BEST} is not exported: ExportError: the network is *** odd"
    ]
    assert replace(best, problem="").number == BEST

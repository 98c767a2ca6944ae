"""The best generator is a model that anybody can load; logging it may be repeated."""

import io
import subprocess
import sys
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run

from ganray.gan.checkpoint import draw, dump, load
from ganray.gan.export import export_generator
from ganray.gan.real import RealData
from ganray.gan.trainer import make_trainer
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import BestGenerator, ExportedGenerator
from ganray.trial import Outcome, TrialConfig
from tests.unit.tracking.playing import SWEEP, connect, ending, runs, trial

pytestmark = pytest.mark.usefixtures("quick", "one_thread")

MLP = {"name": "mlp", "width": 12, "depth": 1}
CONFIG = TrialConfig(batch_size=8, latent_dim=3, seed=5)
LABELS = torch.arange(64) % 4
SAMPLES = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
VECTORS = torch.randn(64, 5, generator=torch.Generator().manual_seed(1))


def checkpoint(**changes: Any) -> dict[str, Any]:
    conditions = VECTORS if changes.pop("vectors", False) else None
    labels = None if conditions is not None else LABELS
    data = RealData(SAMPLES, labels, 0 if labels is None else 4, conditions=conditions)
    trainer = make_trainer(replace(CONFIG, **changes), MLP, data)
    trainer.advance(4)
    return load(dump(trainer, MLP))


@cache
def exported(**changes: Any) -> ExportedGenerator:
    """Exporting takes a second: every generator is exported once."""
    program, signature = export_generator(checkpoint(**changes))
    return ExportedGenerator(load=lambda: program, signature=signature)


def best(number: int = 1, register: str | None = None, **changes: Any) -> BestGenerator:
    return BestGenerator(
        number=number, params=asdict(CONFIG), exported=exported(**changes), register=register
    )


def none(number: int = 1, problem: str = "it is odd") -> BestGenerator:
    return BestGenerator(number=number, params=asdict(CONFIG), exported=None, problem=problem)


def tell(uri: str, *told: BestGenerator) -> MlflowRecorder:
    """Tell a recorder of its own, as another process would, and close it."""
    recorder = MlflowRecorder(uri, "ganray")
    recorder.start_sweep(SWEEP)
    for generator in told:
        recorder.generator(generator)
    recorder.end_sweep({0: Outcome.STALLED}, cancelled=False)
    recorder.close()
    return recorder


def found(uri: str) -> tuple[Run, list[LoggedModel]]:
    """The sweep's run, and all models that there are."""
    parent = runs(uri)[0]
    return parent, list(MlflowClient(uri).search_logged_models([parent.info.experiment_id]))


# --- loaded by others -----------------------------------------------------------------------------

ELSEWHERE = """
import sys
sys.modules["ganray"] = None  # whoever imports it fails
import mlflow, numpy as np, pandas as pd
for place, name in zip(sys.argv[1::2], sys.argv[2::2]):
    model = mlflow.pyfunc.load_model(place)
    given = dict(np.load(name + ".npz"))
    alone = len(given) == 1
    array = given["latents"] if alone else given
    frame = pd.DataFrame(array if alone else {name: list(v) for name, v in given.items()})
    np.savez(name + "-drawn.npz", array=model.predict(array), frame=model.predict(frame))
"""
# the settings of a generator, and what it is told beside its latents
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "latents": ({"ema": 0.9}, {}),
    "labels": ({"conditioning": "concat"}, {"labels": np.arange(6) % 4}),
    "vectors": (
        {"conditioning": "concat", "vectors": True},
        {"conditions": VECTORS[:6].numpy().astype("float64")},
    ),
}


def test_models_draw_where_ganray_cannot_be_imported(store: str, here: Path) -> None:
    tell(store, *(best(number, **KINDS[kind][0]) for number, kind in enumerate(KINDS)))
    models = {int(model.tags["ganray.trial"]): model for model in found(store)[1]}
    noise = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    arguments = []
    for number, (kind, (_, told)) in enumerate(KINDS.items()):
        np.savez(here / f"{kind}.npz", latents=noise.numpy().astype("float64"), **told)
        arguments += [models[number].artifact_location, str(here / kind)]
    subprocess.run([sys.executable, "-c", ELSEWHERE, *arguments], check=True, capture_output=True)
    for kind, (changes, _) in KINDS.items():
        drawn = np.load(here / f"{kind}-drawn.npz")
        expected = draw(checkpoint(**changes), 6, seed=1).numpy()
        for form in ("array", "frame"):
            assert drawn[form].dtype == np.float32
            np.testing.assert_allclose(drawn[form], expected, 1e-4, 1e-6, err_msg=kind)


def test_model_needs_the_packages_that_it_says(store: str) -> None:
    tell(store, best())
    _, (model,) = found(store)
    folder = Path(MlflowClient(store).get_logged_model(model.model_id).artifact_location)
    needed = (folder / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in needed] == ["mlflow", "torch", "numpy"]
    assert not [line for line in needed if "+" in line]  # no index has local versions


def test_model_tells_what_it_takes_and_gives_with_an_example(store: str) -> None:
    tell(store, best(conditioning="concat"))
    _, (model,) = found(store)
    loaded = mlflow.pyfunc.load_model(model.artifact_location)
    takes, gives = loaded.metadata.signature.inputs, loaded.metadata.signature.outputs
    kinds = [(spec.name, str(spec.type), spec.shape) for spec in takes]
    assert kinds == [("latents", "float64", (-1, 3)), ("labels", "int64", (-1,))]
    assert [(str(spec.type), spec.shape) for spec in gives] == [("float32", (-1, 2))]
    assert loaded.predict(loaded.input_example).shape == (4, 2)
    with pytest.raises(mlflow.MlflowException, match="shape"):
        loaded.predict({"latents": np.zeros((4, 2)), "labels": np.arange(4)})


def test_large_batch_is_drawn_in_pieces_in_its_order(store: str) -> None:
    tell(store, best())
    _, (model,) = found(store)
    loaded = mlflow.pyfunc.load_model(model.artifact_location)
    noise = np.random.default_rng(0).standard_normal((2_500, 3))
    whole = loaded.predict(noise)
    assert whole.shape == (2_500, 2)
    np.testing.assert_allclose(loaded.predict(noise[2_100:2_110]), whole[2_100:2_110], rtol=1e-4)


# --- as it stands in MLflow -----------------------------------------------------------------------


def test_model_is_an_output_of_the_sweep_and_says_whose_it_is(store: str) -> None:
    tell(store, best())
    parent, (model,) = found(store)
    assert (model.name, model.status, model.source_run_id) == (
        "generator",
        "READY",
        parent.info.run_id,
    )
    assert {k: v for k, v in model.tags.items() if k.startswith("ganray")} == {
        "ganray.sweep": "small",
        "ganray.study": "5ad1",
        "ganray.trial": "1",
    }
    assert (model.params["loss"], model.params["latent_dim"]) == ("non_saturating", "3")
    assert [output.model_id for output in parent.outputs.model_outputs] == [model.model_id]
    tags = {key: parent.data.tags[key] for key in ("ganray.generator", "ganray.model")}
    assert tags == {"ganray.generator": "1", "ganray.model": model.model_id}


def test_description_of_the_sweep_leads_to_its_model(store: str) -> None:
    recorder = MlflowRecorder(store, "ganray")
    recorder.start_sweep(SWEEP)
    recorder.start_trial(trial(1))
    recorder.end_trial(ending(1))
    recorder.generator(best(1))
    recorder.end_sweep({1: Outcome.COMPLETED}, cancelled=False)
    recorder.close()
    parent, (model,) = found(store)
    assert f"/models/{model.model_id}?" in parent.data.tags["mlflow.note.content"]


def test_model_is_registered_only_if_that_is_asked_for(store: str) -> None:
    tell(store, best())
    assert "ganray.registered" not in found(store)[0].data.tags
    assert MlflowClient(store).search_registered_models() == []


def test_what_is_told_twice_stands_there_once(store: str) -> None:
    again = best(register="ring-g")
    tell(store, again, again)
    tell(store, again)
    parent, models = found(store)
    assert (len(models), len(parent.outputs.model_outputs)) == (1, 1)
    (version,) = MlflowClient(store).search_model_versions("name = 'ring-g'")
    assert version.source == f"models:/{models[0].model_id}"
    assert parent.data.tags["ganray.registered"] == "ring-g/1"


def test_generator_that_stands_there_is_not_wanted(store: str) -> None:
    tell(store, best(1, register="ring-g"))
    recorder = MlflowRecorder(store, "ganray")
    assert recorder.wants_generator(1, None)  # nobody knows yet
    recorder.start_sweep(SWEEP)
    assert recorder.wants(0, None)  # by then, all of it is known
    wanted = [recorder.wants_generator(1, name) for name in (None, "ring-g", "other")]
    assert wanted == [False, False, True]
    assert recorder.wants_generator(2, None)
    recorder.close()


def test_model_may_be_registered_later_and_under_names_that_are_taken(store: str) -> None:
    tell(store, best(), best(register="ring-g"))
    tell(store, best(register="other"))
    tell(store, best(2, register="ring-g"))
    parent, models = found(store)
    assert len(models) == 2
    versions = MlflowClient(store).search_model_versions("name = 'ring-g'")
    assert sorted(int(version.version) for version in versions) == [1, 2]
    assert parent.data.tags["ganray.registered"] == "ring-g/2"


def test_better_trial_gives_the_sweep_another_model(store: str) -> None:
    for number in (1, 2):
        tell(store, best(number, seed=number))
    parent, models = found(store)
    (latest,) = [model for model in models if model.tags["ganray.trial"] == "2"]
    assert parent.data.tags["ganray.generator"] == "2"
    assert parent.data.tags["ganray.model"] == latest.model_id
    steps = {output.model_id: output.step for output in parent.outputs.model_outputs}
    assert max(steps, key=steps.__getitem__) == latest.model_id


def test_state_of_the_process_is_as_it_was(store: str, here: Path) -> None:
    mlflow.set_tracking_uri(elsewhere := f"sqlite:///{here / 'elsewhere.db'}")
    try:
        before = (mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run())
        tell(store, best(register="ring-g"))
        assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run()) == before
        assert before[0] == elsewhere
    finally:
        mlflow.set_tracking_uri(None)
    assert len(found(store)[1]) == 1


# --- what goes wrong ------------------------------------------------------------------------------


def test_generator_that_could_not_be_exported_is_a_tag(store: str) -> None:
    recorder = tell(store, none(problem="it is odd"))
    parent, models = found(store)
    assert (parent.data.tags["ganray.no_generator"], models) == ("it is odd", [])
    assert recorder.complete
    assert recorder.wants_generator(1, None)  # perhaps it can be, by then
    tell(store, best())
    tags = found(store)[0].data.tags
    assert ("ganray.no_generator" in tags, tags["ganray.generator"]) == (False, "1")


def unreadable() -> bytes:
    raise OSError("no such bucket")


def test_file_that_cannot_be_read_is_told_and_no_fault_of_the_sweep(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    generator = best()
    assert generator.exported is not None
    lost = replace(generator, exported=replace(generator.exported, load=unreadable))
    recorder = tell(store, lost)
    parent, models = found(store)
    assert parent.data.tags["ganray.no_generator"] == "OSError: no such bucket"
    assert (models, recorder.complete, parent.info.status) == ([], True, "FINISHED")
    assert "the generator of trial 1 is no model in MLflow: OSError: no such bucket" in caplog.text


@pytest.mark.parametrize("after", [False, True], ids=["before it works", "after it worked"])
@pytest.mark.parametrize(
    "call",
    [
        "create_logged_model",
        "log_model_artifacts",
        "finalize_logged_model",
        "log_outputs",
        "create_registered_model",
        "create_model_version",
        "set_logged_model_tags",
    ],
)
def test_connection_that_breaks_leaves_one_whole_model(
    call: str, after: bool, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([ConnectionError("reset")])

    def fails(name: str) -> Exception | None:
        return next(errors, None) if name == call else None

    recorder = connect(monkeypatch, store, fails, after=after)
    recorder.start_sweep(SWEEP)
    recorder.generator(best(register="ring-g"))
    recorder.close()
    assert next(errors, None) is None
    assert recorder.complete
    parent, models = found(store)
    assert [model.status for model in models] == ["READY"]
    assert len(parent.outputs.model_outputs) == 1
    assert len(MlflowClient(store).search_model_versions("name = 'ring-g'")) == 1
    assert mlflow.pyfunc.load_model(models[0].artifact_location).predict(np.zeros((2, 3))).shape


def test_program_in_the_model_is_the_one_that_was_exported(store: str) -> None:
    generator = best()
    assert generator.exported is not None
    tell(store, generator)
    _, (model,) = found(store)
    kept = Path(model.artifact_location) / "artifacts" / "generator.pt2"
    assert kept.read_bytes() == generator.exported.load()
    assert torch.export.load(io.BytesIO(kept.read_bytes()))

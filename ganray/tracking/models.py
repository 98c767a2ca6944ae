"""The best generator of a sweep as an MLflow model, which is loaded and served without ganray.

MLflow's own `log_model` goes by the process's tracking URI and active run, which belong to the
user; here everything goes through one client, and may be repeated.
"""

import json
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ganray.errors import ExportError
from ganray.tracking import schema
from ganray.tracking.recorder import BestGenerator
from ganray.trial import GeneratorSignature

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import Model, ModelSignature

NAME: Final = "generator"
SCRIPT: Final = Path(__file__).with_name("generator_script.py")
NEEDED: Final = ("mlflow", "torch", "numpy")  # by the script
EXAMPLES: Final = 4  # samples of the input example
_VERSIONS_TAG: Final = "mlflow.modelVersions"  # by which the UI shows where a model is registered


def log_generator(
    client: "MlflowClient", run_id: str, best: BestGenerator, tags: Mapping[str, str]
) -> dict[str, str]:
    """Log a generator as a model of a sweep's run, and register it if that is asked for.

    Args:
        client: of the store.
        run_id: of the sweep's own run.
        best: the generator, exported.
        tags: of the model, with the trial's number under `schema.TRIAL`.

    Returns:
        Tags of the sweep's run, by which it is known that all of this is done.

    Raises:
        ExportError: what was exported cannot be read, or MLflow cannot make a model of it.
    """
    run = client.get_run(run_id)
    made = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run_id}'"
    )
    mine = [m for m in made if m.tags.get(schema.TRIAL) == tags[schema.TRIAL]]
    model = next((m for m in mine if m.status == "READY"), None)
    if model is None:
        model = _upload(client, run, best, tags, mine)
    outputs = [output.model_id for output in run.outputs.model_outputs] if run.outputs else []
    if model.model_id not in outputs:
        _link(client, run_id, model.model_id, step=len(outputs))
    told = {schema.GENERATOR: tags[schema.TRIAL], schema.MODEL: model.model_id}
    if best.register is not None:
        number = _register(client, best.register, model, run_id)
        told[schema.REGISTERED] = f"{best.register}/{number}"
    return told


def _upload(
    client: "MlflowClient",
    run: Any,
    best: BestGenerator,
    tags: Mapping[str, str],
    begun: "list[LoggedModel]",
) -> "LoggedModel":
    """The model with its files; one that was begun and not completed is completed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "model")
        description = _build(folder, best)
        model = (
            begun[0]
            if begun
            else client.create_logged_model(
                run.info.experiment_id,
                name=NAME,
                source_run_id=run.info.run_id,
                tags=dict(tags),
                params={key: schema.to_text(value) for key, value in best.params.items()},
            )
        )
        description.run_id, description.model_id = run.info.run_id, model.model_id
        description.save(str(folder / "MLmodel"))
        client.log_model_artifacts(model.model_id, str(folder))
    return client.finalize_logged_model(model.model_id, "READY")


def _build(folder: Path, best: BestGenerator) -> "Model":
    """Write the model's files, and nothing of this process's state."""
    assert best.exported is not None, "asked for only if there is one"
    try:
        from mlflow.models import Model
        from mlflow.pyfunc import save_model

        program = folder.parent / "generator.pt2"
        program.write_bytes(best.exported.load())
        model = Model()
        save_model(
            str(folder),
            python_model=str(SCRIPT),
            artifacts={NAME: str(program)},
            signature=_signature(best.exported.signature),
            input_example=_example(best.exported.signature),
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in NEEDED],
            mlflow_model=model,
        )
    except Exception as error:
        raise ExportError(f"{type(error).__name__}: {error}") from error
    return model


def _signature(generator: GeneratorSignature) -> "ModelSignature":
    """In float64, as numpy and pandas make numbers: MLflow converts none."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    double, whole = np.dtype("float64"), np.dtype("int64")
    samples = Schema([TensorSpec(np.dtype("float32"), (-1, *generator.shape))])
    size = (-1, generator.latent_dim)
    if generator.classes:
        told = TensorSpec(whole, (-1,), "labels")
    elif generator.conditions:
        told = TensorSpec(double, (-1, generator.conditions), "conditions")
    else:
        return ModelSignature(Schema([TensorSpec(double, size)]), samples)
    return ModelSignature(Schema([TensorSpec(double, size, "latents"), told]), samples)


def _example(generator: GeneratorSignature) -> Any:
    """Some latents, with what else is to be told."""
    import numpy as np

    rng = np.random.default_rng(0)
    latents = rng.standard_normal((EXAMPLES, generator.latent_dim))
    if generator.classes:
        return {"latents": latents, "labels": np.arange(EXAMPLES) % generator.classes}
    if generator.conditions:
        conditions = rng.standard_normal((EXAMPLES, generator.conditions))
        return {"latents": latents, "conditions": conditions}
    return latents


def _link(client: "MlflowClient", run_id: str, model_id: str, step: int) -> None:
    """Make it an output of the run: of several, MLflow takes the one of the last step."""
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, [LoggedModelOutput(model_id, step)])


def _register(client: "MlflowClient", name: str, model: "LoggedModel", run_id: str) -> str:
    """The number of the model's version under a name of the registry."""
    try:
        client.create_registered_model(name)
    except Exception as error:
        if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"name = '{name}'")
    source = f"models:/{model.model_id}"
    found = next((v for v in versions if v.source == source), None)
    if found is None:
        found = client.create_model_version(
            name, source, run_id, model_id=model.model_id, await_creation_for=0
        )
    number = str(found.version)
    shown = json.dumps([{"name": name, "version": int(number)}])
    client.set_logged_model_tags(model.model_id, {_VERSIONS_TAG: shown})
    return number

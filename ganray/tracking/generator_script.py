"""What MLflow runs to serve a generator, copied beside it: it needs no ganray, and knows none.

What the inputs are is the model's signature.
"""

from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc.model import PythonModel, PythonModelContext

BATCH = 1_000  # samples that are drawn at a time


class Generator(PythonModel):
    """Draws samples [B, ...] in float32 from latents [B, latent_dim].

    A generator that is told what to draw takes, as a DataFrame's columns or as a dictionary of
    arrays, `latents` and `labels` [B], or `latents` and `conditions` [B, K].
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the program that lies beside this file."""
        self._draw = torch.export.load(context.artifacts["generator"]).module()

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # or a dictionary; of that, as a type, MLflow warns
        params: dict[str, Any] | None = None,
    ) -> Any:
        """One sample for each row, in their order."""
        columns = model_input.values() if isinstance(model_input, dict) else [model_input]
        chunks = [torch.split(_tensor(column), BATCH) for column in columns]
        with torch.no_grad():
            parts = [self._draw(*chunk) for chunk in zip(*chunks, strict=True)]
        return torch.cat(parts).numpy()


def _tensor(column: Any) -> torch.Tensor:
    array = np.asarray(column)
    whole = np.issubdtype(array.dtype, np.integer)
    return torch.tensor(array, dtype=torch.int64 if whole else torch.float32)


mlflow.models.set_model(Generator())

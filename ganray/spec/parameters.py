"""Trial parameters as a sweep file may set them: names, types and limits."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from ganray.spec.names import LossName, OptimizerName

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Part(BaseModel):
    """Base of every part: frozen, strict about types, closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def or_auto(words: str) -> WrapValidator:
    """One message for a value that may be of two kinds, instead of one for each kind.

    Args:
        words: what is allowed beside `auto`.
    """

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError(
                "or_auto",
                "must be {words}, or auto; got {got}",
                {"words": words, "got": repr(value)},
            ) from None

    return WrapValidator(validate)


class Trainer(Part):
    """Trial parameters; the defaults are those of `TrialConfig`."""

    loss: LossName = "non_saturating"
    d_steps: PositiveInt = 1
    g_steps: PositiveInt = 1
    weight_clip: PositiveFloat | None = None
    g_weight_clip: PositiveFloat | None = None
    d_grad_clip: PositiveFloat | None = None
    g_grad_clip: PositiveFloat | None = None
    d_lr: PositiveFloat = 2e-4
    g_lr: PositiveFloat = 2e-4
    optimizer: OptimizerName = "adam"
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    batch_size: PositiveInt = 128
    latent_dim: PositiveInt = 16
    seed: Seed = 0

    @property
    def given(self) -> dict[str, Any]:
        """What the file says, without the defaults."""
        return self.model_dump(exclude_unset=True)

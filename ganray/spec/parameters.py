"""Trial parameters as a sweep file may set them: names, types and limits."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from ganray.spec.names import (
    ConditioningName,
    DtypeName,
    FganGeneratorName,
    LossName,
    ModelName,
    OptimizerName,
    PenaltyName,
    ScheduleName,
    WeightClipScopeName,
)
from ganray.spec.problems import shown

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
                {"words": words, "got": shown(value)},
            ) from None

    return WrapValidator(validate)


Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
AUGMENTATIONS = ("color", "translation", "cutout")


def is_usable_alpha(alpha: float) -> bool:
    """Whether `fgan_alpha` trains with it: not at its two limits, nor just below the upper one."""
    return alpha != 0.0 and not 0.85 < alpha <= 1.0


def _usable_alpha(alpha: float) -> float:
    if not is_usable_alpha(alpha):
        raise PydanticCustomError(
            "alpha",
            "must not be 0, which is fgan_reverse_kl, nor above 0.85 up to 1, where it explodes: "
            "fgan_kl is its limit; got {got}",
            {"got": alpha},
        )
    return alpha


def _known_augmentations(policy: str) -> str:
    names = policy.split(",")
    if set(names) <= set(AUGMENTATIONS) and len(set(names)) == len(names):
        return policy
    raise PydanticCustomError(
        "augmentations",
        "must be one or more of {known}, with commas between; got {got}",
        {"known": ", ".join(AUGMENTATIONS), "got": shown(policy)},
    )


class Trainer(Part):
    """Trial parameters; the defaults are those of `TrialConfig`."""

    model: ModelName = "gan"

    loss: LossName = "non_saturating"
    fgan_generator: FganGeneratorName = "heuristic"
    alpha: Annotated[float, AfterValidator(_usable_alpha)] = 0.5
    penalty: PenaltyName = "none"
    penalty_weight: PositiveFloat | None = None
    penalty_schedule: ScheduleName = "constant"
    penalty_final: NonNegativeFloat = 0.0

    d_steps: PositiveInt = 1
    g_steps: PositiveInt = 1
    simultaneous: bool = False
    warmup_d_steps: PositiveInt | None = None
    warmup_rounds: NonNegativeInt = 25
    warmup_every: PositiveInt | None = None

    weight_clip: PositiveFloat | None = None
    g_weight_clip: PositiveFloat | None = None
    weight_clip_scope: WeightClipScopeName = "all"
    spectral_norm: bool = False
    d_grad_clip: PositiveFloat | None = None
    g_grad_clip: PositiveFloat | None = None

    optimizer: OptimizerName = "adam"
    d_optimizer: OptimizerName | None = None
    g_optimizer: OptimizerName | None = None
    d_lr: PositiveFloat = 2e-4
    g_lr: PositiveFloat = 2e-4
    lr_schedule: ScheduleName = "constant"
    lr_final: NonNegativeFloat = 0.0
    beta1: Decay = 0.5
    beta2: Decay = 0.999
    momentum: Decay = 0.0
    weight_decay: NonNegativeFloat = 0.0

    batch_size: PositiveInt = 128
    latent_dim: PositiveInt = 16
    ema: Decay | None = None
    pack: Annotated[int, Field(ge=1, le=4)] = 1
    instance_noise: NonNegativeFloat = 0.0
    diffaugment: Annotated[str, AfterValidator(_known_augmentations)] | None = None

    conditioning: ConditioningName = "none"
    class_weight: PositiveFloat = 1.0
    labelled: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    kl_weight: PositiveFloat = 1.0

    dtype: DtypeName = "fp32"
    compile: bool = False
    channels_last: bool = False
    seed: Seed = 0

    @property
    def given(self) -> dict[str, Any]:
        """What the file says, without the defaults."""
        return self.model_dump(exclude_unset=True)

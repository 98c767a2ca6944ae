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
    GraphsName,
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
    """Base of every part: frozen, strict about types, closed to unknown keys.

    The text under a field is its description in the JSON schema: shown by editors and the README.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
    )


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
    """Trial parameters, fixed under `trainer` or searched under `search.space`."""

    model: ModelName = "gan"
    """What is trained; `vae` and `autoencoder` are comparisons, with G as the decoder."""

    loss: LossName = "non_saturating"
    """The GAN loss, of both networks."""
    fgan_generator: FganGeneratorName = "heuristic"
    """G's side of an f-GAN loss; `heuristic` keeps its gradient while D wins."""
    alpha: Annotated[float, AfterValidator(_usable_alpha)] = 0.5
    """Which divergence `fgan_alpha` is; not 0, nor above 0.85 up to 1."""
    penalty: PenaltyName = "none"
    """Penalty on D, added to its loss."""
    penalty_weight: PositiveFloat | None = None
    """λ of the penalty; of `r1`, `r2` and `r1_r2` γ, which is halved. null: 10, of `lecam` 0.3."""
    penalty_schedule: ScheduleName = "constant"
    """How `penalty_weight` goes to `penalty_final` times itself over the trial."""
    penalty_final: NonNegativeFloat = 0.0
    """What `penalty_weight` is multiplied by at the end of its schedule."""

    d_steps: PositiveInt = 1
    """Updates of D in a row, in each round."""
    g_steps: PositiveInt = 1
    """Updates of G in a row, in each round."""
    simultaneous: bool = False
    """Whether both gradients are taken before either network moves."""
    warmup_d_steps: PositiveInt | None = None
    """Updates of D in a round of warm-up; null: no warm-up. WGAN's authors: 100."""
    warmup_rounds: NonNegativeInt = 25
    """Rounds of warm-up at the start."""
    warmup_every: PositiveInt | None = None
    """Every so many rounds one more is of warm-up; null: none. WGAN's authors: 500."""

    weight_clip: PositiveFloat | None = None
    """Bound on the absolute value of each weight of D; null: off."""
    g_weight_clip: PositiveFloat | None = None
    """Bound on the absolute value of each weight of G; null: off."""
    weight_clip_scope: WeightClipScopeName = "all"
    """What weight clipping bounds; `weights`: no biases, and nothing of norms."""
    spectral_norm: bool = False
    """Whether each layer of D is divided by its largest singular value."""
    d_grad_clip: PositiveFloat | None = None
    """Bound on the L2 norm of D's gradient; null: off."""
    g_grad_clip: PositiveFloat | None = None
    """Bound on the L2 norm of G's gradient; null: off."""

    optimizer: OptimizerName = "adam"
    """Optimiser of both networks."""
    d_optimizer: OptimizerName | None = None
    """Optimiser of D; null: `optimizer`."""
    g_optimizer: OptimizerName | None = None
    """Optimiser of G; null: `optimizer`."""
    d_lr: PositiveFloat = 2e-4
    """Learning rate of D."""
    g_lr: PositiveFloat = 2e-4
    """Learning rate of G."""
    lr_schedule: ScheduleName = "constant"
    """How both learning rates go to `lr_final` times themselves over the trial."""
    lr_final: NonNegativeFloat = 0.0
    """What both learning rates are multiplied by at the end of their schedule."""
    beta1: Decay = 0.5
    """Decay of the mean gradient, of `adam` and `adamw`."""
    beta2: Decay = 0.999
    """Decay of the mean squared gradient, of `adam` and `adamw`."""
    momentum: Decay = 0.0
    """Momentum of `rmsprop` and `sgd`."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight decay of both networks: decoupled in `adamw`, else an L2 term."""

    batch_size: PositiveInt = 128
    """Real samples, and as many generated ones, in an update; packs if `pack` > 1."""
    latent_dim: PositiveInt = 16
    """Length of the latent vector that G makes a sample of."""
    ema: Decay | None = None
    """Decay of the average of G's weights, per update of G; null: no average."""
    pack: Annotated[int, Field(ge=1, le=4)] = 1
    """Samples that D judges together, as PacGAN; 1: each by itself."""
    instance_noise: NonNegativeFloat = 0.0
    """Noise on what D sees, in standard deviations of the data; falls to 0 over the trial."""
    diffaugment: Annotated[str, AfterValidator(_known_augmentations)] | None = None
    """Augmentations of what D sees, such as `color,translation,cutout`; null: none."""

    conditioning: ConditioningName = "none"
    """How the networks use labels; `concat` and `projection` take condition vectors, too."""
    class_weight: PositiveFloat = 1.0
    """Weight of the classification loss of `acgan` and `sgan`."""
    labelled: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of the training labels that `sgan` may see."""
    kl_weight: PositiveFloat = 1.0
    """Weight of the KL term of a `vae`: the β of a β-VAE."""

    dtype: DtypeName = "fp32"
    """Precision of the networks; losses and penalties are always in fp32."""
    compile: bool = False
    """Whether networks go through `torch.compile`."""
    channels_last: bool = False
    """Whether images lie in memory with their channels last."""
    graphs: GraphsName = "off"
    """Whether updates are CUDA graphs; `auto`: where they can be. Not yet measured on any GPU."""
    seed: Seed = 0
    """Seed of the trial; where the file does not set it, each trial has one of its own."""

    @property
    def given(self) -> dict[str, Any]:
        """What the file says, without the defaults."""
        return self.model_dump(exclude_unset=True)

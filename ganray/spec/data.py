"""The `data` part of a sweep file: each data set with its options and what is known of it."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from ganray.spec.parameters import Part, Seed

Shape = tuple[int, ...]


class Data(Part):
    """What every data set says of itself before it is loaded; None: not known by then."""

    name: str
    seed: Seed = 0

    @property
    def shape(self) -> Shape | None:
        """Of one sample."""
        return None

    @property
    def are_images(self) -> bool | None:
        """Whether samples are images [C, H, W]."""
        return None if self.shape is None else len(self.shape) == 3

    @property
    def samples(self) -> int | None:
        """How many there are to train on."""
        return None

    @property
    def has_labels(self) -> bool | None:
        """Whether each sample has a class."""
        return False

    @property
    def has_conditions(self) -> bool | None:
        """Whether each sample has a class, or a vector that G may be told."""
        return self.has_labels


class Mixture(Data):
    """Gaussians, drawn when a sweep starts."""

    train_size: PositiveInt = 50_000

    @property
    def samples(self) -> int | None:
        """As many as the file says."""
        return self.train_size

    @property
    def has_labels(self) -> bool | None:
        """The component that a sample was drawn from."""
        return True


class Gaussian1dData(Mixture):
    """A normal distribution on the line."""

    name: Literal["gaussian-1d"]
    mean: float = 4.0
    std: PositiveFloat = 1.25

    @property
    def has_labels(self) -> bool | None:
        """One component is no class."""
        return False

    @property
    def shape(self) -> Shape | None:
        """A number."""
        return (1,)


class Mixture1dData(Mixture):
    """Several normal distributions on the line."""

    name: Literal["mixture-1d"]
    means: Annotated[Sequence[float], Field(min_length=1)] = (-4.0, 0.0, 4.0)
    stds: Sequence[PositiveFloat] = (0.5, 0.25, 1.0)
    weights: Sequence[PositiveFloat] = (0.3, 0.3, 0.4)  # relative to one another

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        lengths = [len(self.means), len(self.stds), len(self.weights)]
        if len(set(lengths)) > 1:
            raise PydanticCustomError(
                "lengths",
                "means, stds and weights must be as many; got {lengths}",
                {"lengths": ", ".join(map(str, lengths))},
            )
        return self

    @property
    def shape(self) -> Shape | None:
        """A number."""
        return (1,)


class PlanarData(Mixture):
    """A mixture in the plane, by its own options or as somebody published it."""

    @property
    def shape(self) -> Shape | None:
        """A point of the plane."""
        return (2,)

    @property
    def samples(self) -> int | None:
        """As many as the file says; a variant decides for itself."""
        return None if getattr(self, "variant", None) else self.train_size

    @model_validator(mode="after")
    def _variant_alone(self) -> Self:
        variant: str | None = getattr(self, "variant", None)
        beside = self.model_fields_set - {"name", "variant", "seed"}
        if variant is not None and beside:
            raise PydanticCustomError(
                "variant", f"variant {variant} decides {', '.join(sorted(beside))}; leave them out"
            )
        return self


class RingData(PlanarData):
    """Equal Gaussians, evenly spaced on a circle."""

    name: Literal["ring"]
    modes: Annotated[int, Field(ge=2, le=100)] = 8
    std: PositiveFloat = 0.02
    radius: PositiveFloat = 1.0
    variant: Literal["pacgan", "wgan-gp", "d2gan", "presgan"] | None = None


class GridData(PlanarData):
    """Equal Gaussians on a square grid around 0."""

    name: Literal["grid"]
    modes: Annotated[int, Field(ge=4, le=100)] = 25
    std: PositiveFloat = 0.05
    spacing: PositiveFloat = 2.0
    variant: Literal["pacgan", "wgan-gp", "bourgan"] | None = None

    @model_validator(mode="after")
    def _square(self) -> Self:
        side = round(self.modes**0.5)
        if side * side != self.modes:
            raise PydanticCustomError(
                "not_square",
                f"modes must be a square number, such as 9, 16 or 25; got {self.modes}",
            )
        return self


class Images(Data):
    """Images, every one with its class."""

    @property
    def has_labels(self) -> bool | None:
        """They have."""
        return True


class DigitsData(Images):
    """scikit-learn's handwritten digits: 1,797 real grey images of 8×8 pixels, ten modes."""

    name: Literal["digits"]

    @property
    def shape(self) -> Shape | None:
        """One channel of 8×8."""
        return (1, 8, 8)

    @property
    def samples(self) -> int | None:
        """All but the 500 that are held out."""
        return 1_297


class MnistData(Images):
    """MNIST or Fashion-MNIST from the Hugging Face Hub, or from parquet files in its schema."""

    name: Literal["mnist", "fashion-mnist"]
    path: str | None = None  # a parquet file, or a folder of them; None: the Hub
    size: PositiveInt | None = None  # None: 28; 32: two more black pixels on every side
    heldout: PositiveInt | None = None  # None: the test part

    @property
    def shape(self) -> Shape | None:
        """One channel."""
        side = self.size or 28
        return (1, side, side)


class Cifar10Data(Images):
    """CIFAR-10 from the Hugging Face Hub, or from parquet files in its schema."""

    name: Literal["cifar10"]
    path: str | None = None
    size: PositiveInt | None = None  # None: 32
    heldout: PositiveInt | None = None

    @property
    def shape(self) -> Shape | None:
        """Three channels."""
        side = self.size or 32
        return (3, side, side)


class StackedMnistData(Images):
    """Three or four MNIST digits as the channels of one image: 1,000 or 10,000 modes."""

    name: Literal["stacked-mnist"]
    path: str | None = None
    stacks: Literal[3, 4] = 3
    size: Literal[28, 32] = 28
    train_size: PositiveInt = 128_000

    @property
    def shape(self) -> Shape | None:
        """A channel for each digit."""
        return (self.stacks, self.size, self.size)

    @property
    def samples(self) -> int | None:
        """As many as the file says."""
        return self.train_size


class ImagesData(Images):
    """The user's own images: parquet files with an image column, or a folder of image files."""

    name: Literal["images"]
    path: str
    size: PositiveInt = 32
    channels: Literal[1, 3] = 3
    column: str | None = None  # None: the only image column
    label_column: str | None = None  # None: `label`, if there is one
    heldout: PositiveInt | None = None

    @property
    def shape(self) -> Shape | None:
        """As the file says."""
        return (self.channels, self.size, self.size)

    @property
    def has_labels(self) -> bool | None:
        """Known when they are loaded."""
        return None


class VectorsData(Data):
    """The user's own arrays: a .npy, .npz or .pt file."""

    name: Literal["vectors"]
    path: str
    labels: str | None = None
    conditions: str | None = None
    heldout: PositiveInt | None = None

    @property
    def has_labels(self) -> bool | None:
        """Known when they are loaded: an .npz may hold them."""
        return None


class LoadedData(Data):
    """A data set of any name, once it is loaded and everything is known."""

    name: str
    sample_shape: Shape
    count: int
    labelled: bool
    conditioned: bool

    @property
    def shape(self) -> Shape | None:
        """As it was found."""
        return self.sample_shape

    @property
    def samples(self) -> int | None:
        """As many as were found."""
        return self.count

    @property
    def has_labels(self) -> bool | None:
        """Whether any were found."""
        return self.labelled

    @property
    def has_conditions(self) -> bool | None:
        """Whether any were found."""
        return self.conditioned


DataPart = Annotated[
    Gaussian1dData
    | Mixture1dData
    | RingData
    | GridData
    | DigitsData
    | MnistData
    | Cifar10Data
    | StackedMnistData
    | ImagesData
    | VectorsData,
    Field(discriminator="name"),
]

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
    """Seed of all that is drawn of the data: samples, split, classifier or bins."""

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
    def files(self) -> dict[str, str]:
        """The files and folders that it is read from, by the key that names them."""
        return {}

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
    """Samples to train on; 5,000 more are held out."""

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
    """Mean of the samples."""
    std: PositiveFloat = 1.25
    """Standard deviation of the samples."""

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
    """Mean of each component, which is a mode."""
    stds: Sequence[PositiveFloat] = (0.5, 0.25, 1.0)
    """Standard deviation of each component."""
    weights: Sequence[PositiveFloat] = (0.3, 0.3, 0.4)
    """Weight of each component, relative to the others."""

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
    """How many Gaussians."""
    std: PositiveFloat = 0.02
    """Standard deviation of each Gaussian."""
    radius: PositiveFloat = 1.0
    """Radius of the circle."""
    variant: Literal["pacgan", "wgan-gp", "d2gan", "presgan"] | None = None
    """The ring as this paper published it, with no option beside but the seed; null: your own."""


class GridData(PlanarData):
    """Equal Gaussians on a square grid around 0."""

    name: Literal["grid"]
    modes: Annotated[int, Field(ge=4, le=100)] = 25
    """How many Gaussians: a square number."""
    std: PositiveFloat = 0.05
    """Standard deviation of each Gaussian."""
    spacing: PositiveFloat = 2.0
    """Distance between neighbours."""
    variant: Literal["pacgan", "wgan-gp", "bourgan"] | None = None
    """The grid as this paper published it, with no option beside but the seed; null: your own."""

    @model_validator(mode="after")
    def _square(self) -> Self:
        side = round(self.modes**0.5)
        if side * side != self.modes:
            raise PydanticCustomError(
                "not_square",
                f"modes must be a square number, such as 9, 16 or 25; got {self.modes}",
            )
        return self


def _given(**places: str | None) -> dict[str, str]:
    return {key: place for key, place in places.items() if place is not None}


class Images(Data):
    """Images, every one with its class."""

    @property
    def files(self) -> dict[str, str]:
        """Those of `path`, which only some of them have."""
        return _given(path=getattr(self, "path", None))

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
    path: str | None = None
    """A parquet file as on the Hub, or a folder of them; null: the Hugging Face Hub."""
    size: PositiveInt | None = None
    """Pixels a side; null: 28; 32: with a black border, others are scaled."""
    heldout: PositiveInt | None = None
    """Images to hold out; null: 10,000 of the test part, else a tenth, at most 5,000."""

    @property
    def shape(self) -> Shape | None:
        """One channel."""
        side = self.size or 28
        return (1, side, side)


class Cifar10Data(Images):
    """CIFAR-10 from the Hugging Face Hub, or from parquet files in its schema."""

    name: Literal["cifar10"]
    path: str | None = None
    """A parquet file as on the Hub, or a folder of them; null: the Hugging Face Hub."""
    size: PositiveInt | None = None
    """Pixels a side; null: 32; others are scaled."""
    heldout: PositiveInt | None = None
    """Images to hold out; null: 10,000 of the test part, else a tenth, at most 5,000."""

    @property
    def shape(self) -> Shape | None:
        """Three channels."""
        side = self.size or 32
        return (3, side, side)


class StackedMnistData(Images):
    """Three or four MNIST digits as the channels of one image: 1,000 or 10,000 modes."""

    name: Literal["stacked-mnist"]
    path: str | None = None
    """MNIST as a parquet file as on the Hub, or a folder of them; null: the Hugging Face Hub."""
    stacks: Literal[3, 4] = 3
    """Digits an image: 3 make 1,000 modes, 4 make 10,000."""
    size: Literal[28, 32] = 28
    """Pixels a side; 32: with a black border."""
    train_size: PositiveInt = 128_000
    """Images to train on; 10,000 more are held out."""

    @property
    def shape(self) -> Shape | None:
        """A channel for each digit."""
        return (self.stacks, self.size, self.size)

    @property
    def samples(self) -> int | None:
        """As many as the file says."""
        return self.train_size


class ImagesData(Images):
    """Images of your own: parquet files with an image column, or a folder of image files."""

    name: Literal["images"]
    path: str
    """A parquet file, or a folder of them or of images; sub-folders: labels, or `train`, `test`."""
    size: PositiveInt = 32
    """Pixels a side; the middle square of each image is scaled to it."""
    channels: Literal[1, 3] = 3
    """1: grey, 3: colour."""
    column: str | None = None
    """Column of images in parquet; null: the only one there is."""
    label_column: str | None = None
    """Column of labels in parquet, integers or words; null: `label`, if there is one."""
    heldout: PositiveInt | None = None
    """Images to hold out; null: 10,000 of the test part, else a tenth, at most 5,000."""

    @property
    def shape(self) -> Shape | None:
        """As the file says."""
        return (self.channels, self.size, self.size)

    @property
    def has_labels(self) -> bool | None:
        """Known when they are loaded."""
        return None


class VectorsData(Data):
    """Arrays of your own: a .npy, .npz or .pt file."""

    name: Literal["vectors"]
    path: str
    """A .npy array, a .pt tensor, or an .npz with `x` and, if you like, `labels`, `conditions`."""
    labels: str | None = None
    """A .npy or .pt of integers [N] from 0 on; null: those of the .npz, if any."""
    conditions: str | None = None
    """A .npy or .pt of numbers [N, K] that G is told; null: those of the .npz, if any."""
    heldout: PositiveInt | None = None
    """Samples to hold out; null: 5,000 or a tenth, whichever is fewer."""

    @property
    def files(self) -> dict[str, str]:
        """The samples, and what is beside them."""
        return _given(path=self.path, labels=self.labels, conditions=self.conditions)

    @property
    def has_labels(self) -> bool | None:
        """Known when they are loaded: an .npz may hold them."""
        return None


class UnknownData(Data):
    """A data set of which the file says something wrong, so that nothing is known."""

    name: str = "unknown"

    @property
    def has_labels(self) -> bool | None:
        """Nobody knows."""
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

"""The `networks` part of a sweep file: each architecture with its options and what it takes."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_core import PydanticCustomError

from ganray.spec.parameters import Part
from ganray.spec.problems import shown

NormName = Literal["none", "batch"]
Shape = tuple[int, ...]


def import_path(path: str) -> str:
    """Of code: `package.module:Name`."""
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", path):
        return path
    raise PydanticCustomError(
        "import_path", "must be package.module:Name; got {got}", {"got": shown(path)}
    )


ImportPath = Annotated[str, AfterValidator(import_path)]


class Nets(Part):
    """What every architecture says of itself."""

    name: str

    @property
    def d_batch_norm(self) -> bool:
        """Whether D normalises over the batch, so that it does not judge each sample by itself."""
        return getattr(self, "d_norm", "none") == "batch"

    @property
    def batch_norm(self) -> bool:
        """Whether G or D normalises over the batch."""
        return "batch" in (getattr(self, "g_norm", "none"), getattr(self, "d_norm", "none"))

    def refuses(self, shape: Shape) -> str | None:
        """Why samples of that shape do not fit; None if they do."""
        return None


class MlpNetworks(Nets):
    """Fully connected G and D, for any data."""

    name: Literal["mlp"] = "mlp"
    width: PositiveInt = 128
    """Units of each hidden layer."""
    depth: NonNegativeInt = 2
    """Hidden layers; 0: linear networks."""
    d_width: PositiveInt | None = None
    """Units of each hidden layer of D; null: `width`."""
    d_depth: NonNegativeInt | None = None
    """Hidden layers of D; null: `depth`."""
    g_norm: NormName = "none"
    """Normalisation in G."""
    d_norm: NormName = "none"
    """Normalisation in D; `batch`: D judges batches, so no gradient penalties."""
    d_activation: Literal["leaky_relu", "maxout"] = "leaky_relu"
    """Activation in D."""
    init_std: PositiveFloat | None = None
    """Standard deviation of the initial weights; null: PyTorch's own."""


class ImageNetworks(Nets):
    """Those that take images of certain sides."""

    def refuses(self, shape: Shape) -> str | None:
        """Why samples of that shape do not fit; None if they do."""
        if len(shape) != 3:
            return "takes images, and these data are vectors; use mlp"
        height, width = shape[1:]
        if self._takes(height, width):
            return None
        return f"takes images with {self._sides}; these have {height}×{width}"

    _sides = "any sides"

    def _takes(self, height: int, width: int) -> bool:
        return True


class ConvNetworks(ImageNetworks):
    """A small convolutional pair, for images whose sides are multiples of 4."""

    name: Literal["conv"]
    width: PositiveInt = 32
    """Channels at full resolution."""

    _sides = "sides that are multiples of 4"

    def _takes(self, height: int, width: int) -> bool:
        return height % 4 == 0 and width % 4 == 0


class DcganNetworks(ImageNetworks):
    """DCGAN (Radford et al. 2016), for images of 28, 32 or 64 pixels a side."""

    name: Literal["dcgan"]
    width: PositiveInt = 64
    """Channels next to the image, doubled at each halving of its sides."""
    g_norm: NormName = "batch"
    """Normalisation in G."""
    d_norm: NormName = "none"
    """Normalisation in D; `batch` is the paper's: D judges batches, so no gradient penalties."""

    _sides = "28, 32 or 64 pixels a side"

    def _takes(self, height: int, width: int) -> bool:
        return height == width and height in (28, 32, 64)


class SnganNetworks(ImageNetworks):
    """The residual networks of SNGAN (Miyato et al. 2018), for images of 32 pixels a side."""

    name: Literal["sngan-resnet"]
    g_width: PositiveInt = 256
    """Channels of G."""
    d_width: PositiveInt = 128
    """Channels of D."""

    _sides = "32 pixels a side"

    def _takes(self, height: int, width: int) -> bool:
        return (height, width) == (32, 32)


class ResnetNetworks(ImageNetworks):
    """Small residual networks without any normalisation, after R3GAN's Table 1."""

    name: Literal["resnet"]
    width: PositiveInt = 64
    """Channels at full resolution, doubled at each halving of the sides."""
    depth: PositiveInt = 1
    """Residual blocks at each resolution."""

    _sides = "28 or 32 pixels a side"

    def _takes(self, height: int, width: int) -> bool:
        return height == width and height in (28, 32)


class CustomNetworks(Nets):
    """Networks of your own: `package.module:Name` of what builds G, and D.

    `generator(shape, latent_dim, **g_options)` gives a module [B, latent_dim] -> [B, *shape];
    `discriminator(shape, **d_options)` one [B, *shape] -> logits [B], or, with an attribute
    `features`, -> [B, features], which the conditioned models and autoencoders need.
    """

    name: Literal["custom"]
    generator: ImportPath
    """`package.module:Name` of what builds G, called with `(shape, latent_dim, **g_options)`."""
    discriminator: ImportPath
    """`package.module:Name` of what builds D, called with `(shape, **d_options)`."""
    g_options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of `generator`."""
    d_options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of `discriminator`."""


NetworksPart = Annotated[
    MlpNetworks | ConvNetworks | DcganNetworks | SnganNetworks | ResnetNetworks | CustomNetworks,
    Field(discriminator="name"),
]

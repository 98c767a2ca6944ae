"""What the architectures are made of."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from ganray.errors import NetworkError

Shape = tuple[int, ...]
Weighted = (
    nn.Linear
    | nn.Conv1d
    | nn.Conv2d
    | nn.Conv3d
    | nn.ConvTranspose1d
    | nn.ConvTranspose2d
    | nn.ConvTranspose3d
)


class Trunk(nn.Sequential):
    """All of a discriminator or encoder but its heads: samples [B, *shape] -> [B, features].

    Args:
        layers: one after the other.
        features: how many numbers the last one gives for a sample.
    """

    def __init__(self, *layers: nn.Module, features: int) -> None:
        super().__init__(*layers)
        self.features = features


class Residual(nn.Module):
    """branch(x) + shortcut(x).

    Args:
        branch: what is learned on top.
        shortcut: the way past it; the identity unless shapes change.
    """

    def __init__(self, branch: nn.Sequential, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps [B, C, H, W] -> feature maps."""
        out: Tensor = self.branch(x) + self.shortcut(x)
        return out


def keep(_network: nn.Module, _options: Any) -> None:
    """Leave the initial weights as torch draws them."""


class Architecture(NamedTuple):
    """One kind of networks. `options` is a dataclass of what a sweep file may set beside the name.

    The generator maps latents [B, latent_dim] to samples [B, *shape]; the trunk is shared by
    discriminators and encoders, see `Trunk`.
    """

    options: type[Any]
    generator: Callable[[Shape, int, Any], nn.Module]
    trunk: Callable[[Shape, Any], nn.Module]
    initialise: Callable[[nn.Module, Any], None] = keep  # a whole network, heads included


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; each part then goes back to its own, as some may be frozen."""
    modes = {part: part.training for part in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def mixes_samples(network: nn.Module) -> bool:
    """Whether a network in training normalises over the batch, so that samples sway one another."""
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return any(isinstance(part, norms) and part.training for part in network.modules())


def leaky() -> nn.Module:
    """Leaky ReLU of slope 0.2, as in Radford et al. 2016 (arXiv 1511.06434)."""
    return nn.LeakyReLU(0.2)


def is_image(shape: Shape) -> bool:
    """Whether a shape is [C, H, W]."""
    return len(shape) == 3


def weighted(network: nn.Module) -> Iterator[Weighted]:
    """The linear layers and convolutions of a network."""
    return (module for module in network.modules() if isinstance(module, Weighted))


def normal(network: nn.Module, std: float) -> None:
    """Draw all weights from N(0, std²) and set all biases to 0; norms stay as they are."""
    for layer in weighted(network):
        nn.init.normal_(layer.weight, 0.0, std)
        zero_bias(layer)


def zero_bias(layer: Weighted) -> None:
    """Set the biases to 0, if the layer has any."""
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def need_images(name: str, shape: Shape, sides: Collection[int]) -> None:
    """Refuse all but square images [C, side, side].

    Args:
        name: of the architecture.
        shape: of one sample.
        sides: that it can do.

    Raises:
        NetworkError: anything else.
    """
    if not is_image(shape) or shape[1] != shape[2] or shape[1] not in sides:
        known = " or ".join(str(side) for side in sides)
        raise NetworkError(
            f"networks: {name} needs square images [C, H, W] with sides of {known}; got {shape}"
        )


def need_known(where: str, what: str, value: str, known: Collection[str]) -> None:
    """Refuse a word that is not known.

    Args:
        where: it stands in the sweep file.
        what: it is.
        value: the word.
        known: the words there are.

    Raises:
        NetworkError: the word is not among them.
    """
    if value not in known:
        raise NetworkError(f"{where}: unknown {what} {value!r}. Known: {', '.join(known)}")

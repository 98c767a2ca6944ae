"""Networks as trainers see them: an architecture's parts, wired up for conditions and packing.

Conditions are vectors [B, K], one-hot for classes, or real. A packed discriminator is shown `pack`
samples as one, joined along their first dimension; their conditions come as [B, pack * K], or as
[B * pack, K] with those of one pack in a row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganray.errors import NetworkError
from ganray.gan.networks.layers import Shape, weighted

Judgement = tuple[Tensor, Tensor | None]  # logits [B], class logits [B, K]

CONDITIONED = ("concat", "projection", "acgan")  # conditionings whose G is told the condition


@dataclass(frozen=True)
class Wiring:
    """How networks are put together, whatever their architecture.

    Args:
        conditioning: a name in `HEADS`.
        conditions: size K of the condition vector; 0 without one.
        classes: how many a class head tells apart; 0: as many as the condition is long.
        pack: samples that D judges together.
        spectral_norm: of D's weights.
    """

    conditioning: str = "none"
    conditions: int = 0
    classes: int = 0
    pack: int = 1
    spectral_norm: bool = False


class Generator(nn.Module):
    """Latents [B, latent_dim], and their conditions if it takes any, to samples [B, *shape].

    Args:
        network: latents, joined by the conditions, to samples.
        conditioned: whether it takes conditions; else they are ignored.
    """

    def __init__(self, network: nn.Module, conditioned: bool) -> None:
        super().__init__()
        self.network = network
        self.conditioned = conditioned

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """See the class."""
        samples: Tensor = self.network(join(z, condition) if self.conditioned else z)
        return samples


class Discriminator(nn.Module):
    """Samples [B, *shape], and their conditions, to logits [B] and class logits [B, K] or None.

    Args:
        trunk: samples to features.
        head: features and conditions to the result, see `HEADS`.
        joined: whether the trunk sees the conditions beside the samples.
    """

    def __init__(self, trunk: nn.Module, head: nn.Module, joined: bool) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.joined = joined

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Judgement:
        """See the class."""
        features = self.trunk(join(x, condition) if self.joined else x)
        judgement: Judgement = self.head(features, condition)
        return judgement


class Encoder(nn.Module):
    """Samples [B, *shape], and their conditions if it takes any, to [B, outputs].

    Args:
        trunk: samples, joined by the conditions, to features.
        features: that the trunk gives.
        outputs: numbers for a sample.
        conditioned: whether it takes conditions; else they are ignored.
    """

    def __init__(self, trunk: nn.Module, features: int, outputs: int, conditioned: bool) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(features, outputs)
        self.conditioned = conditioned

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """See the class."""
        codes: Tensor = self.head(self.trunk(join(x, condition) if self.conditioned else x))
        return codes


# --- heads: features [B, F] and conditions to logits [B] and class logits [B, K] or None ----------


class LogitHead(nn.Module):
    """One linear output."""

    def __init__(self, features: int, wiring: Wiring) -> None:
        super().__init__()
        self.logit = nn.Linear(features, 1)

    def forward(self, features: Tensor, condition: Tensor | None) -> Judgement:
        """See above; the condition is ignored."""
        return self.logit(features).squeeze(1), None


class ProjectionHead(LogitHead):
    """psi(phi) + (V y)ᵀ phi, with psi linear and V without a bias.

    Source: Miyato and Koyama 2018 (arXiv 1802.05637).
    """

    def __init__(self, features: int, wiring: Wiring) -> None:
        super().__init__(features, wiring)
        self.projection = nn.Linear(wiring.conditions, features, bias=False)

    def forward(self, features: Tensor, condition: Tensor | None) -> Judgement:
        """See above."""
        directions = self.projection(as_rows(features, condition))
        return self.logit(features).squeeze(1) + (directions * features).sum(1), None


class ClassHead(LogitHead):
    """Beside the logit, linear class logits [B, K] of the same features.

    Source: Odena et al. 2017, section 3 (arXiv 1610.09585); for SGAN, Odena 2016 (arXiv 1606.01583)
    with "fake" kept apart from the classes, so that any loss goes with it.
    """

    def __init__(self, features: int, wiring: Wiring) -> None:
        super().__init__(features, wiring)
        self.classes = nn.Linear(features, wiring.classes or wiring.conditions)

    def forward(self, features: Tensor, condition: Tensor | None) -> Judgement:
        """See above; the condition is ignored."""
        return self.logit(features).squeeze(1), self.classes(features)


class NoHead(nn.Module):
    """For a network that gives logits [B] by itself."""

    def forward(self, logits: Tensor, condition: Tensor | None) -> Judgement:
        """See above; the condition is ignored."""
        return logits, None


HEADS: Mapping[str, Callable[[int, Wiring], nn.Module]] = {
    "none": LogitHead,
    "concat": LogitHead,  # its trunk sees the condition: Mirza and Osindero 2014 (arXiv 1411.1784)
    "projection": ProjectionHead,
    "acgan": ClassHead,
    "sgan": ClassHead,
}


def make_head(trunk: nn.Module, wiring: Wiring) -> nn.Module:
    """The head that fits a trunk, or a network that needs none.

    Raises:
        NetworkError: the conditioning needs features, and the network gives logits.
    """
    if feature_count(trunk) is None and wiring.conditioning in ("none", "concat"):
        return NoHead()
    return HEADS[wiring.conditioning](need_features(trunk, wiring.conditioning), wiring)


def feature_count(trunk: nn.Module) -> int | None:
    """How many features a trunk gives for a sample; None for a network that gives logits."""
    features = getattr(trunk, "features", None)
    return features if isinstance(features, int) else None  # in torchvision it is a module


def need_features(trunk: nn.Module, what_for: str) -> int:
    """How many features a trunk gives for a sample.

    Raises:
        NetworkError: it gives logits.
    """
    features = feature_count(trunk)
    if features is None:
        raise NetworkError(
            f"networks.discriminator: {what_for} needs features; got {type(trunk).__name__} without"
            " an int attribute `features`, which is to map samples to [B, features]"
        )
    return features


# --- conditions -----------------------------------------------------------------------------------


def shown_shape(shape: Shape, wiring: Wiring) -> Shape:
    """The shape [C', ...] of what D's trunk sees: packs of samples, joined by their conditions."""
    extra = wiring.conditions if wiring.conditioning == "concat" else 0
    return (wiring.pack * (shape[0] + extra), *shape[1:])


def join(x: Tensor, condition: Tensor | None) -> Tensor:
    """Append conditions to [B, C, ...] along C: as entries of vectors, as constant planes."""
    rows = as_rows(x, condition)
    planes = rows.view(*rows.shape, *[1] * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat([x, planes], dim=1)


def as_rows(x: Tensor, condition: Tensor | None) -> Tensor:
    """The conditions as one row for each of the B samples, or packs, in `x`."""
    if condition is None:
        raise ValueError("these networks are conditional, and no condition was given")
    return condition.reshape(x.shape[0], -1)


# --- spectral norm --------------------------------------------------------------------------------


def normalise_spectrally(network: nn.Module) -> None:
    """Divide every weight matrix by its largest singular value, as one power iteration has it.

    The projection's too, as its authors do.

    Source: Miyato et al. 2018, algorithm 1 (arXiv 1802.05957).
    """
    for layer in list(weighted(network)):
        if not layer.weight.any():  # such as a residual branch that begins at zero:
            layer.reset_parameters()  # zero has no direction, 0 / 0 would follow
        spectral_norm(layer)

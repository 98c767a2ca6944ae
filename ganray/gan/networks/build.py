"""Building networks from the options of a sweep file.

Images are [C, H, W] with values in [-1, 1].
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganray.errors import NetworkError
from ganray.gan.networks.conv import CONV
from ganray.gan.networks.custom import CUSTOM
from ganray.gan.networks.dcgan import DCGAN
from ganray.gan.networks.layers import Architecture, Shape, need_known
from ganray.gan.networks.mlp import MLP
from ganray.gan.networks.players import (
    CONDITIONED,
    HEADS,
    Discriminator,
    Encoder,
    Generator,
    Wiring,
    make_head,
    need_features,
    normalise_spectrally,
    shown_shape,
)
from ganray.gan.networks.resnet import RESNET
from ganray.gan.networks.sngan import SNGAN

_SEEDING = threading.Lock()  # of torch's generator, which all threads have in common

ARCHITECTURES: Mapping[str, Architecture] = {
    "mlp": MLP,
    "conv": CONV,
    "dcgan": DCGAN,
    "sngan-resnet": SNGAN,
    "resnet": RESNET,
    "custom": CUSTOM,
}
PLAIN = Wiring()


class Networks(NamedTuple):
    """The two players, see `Generator` and `Discriminator`."""

    generator: nn.Module
    discriminator: nn.Module


class Autoencoder(NamedTuple):
    """The two halves, see `Encoder` and `Generator`, which the decoder is."""

    encoder: nn.Module
    decoder: nn.Module


def build_networks(
    options: Mapping[str, object],
    shape: Shape,
    latent_dim: int,
    seed: int,
    wiring: Wiring = PLAIN,
) -> Networks:
    """Build a pair whose initial weights depend on `seed` alone.

    Args:
        options: `name` of the networks and their own options, as in a sweep file.
        shape: of one sample.
        latent_dim: of one latent.
        seed: of the initial weights; torch's global generator is left as it was.
        wiring: conditions, packing and spectral norm.

    Raises:
        NetworkError: the options are wrong, or do not fit the shape or the wiring.
    """
    architecture, own = _chosen(options)
    _check(wiring)
    told = wiring.conditions if wiring.conditioning in CONDITIONED else 0
    with _seeded(seed):
        generator = _generator(architecture, own, shape, latent_dim, told)
        trunk = architecture.trunk(shown_shape(shape, wiring), own)
        head = make_head(trunk, wiring)
        discriminator = Discriminator(trunk, head, wiring.conditioning == "concat")
        architecture.initialise(discriminator, own)
        if wiring.spectral_norm:
            normalise_spectrally(discriminator)
    return Networks(generator, discriminator)


def build_autoencoder(
    options: Mapping[str, object],
    shape: Shape,
    latent_dim: int,
    seed: int,
    *,
    variational: bool,
    conditions: int = 0,
) -> Autoencoder:
    """Build an encoder, which is a discriminator with another head, and a decoder, a generator.

    Args:
        options: as of `build_networks`.
        shape: of one sample.
        latent_dim: of one latent.
        seed: as of `build_networks`.
        variational: whether the encoder gives [B, 2 * latent_dim], or [B, latent_dim].
        conditions: size of the condition vector that both are told; 0 for none.

    Raises:
        NetworkError: the options are wrong or do not fit the shape.
    """
    architecture, own = _chosen(options)
    outputs = (2 if variational else 1) * latent_dim
    joined = shown_shape(shape, Wiring("concat", conditions))
    with _seeded(seed):
        trunk = architecture.trunk(joined, own)
        features = need_features(trunk, "an encoder")
        encoder = Encoder(trunk, features, outputs, conditions > 0)
        architecture.initialise(encoder, own)
        decoder = _generator(architecture, own, shape, latent_dim, conditions)
    return Autoencoder(encoder, decoder)


def latents(count: int, latent_dim: int, generator: torch.Generator) -> Tensor:
    """Standard normal latents, shape [count, latent_dim], on the generator's device."""
    return torch.randn(count, latent_dim, generator=generator, device=generator.device)


def _generator(
    architecture: Architecture, own: Any, shape: Shape, latent_dim: int, conditions: int
) -> Generator:
    network = architecture.generator(shape, latent_dim + conditions, own)
    architecture.initialise(network, own)
    return Generator(network, conditions > 0)


def _chosen(options: Mapping[str, object]) -> tuple[Architecture, Any]:
    """The architecture that is named, and its own options."""
    name = str(options["name"])
    need_known("networks", "networks", name, ARCHITECTURES)
    architecture = ARCHITECTURES[name]
    own = {key: value for key, value in options.items() if key != "name"}
    known = [field.name for field in fields(architecture.options)]
    for key in own:
        need_known("networks", f"option of {name}", key, known)
    return architecture, architecture.options(**own)


def _check(wiring: Wiring) -> None:
    """Refuse what cannot be wired."""
    name = wiring.conditioning
    need_known("conditioning", "conditioning", name, HEADS)
    if name != "none" and wiring.conditions < 1:
        raise NetworkError(f"conditioning: {name} needs conditions; the data have none")
    if name not in ("none", "concat") and wiring.pack > 1:
        raise NetworkError(f"pack: {name} judges single samples; got packs of {wiring.pack}")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from torch's generator of the CPU, where networks are built, as if it had this seed."""
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield

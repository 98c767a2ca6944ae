"""Generators, discriminators and encoders, by the name that a sweep file gives them."""

from ganray.gan.networks.build import (
    ARCHITECTURES,
    Autoencoder,
    Networks,
    build_autoencoder,
    build_networks,
    latents,
)
from ganray.gan.networks.players import CONDITIONED, Wiring

__all__ = [
    "ARCHITECTURES",
    "CONDITIONED",
    "Autoencoder",
    "Networks",
    "Wiring",
    "build_autoencoder",
    "build_networks",
    "latents",
]

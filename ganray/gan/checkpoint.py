"""A trial in a file: all that is needed to go on with it, or to draw samples from it."""

import io
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganray.gan.base import Trainer
from ganray.gan.networks import build_autoencoder, build_networks, latents
from ganray.gan.trainer import wiring
from ganray.trial import TrialConfig, derive_seed

FORMAT = 1


def dump(trainer: Trainer, networks: Mapping[str, object]) -> bytes:
    """The trainer as a file that `torch.load(weights_only=True)` reads.

    Args:
        trainer: between two updates.
        networks: the options that its networks were built with.
    """
    content = {
        "format": FORMAT,
        "config": asdict(trainer.config),
        "networks": dict(networks),
        "shape": list(trainer.data.shape),
        "condition_size": trainer.data.condition_size,
        "state": trainer.state_dict(),
    }
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def load(content: bytes, device: str | torch.device = "cpu") -> dict[str, Any]:
    """What `dump` wrote; its `state` is for `Trainer.load_state_dict`.

    Raises:
        ValueError: the file is of another version of ganray's format.
    """
    found: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    if found.get("format") != FORMAT:
        raise ValueError(f"checkpoint format {found.get('format')!r} is not {FORMAT}")
    return found


def load_generator(checkpoint: Mapping[str, Any]) -> nn.Module:
    """G, by the average of its weights if there is one, or a decoder, in evaluation mode."""
    config = TrialConfig(**checkpoint["config"])
    state = checkpoint["state"]
    networks, shape = checkpoint["networks"], tuple(checkpoint["shape"])
    size, seed = checkpoint["condition_size"], derive_seed(config.seed, "weights")
    if config.model == "gan":
        built = build_networks(networks, shape, config.latent_dim, seed, wiring(config, size))
        generator = built.generator
        weights = state["average"]["module"] if "average" in state else _weights(state)
    else:
        generator = build_autoencoder(
            networks,
            shape,
            config.latent_dim,
            seed,
            variational=config.model == "vae",
            conditions=size if config.conditioning != "none" else 0,
        ).decoder
        prefix = "decoder."
        found = _weights(state).items()
        weights = {n.removeprefix(prefix): w for n, w in found if n.startswith(prefix)}
    generator.load_state_dict(weights)
    return generator.eval()


@torch.no_grad()
def draw(
    checkpoint: Mapping[str, Any], count: int, *, seed: int = 0, label: int | None = None
) -> Tensor:
    """Samples [count, ...] from a checkpoint.

    Args:
        checkpoint: as `load` gives it.
        count: how many.
        seed: of their latents.
        label: the class to draw, for a model that is told classes; None: all in turn.
    """
    config = TrialConfig(**checkpoint["config"])
    rng = torch.Generator().manual_seed(seed)
    noise = latents(count, config.latent_dim, rng)
    conditions = _conditions(count, checkpoint["condition_size"], label)
    samples: Tensor = load_generator(checkpoint)(noise, conditions)
    return samples


def _conditions(count: int, size: int, label: int | None) -> Tensor | None:
    """One-hot vectors [count, size]; a generator that takes none ignores them."""
    if not size:
        return None
    labels = torch.arange(count) % size if label is None else torch.full((count,), label)
    return F.one_hot(labels, size).float()


def _weights(state: Mapping[str, Any]) -> dict[str, Any]:
    weights: dict[str, Any] = state["players"]["g"]["network"]
    return weights

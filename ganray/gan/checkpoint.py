"""A trial in a file: all that is needed to go on with it, or to draw samples from it."""

import copy
import io
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganray.errors import CheckpointError
from ganray.gan.autoencoder import autoencoder_of
from ganray.gan.base import Trainer, evaluated
from ganray.gan.networks import CONDITIONED, latents
from ganray.gan.trainer import networks_of
from ganray.trial import TrialConfig

FORMAT = 2  # 1: optimisers saved what the classes of torch do
EXAMPLES = 100  # of conditions that are no labels, to draw samples by
DECODER = "decoder."


def capture(trainer: Trainer, networks: Mapping[str, object]) -> dict[str, Any]:
    """The trainer as it is now, in a copy that stays as it is while the trainer goes on.

    Args:
        trainer: between two updates.
        networks: the options that its networks were built with.
    """
    captured: dict[str, Any] = _copied(_content(trainer, networks))
    return captured


def dump(
    trainer: Trainer,
    networks: Mapping[str, object],
    session: Mapping[str, object] | None = None,
) -> bytes:
    """The trainer as a file that `torch.load(weights_only=True)` reads.

    Args:
        trainer: between two updates.
        networks: the options that its networks were built with.
        session: what else is needed to go on: plain types and tensors; `load` gives it back.
    """
    return serialize({**capture(trainer, networks), "session": session})


def serialize(captured: Mapping[str, Any]) -> bytes:
    """What `capture` gave, as the file that `dump` would have given then."""
    out = io.BytesIO()
    torch.save(captured, out)
    return out.getvalue()


def _copied(value: Any) -> Any:
    """A copy in which no tensor is a view: that would be copied, and saved, with all it is of."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if not isinstance(value, dict):
        return copy.deepcopy(value)
    copied = copy.copy(value)  # of a module's state, with its versions
    copied.update({key: _copied(item) for key, item in value.items()})
    return copied


def _content(trainer: Trainer, networks: Mapping[str, object]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "config": asdict(trainer.config),
        "networks": dict(networks),
        "shape": list(trainer.data.shape),
        "conditions": trainer.data.condition_size,
        "classes": trainer.data.classes,
        "examples": trainer.data.condition_examples(EXAMPLES),
        "state": trainer.state_dict(),
    }


def load(content: bytes, device: str | torch.device = "cpu") -> dict[str, Any]:
    """What `dump` wrote; its `state` is for `Trainer.load_state_dict`.

    Raises:
        CheckpointError: the file is none, or of another version of ganray's format.
    """
    try:
        found = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"this is no checkpoint: {cause}") from None
    made_by = found.get("format") if isinstance(found, dict) else None
    if made_by != FORMAT:
        raise CheckpointError(f"this is a checkpoint of format {made_by}; {FORMAT} is needed")
    checkpoint: dict[str, Any] = found
    return checkpoint


def load_generator(checkpoint: Mapping[str, Any]) -> nn.Module:
    """G, by the average of its weights if there is one, or a decoder, in evaluation mode."""
    config = TrialConfig(**checkpoint["config"])
    state, conditions = checkpoint["state"], checkpoint["conditions"]
    options, shape = checkpoint["networks"], tuple(checkpoint["shape"])
    weights = state["players"]["g"]["network"]
    if config.model == "gan":
        classes = checkpoint["classes"]
        generator = networks_of(config, options, shape, conditions, classes).generator
        weights = state["average"]["module"] if "average" in state else weights
    else:
        generator = autoencoder_of(config, options, shape, conditions).decoder
        of_decoder = [name for name in weights if name.startswith(DECODER)]
        weights = {name.removeprefix(DECODER): weights[name] for name in of_decoder}
    generator.load_state_dict(weights)
    return generator.eval()


def draw(
    checkpoint: Mapping[str, Any], count: int, *, seed: int = 0, label: int | None = None
) -> Tensor:
    """Samples [count, ...] from a checkpoint.

    Args:
        checkpoint: as `load` gives it.
        count: how many.
        seed: of their latents.
        label: the class to draw, for a model that is told classes; None: all in turn.

    Raises:
        CheckpointError: the model is told no such class.
    """
    rng = torch.Generator().manual_seed(seed)
    noise = latents(count, checkpoint["config"]["latent_dim"], rng)
    conditions = _conditions(checkpoint, count, label)
    generator = load_generator(checkpoint)
    return evaluated(generator, generator)(noise, conditions)


def _conditions(checkpoint: Mapping[str, Any], count: int, label: int | None) -> Tensor | None:
    """What to tell G of each sample, shape [count, K]; a G that takes nothing ignores it."""
    examples, classes = checkpoint["examples"], checkpoint["classes"]
    is_told = checkpoint["config"]["conditioning"] in CONDITIONED
    if label is not None and not (is_told and examples is None and label < classes):
        raise CheckpointError(
            f"label {label}: this model is told "
            + (f"classes 0 to {classes - 1}" if is_told and examples is None else "no class")
        )
    if examples is not None:
        picked: Tensor = examples[torch.arange(count) % len(examples)]
        return picked
    if not classes:
        return None
    labels = torch.arange(count) % classes if label is None else torch.full((count,), label)
    return F.one_hot(labels, classes).float()

"""A trained generator as one file that takes nothing but PyTorch to draw samples from."""

import io
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, export, save

from ganray.errors import ExportError
from ganray.gan.checkpoint import load_generator
from ganray.gan.networks import latents
from ganray.trial import GeneratorSignature

TRACED, TRIED = 4, (1, 7)  # samples: batches of any size are to come out alike


class _Drawing(nn.Module):
    """G with labels as they are, not one-hot.

    Args:
        generator: in evaluation mode.
        classes: that labels are of; 0 where it is told vectors, or nothing.
    """

    def __init__(self, generator: nn.Module, classes: int) -> None:
        super().__init__()
        self.generator = generator
        self.classes = classes

    def forward(self, noise: Tensor, told: Tensor | None = None) -> Tensor:
        """See `GeneratorSignature`."""
        if told is not None and self.classes:
            told = F.one_hot(told, self.classes).float()
        samples: Tensor = self.generator(noise, told)
        return samples


def export_generator(checkpoint: Mapping[str, Any]) -> tuple[bytes, GeneratorSignature]:
    """What `checkpoint.draw` draws with, for batches of any size, on the CPU.

    Args:
        checkpoint: as `checkpoint.load` gives it.

    Returns:
        A file for `torch.export.load`, and what it takes: labels in int64, all else in float32.

    Raises:
        ExportError: torch cannot export the network, or not faithfully.
    """
    generator = load_generator(checkpoint)
    is_told, examples = generator.conditioned, checkpoint["examples"]
    classes = checkpoint["classes"] if is_told and examples is None else 0
    conditions = examples.shape[1] if is_told and examples is not None else 0
    signature = GeneratorSignature(
        latent_dim=checkpoint["config"]["latent_dim"],
        shape=tuple(checkpoint["shape"]),
        classes=classes,
        conditions=conditions,
    )
    try:
        return _program(_Drawing(generator, classes), signature), signature
    except ExportError:
        raise
    except Exception as error:  # of many kinds, and none of them documented
        cause = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ExportError(f"torch.export cannot export this generator: {cause}") from None


@torch.no_grad()
def _program(drawing: _Drawing, signature: GeneratorSignature) -> bytes:
    given, batch = _inputs(signature, TRACED), Dim("batch", min=1)
    traced = export(drawing, given, dynamic_shapes=tuple({0: batch} for _ in given), strict=False)
    found = traced.module()
    for count in TRIED:
        tried = _inputs(signature, count)
        if not torch.allclose(_drawn(found, tried), _drawn(drawing, tried), rtol=1e-4, atol=1e-5):
            raise ExportError("the exported generator draws other samples than the one it is of")
    out = io.BytesIO()
    save(traced, out)
    return out.getvalue()


def _drawn(generator: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
    """Its samples, with the same noise each time if it makes noise of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        samples: Tensor = generator(*given)
    return samples


def _inputs(signature: GeneratorSignature, count: int) -> tuple[Tensor, ...]:
    rng = torch.Generator().manual_seed(count)
    noise = latents(count, signature.latent_dim, rng)
    if signature.classes:
        return noise, torch.arange(count) % signature.classes
    if signature.conditions:
        return noise, torch.randn(count, signature.conditions, generator=rng)
    return (noise,)

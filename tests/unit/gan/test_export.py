"""An exported generator draws the samples that its checkpoint draws, with PyTorch alone."""

import io
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import torch
from torch import Tensor

from ganray.errors import ExportError
from ganray.gan.checkpoint import draw, dump, load
from ganray.gan.export import export_generator
from ganray.gan.networks import ARCHITECTURES
from ganray.gan.real import RealData
from ganray.gan.trainer import make_trainer
from ganray.trial import GeneratorSignature, TrialConfig

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = {"name": "mlp", "width": 12, "depth": 1}
WITH_NORM = {**MLP, "g_norm": "batch"}  # whose samples depend on the mode that G is in
CONFIG = TrialConfig(batch_size=8, latent_dim=3, seed=5)
LABELS = torch.arange(64) % 4
POINTS = RealData(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)), LABELS, 4)
IMAGES: Mapping[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "conv": ({}, (1, 8, 8)),
    "dcgan": ({"width": 4}, (1, 28, 28)),
    "resnet": ({"width": 4}, (1, 28, 28)),
    "sngan-resnet": ({"g_width": 4, "d_width": 4}, (3, 32, 32)),
}


def trained(networks: dict[str, Any], data: RealData = POINTS, **changes: Any) -> dict[str, Any]:
    """A checkpoint after some updates."""
    trainer = make_trainer(replace(CONFIG, **changes), networks, data)
    trainer.advance(4)
    return load(dump(trainer, networks))


def drawn(program: bytes, *inputs: Tensor) -> Tensor:
    with torch.no_grad():
        samples: Tensor = torch.export.load(io.BytesIO(program)).module()(*inputs)
    return samples


def noise(count: int) -> Tensor:
    """The latents that `draw` takes with seed 1."""
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize(
    ("changes", "classes"),
    [
        ({}, 0),
        ({"ema": 0.9}, 0),
        ({"dtype": "bf16"}, 0),
        ({"pack": 2}, 0),
        ({"conditioning": "sgan"}, 0),  # only D is told
        ({"conditioning": "concat"}, 4),
        ({"conditioning": "acgan"}, 4),
        ({"model": "vae"}, 0),
        ({"model": "vae", "conditioning": "concat"}, 4),
    ],
    ids=str,
)
def test_samples_are_those_of_the_checkpoint_for_any_batch(
    changes: dict[str, Any], classes: int, count: int
) -> None:
    checkpoint = trained(WITH_NORM, **changes)
    program, signature = export_generator(checkpoint)
    assert signature == GeneratorSignature(latent_dim=3, shape=(2,), classes=classes)
    inputs = [noise(count), torch.arange(count) % classes] if classes else [noise(count)]
    torch.testing.assert_close(drawn(program, *inputs), draw(checkpoint, count, seed=1))


def test_generator_that_is_told_vectors_takes_vectors() -> None:
    vectors = torch.randn(64, 5, generator=torch.Generator().manual_seed(2))
    checkpoint = trained(MLP, RealData(POINTS.samples, conditions=vectors), conditioning="concat")
    program, signature = export_generator(checkpoint)
    assert signature == GeneratorSignature(latent_dim=3, shape=(2,), conditions=5)
    found = drawn(program, noise(6), vectors[:6])
    torch.testing.assert_close(found, draw(checkpoint, 6, seed=1))


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ("mlp", "custom")])
def test_every_architecture_of_images_can_be_exported(name: str) -> None:
    options, shape = IMAGES[name]
    pictures = torch.rand(16, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    checkpoint = trained({"name": name, **options}, RealData(pictures))
    program, signature = export_generator(checkpoint)
    assert signature.shape == shape
    torch.testing.assert_close(drawn(program, noise(3)), draw(checkpoint, 3, seed=1))


# --- networks of the user's own -------------------------------------------------------------------

OWN = """
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self, shape, latent_dim):
        super().__init__()
        self.layer = nn.Linear(latent_dim, shape[0])

    def forward(self, z):
        return self.layer(z)

class Noisy(Plain):
    def forward(self, z):
        return self.layer(z) + torch.randn_like(z[:, :1])

class Undecided(Plain):
    def forward(self, z):
        return self.layer(z) if z.sum() > 0 else -self.layer(z)

class Counting(Plain):
    calls = 0

    def forward(self, z):
        self.calls += 1
        return self.layer(z) * self.calls

class Critic(nn.Sequential):
    def __init__(self, shape):
        super().__init__(nn.Linear(shape[0], 1), nn.Flatten(0))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with `OWN`."""
    name = f"nets_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def of(module: str, generator: str) -> dict[str, Any]:
    names = {"generator": f"{module}:{generator}", "discriminator": f"{module}:Critic"}
    return {"name": "custom", **names}


@pytest.mark.parametrize("generator", ["Plain", "Noisy"])
def test_network_of_ones_own_can_be_exported(generator: str, own: str) -> None:
    program, _ = export_generator(trained(of(own, generator)))
    assert drawn(program, noise(3)).shape == (3, 2)


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        ("Undecided", r"^torch\.export cannot export this generator: \S[^\n]*$"),
        ("Counting", "draws other samples than the one it is of"),
    ],
)
def test_network_that_cannot_be_exported_is_told_in_a_line(
    generator: str, message: str, own: str
) -> None:
    with pytest.raises(ExportError, match=message):
        export_generator(trained(of(own, generator)))

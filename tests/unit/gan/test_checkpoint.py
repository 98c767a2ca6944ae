"""Checkpoints: read without running code, gone on with, and drawn from."""

import io
from dataclasses import replace

import pytest
import torch

from ganray.gan.checkpoint import draw, dump, load
from ganray.gan.real import RealData
from ganray.gan.trainer import make_trainer
from ganray.trial import TrialConfig

MLP = {"name": "mlp", "width": 12, "depth": 1}
CONFIG = TrialConfig(batch_size=8, latent_dim=3, seed=5)
LABELS = torch.arange(64) % 4
POINTS = RealData(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)), LABELS, 4)

every_kind = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema": 0.9},
        {"conditioning": "concat"},
        {"conditioning": "sgan"},
        {"pack": 2, "spectral_norm": True},
        {"model": "vae"},
        {"model": "vae", "conditioning": "concat"},
        {"model": "autoencoder"},
    ],
    ids=str,
)


@every_kind
def test_samples_of_a_checkpoint_are_those_of_the_trainer(changes):
    trainer = make_trainer(replace(CONFIG, **changes), MLP, POINTS)
    trainer.advance(12)
    checkpoint = load(dump(trainer, MLP))
    drawn = draw(checkpoint, 6, seed=1)

    snapshot = trainer.snapshot()
    generate = snapshot.generate_average or snapshot.generate
    latents = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    expected = generate(latents, torch.eye(4)[torch.arange(6) % 4])
    assert torch.equal(drawn, expected)
    assert torch.equal(draw(checkpoint, 6, seed=1), drawn)
    assert not torch.equal(draw(checkpoint, 6, seed=2), drawn)


@every_kind
def test_a_checkpoint_goes_on_where_it_was(changes):
    config = replace(CONFIG, **changes)
    first, resumed = (make_trainer(config, MLP, POINTS) for _ in range(2))
    first.advance(7)
    resumed.load_state_dict(load(dump(first, MLP))["state"])
    for trainer in (first, resumed):
        trainer.advance(5)
    states = [trainer.players["g"].network.state_dict() for trainer in (first, resumed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_class_to_draw_may_be_given():
    trainer = make_trainer(replace(CONFIG, conditioning="concat"), MLP, POINTS)
    checkpoint = load(dump(trainer, MLP))
    all_in_turn, only_2 = draw(checkpoint, 4), draw(checkpoint, 4, label=2)
    assert torch.equal(all_in_turn[2], only_2[2])
    assert not torch.equal(all_in_turn[1], only_2[1])


def test_a_file_of_another_format_is_refused():
    out = io.BytesIO()
    torch.save({"format": 99}, out)
    with pytest.raises(ValueError, match="checkpoint format 99 is not 1"):
        load(out.getvalue())

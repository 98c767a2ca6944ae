"""Checkpoints: read without running code, gone on with, and drawn from."""

import contextlib
import io
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ganray.errors import CheckpointError
from ganray.gan.checkpoint import capture, draw, dump, load, load_generator, serialize
from ganray.gan.real import RealData
from ganray.gan.trainer import make_trainer
from ganray.trial import TrialConfig

MLP = {"name": "mlp", "width": 12, "depth": 1}
WITH_NORM = {**MLP, "g_norm": "batch"}  # whose samples depend on the mode that G is in
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


@pytest.mark.parametrize("networks", [MLP, WITH_NORM], ids=["plain", "with_norm"])
@every_kind
def test_samples_of_a_checkpoint_are_those_of_the_trainer(changes, networks):
    trainer = make_trainer(replace(CONFIG, **changes), networks, POINTS)
    trainer.advance(12)
    checkpoint = load(dump(trainer, networks))
    drawn = draw(checkpoint, 6, seed=1)

    snapshot = trainer.snapshot()
    generate = snapshot.generate_average or snapshot.generate
    latents = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    conditions = torch.eye(4)[torch.arange(6) % 4]
    assert torch.equal(drawn, generate(latents, conditions))
    generator = load_generator(checkpoint)  # in evaluation mode, as the trainer's is measured
    assert torch.equal(generator(latents, conditions), drawn)
    assert not any(part.training for part in generator.modules())
    assert torch.equal(draw(checkpoint, 6, seed=1), drawn)
    assert not torch.equal(draw(checkpoint, 6, seed=2), drawn)


@every_kind
def test_what_was_captured_stays_as_it_was_while_the_trainer_goes_on(changes):
    trainer = make_trainer(replace(CONFIG, **changes), MLP, POINTS)
    trainer.advance(4)
    captured, written = capture(trainer, MLP), dump(trainer, MLP)
    trainer.advance(4)
    then, now = (draw(load(content), 6) for content in (serialize(captured), dump(trainer, MLP)))
    assert torch.equal(then, draw(load(written), 6))
    assert not torch.equal(then, now)
    resumed = make_trainer(replace(CONFIG, **changes), MLP, POINTS)
    resumed.load_state_dict(load(serialize(captured))["state"])
    resumed.advance(4)
    assert torch.equal(draw(load(dump(resumed, MLP)), 6), now)


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


def test_a_class_that_the_model_is_not_told_is_refused():
    plain = load(dump(make_trainer(CONFIG, MLP, POINTS), MLP))
    with pytest.raises(CheckpointError, match="label 1: this model is told no class"):
        draw(plain, 4, label=1)
    told = load(dump(make_trainer(replace(CONFIG, conditioning="concat"), MLP, POINTS), MLP))
    with pytest.raises(CheckpointError, match="label 4: this model is told classes 0 to 3"):
        draw(told, 4, label=4)


def test_a_model_that_is_told_vectors_draws_by_those_of_its_data():
    vectors = torch.randn(64, 5, generator=torch.Generator().manual_seed(2))
    data = RealData(POINTS.samples, conditions=vectors)
    trainer = make_trainer(replace(CONFIG, conditioning="projection"), MLP, data)
    drawn = draw(load(dump(trainer, MLP)), 70, seed=1)
    latents = torch.randn(70, 3, generator=torch.Generator().manual_seed(1))
    expected = trainer.snapshot().generate(latents, vectors[torch.arange(70) % 64])
    assert torch.equal(drawn, expected)


def test_a_class_head_tells_classes_also_where_conditions_are_longer_or_shorter():
    """As of stacked digits: 10 numbers for each digit, 1,000 classes."""
    data = RealData(POINTS.samples, LABELS, 4, torch.eye(7)[LABELS])
    trainer = make_trainer(replace(CONFIG, conditioning="acgan"), MLP, data)
    trainer.advance(4)
    assert trainer.snapshot().classify(POINTS.samples[:3], None).shape == (3, 4)
    assert draw(load(dump(trainer, MLP)), 3).shape == (3, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 99}, "format 99; 2 is needed"),
        ({"format": 1}, "format 1; 2 is needed"),
        ([1], "format None; 2 is needed"),
    ],
)
def test_a_file_of_another_format_is_refused(content, message):
    out = io.BytesIO()
    torch.save(content, out)
    with pytest.raises(CheckpointError, match=message):
        load(out.getvalue())


def test_a_file_that_is_none_is_refused():
    with pytest.raises(CheckpointError, match="this is no checkpoint"):
        load(b"PNG")


class Hostile:
    """What touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize("write", [torch.save, pickle.dump], ids=["torch", "pickle"])
@pytest.mark.parametrize("whole", [True, False], ids=["all of it", "a part"])
def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(write, whole, tmp_path):
    hostile = Hostile(tmp_path / "ran")
    checkpoint = hostile if whole else {"format": 2, "config": {}, "state": {"players": hostile}}
    out = io.BytesIO()
    write(checkpoint, out)
    with pytest.raises(CheckpointError, match="this is no checkpoint"):
        load(out.getvalue())
    assert not (tmp_path / "ran").exists()
    with contextlib.suppress(Exception):  # it is hostile indeed
        torch.load(io.BytesIO(out.getvalue()), weights_only=False)
    assert (tmp_path / "ran").exists()

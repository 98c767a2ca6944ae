"""Which trials may share a cohort, and what is said of those that may not."""

from dataclasses import replace

import pytest
import torch

from ganray.gan.cohort import Cohort
from ganray.gan.fusing import refusal, signature
from ganray.gan.losses import LOSS_NAMES
from ganray.gan.real import RealData
from ganray.trial import TrialConfig

MLP = {"name": "mlp", "width": 8, "depth": 1}
CONFIG = TrialConfig(batch_size=8)

REFUSED = {
    "GANs": {"model": "vae"},
    "penalty": {"penalty": "r1"},
    "spectral norm": {"spectral_norm": True},
    "conditions": {"conditioning": "concat"},
    "packs": {"pack": 2},
    "simultaneous": {"simultaneous": True},
    "augmentation": {"diffaugment": "color"},
    "dtype": {"dtype": "bf16"},
    "compiled": {"compile": True},
    "channels_last": {"channels_last": True},
}
TOLD_APART = [
    {"batch_size": 9},
    {"latent_dim": 9},
    {"optimizer": "sgd"},
    {"d_optimizer": "sgd"},
    {"g_optimizer": "sgd"},
    {"graphs": "auto"},
]
SHARED = [
    *({"loss": loss} for loss in LOSS_NAMES),
    {"fgan_generator": "saturating", "alpha": 0.3},
    {"d_lr": 1.0, "g_lr": 1.0, "beta1": 0.9, "beta2": 0.9, "momentum": 0.9, "weight_decay": 0.1},
    {"weight_clip": 0.1, "g_weight_clip": 0.1, "weight_clip_scope": "weights"},
    {"d_grad_clip": 0.1, "g_grad_clip": 0.1},
    {"d_steps": 5, "g_steps": 2, "warmup_d_steps": 9, "warmup_rounds": 2, "warmup_every": 3},
    {"lr_schedule": "cosine", "lr_final": 0.1, "ema": 0.9, "instance_noise": 0.1, "seed": 9},
]


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_step_together_is_told_with_its_reason(reason):
    config = replace(CONFIG, **REFUSED[reason])
    found = refusal(config, MLP)
    assert found is not None
    assert reason in found
    with pytest.raises(ValueError, match=f"cannot step together with others: .*{reason}"):
        Cohort(2, config, MLP, RealData(torch.zeros(8, 2)))


@pytest.mark.parametrize(
    ("networks", "reason"),
    [
        ({"name": "dcgan"}, "'dcgan'"),
        ({"name": "custom", "generator": "a:b"}, "'custom'"),
        ({**MLP, "g_norm": "batch"}, "batch norm"),
        ({**MLP, "d_norm": "batch"}, "batch norm"),
    ],
)
def test_networks_that_cannot_are_told(networks, reason):
    assert reason in str(refusal(CONFIG, networks))


@pytest.mark.parametrize("changes", SHARED, ids=str)
def test_trials_that_differ_in_numbers_alone_share_a_cohort(changes):
    config = replace(CONFIG, **changes)
    assert refusal(config, MLP) is None
    assert signature(config, MLP) == signature(CONFIG, MLP)


@pytest.mark.parametrize("changes", TOLD_APART, ids=str)
def test_trials_of_other_shapes_have_a_cohort_of_their_own(changes):
    assert signature(replace(CONFIG, **changes), MLP) != signature(CONFIG, MLP)


def test_networks_of_other_options_have_a_cohort_of_their_own():
    assert signature(CONFIG, {**MLP, "width": 9}) != signature(CONFIG, MLP)


def test_every_parameter_of_a_trial_is_shared_told_apart_or_refused():
    """Whoever adds one has to say which."""
    said = {name for changes in (*SHARED, *TOLD_APART, *REFUSED.values()) for name in changes}
    of_others = {"class_weight", "labelled", "kl_weight"}  # of conditions, of a VAE
    of_penalties = {"penalty_weight", "penalty_schedule", "penalty_final"}
    assert said | of_others | of_penalties == set(TrialConfig.__dataclass_fields__)

"""Whatever a sweep file admits trains, and what it refuses it refuses with a reason.

Not every combination of all parameters is tried, but every pair of values stands in some row.
"""

import itertools
import random
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch

from ganray.errors import SpecError
from ganray.gan.real import RealData
from ganray.gan.trainer import make_trainer
from ganray.spec import names
from ganray.spec.combinations import DEPENDENTS, RULES, Context
from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from ganray.spec.parameters import Trainer
from ganray.trial import TrialConfig

pytestmark = pytest.mark.usefixtures("one_thread")

Row = dict[str, Any]

SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "vectors, mlp": ({"name": "ring"}, {"name": "mlp", "width": 8, "depth": 1}),
    "vectors, maxout": (
        {"name": "grid"},
        {"name": "mlp", "width": 8, "g_norm": "batch", "d_activation": "maxout", "init_std": 0.1},
    ),
    "vectors, batch norm": (
        {"name": "ring"},
        {"name": "mlp", "width": 8, "d_norm": "batch", "g_norm": "batch"},
    ),
    "images, mlp": ({"name": "digits"}, {"name": "mlp", "width": 8, "depth": 1}),
    "images, conv": ({"name": "digits"}, {"name": "conv", "width": 2}),
    "images, dcgan": ({"name": "mnist"}, {"name": "dcgan", "width": 2}),
    "images, dcgan, batch norm": (
        {"name": "stacked-mnist", "size": 32},
        {"name": "dcgan", "width": 2, "d_norm": "batch"},
    ),
    "images, sngan": ({"name": "cifar10"}, {"name": "sngan-resnet", "g_width": 4, "d_width": 4}),
    "images, resnet": ({"name": "fashion-mnist"}, {"name": "resnet", "width": 4}),
}

VALUES: dict[str, tuple[Any, ...]] = {
    "setting": tuple(SETTINGS),
    "model": get_args(names.ModelName),
    "loss": get_args(names.LossName),
    "fgan_generator": get_args(names.FganGeneratorName),
    "alpha": (0.5, -1.0, 2.0),
    "penalty": get_args(names.PenaltyName),
    "penalty_weight": (None, 0.1),
    "penalty_schedule": get_args(names.ScheduleName),
    "d_steps": (1, 3),
    "g_steps": (1, 2),
    "simultaneous": (False, True),
    "warmup_d_steps": (None, 4),
    "weight_clip": (None, 0.05),
    "g_weight_clip": (None, 0.5),
    "weight_clip_scope": get_args(names.WeightClipScopeName),
    "spectral_norm": (False, True),
    "d_grad_clip": (None, 0.5),
    "g_grad_clip": (None, 0.5),
    "d_optimizer": get_args(names.OptimizerName),
    "g_optimizer": (None, *get_args(names.OptimizerName)),
    "lr_schedule": get_args(names.ScheduleName),
    "momentum": (0.0, 0.5),
    "weight_decay": (0.0, 0.01),
    "ema": (None, 0.9),
    "pack": (1, 2, 3, 4),
    "instance_noise": (0.0, 0.1),
    "diffaugment": (None, "color,translation,cutout"),
    "conditioning": get_args(names.ConditioningName),
    "labelled": (1.0, 0.2),
    "dtype": get_args(names.DtypeName),
    "channels_last": (False, True),
}
# losses that may explode at once where large networks begin with large logits
EXPONENTIAL = {
    f"fgan_{name}" for name in ("kl", "reverse_kl", "neyman", "hellinger", "jeffrey", "alpha")
}
ROUTINE = {"batch_size", "latent_dim", "seed", "d_lr", "g_lr", "optimizer", "beta1", "beta2"}
ELSEWHERE = {
    *("penalty_final", "lr_final", "warmup_rounds", "warmup_every", "class_weight", "kl_weight"),
    "compile",  # seconds for each; tested by itself
    "graphs",  # for GPUs; tested by itself
}


def spec_of(row: Row) -> SweepSpec:
    data, networks = SETTINGS[row["setting"]]
    trainer = {name: value for name, value in row.items() if name != "setting"}
    search = {"space": {"seed": [0]}}
    budget = {"updates": 20, "reports": 1}
    parts = {"data": data, "networks": networks, "trainer": trainer, "search": search}
    return parse_sweep({"name": "row", "budget": budget, **parts})


CONTEXTS = {
    name: Context(spec.data, spec.networks)
    for name, spec in ((name, spec_of({"setting": name})) for name in SETTINGS)
}
DEFAULTS = {name: info.default for name, info in Trainer.model_fields.items()}


def is_admitted(row: Row) -> bool:
    """Whether no rule refuses a row whose setting is decided, everything else as the default is."""
    values = DEFAULTS | row
    return not any(rule.holds(values, CONTEXTS[row["setting"]]) for rule in RULES)


def pairs_of(row: Row) -> Iterator[tuple[tuple[str, Any], tuple[str, Any]]]:
    yield from itertools.combinations(sorted(row.items(), key=lambda item: item[0]), 2)


def covering_rows() -> tuple[list[Row], set[Any]]:
    """Rows that hold every admitted pair of values, and the pairs that no row could hold."""
    rng = random.Random(0)
    left = {
        pair
        for a, b in itertools.combinations(sorted(VALUES), 2)
        for pair in itertools.product([(a, v) for v in VALUES[a]], [(b, v) for v in VALUES[b]])
    }
    impossible = {pair for pair in left if not any(map(is_admitted, completions(dict(pair))))}
    left -= impossible
    rows = []
    while left:
        row = dict(rng.choice(sorted(left, key=repr)))
        row = rng.choice([r for r in completions(row) if is_admitted(r)])
        for name in rng.sample(sorted(VALUES), len(VALUES)):
            if name not in row:
                row[name] = best_value(name, row, left, rng)
        rows.append(row)
        left -= set(pairs_of(row))
    return rows, impossible


def completions(row: Row) -> Iterator[Row]:
    """The row in every setting, if it has none."""
    yield from [row] if "setting" in row else ({**row, "setting": name} for name in SETTINGS)


def best_value(name: str, row: Row, left: set[Any], rng: random.Random) -> Any:
    """The admitted value that brings most of the pairs that are left."""
    allowed = [value for value in VALUES[name] if is_admitted({**row, name: value})]
    rng.shuffle(allowed)
    return max(allowed, key=lambda value: sum(p in left for p in pairs_of({**row, name: value})))


def without_idle_parts(row: Row) -> Row:
    """A setting that can have no effect is refused, too, so a row leaves it out."""
    full = DEFAULTS | row
    idle = {name for d in DEPENDENTS if not d.matters(full) for name in d.names}
    return {name: value for name, value in row.items() if name not in idle}


def data_of(shape: tuple[int, ...]) -> RealData:
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 3
    if len(shape) == 3:
        samples = torch.randint(256, (40, *shape), generator=rng, dtype=torch.uint8)
    else:
        samples = torch.randn(40, *shape, generator=rng)
    return RealData(samples, labels, 3)


def test_every_parameter_is_in_the_table():
    assert set(VALUES) | ROUTINE | ELSEWHERE == set(Trainer.model_fields) | {"setting"}


def test_every_pair_of_values_that_a_sweep_file_admits_trains_20_updates():
    rows, _impossible = covering_rows()
    for row in rows:
        spec = spec_of(without_idle_parts(row))
        params = {"batch_size": 4, "latent_dim": 3, "d_lr": 1e-5, "g_lr": 1e-5}
        config = TrialConfig(**{**spec.trainer.given, **params})
        shape = spec.data.shape
        assert shape is not None
        trainer = make_trainer(config, spec.networks.model_dump(), data_of(shape), 20)
        trainer.advance(20)
        snapshot = trainer.snapshot()
        assert snapshot.nonfinite is None or config.loss in EXPONENTIAL, row
        conditions = torch.eye(3)[torch.arange(4) % 3]
        samples = snapshot.generate(torch.zeros(4, 3), conditions)
        assert samples.shape == (4, *shape)
        if snapshot.discriminate is not None:
            assert snapshot.discriminate(samples, conditions).shape == (4 // config.pack,)


def test_every_pair_that_is_refused_is_refused_with_a_reason():
    _rows, impossible = covering_rows()
    assert impossible
    for pair in impossible:
        for row in completions(dict(pair)):
            with pytest.raises(SpecError) as refusal:
                spec_of(without_idle_parts(row))
            assert all(len(problem) > 40 for problem in refusal.value.problems)

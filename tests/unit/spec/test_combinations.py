"""Combinations that make no sense are refused, wherever a trial might have them, and no others."""

from typing import Any

import pytest

from ganray.errors import SpecError
from ganray.spec.combinations import DEPENDENTS
from ganray.spec.load import parse_sweep

RING = {"name": "ring"}
DIGITS = {"name": "digits"}
BATCH_NORM = {"name": "mlp", "d_norm": "batch"}


def sweep(trainer: dict[str, Any], space: dict[str, Any] | None = None, **parts: Any) -> Any:
    raw = {"name": "s", "data": RING, "trainer": trainer, **parts}
    return parse_sweep(raw | {"search": {"space": space or {"seed": [0]}}})


def problems(trainer: dict[str, Any], space: dict[str, Any] | None = None, **parts: Any) -> Any:
    with pytest.raises(SpecError) as error:
        sweep(trainer, space, **parts)
    return error.value.problems


# what is refused: the fixed parameters, other parts, where it is told, and words of the reason
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    f"{penalty} with batch norm in D": (
        {"penalty": penalty},
        {"networks": BATCH_NORM},
        "trainer.penalty",
        "batch norm in D mixes samples",
    )
    for penalty in ("wgan_gp", "dragan", "r1", "r2", "r1_r2")
} | {
    "a relativistic loss with batch norm in D": (
        {"loss": "relativistic_paired"},
        {"networks": BATCH_NORM},
        "trainer.loss",
        "normalises apart",
    ),
    "clipped weights under spectral norm": (
        {"weight_clip": 0.1, "spectral_norm": True},
        {},
        "trainer.weight_clip",
        "scale spectral_norm divides out",
    ),
    "packs under a projection": (
        {"pack": 2, "conditioning": "projection"},
        {},
        "trainer.pack",
        "neither a projection nor a class head",
    ),
    "packs under a class head": (
        {"pack": 2, "conditioning": "sgan"},
        {},
        "trainer.pack",
        "neither a projection nor a class head",
    ),
    "simultaneous updates, two of D": (
        {"simultaneous": True, "d_steps": 2},
        {},
        "trainer.simultaneous",
        "needs d_steps: 1",
    ),
    "simultaneous updates after a warm-up": (
        {"simultaneous": True, "warmup_d_steps": 5},
        {},
        "trainer.simultaneous",
        "no warm-up",
    ),
    "a compiled D under a gradient penalty": (
        {"compile": True, "penalty": "r1"},
        {},
        "trainer.compile",
        "no second derivatives",
    ),
    "augmented vectors": ({"diffaugment": "color"}, {}, "trainer.diffaugment", "are vectors"),
    "vectors with channels last": (
        {"channels_last": True},
        {},
        "trainer.channels_last",
        "are vectors",
    ),
    "a VAE with a penalty on D": (
        {"model": "vae", "penalty": "r1"},
        {},
        "trainer.penalty",
        "autoencoders have no part of it",
    ),
    "an autoencoder with a projection": (
        {"model": "autoencoder", "conditioning": "projection"},
        {},
        "trainer.conditioning",
        "needs a D",
    ),
    "a weight for no penalty": ({"penalty_weight": 1.0}, {}, "trainer.penalty_weight", "no effect"),
    "alpha for another loss": (
        {"alpha": 2.0, "loss": "fgan_kl"},
        {},
        "trainer.alpha",
        "has no effect: no loss asks for it",
    ),
    "clipped weights beside the penalty in their place": (
        {"loss": "wgan", "weight_clip": 0.01, "penalty": "wgan_gp"},
        {},
        "trainer.weight_clip",
        "with penalty: 'wgan_gp': clips D's weights, and wgan_gp is the penalty in place of that",
    ),
    "an f-GAN's generator for another loss": (
        {"fgan_generator": "saturating"},
        {},
        "trainer.fgan_generator",
        "no effect",
    ),
    "an odd number of simultaneous updates between reports": (
        {"simultaneous": True},
        {"budget": {"updates": 100, "reports": 20}},
        "budget.updates",
        "100 is no multiple of twice the 20 reports",
    ),
}


@pytest.mark.parametrize(("trainer", "parts", "where", "words"), REFUSED.values(), ids=REFUSED)
def test_combination_is_refused_with_its_reason(
    trainer: dict[str, Any], parts: dict[str, Any], where: str, words: str
) -> None:
    (problem,) = problems(trainer, **parts)
    assert problem.startswith(f"{where}: ")
    assert words in problem


ADMITTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "LeCam with batch norm in D": ({"penalty": "lecam"}, {"networks": BATCH_NORM}),
    "another loss with batch norm in D": ({"loss": "hinge"}, {"networks": BATCH_NORM}),
    "a gradient penalty with batch norm in G": (
        {"penalty": "r1"},
        {"networks": {"name": "mlp", "g_norm": "batch"}},
    ),
    "packs with concatenated conditions": ({"pack": 2, "conditioning": "concat"}, {}),
    "conditions of a mixture's components": ({"conditioning": "acgan"}, {}),
    "a compiled D with LeCam": ({"compile": True, "penalty": "lecam"}, {}),
    "augmented images": ({"diffaugment": "translation,cutout"}, {"data": DIGITS}),
    "a conditional VAE": ({"model": "vae", "conditioning": "concat"}, {}),
    "a VAE whatever D's norm is": ({"model": "vae"}, {"networks": BATCH_NORM}),
    "alpha for its loss": ({"alpha": 2.0, "loss": "fgan_alpha"}, {}),
    "an even number of simultaneous updates": (
        {"simultaneous": True},
        {"budget": {"updates": 80, "reports": 20}},
    ),
}


@pytest.mark.parametrize(("trainer", "parts"), ADMITTED.values(), ids=ADMITTED)
def test_combination_is_admitted(trainer: dict[str, Any], parts: dict[str, Any]) -> None:
    sweep(trainer, **parts)


# --- what is searched -----------------------------------------------------------------------------


def test_searched_values_are_refused_where_they_are_searched() -> None:
    space = {"penalty": ["none", "r1"]}
    (problem,) = problems({}, space, networks=BATCH_NORM)
    assert problem.startswith("search.space.penalty: 'r1': a gradient penalty is of one sample's")


def test_two_searched_parameters_that_may_meet_are_refused() -> None:
    space = {"pack": [1, 4], "conditioning": ["none", "acgan"]}
    (problem,) = problems({}, space)
    assert problem.startswith("search.space.pack: 4 with conditioning: 'acgan': ")


def test_a_condition_keeps_them_apart() -> None:
    pack = {"choices": [1, 4], "when": {"conditioning": ["none"]}}
    sweep({}, {"pack": pack, "conditioning": ["none", "acgan"]})


def test_a_condition_on_a_condition_keeps_them_apart_too() -> None:
    space = {
        "loss": ["hinge", "wgan"],
        "weight_clip": {"low": 0.01, "high": 1.0, "when": {"loss": ["wgan"]}},
        "spectral_norm": {"choices": [True], "when": {"loss": ["hinge"]}},
    }
    sweep({}, space)
    space["spectral_norm"]["when"] = {"loss": ["hinge", "wgan"]}
    (problem,) = problems({}, space)
    assert problem.startswith("search.space.weight_clip: 0.01 with spectral_norm: true: ")


def test_a_condition_that_does_not_hold_leaves_the_fixed_value() -> None:
    """Trials of the other loss have the spectral norm that is fixed."""
    weight_clip = {"low": 0.01, "high": 1.0, "when": {"loss": ["wgan"]}}
    space = {"loss": ["hinge", "wgan"], "weight_clip": weight_clip}
    assert len(problems({"spectral_norm": True}, space)) == 1


def test_every_value_of_a_short_range_is_tried() -> None:
    space = {"d_steps": {"low": 1, "high": 3}}
    budget = {"updates": 80, "reports": 20}
    (problem,) = problems({"simultaneous": True}, space, budget=budget)
    assert problem.startswith("trainer.simultaneous: true with d_steps: 2: ")


def test_both_ends_of_other_ranges_are_tried() -> None:
    clip = {"low": 0.1, "high": 1.0, "log": True}
    (problem,) = problems({"spectral_norm": True}, {"weight_clip": clip})
    assert problem.startswith("search.space.weight_clip: 0.1 with spectral_norm: true: ")
    (problem,) = problems({}, {"batch_size": {"low": 1, "high": 500}}, networks=BATCH_NORM)
    assert problem.startswith("search.space.batch_size: 1: batch norm needs at least two samples")


def test_steps_that_meet_an_alpha_of_no_use_are_refused() -> None:
    alpha = {"low": -1.0, "high": 2.0, "step": 0.5}
    (problem,) = problems({"loss": "fgan_alpha"}, {"alpha": alpha})
    assert problem.startswith("search.space.alpha: 0.0 with loss: 'fgan_alpha': is not an alpha")
    sweep({"loss": "fgan_alpha"}, {"alpha": {"low": 1.5, "high": 3.0, "step": 0.5}})


@pytest.mark.parametrize(
    "bound",
    [
        {"weight_clip": 0.01},
        {"spectral_norm": True},
        *({"penalty": penalty} for penalty in ("wgan_gp", "r1", "lecam")),
    ],
    ids=str,
)
def test_a_critic_needs_something_that_bounds_it(bound: dict[str, Any]) -> None:
    sweep({"loss": "wgan", **bound})
    (problem,) = problems({"loss": "wgan"})
    assert problem.startswith("trainer.loss: 'wgan': grows without bound")


def test_a_condition_bounds_the_critic_where_it_is_one() -> None:
    clip = {"low": 0.01, "high": 1.0, "when": {"loss": ["wgan"]}}
    sweep({}, {"loss": ["hinge", "wgan"], "weight_clip": clip})
    clip["when"] = {"loss": ["hinge"]}
    assert len(problems({}, {"loss": ["hinge", "wgan"], "weight_clip": clip})) == 1


IDLE: list[tuple[dict[str, Any], str]] = [
    ({"penalty_weight": 1.0}, "penalty"),
    ({"penalty_schedule": "linear"}, "penalty"),
    ({"penalty": "r1", "penalty_final": 0.1}, "penalty_schedule"),
    ({"lr_final": 0.1}, "lr_schedule"),
    ({"loss": "hinge", "fgan_generator": "saturating"}, "loss"),
    ({"loss": "fgan_kl", "alpha": 0.5}, "loss"),
    ({"warmup_rounds": 3}, "warmup_d_steps"),
    ({"warmup_every": 3}, "warmup_d_steps"),
    ({"weight_clip_scope": "weights"}, "weight_clip or g_weight_clip"),
    ({"optimizer": "sgd", "beta1": 0.9}, "optimizer or d_optimizer or g_optimizer"),
    ({"optimizer": "sgd", "beta2": 0.9}, "optimizer or d_optimizer or g_optimizer"),
    ({"optimizer": "adam", "momentum": 0.9}, "optimizer or d_optimizer or g_optimizer"),
    ({"conditioning": "concat", "class_weight": 0.5}, "conditioning"),
    ({"conditioning": "acgan", "labelled": 0.5}, "conditioning"),
    ({"model": "autoencoder", "kl_weight": 0.5}, "model"),
]


@pytest.mark.parametrize(("trainer", "parents"), IDLE, ids=str)
def test_what_can_have_no_effect_is_refused_fixed_or_searched(
    trainer: dict[str, Any], parents: str
) -> None:
    name, value = list(trainer.items())[-1]
    told = f"has no effect: no {parents} asks for it"
    assert problems(trainer) == (f"trainer.{name}: {told}",)
    rest = {key: fixed for key, fixed in trainer.items() if key != name}
    assert problems(rest, {name: [value]}) == (f"search.space.{name}: {told}",)


def test_every_dependent_parameter_is_among_these() -> None:
    names = {name for dependent in DEPENDENTS for name in dependent.names}
    assert names == {list(trainer)[-1] for trainer, _ in IDLE}


def test_gan_and_vae_are_rows_of_one_sweep() -> None:
    space = {
        "model": ["gan", "vae"],
        "penalty": {"choices": ["none", "r1"], "when": {"model": ["gan"]}},
        "penalty_weight": {"low": 0.1, "high": 10.0, "log": True, "when": {"penalty": ["r1"]}},
    }
    sweep({}, space)
    del space["penalty"]["when"]
    (problem,) = problems({}, space)
    assert "search it with when: {model: [gan]}" in problem


def test_a_setting_for_one_of_the_searched_values_has_an_effect() -> None:
    sweep({"penalty_weight": 1.0}, {"penalty": ["none", "r1"]})


def test_every_problem_is_told() -> None:
    trainer = {"diffaugment": "color", "channels_last": True, "penalty_weight": 1.0}
    assert len(problems(trainer)) == 3


@pytest.mark.parametrize("policy", ["colour", "color,", "color,color", ""])
def test_augmentations_are_known_ones_each_once(policy: str) -> None:
    (problem,) = problems({"diffaugment": policy}, data=DIGITS)
    assert problem == (
        "trainer.diffaugment: must be one or more of color, translation, cutout, with commas "
        f"between; got '{policy}'"
    )


# --- data and networks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "networks", "words"),
    [
        (RING, "dcgan", "dcgan takes images, and these data are vectors; use mlp"),
        (DIGITS, "dcgan", "dcgan takes images with 28, 32 or 64 pixels a side; these have 8×8"),
        ({"name": "mnist"}, "sngan-resnet", "sngan-resnet takes images with 32 pixels a side"),
        ({"name": "cifar10", "size": 64}, "resnet", "resnet takes images with 28 or 32 pixels"),
        ({"name": "cifar10", "size": 30}, "conv", "sides that are multiples of 4"),
    ],
)
def test_networks_are_refused_for_samples_that_they_do_not_take(
    data: dict[str, Any], networks: str, words: str
) -> None:
    (problem,) = problems({}, data=data, networks={"name": networks})
    assert problem.startswith("networks.name: ")
    assert words in problem


@pytest.mark.parametrize(
    ("data", "networks"),
    [
        ({"name": "mnist"}, "dcgan"),
        ({"name": "mnist", "size": 32}, "sngan-resnet"),
        ({"name": "cifar10"}, "resnet"),
        ({"name": "stacked-mnist"}, "resnet"),
        ({"name": "images", "path": "x", "size": 64}, "dcgan"),
        ({"name": "vectors", "path": "x.npy"}, "mlp"),
    ],
)
def test_networks_are_admitted_for_samples_that_they_take(
    data: dict[str, Any], networks: str
) -> None:
    sweep({}, data=data, networks={"name": networks})


def test_a_published_variant_decides_everything_but_the_seed() -> None:
    sweep({}, data={"name": "grid", "variant": "pacgan", "seed": 3})
    (problem,) = problems({}, data={"name": "grid", "variant": "pacgan", "std": 0.1, "modes": 25})
    assert problem == "data: variant pacgan decides modes, std; leave them out"


def test_lists_of_a_mixture_are_as_long_as_one_another() -> None:
    (problem,) = problems({}, data={"name": "mixture-1d", "means": [0.0, 1.0], "stds": [1.0]})
    assert problem == "data: means, stds and weights must be as many; got 2, 1, 3"


def test_code_is_named_by_module_and_name() -> None:
    custom = {"name": "custom", "generator": "my.nets.G", "discriminator": "my.nets:D"}
    assert problems({}, networks=custom) == (
        "networks.generator: must be package.module:Name; got 'my.nets.G'",
    )
    assert problems({}, measure={"features": "incepton"}) == (
        "measure.features: must be package.module:Name; got 'incepton'",
    )
    sweep({}, measure={"features": "inception"})
    sweep({}, measure={"features": "my.nets:Encoder"})

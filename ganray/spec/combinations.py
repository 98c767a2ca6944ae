"""Combinations of trial parameters that make no sense, each with its reason.

A rule names the parameters that it is about. It is held against every combination of their values
that a sweep file admits, conditions included, so that no trial is ever asked for that could not
train.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ganray.spec.data import Data
from ganray.spec.networks import Nets
from ganray.spec.parameters import Trainer, is_usable_alpha
from ganray.spec.problems import Problem, shown
from ganray.spec.space import Choices, Range

Values = Mapping[str, Any]
Entries = Mapping[str, Choices | Range]

GRADIENT_PENALTIES = ("wgan_gp", "dragan", "r1", "r2", "r1_r2")
RELATIVISTIC = ("relativistic_paired", "relativistic_average")
CLASS_HEADS = ("acgan", "sgan")
FEW = 20  # values of a range that are all tried


class Context(NamedTuple):
    """What trials are trained on and with."""

    data: Data
    networks: Nets


class Rule(NamedTuple):
    """A reason to refuse, and when it holds."""

    parameters: tuple[str, ...]  # the first is the one that the problem is told of
    holds: Callable[[Values, Context], bool]
    reason: str


def _is_gan(values: Values) -> bool:
    return bool(values["model"] == "gan")


def _is_idle(name: str, off: Any, values: Values, _context: Context) -> bool:
    """Whether a part of GAN training is switched on where no GAN is trained."""
    return not _is_gan(values) and values[name] != off


RULES: Sequence[Rule] = (
    Rule(
        ("penalty", "model"),
        lambda v, c: _is_gan(v) and v["penalty"] in GRADIENT_PENALTIES and c.networks.d_batch_norm,
        "a gradient penalty is of one sample's gradient, and batch norm in D mixes samples "
        "(Gulrajani et al. 2017, section 4); set networks.d_norm: none",
    ),
    Rule(
        ("loss", "model"),
        lambda v, c: _is_gan(v) and v["loss"] in RELATIVISTIC and c.networks.d_batch_norm,
        "a relativistic loss compares logits of real and generated batches, which batch norm in D "
        "normalises apart; set networks.d_norm: none",
    ),
    Rule(
        ("batch_size",),
        lambda v, c: v["batch_size"] == 1 and c.networks.batch_norm,
        "batch norm needs at least two samples to normalise over",
    ),
    Rule(
        ("loss", "weight_clip", "spectral_norm", "penalty", "model"),
        lambda v, _: (
            _is_gan(v)
            and v["loss"] == "wgan"
            and v["weight_clip"] is None
            and not v["spectral_norm"]
            and v["penalty"] == "none"
        ),
        "grows without bound unless something keeps D Lipschitz; give weight_clip, spectral_norm "
        "or a penalty such as wgan_gp, for these trials by when: {loss: [wgan]}",
    ),
    Rule(
        ("weight_clip", "penalty", "model"),
        lambda v, _: _is_gan(v) and v["weight_clip"] is not None and v["penalty"] == "wgan_gp",
        "clips D's weights, and wgan_gp is the penalty in place of that, which clipped weights "
        "cannot follow (Gulrajani et al. 2017, section 3); use one of the two, searched by "
        "when: {penalty: [none]}",
    ),
    Rule(
        ("alpha", "loss", "model"),
        lambda v, _: _is_gan(v) and v["loss"] == "fgan_alpha" and not is_usable_alpha(v["alpha"]),
        "is not an alpha to train with; leave out 0, and what is above 0.85 up to 1",
    ),
    Rule(
        ("weight_clip", "spectral_norm"),
        lambda v, _: v["weight_clip"] is not None and v["spectral_norm"],
        "clips weights whose scale spectral_norm divides out again; use one of the two",
    ),
    Rule(
        ("pack", "conditioning"),
        lambda v, _: v["pack"] > 1 and v["conditioning"] in ("projection", *CLASS_HEADS),
        "a pack of samples has as many classes, so neither a projection nor a class head fits it; "
        "use conditioning: concat",
    ),
    Rule(
        ("simultaneous", "d_steps", "g_steps", "warmup_d_steps"),
        lambda v, _: (
            v["simultaneous"]
            and (v["d_steps"] != 1 or v["g_steps"] != 1 or v["warmup_d_steps"] is not None)
        ),
        "takes one step of each network at a time; it needs d_steps: 1, g_steps: 1 and no warm-up",
    ),
    Rule(
        ("compile", "penalty", "model"),
        lambda v, _: v["compile"] and _is_gan(v) and v["penalty"] in GRADIENT_PENALTIES,
        "torch.compile has no second derivatives, which a gradient penalty needs",
    ),
    Rule(
        ("diffaugment",),
        lambda v, c: v["diffaugment"] is not None and c.data.are_images is False,
        "moves and colours images; these data are vectors",
    ),
    Rule(
        ("channels_last",),
        lambda v, c: v["channels_last"] and c.data.are_images is False,
        "is a layout of images; these data are vectors",
    ),
    Rule(
        ("conditioning",),
        lambda v, c: v["conditioning"] != "none" and c.data.has_conditions is False,
        "needs data with labels or condition vectors; these have none",
    ),
    Rule(
        ("conditioning",),
        lambda v, c: (
            v["conditioning"] in CLASS_HEADS
            and (c.data.has_labels, c.data.has_conditions) == (False, True)
        ),
        "tells classes; these data have condition vectors, but no labels",
    ),
    Rule(
        ("conditioning", "model"),
        lambda v, _: not _is_gan(v) and v["conditioning"] not in ("none", "concat"),
        "needs a D, which autoencoders do not have; they take none or concat",
    ),
    *(
        Rule(
            (name, "model"),
            partial(_is_idle, name, off),
            "belongs to training a GAN, and autoencoders have no part of it; search it with "
            "when: {model: [gan]}",
        )
        for name, off in {
            "penalty": "none",
            "pack": 1,
            "simultaneous": False,
            "spectral_norm": False,
            "weight_clip": None,
            "instance_noise": 0.0,
            "diffaugment": None,
            "ema": None,
        }.items()
    ),
)

ADAMS, MOMENTUMS = ("adam", "adamw"), ("rmsprop", "sgd")


class Dependent(NamedTuple):
    """Parameters that mean something only beside certain values of others."""

    names: tuple[str, ...]
    parents: tuple[str, ...]
    matters: Callable[[Values], bool]


def _uses(values: Values, optimizers: Sequence[str]) -> bool:
    sides = (values["d_optimizer"], values["g_optimizer"])
    return any((side or values["optimizer"]) in optimizers for side in sides)


_OPTIMIZERS = ("optimizer", "d_optimizer", "g_optimizer")

DEPENDENTS: Sequence[Dependent] = (
    Dependent(
        ("penalty_weight", "penalty_schedule"), ("penalty",), lambda v: v["penalty"] != "none"
    ),
    Dependent(
        ("penalty_final",), ("penalty_schedule",), lambda v: v["penalty_schedule"] != "constant"
    ),
    Dependent(("lr_final",), ("lr_schedule",), lambda v: v["lr_schedule"] != "constant"),
    Dependent(("fgan_generator",), ("loss",), lambda v: str(v["loss"]).startswith("fgan_")),
    Dependent(("alpha",), ("loss",), lambda v: v["loss"] == "fgan_alpha"),
    Dependent(
        ("warmup_rounds", "warmup_every"),
        ("warmup_d_steps",),
        lambda v: v["warmup_d_steps"] is not None,
    ),
    Dependent(
        ("weight_clip_scope",),
        ("weight_clip", "g_weight_clip"),
        lambda v: v["weight_clip"] is not None or v["g_weight_clip"] is not None,
    ),
    Dependent(("beta1", "beta2"), _OPTIMIZERS, lambda v: _uses(v, ADAMS)),
    Dependent(("momentum",), _OPTIMIZERS, lambda v: _uses(v, MOMENTUMS)),
    Dependent(("class_weight",), ("conditioning",), lambda v: v["conditioning"] in CLASS_HEADS),
    Dependent(("labelled",), ("conditioning",), lambda v: v["conditioning"] == "sgan"),
    Dependent(("kl_weight",), ("model",), lambda v: v["model"] == "vae"),
)


def problems(
    entries: Entries, trainer: Trainer, context: Context, broken: Collection[str] = ()
) -> Iterator[Problem]:
    """Every rule that some admitted combination breaks, and every setting that can have no effect.

    Args:
        entries: the searched parameters.
        trainer: the fixed ones.
        context: the data and networks of the sweep.
        broken: parameters whose values are not known, so that no rule about them is held.
    """
    for rule in RULES:
        if rests_on(rule.parameters, entries, broken):
            continue
        for values in admitted(rule.parameters, entries, trainer):
            if rule.holds(values, context):
                yield Problem(_where(rule.parameters[0], entries), _told(rule, values))
                break
    for dependent in DEPENDENTS:
        if rests_on(dependent.parents, entries, broken):
            continue
        if not any(map(dependent.matters, admitted(dependent.parents, entries, trainer))):
            asked = " or ".join(dependent.parents)
            for name in filter(lambda name: _is_meant(name, entries, trainer), dependent.names):
                yield Problem(_where(name, entries), f"has no effect: no {asked} asks for it")


def _is_meant(name: str, entries: Entries, trainer: Trainer) -> bool:
    """Whether the file gives a parameter for every trial; one with a condition knows its limits."""
    if name in entries:
        return entries[name].when is None
    return name in trainer.model_fields_set


def rests_on(names: Sequence[str], entries: Entries, broken: Collection[str]) -> bool:
    """Whether the values of some parameters depend on one of the broken ones."""
    return any(name in broken for name in _with_parents(names, entries))


def admitted(names: Sequence[str], entries: Entries, trainer: Trainer) -> Iterator[dict[str, Any]]:
    """Every combination of values of some parameters that a trial may have.

    Of a range that is not countable, or long, only its ends are tried.
    """
    wanted = _with_parents(names, entries)
    options = [_values(name, entries, trainer) for name in wanted]
    defaults = {name: getattr(trainer, name) for name in wanted}
    seen = set()
    for combination in itertools.product(*options):
        values = dict(zip(wanted, combination, strict=True))
        for name in wanted:
            if not _applies(name, entries, values):
                values[name] = defaults[name]
        found = {name: values[name] for name in names}
        key = tuple(map(repr, found.values()))
        if key not in seen:
            seen.add(key)
            yield found


def _with_parents(names: Sequence[str], entries: Entries) -> list[str]:
    """The parameters, after all that their conditions depend on."""
    found: list[str] = []
    for name in names:
        when = (entries[name].when or {}) if name in entries else {}
        known = [parent for parent in when if parent in Trainer.model_fields]
        found += [n for n in (*_with_parents(known, entries), name) if n not in found]
    return found


def _values(name: str, entries: Entries, trainer: Trainer) -> list[Any]:
    match entries.get(name):
        case None:
            return [getattr(trainer, name)]
        case Choices(choices=choices):
            return list(choices)
        case Range() as entry:
            return entry.examples(FEW)
    raise TypeError(name)


def _applies(name: str, entries: Entries, values: Values) -> bool:
    when = (entries[name].when or {}) if name in entries else {}
    return all(values[parent] in allowed for parent, allowed in when.items())


def _where(name: str, entries: Entries) -> str:
    return f"search.space.{name}" if name in entries else f"trainer.{name}"


def _told(rule: Rule, values: Values) -> str:
    """The reason, with the values that it is about."""
    first, *others = rule.parameters
    beside = [f"{n}: {shown(values[n])}" for n in others if values[n] != _DEFAULTS[n]]
    with_others = f" with {', '.join(beside)}" if beside else ""
    return f"{shown(values[first])}{with_others}: {rule.reason}"


_DEFAULTS = {name: info.default for name, info in Trainer.model_fields.items()}

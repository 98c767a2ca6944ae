"""Sweep files: the good are read as meant, the bad are refused with every problem at once."""

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import cloudpickle
from ruamel.yaml import YAML

from ganray.errors import SpecError
from ganray.spec.load import dump_sweep, load_prune, load_sweep, parse_sweep
from ganray.spec.models import Prune, SweepSpec
from ganray.spec.names import METRIC_SIGNALS, GraphsName, LossName
from ganray.spec.networks import MlpNetworks
from ganray.spec.parameters import Trainer
from ganray.trial import SIGNALS
from tests.conftest import SMALL, Answer

SWEEPS = Path(__file__).parents[3] / "sweeps"

LOSSES = ", ".join(sorted(get_args(LossName)))
PARTS = (
    "budget, confirm, data, description, measure, name, networks, objective, prune, resources, "
    "search, storage, tracking, trainer"
)
SWEEP_NAME = "at most 100 letters, digits, - and _, starting with a letter or digit"


def nearest(got: str, known: Iterable[str]) -> str:
    """How more names than one would read are told."""
    names = sorted(known)
    near = difflib.get_close_matches(got, names, n=8, cutoff=0.0)
    return f"Nearest of {len(names)}: {', '.join(near)}"


# the example of the design, word for word
EXAMPLE = """\
name: ring                                  # letters, digits, - and _; the name in the study, Tune and MLflow
description: Which loss and D:G ratio cover all eight modes?
data: {name: ring, modes: 8, std: 0.02}
networks: {name: mlp, width: 128, depth: 2}
trainer: {batch_size: 128, beta1: 0.5}      # trial parameters that stay fixed
search:
  sampler: tpe                              # tpe, random, grid, qmc, gp, cmaes
  trials: 24
  concurrency: auto
  seed: 0
  first: [{loss: non_saturating, d_steps: 1}]
  space:                                    # trial parameters that are searched
    loss: [minimax, non_saturating, lsgan, hinge, wgan]                     # a list is choices
    d_lr: {low: 1.0e-5, high: 1.0e-2, log: true}                            # Optuna's words
    weight_clip: {low: 0.001, high: 1.0, log: true, when: {loss: [wgan]}}
objective: {metric: distance, mode: min}
prune: {risk: 0.02, audit: 0.0, then: median}   # health rules; then a stock Optuna pruner for healthy trials, or none
confirm: {top: 0, seeds: 0}
budget: {updates: 10000, reports: 40, hours: null, failures: 5}
resources: {cpu: 1, gpu: auto}              # auto: a GPU share if there are GPUs, else none; an explicit gpu with none to be had is refused
storage: {study: null, results: null}       # URLs or folders; null: beside the results, ~/ray_results
tracking: {uri: null, experiment: ganray}
"""  # noqa: E501


def sweep(space: str = "{loss: [hinge, lsgan]}", search: str = "", **parts: str) -> str:
    """A valid sweep file, in which parts are set, or left out where they are empty."""
    lines = {"name": "s", "data": "{name: ring}", **parts}
    head = "".join(f"{key}: {value}\n" for key, value in lines.items() if value)
    return f"{head}search: {{{search + ', ' if search else ''}space: {space}}}\n"


# what is wrong -> the file, and every line that it is answered with
BROKEN: dict[str, tuple[str, list[str]]] = {
    # --- keys
    "unknown part": (
        sweep(budgets="{updates: 3}"),
        [f"budgets: unknown key 'budgets'; did you mean 'budget'? Known: {PARTS}"],
    ),
    "unknown nested key": (
        sweep(budget="{update: 3}"),
        [
            "budget.update: unknown key 'update'; did you mean 'updates'? "
            "Known: failures, hours, reports, silence_minutes, updates"
        ],
    ),
    "unknown key of a part that may be null": (
        sweep(prune="{audt: 0.1}"),
        ["prune.audt: unknown key 'audt'; did you mean 'audit'? Known: audit, risk, then"],
    ),
    "unknown trial parameter": (
        sweep(trainer="{dlr: 0.1}"),
        [
            "trainer.dlr: unknown key 'dlr'; did you mean 'd_lr'? "
            f"{nearest('dlr', Trainer.model_fields)}"
        ],
    ),
    "unknown option of a data set": (
        sweep(data="{name: ring, mods: 3}"),
        [
            "data.mods: unknown key 'mods'; did you mean 'modes'? "
            "Known: modes, name, radius, seed, std, train_size, variant"
        ],
    ),
    "unknown option of a data set of two names": (
        sweep(data="{name: fashion-mnist, pth: x}"),
        [
            "data.pth: unknown key 'pth'; did you mean 'path'? "
            "Known: heldout, name, path, seed, size"
        ],
    ),
    "unknown metric to measure": (
        sweep(measure="{metrics: [fdi]}"),
        [
            "measure.metrics[0]: unknown metric 'fdi'; did you mean 'fid'? Known: "
            "density_coverage, fid, kid, ndb, precision_recall, published_modes, vendi, wasserstein"
        ],
    ),
    "unknown key of a range": (
        sweep("{d_steps: {low: 1, high: 3, stp: 2}}"),
        [
            "search.space.d_steps.stp: unknown key 'stp'; did you mean 'step'? "
            "Known: high, log, low, step, when"
        ],
    ),
    "key that is a number": (sweep() + "3: x\n", ["keys must be text; got 3"]),
    "key that is null": (sweep() + "null: x\n", ["keys must be text; got null"]),
    "nested key that is true": (
        sweep(trainer="{true: x}"),
        ["trainer: keys must be text; got true"],
    ),
    "nested key that is a number": (
        sweep(trainer="{3: x}"),
        ["trainer: keys must be text; got 3"],
    ),
    "name missing": (sweep(name=""), ["name is missing"]),
    "data missing": (sweep(data=""), ["data is missing"]),
    "name of the data missing": (sweep(data="{modes: 8}"), ["data: name is missing"]),
    "search missing": ("name: s\ndata: {name: ring}\n", ["search is missing"]),
    "space missing": ("name: s\ndata: {name: ring}\nsearch: {}\n", ["search: space is missing"]),
    "upper end missing": (
        sweep("{d_steps: {low: 1}}"),
        ["search.space.d_steps: high is missing"],
    ),
    # --- names
    "misspelt loss among choices": (
        sweep("{loss: [hinge, hinj]}"),
        [f"search.space.loss[1]: unknown loss 'hinj'; did you mean 'hinge'? Known: {LOSSES}"],
    ),
    "misspelt loss among choices spelt out": (
        sweep("{loss: {choices: [hinge, hinj]}}"),
        [
            "search.space.loss.choices[1]: unknown loss 'hinj'; did you mean 'hinge'? "
            f"Known: {LOSSES}"
        ],
    ),
    "misspelt loss under trainer": (
        sweep(trainer="{loss: hinj}"),
        [f"trainer.loss: unknown loss 'hinj'; did you mean 'hinge'? Known: {LOSSES}"],
    ),
    "unknown data set": (
        sweep(data="{name: rng}"),
        [
            "data.name: unknown data set 'rng'; did you mean 'ring'? "
            "Known: cifar10, digits, fashion-mnist, gaussian-1d, grid, images, mixture-1d, "
            "mnist, ring, stacked-mnist, vectors"
        ],
    ),
    "unknown networks": (
        sweep(networks="{name: cnn}"),
        [
            "networks.name: unknown networks 'cnn'. Known: conv, custom, dcgan, mlp, resnet, "
            "sngan-resnet"
        ],
    ),
    "networks that are no name": (
        sweep(networks="{name: true}"),
        [
            "networks.name: unknown networks true. Known: conv, custom, dcgan, mlp, resnet, "
            "sngan-resnet"
        ],
    ),
    "unknown pruner": (
        sweep(prune="{then: medain}"),
        [
            "prune.then: unknown pruner 'medain'; did you mean 'median'? "
            "Known: hyperband, median, none, patient, percentile, successive_halving, "
            "wilcoxon"
        ],
    ),
    "null for a name": (
        sweep(prune="{then: null}"),
        [
            "prune.then: unknown pruner null; did you mean 'none'? "
            "Known: hyperband, median, none, patient, percentile, successive_halving, "
            "wilcoxon"
        ],
    ),
    "name like none of the known ones": (
        sweep(search="sampler: bayes"),
        ["search.sampler: unknown sampler 'bayes'. Known: cmaes, gp, grid, qmc, random, tpe"],
    ),
    "unknown sampler": (
        sweep(search="sampler: randm"),
        [
            "search.sampler: unknown sampler 'randm'; did you mean 'random'? "
            "Known: cmaes, gp, grid, qmc, random, tpe"
        ],
    ),
    "unknown metric": (
        sweep(objective="{metric: distanc}"),
        [
            "objective.metric: unknown metric 'distanc'; did you mean 'distance'? "
            f"{nearest('distanc', SIGNALS)}"
        ],
    ),
    "metric that is neither good nor bad": (
        sweep(objective="{metric: d_loss}"),
        ["objective: d_loss has no better direction; add mode: min or mode: max"],
    ),
    "name that leaves the results folder": (
        sweep(name="../up"),
        [f"name: must be {SWEEP_NAME}; got '../up'"],
    ),
    "name that is too long": (
        sweep(name="n" * 101),
        [f"name: must be {SWEEP_NAME}; got '{'n' * 101}'"],
    ),
    "name that starts like an option": (
        sweep(name="-s"),
        [f"name: must be {SWEEP_NAME}; got '-s'"],
    ),
    "experiment without a name": (
        sweep(tracking="{experiment: ''}"),
        ["tracking.experiment: is empty; give at least one character"],
    ),
    "name that MLflow's registry would refuse": (
        sweep(tracking="{register: a/b}"),
        [
            "tracking.register: must be at most 100 letters, digits, spaces, -, _ and dots, "
            "starting with a letter or digit; got 'a/b'"
        ],
    ),
    "key by the name that the code has for it": (
        sweep(tracking="{register_as: ring}"),
        [
            "tracking.register_as: unknown key 'register_as'; did you mean 'register'? "
            "Known: experiment, register, uri"
        ],
    ),
    # --- types
    "text for a number": (
        sweep(budget="{updates: many}"),
        ["budget.updates: must be a whole number; got 'many'"],
    ),
    "fraction for a whole number": (
        sweep(budget="{updates: 99.5}"),
        ["budget.updates: must be a whole number; got 99.5"],
    ),
    "true for a whole number": (
        sweep(trainer="{d_steps: true}"),
        ["trainer.d_steps: must be a whole number; got true"],
    ),
    "true for a number": (
        sweep(trainer="{d_lr: true}"),
        ["trainer.d_lr: must be a number; got true"],
    ),
    "number for text": (sweep(name="12"), ["name: must be text; got 12"]),
    "list for a mapping": (
        sweep(budget="[1, 2]"),
        ["budget: must be a mapping; got [1, 2]"],
    ),
    "text for a mapping": (sweep(data="ring"), ["data: must be a mapping; got 'ring'"]),
    "mapping for a list": (
        sweep(search="first: {loss: hinge}"),
        ["search.first: must be a list; got {loss: 'hinge'}"],
    ),
    "text for a condition's list": (
        sweep("{loss: [hinge, wgan], weight_clip: {choices: [0.1], when: {loss: wgan}}}"),
        ["search.space.weight_clip.when.loss: must be a list; got 'wgan'"],
    ),
    "fixed value in the space": (
        sweep("{loss: hinge}"),
        [
            "search.space.loss: must be a list of choices or a range such as "
            "{low: 0.1, high: 1.0}; a fixed value belongs under trainer"
        ],
    ),
    "null for a number": (
        sweep(trainer="{d_lr: null}"),
        ["trainer.d_lr: must be a number; got null"],
    ),
    "no value for a part": (sweep(budget="null"), ["budget: must be a mapping; got null"]),
    "list of what is no text": (
        sweep(description="[null, false, 1.5, x, {a: -.inf}]"),
        ["description: must be text; got [null, false, 1.5, 'x', {a: -.inf}]"],
    ),
    # --- numbers
    "not a number": (
        sweep(trainer="{d_lr: .nan}"),
        ["trainer.d_lr: must be a finite number; got .nan"],
    ),
    "infinity": (
        sweep("{d_lr: {low: 0.1, high: .inf}}"),
        ["search.space.d_lr.high: must be a finite number; got .inf"],
    ),
    "negative trials": (
        sweep(search="trials: -3"),
        ["search.trials: must be greater than 0; got -3"],
    ),
    "risk above 1": (sweep(prune="{risk: 1.5}"), ["prune.risk: must be less than 1; got 1.5"]),
    "risk 0": (sweep(prune="{risk: 0.0}"), ["prune.risk: must be greater than 0; got 0.0"]),
    "risk as text": (sweep(prune="{risk: x}"), ["prune.risk: must be a number; got 'x'"]),
    "audit above 1": (sweep(prune="{audit: 2.0}"), ["prune.audit: must be at most 1; got 2.0"]),
    "one mode": (
        sweep(data="{name: ring, modes: 1}"),
        ["data.modes: must be at least 2; got 1"],
    ),
    "seed beyond 31 bits": (
        sweep(trainer="{seed: 3000000000}"),
        ["trainer.seed: must be less than 2147483648; got 3000000000"],
    ),
    "more reports than updates": (
        sweep(budget="{updates: 10, reports: 20}"),
        ["budget: reports 20 is more than updates 10; a report needs at least one update"],
    ),
    "grid that is no square": (
        sweep(data="{name: grid, modes: 24}"),
        ["data: modes must be a square number, such as 9, 16 or 25; got 24"],
    ),
    # --- the space
    "empty space": (
        sweep("{}"),
        ["search.space: is empty; give at least one parameter to search"],
    ),
    "no choices": (sweep("{loss: []}"), ["search.space.loss: is empty; give at least one choice"]),
    "repeated choice": (
        sweep("{loss: [hinge, lsgan, hinge]}"),
        ["search.space.loss: choice 'hinge' is listed twice"],
    ),
    "choice outside the parameter's limits": (
        sweep("{d_lr: [0.1, -0.1]}"),
        ["search.space.d_lr[1]: must be greater than 0; got -0.1"],
    ),
    "range upside down": (
        sweep("{d_lr: {low: 0.1, high: 0.01}}"),
        ["search.space.d_lr: low 0.1 is above high 0.01; swap them"],
    ),
    "log range from 0": (
        sweep("{beta1: {low: 0.0, high: 0.9, log: true}}"),
        ["search.space.beta1: a log range must start above 0; got low 0.0"],
    ),
    "log range with a step": (
        sweep("{d_steps: {low: 1, high: 9, log: true, step: 2}}"),
        ["search.space.d_steps: a log range takes no step; drop one of the two"],
    ),
    "step that misses the upper end": (
        sweep("{d_steps: {low: 1, high: 10, step: 2}}"),
        [
            "search.space.d_steps: step 2 does not lead from low 1 to high 10, "
            "so high could never be tried"
        ],
    ),
    "step 0": (
        sweep("{d_steps: {low: 1, high: 10, step: 0}}"),
        ["search.space.d_steps.step: must be greater than 0; got 0"],
    ),
    "range outside the parameter's limits": (
        sweep("{beta1: {low: 0.1, high: 1.0}}"),
        ["search.space.beta1.high: must be less than 1; got 1.0"],
    ),
    "condition on a parameter that is not there": (
        sweep("{loss: [hinge], beta1: {choices: [0.5], when: {optimizer: [adam]}}}"),
        [
            "search.space.beta1.when.optimizer: depends on 'optimizer', "
            "which is neither searched nor set under trainer"
        ],
    ),
    "condition on a value that is not there": (
        sweep("{loss: [hinge], weight_clip: {choices: [0.1], when: {loss: [wgan]}}}"),
        ["search.space.weight_clip.when.loss: 'wgan' is not among the values of loss"],
    ),
    "conditions in a circle": (
        sweep(
            "{d_steps: {choices: [1, 2], when: {g_steps: [1]}}, "
            "g_steps: {choices: [1, 2], when: {d_steps: [1]}}}"
        ),
        ["search.space: the conditions of d_steps and g_steps go round in a circle"],
    ),
    "conditions in a circle, on which another depends": (
        sweep(
            "{d_steps: {choices: [1, 2], when: {g_steps: [1]}}, "
            "g_steps: {choices: [1, 2], when: {d_steps: [1]}}, "
            "loss: {choices: [hinge], when: {d_steps: [1]}}}"
        ),
        ["search.space: the conditions of d_steps and g_steps go round in a circle"],
    ),
    "grid search of a continuous range": (
        sweep("{d_lr: {low: 0.1, high: 0.2}}", search="sampler: grid"),
        ["search.space.d_lr: a grid needs a list of choices or a range with a step"],
    ),
    # --- first points
    "first point outside a range": (
        sweep("{d_lr: {low: 0.1, high: 0.2}}", search="first: [{d_lr: 0.1}, {d_lr: 0.5}]"),
        ["search.first[1].d_lr: 0.5 is outside search.space.d_lr: 0.1 to 0.2"],
    ),
    "first point between two steps": (
        sweep("{d_steps: {low: 1, high: 9, step: 2}}", search="first: [{d_steps: 4}]"),
        ["search.first[0].d_steps: 4 is outside search.space.d_steps: 1 to 9 in steps of 2"],
    ),
    "first point outside the choices": (
        sweep("{loss: [hinge, lsgan]}", search="first: [{loss: wgan}]"),
        ["search.first[0].loss: 'wgan' is outside search.space.loss: 'hinge', 'lsgan'"],
    ),
    "first point with an unknown parameter": (
        sweep(search="first: [{lss: wgan}]"),
        [
            "search.first[0].lss: unknown key 'lss'; did you mean 'loss'? "
            f"{nearest('lss', Trainer.model_fields)}"
        ],
    ),
    # --- parts against one another
    "convolutions on vectors": (
        sweep(networks="{name: conv}"),
        ["networks.name: conv takes images, and these data are vectors; use mlp"],
    ),
    "confirming with no seeds": (
        sweep(confirm="{top: 2}"),
        [
            "confirm.seeds: must be at least 1 where confirm.top is 2; got 0. "
            "With both at 0 nothing is confirmed"
        ],
    ),
    "confirming nothing": (
        sweep(confirm="{top: 0, seeds: 5}"),
        [
            "confirm.top: must be at least 1 where confirm.seeds is 5; got 0. "
            "With both at 0 nothing is confirmed"
        ],
    ),
    "confirming less than nothing": (
        sweep(confirm="{top: -1, seeds: 5}"),
        ["confirm.top: must be at least 0; got -1"],
    ),
    "two faults in two parts": (
        sweep(data="{name: rng}", search="trials: 0"),
        [
            "data.name: unknown data set 'rng'; did you mean 'ring'? "
            "Known: cifar10, digits, fashion-mnist, gaussian-1d, grid, images, mixture-1d, "
            "mnist, ring, stacked-mnist, vectors",
            "search.trials: must be greater than 0; got 0",
        ],
    ),
    "two faults in one part, and one between others": (
        sweep("{loss: [hinj]}", search="trials: 0", networks="{name: conv}"),
        [
            "search.trials: must be greater than 0; got 0",
            f"search.space.loss[0]: unknown loss 'hinj'; did you mean 'hinge'? Known: {LOSSES}",
            "networks.name: conv takes images, and these data are vectors; use mlp",
        ],
    ),
    "a value and a combination in one part": (
        sweep(trainer="{d_lr: -1.0, weight_clip: 0.1, spectral_norm: true}"),
        [
            "trainer.d_lr: must be greater than 0; got -1.0",
            "trainer.weight_clip: 0.1 with spectral_norm: true: clips weights whose scale "
            "spectral_norm divides out again; use one of the two",
        ],
    ),
    "a searched value and a combination of others": (
        sweep("{d_lr: [0.0], pack: [1, 2], conditioning: [none, sgan]}"),
        [
            "search.space.d_lr[0]: must be greater than 0; got 0.0",
            "search.space.pack: 2 with conditioning: 'sgan': a pack of samples has as many "
            "classes, so neither a projection nor a class head fits it; use conditioning: concat",
        ],
    ),
    "an unknown data set and a combination": (
        sweep(data="{name: ring, std: x}", trainer="{warmup_every: 3}"),
        [
            "data.std: must be a number; got 'x'",
            "trainer.warmup_every: has no effect: no warmup_d_steps asks for it",
        ],
    ),
    "a wrong first point and a first point outside": (
        sweep("{d_steps: [1, 2]}", search="first: [{d_lr: x}, {d_steps: 3}]"),
        [
            "search.first[0].d_lr: must be a number; got 'x'",
            "search.first[1].d_steps: 3 is outside search.space.d_steps: 1, 2",
        ],
    ),
    "a wrong value on which a combination rests": (
        sweep("{seed: [0]}", trainer="{loss: wgan, penalty: gp, penalty_weight: 1.0}"),
        [
            "trainer.penalty: unknown penalty 'gp'. Known: dragan, lecam, none, r1, r1_r2, r2, "
            "wgan_gp"
        ],
    ),
    "a misspelt key on which a combination rests": (
        sweep("{seed: [0]}", trainer="{loss: wgan, weight_clp: 0.1}"),
        [
            "trainer.weight_clp: unknown key 'weight_clp'; did you mean 'weight_clip'? "
            f"{nearest('weight_clp', Trainer.model_fields)}"
        ],
    ),
    "a wrong searched value on which a condition rests": (
        sweep("{optimizer: [adm], beta1: {choices: [0.5], when: {optimizer: [adam]}}}"),
        [
            "search.space.optimizer[0]: unknown optimizer 'adm'; did you mean 'adam'? "
            "Known: adam, adamw, rmsprop, sgd"
        ],
    ),
    "a wrong number of samples": (
        sweep(data="{name: ring, train_size: 0}", trainer="{batch_size: 60000}"),
        ["data.train_size: must be greater than 0; got 0"],
    ),
    "a wrong size of a batch": (
        sweep(data="{name: ring, train_size: 100}", trainer="{batch_size: 0}"),
        ["trainer.batch_size: must be greater than 0; got 0"],
    ),
    "a parameter both fixed and searched": (
        sweep("{d_lr: [0.1, 0.2]}", trainer="{d_lr: 0.1}"),
        ["trainer.d_lr: 0.1 is never used: search.space.d_lr searches it; keep one of the two"],
    ),
    "an objective that nobody measures": (
        sweep(objective="{metric: recall}", measure="{metrics: [fid]}"),
        [
            "objective.metric: recall is not measured; add precision_recall to measure.metrics, "
            "as in metrics: [fid, precision_recall]"
        ],
    ),
    "slots on a part of a GPU": (
        sweep(resources="{slots_per_gpu: 4, gpu: 0.5}"),
        ["resources.gpu: an engine with slots has a whole GPU, or none: 1, 0 or auto; got 0.5"],
    ),
    "fused trials without slots": (
        sweep(resources="{fused: true}"),
        [
            "resources.fused: trials step together in slots; give resources.slots_per_gpu, auto or "
            "a number"
        ],
    ),
    "no slots": (
        sweep(resources="{slots_per_gpu: 0}"),
        ["resources.slots_per_gpu: must be a whole number greater than 0, or null, or auto; got 0"],
    ),
    "data that are not there": (
        sweep(data="{name: images, path: /no/such/pictures}", search="trials: 0"),
        [
            "search.trials: must be greater than 0; got 0",
            "data.path: no such file or folder here: '/no/such/pictures', looked for at "
            "/no/such/pictures",
        ],
    ),
    # --- not a sweep at all
    "empty file": ("", ["is empty; a sweep needs at least name, data and search"]),
    "nothing but a comment": ("# hi\n", ["is empty; a sweep needs at least name, data and search"]),
    "list": (
        "- name: s\n",
        ["must be a mapping of parts such as name, data, search; got a list"],
    ),
    "text": ("hello\n", ["must be a mapping of parts such as name, data, search; got text"]),
    "number": (
        "5\n",
        ["must be a mapping of parts such as name, data, search; got 5"],
    ),
    "true": (
        "true\n",
        ["must be a mapping of parts such as name, data, search; got true"],
    ),
    "second document": (
        sweep() + "---\nname: second\n",
        ["line 4: a second document begins; a sweep file has one"],
    ),
    "tab": ("name: s\ndata:\n\tname: ring\n", ["line 3: a tab; YAML is indented with spaces"]),
    "key given twice": (
        sweep() + "name: t\n",
        ["line 4: the key 'name' stands twice in the same mapping; keep one"],
    ),
    "nested key given twice": (
        sweep("{loss: [hinge], d_steps: [1],\n  loss: [wgan]}"),
        ["line 4: the key 'loss' stands twice in the same mapping; keep one"],
    ),
    "open bracket": (
        "name: s\nsearch: {space: {loss: [hinge}}\n",
        ["line 2: is not YAML: expected ',' or ']', but got '}'"],
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_file_is_refused_with_every_problem_and_nothing_is_created(
    fault: str, here: Path, ganray: Callable[..., Answer]
) -> None:
    text, problems = BROKEN[fault]
    Path("bad.yaml").write_text(text)
    for command in ("validate", "run"):
        answer = ganray(command, "bad.yaml")
        assert answer.err.splitlines() == [f"ganray: bad.yaml: {line}" for line in problems]
        assert answer.out == ""
        assert answer.code == 2
    assert [path.name for path in here.iterdir()] == ["bad.yaml"]
    assert list(Path.home().iterdir()) == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("none.yaml", "no such file"),
        ("folder", "is a folder; give a YAML file"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_path_that_is_no_file_is_refused(
    path: str, problem: str, here: Path, ganray: Callable[..., Answer]
) -> None:
    (here / "folder").mkdir()
    assert ganray("validate", path) == (2, "", f"ganray: {path}: {problem}\n")


def test_file_that_is_not_text_is_refused(here: Path, ganray: Callable[..., Answer]) -> None:
    Path("bad.yaml").write_bytes(b"name: caf\xe9\n")
    answer = ganray("validate", "bad.yaml")
    assert answer == (2, "", "ganray: bad.yaml: is not a text file in UTF-8\n")


@pytest.mark.parametrize(
    "text",
    [
        "name: \x01\n",
        sweep() + "---\nname: second\n",
        "name: *nowhere\n",
        "name: !!python/object/apply:os.getcwd []\n",
        'name: "\\q"\n',
        "{[1]: 2}\n",
        "{{a: 1}: 2}\n",
        "name: s: t\n",
    ],
)
def test_whatever_is_wrong_with_the_yaml_every_line_names_the_file(
    text: str, here: Path, ganray: Callable[..., Answer]
) -> None:
    Path("bad.yaml").write_text(text)
    answer = ganray("validate", "bad.yaml")
    assert answer.code == 2
    assert answer.err
    assert all(line.startswith("ganray: bad.yaml: ") for line in answer.err.splitlines())


@pytest.mark.parametrize("metric", ["[distance]", "{distance: min}"])
def test_metric_that_is_no_text_is_a_problem_like_any_other(metric: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(sweep(objective=f"{{metric: {metric}}}"))
    with pytest.raises(SpecError, match=r"bad\.yaml: objective\.metric: "):
        load_sweep(path)


@pytest.mark.parametrize(
    ("part", "text", "path"),
    [
        ("search", "concurrency: lots", "search.concurrency"),
        ("search", "concurrency: 0", "search.concurrency"),
        ("resources", "{gpu: -1.0}", "resources.gpu"),
        ("resources", "{gpu: all}", "resources.gpu"),
    ],
)
def test_value_that_is_neither_a_number_nor_auto_is_one_problem(
    part: str, text: str, path: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(sweep(**{part: text}))
    with pytest.raises(SpecError, match=f"bad.yaml: {path}: .*auto") as error:
        load_sweep(file)
    assert len(error.value.problems) == 1


def test_condition_on_a_value_that_a_fixed_parameter_cannot_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    space = "{loss: [hinge], beta1: {choices: [0.5], when: {optimizer: [adm]}}}"
    path.write_text(sweep(space, trainer="{optimizer: adam}"))
    with pytest.raises(SpecError, match=r"search\.space\.beta1\.when\.optimizer: .*'adm'"):
        load_sweep(path)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_condition_on_a_fixed_parameter_is_valid_whether_it_holds_or_not(
    optimizer: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.yaml"
    space = "{loss: [hinge], beta1: {choices: [0.5], when: {optimizer: [adam]}}}"
    path.write_text(sweep(space, trainer=f"{{optimizer: {optimizer}}}"))
    assert list(load_sweep(path).search.space.entries) == ["loss", "beta1"]


def test_condition_without_a_value_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(sweep("{loss: [hinge], weight_clip: {choices: [0.1], when: {loss: []}}}"))
    with pytest.raises(SpecError, match=r"when\.loss: is empty; give at least one value$"):
        load_sweep(path)


def test_first_point_may_not_set_what_its_other_values_rule_out(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    space = "{loss: [hinge, wgan], weight_clip: {low: 0.1, high: 1.0, when: {loss: [wgan]}}}"
    path.write_text(sweep(space, search="first: [{loss: hinge, weight_clip: 0.5}]"))
    with pytest.raises(SpecError, match=r"search.first\[0\].weight_clip: "):
        load_sweep(path)


def test_the_example_of_the_design_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "ring.yaml"
    path.write_text(EXAMPLE)
    spec = load_sweep(path)
    assert spec.name == "ring"
    assert spec.data.model_dump()["modes"] == 8
    assert spec.trainer.given == {"batch_size": 128, "beta1": 0.5}
    assert list(spec.search.space.entries) == ["loss", "weight_clip", "d_lr"]
    assert spec.search.first[0].given == {"loss": "non_saturating", "d_steps": 1}
    assert (spec.search.sampler, spec.search.trials, spec.search.concurrency) == ("tpe", 24, "auto")
    assert (spec.objective.metric, spec.objective.direction) == ("distance", "min")
    assert spec.prune is not None
    assert (spec.prune.risk, spec.prune.audit, spec.prune.then) == (0.02, 0.0, "median")
    assert (spec.budget.updates, spec.budget.reports, spec.budget.hours) == (10_000, 40, None)
    assert spec.resources.gpu == "auto"


def test_smallest_sweep_has_the_documented_defaults(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(sweep())
    spec = load_sweep(path)
    assert isinstance(spec.networks, MlpNetworks)
    assert (spec.networks.width, spec.networks.depth) == (128, 2)
    assert (spec.measure.metrics, spec.measure.features) == ([], None)
    assert (spec.search.sampler, spec.search.trials, spec.search.seed) == ("tpe", 20, 0)
    assert spec.prune is not None
    assert (spec.prune.risk, spec.prune.audit, spec.prune.then) == (0.02, 0.0, "median")
    assert (spec.objective.metric, spec.objective.direction) == ("distance", "min")
    assert (spec.budget.updates, spec.budget.reports) == (10_000, 40)
    assert (spec.budget.hours, spec.budget.failures) == (None, 5)
    assert (spec.resources.cpu, spec.resources.gpu) == (1, "auto")
    assert (spec.storage.study, spec.storage.results) == (None, None)
    assert (spec.tracking.uri, spec.tracking.experiment) == (None, "ganray")
    assert spec.tracking.register_as is None


@pytest.mark.parametrize(("text", "value"), [("1e-5", 1e-5), ("1.0e-5", 1e-5), ("3E-4", 3e-4)])
def test_numbers_are_those_of_yaml_1_2(text: str, value: float, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(sweep(trainer=f"{{d_lr: {text}}}"))
    assert load_sweep(path).trainer.d_lr == value


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "y", "NO"])
def test_words_are_text_as_in_yaml_1_2(word: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(sweep(name=word))
    assert load_sweep(path).name == word


@pytest.mark.parametrize("word", get_args(GraphsName))
def test_graphs_are_on_or_off_without_quotes(word: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(sweep(trainer=f"{{graphs: {word}}}"))
    spec = load_sweep(path)
    assert spec.trial_config(0, {}).graphs == word
    path.write_text(dump_sweep(spec))
    assert load_sweep(path).trainer.graphs == word


def test_reports_are_evenly_spaced_and_end_at_the_budget() -> None:
    spec = parse_sweep(SMALL | {"budget": {"updates": 10, "reports": 4}})
    assert spec.budget.report_updates() == [2, 5, 7, 10]


def test_metric_with_a_direction_may_be_turned_round() -> None:
    assert parse_sweep(SMALL | {"objective": {"metric": "modes"}}).objective.direction == "max"
    turned = parse_sweep(SMALL | {"objective": {"metric": "modes", "mode": "min"}})
    assert turned.objective.direction == "min"


def test_whole_number_is_good_where_a_fraction_is_expected() -> None:
    spec = parse_sweep(SMALL | {"trainer": {"d_lr": 1}})
    assert spec.trainer.d_lr == 1.0
    assert isinstance(spec.trainer.d_lr, float)


def test_sweep_can_be_pickled_without_its_classes() -> None:
    spec = load_sweep(SWEEPS / "ring.yaml")
    pickled = cloudpickle.dumps(spec)  # as Ray does
    assert cloudpickle.loads(pickled) == spec
    assert b"Choices" not in pickled


def test_trial_configuration_is_the_file_with_the_searched_values_over_it() -> None:
    spec = parse_sweep(SMALL | {"trainer": {"d_lr": 0.5, "g_lr": 0.25}})
    config = spec.trial_config(3, {"loss": "wgan", "d_lr": 0.125})
    assert (config.loss, config.d_lr, config.g_lr) == ("wgan", 0.125, 0.25)


def test_each_trial_has_a_training_seed_of_its_own_unless_one_is_fixed() -> None:
    spec = parse_sweep(SMALL)
    seeds = [spec.trial_config(number, {}).seed for number in range(50)]
    assert len(set(seeds)) == 50
    assert seeds == [spec.trial_config(number, {}).seed for number in range(50)]
    other = parse_sweep(SMALL | {"search": {**SMALL["search"], "seed": 1}})
    assert not set(seeds) & {other.trial_config(number, {}).seed for number in range(50)}
    fixed = parse_sweep(SMALL | {"trainer": {"seed": 7}})
    assert {fixed.trial_config(number, {}).seed for number in range(5)} == {7}


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_sweep_survives_being_dumped_and_read(path: Path, tmp_path: Path) -> None:
    spec = load_sweep(path)
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_sweep(spec), encoding="utf-8")
    assert load_sweep(copy) == spec
    assert load_sweep(copy).model_fields_set == spec.model_fields_set
    assert SweepSpec.model_validate_json(spec.to_json()) == spec


def test_name_to_register_comes_back_under_its_own_key(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(sweep(tracking="{register: ring-g}"))
    spec = load_sweep(path)
    assert spec.tracking.register_as == "ring-g"
    assert "tracking:\n  register: ring-g\n" in dump_sweep(spec)
    assert SweepSpec.model_validate_json(spec.to_json()) == spec
    assert load_sweep(path, ["tracking.register=other"]).tracking.register_as == "other"


def test_dump_has_what_was_given_and_no_defaults(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(sweep(prune="null"))
    dumped = YAML(typ="safe", pure=True).load(dump_sweep(load_sweep(path)))
    assert dumped == {
        "name": "s",
        "data": {"name": "ring"},
        "prune": None,
        "search": {"space": {"loss": {"choices": ["hinge", "lsgan"]}}},
    }


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "null",
        "1e-5",
        "12",
        "- a",
        "a: b # c",
        " lead and trail ",
        "two\nlines\n",
        "tab\there",
        "'quoted' \"twice\"",
        "{x}",
        "größer – 数 🐍",
        "!tag",
        "",
        "\x07bell",
    ],
)
def test_odd_text_survives_being_dumped_and_read(text: str, tmp_path: Path) -> None:
    _assert_survives(parse_sweep(SMALL | {"description": text}), tmp_path / "s.yaml")


@given(
    # ruamel.yaml reads back a next-line character (U+0085) as a space
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85")),
    low=st.floats(1e-300, 1e300),
    seed=st.integers(0, 2**31 - 1),
)
def test_any_text_and_number_survives_being_dumped_and_read(
    text: str, low: float, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    search = {"seed": seed, "space": {"d_lr": {"low": low, "high": 1e300, "log": True}}}
    spec = parse_sweep(SMALL | {"description": text, "search": search})
    _assert_survives(spec, tmp_path_factory.getbasetemp() / "any.yaml")


def _assert_survives(spec: SweepSpec, path: Path) -> None:
    path.write_text(dump_sweep(spec), encoding="utf-8")
    assert load_sweep(path) == spec
    assert SweepSpec.model_validate_json(spec.to_json()) == spec


# --- policy files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "prune"),
    [
        ("{}", Prune()),
        ("{risk: 0.1, then: none}", Prune(risk=0.1, then="none")),
        ("prune: {risk: null, then: patient}", Prune(risk=None, then="patient")),
        ("prune: null", None),
        (sweep(prune="{then: wilcoxon}"), Prune(then="wilcoxon")),
    ],
)
def test_policy_is_a_prune_section_by_itself_or_in_a_sweep_file(
    text: str, prune: Prune | None, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text(text)
    assert load_prune(tmp_path / "p.yaml") == prune


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty; a policy is a `prune` section, such as {risk: 0.02, then: none}"),
        ("[1]", "must be a mapping of parts such as risk, then; got a list"),
        ("prune: [1]", "prune: must be a mapping; got [1]"),
        ("prune: {risk: 0}", "prune.risk: must be greater than 0; got 0"),
        ("prune: {rsk: 1}", "prune.rsk: unknown key 'rsk'; did you mean 'risk'? "
         "Known: audit, risk, then"),
        ("risk: 7", "risk: must be less than 1; got 7"),
    ],
)  # fmt: skip
def test_wrong_policy_file_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(SpecError) as error:
        load_prune(tmp_path / "p.yaml")
    assert list(error.value.problems) == [f"{tmp_path / 'p.yaml'}: {problem}"]


def test_policy_file_with_a_key_of_no_sweep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("{prune: {risk: 0.1}, budgt: 1}")
    with pytest.raises(SpecError, match=r"budgt: unknown key .*did you mean 'budget'"):
        load_prune(tmp_path / "p.yaml")


def test_every_key_of_every_section_is_suggested_when_it_is_misspelt() -> None:
    """Whatever type a section has: plain, or one that may be null."""
    for part in ("measure", "objective", "prune", "confirm", "budget", "resources", "storage"):
        keys = list(SweepSpec.model_json_schema()["$defs"][part.capitalize()]["properties"])
        for key in keys:
            with pytest.raises(SpecError) as error:
                parse_sweep(SMALL | {part: {f"{key}x": 1}})
            assert f"did you mean '{key}'?" in error.value.problems[0]


def test_a_fixed_value_may_stand_in_for_a_searched_one_that_has_a_condition() -> None:
    clip = {"choices": [0.01], "when": {"loss": ["wgan"]}}
    space = {"loss": ["hinge", "wgan"], "weight_clip": clip}
    spec = parse_sweep(SMALL | {"trainer": {"weight_clip": 0.5}, "search": {"space": space}})
    assert spec.trial_config(0, {"loss": "hinge"}).weight_clip == 0.5


def test_objective_that_is_measured_is_valid() -> None:
    for metric, signals in METRIC_SIGNALS.items():
        for signal in signals:
            parts = {"objective": {"metric": signal}, "measure": {"metrics": [metric]}}
            assert parse_sweep(SMALL | parts).objective.metric == signal


def test_files_of_the_data_must_be_here_only_where_the_sweep_is_to_run_here(here: Path) -> None:
    path = here / "s.yaml"
    path.write_text(sweep(data="{name: vectors, path: x.npy, labels: y.npy}"))
    assert load_sweep(path).data.name == "vectors"
    (here / "x.npy").write_bytes(b"")
    with pytest.raises(SpecError, match=r"data\.labels: no such file or folder here: 'y\.npy'"):
        load_sweep(path, here=True)
    (here / "y.npy").write_bytes(b"")
    assert load_sweep(path, here=True).data.files == {"path": "x.npy", "labels": "y.npy"}

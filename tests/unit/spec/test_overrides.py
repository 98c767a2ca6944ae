"""`--set key=value`: by path, or a trial parameter that is then fixed and no longer searched."""

from pathlib import Path
from typing import Any

import pytest

from ganray.errors import SpecError
from ganray.spec.load import load_sweep
from ganray.spec.models import SweepSpec

FILE = """\
name: s
data: {name: ring}
trainer: {beta1: 0.5}
search:
  first:
    - {loss: wgan, weight_clip: 0.01}
    - {loss: hinge, d_steps: 2}
  space:
    loss: [hinge, wgan]
    d_steps: [1, 2, 5]
    weight_clip: {low: 0.001, high: 1.0, log: true, when: {loss: [wgan]}}
    beta2: {low: 0.9, high: 0.99, when: {loss: [wgan], d_steps: [5]}}
"""


def load(folder: Path, *overrides: str, text: str = FILE) -> SweepSpec:
    path = folder / "s.yaml"
    path.write_text(text)
    return load_sweep(path, overrides)


def searched(spec: SweepSpec) -> dict[str, Any]:
    """Each searched parameter with its condition."""
    return {name: entry.when for name, entry in spec.search.space.entries.items()}


@pytest.mark.parametrize(
    ("override", "part", "key", "value"),
    [
        ("budget.updates=1000", "budget", "updates", 1000),
        ("data.std=5e-2", "data", "std", 0.05),
        ("search.sampler=qmc", "search", "sampler", "qmc"),
        ("tracking.uri=http://host:5000/?a=b", "tracking", "uri", "http://host:5000/?a=b"),
        ("trainer.d_lr=0.25", "trainer", "d_lr", 0.25),
        ("resources.gpu=0", "resources", "gpu", 0.0),
    ],
)
def test_path_sets_one_value_and_keeps_the_rest_of_its_part(
    override: str, part: str, key: str, value: object, tmp_path: Path
) -> None:
    before, after = load(tmp_path), load(tmp_path, override)
    changed = {**getattr(before, part).model_dump(), key: value}
    assert getattr(after, part).model_dump() == changed
    same = [name for name in SweepSpec.model_fields if name != part]
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]


def test_whole_part_may_be_set(tmp_path: Path) -> None:
    assert load(tmp_path, "prune=null").prune is None
    assert load(tmp_path, "name=other").name == "other"
    assert load(tmp_path, "data={name: grid, modes: 9}").data.name == "grid"


def test_later_override_wins(tmp_path: Path) -> None:
    spec = load(tmp_path, "budget.updates=500", "budget.updates=700")
    assert spec.budget.updates == 700


def test_fixed_parameter_leaves_the_space_and_the_first_points(tmp_path: Path) -> None:
    spec = load(tmp_path, "d_steps=5")
    assert spec.trainer.given == {"beta1": 0.5, "d_steps": 5}
    assert "d_steps" not in spec.search.space.entries
    assert [point.given for point in spec.search.first] == [
        {"loss": "wgan", "weight_clip": 0.01},
        {"loss": "hinge"},
    ]


def test_condition_that_a_fixed_parameter_fulfils_is_dropped(tmp_path: Path) -> None:
    spec = load(tmp_path, "loss=wgan")
    assert searched(spec) == {"d_steps": None, "weight_clip": None, "beta2": {"d_steps": [5]}}


def test_condition_that_a_fixed_parameter_fails_takes_the_dependent_one_away(
    tmp_path: Path,
) -> None:
    spec = load(tmp_path, "loss=hinge")
    assert searched(spec) == {"d_steps": None}


def test_parameters_that_depend_on_one_taken_away_go_with_it(tmp_path: Path) -> None:
    chain = "    d_grad_clip: {choices: [1.0], when: {weight_clip: [0.001]}}\n"
    spec = load(tmp_path, "loss=hinge", text=FILE + chain)
    assert searched(spec) == {"d_steps": None}


def test_first_points_do_not_keep_what_was_taken_away(tmp_path: Path) -> None:
    spec = load(tmp_path, "loss=hinge")
    assert [point.given for point in spec.search.first] == [{}, {"d_steps": 2}]
    assert spec.trial_config(0, spec.search.first[0].given).weight_clip is None


def test_parameter_that_was_fixed_already_is_changed(tmp_path: Path) -> None:
    assert load(tmp_path, "beta1=0.0").trainer.given == {"beta1": 0.0}


def test_sweep_with_every_parameter_fixed_has_trials_that_differ_in_their_seeds(
    tmp_path: Path,
) -> None:
    spec = load(tmp_path, "loss=hinge", "d_steps=2")
    assert spec.trainer.given == {"beta1": 0.5, "loss": "hinge", "d_steps": 2}
    assert searched(spec) == {"d_steps": None}
    assert spec.search.space.entries["d_steps"].admits(2)
    assert not spec.search.space.entries["d_steps"].admits(1)


def test_override_may_bring_the_first_value_of_a_part(tmp_path: Path) -> None:
    text = FILE.replace("trainer: {beta1: 0.5}\n", "trainer:\n")
    assert load(tmp_path, "d_lr=0.25", text=text).trainer.given == {"d_lr": 0.25}


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("budget.updates", "--set budget.updates: must be key=value"),
        ("updates=3", "--set updates: is a key of a part; did you mean 'budget.updates'?"),
        ("register=m", "--set register: is a key of a part; did you mean 'tracking.register'?"),
        ("budgt.updates=3", "--set budgt.updates: unknown part 'budgt'; did you mean 'budget'? "),
        ("los=hinge", "--set unknown key 'los'; did you mean 'loss'? Nearest of 60: loss, "),
        ("loss.x=1", "--set loss.x: unknown part 'loss'. Known: budget, "),
        ("d_steps=[1", "--set d_steps=[1: the value is not YAML"),
        ("name.x=1", "--set name.x: name is not a mapping"),
        ("budget.update=3", "budget.update: unknown key 'update'; did you mean 'updates'?"),
        ("loss=hinj", "trainer.loss: unknown loss 'hinj'; did you mean 'hinge'?"),
        ("budget.updates=ten", "budget.updates: must be a whole number; got 'ten'"),
        ("d_steps=", "trainer.d_steps: must be a whole number; got null"),
    ],
)
def test_bad_override_is_refused(override: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        load(tmp_path, override)
    (line,) = error.value.problems
    assert line.startswith(f"{tmp_path / 's.yaml'}: {problem}")


def test_all_bad_overrides_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        load(tmp_path, "nope", "d_lr=[", "updates=3")
    assert len(error.value.problems) == 3


@pytest.mark.parametrize(
    "broken",
    [
        FILE.replace("trainer: {beta1: 0.5}", "trainer: [1]"),
        FILE.replace("when: {loss: [wgan], d_steps: [5]}", "when: {loss: 3}"),
        "name: s\ndata: {name: ring}\nsearch: {first: 3, space: {loss: [hinge]}}\n",
        "name: s\ndata: {name: ring}\nsearch: 3\n",
    ],
)
def test_override_of_a_broken_file_tells_what_is_broken(broken: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"s\.yaml: .*must be a (mapping|list); got"):
        load(tmp_path, "loss=hinge", text=broken)


def test_bad_overrides_and_a_bad_file_are_told_at_once(tmp_path: Path) -> None:
    text = FILE.replace("beta1: 0.5", "beta1: 2.0")
    with pytest.raises(SpecError) as error:
        load(tmp_path, "budgt.updates=1", "budget.reports=0", text=text)
    told = [line.removeprefix(f"{tmp_path / 's.yaml'}: ") for line in error.value.problems]
    assert [line.partition(": ")[0] for line in told] == [
        "--set budgt.updates",
        "trainer.beta1",
        "budget.reports",
    ]

"""A sweep that goes on may use more; it stays the sweep that it is."""

from pathlib import Path

import pytest

from ganray.errors import SpecError
from ganray.tuning.changes import changed
from tests.conftest import small_spec


def test_more_to_use_is_taken(tmp_path: Path) -> None:
    spec = small_spec(tmp_path)
    settings = [
        "search.trials=9",
        "search.concurrency=3",
        "budget.hours=2",
        "budget.failures=7",
        "budget.silence_minutes=5",
        "resources.max_gpus=4",
        "tracking.uri=http://127.0.0.1:5000",
        "description=longer",
    ]
    found = changed(spec, settings, asked=4, confirming=False)
    assert (found.search.trials, found.search.concurrency) == (9, 3)
    assert (found.budget.hours, found.budget.failures, found.budget.silence_minutes) == (2, 7, 5)
    assert (found.resources.max_gpus, found.description) == (4, "longer")
    assert found.search.space == spec.search.space
    assert changed(spec, [], asked=4, confirming=True) == spec


@pytest.mark.parametrize(
    ("settings", "asked", "confirming", "told"),
    [
        (["budget.updates=200"], 4, False, "budget.updates: cannot change when a sweep goes on"),
        (["loss=hinge"], 4, False, "loss: cannot change when a sweep goes on"),
        (["search.seed=1", "data.modes=9"], 4, False, "search.seed, data.modes: cannot change"),
        (["storage.results=/elsewhere"], 4, False, "storage.results: "),
        (["search.trials=3"], 4, False, "search.trials: must be at least 4"),
        (["search.trials=9"], 4, True, "search.trials: the sweep has begun to confirm"),
        (["search.trials=none"], 4, False, "search.trials"),
    ],
)
def test_what_would_make_it_another_sweep_is_refused(
    settings: list[str], asked: int, confirming: bool, told: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=told):
        changed(small_spec(tmp_path), settings, asked=asked, confirming=confirming)


def test_settings_that_are_refused_are_one_line_of_what_was_set(tmp_path: Path) -> None:
    space = {
        "loss": ["hinge", "wgan"],
        "weight_clip": {"low": 0.01, "high": 1.0, "when": {"loss": ["wgan"]}},
    }
    spec = small_spec(tmp_path, search={"space": space})
    settings = ["loss=hinge", "budget.updates=200", "search.trials=9"]
    with pytest.raises(SpecError) as refused:
        changed(spec, settings, asked=4, confirming=False)
    (told,) = refused.value.problems
    assert told.startswith("loss, budget.updates: cannot change when a sweep goes on; adjustable")
    assert told.endswith("budget.silence_minutes, resources.*, tracking.*")

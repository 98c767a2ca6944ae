"""Data sets by name."""

import pytest

from ganray.data.gaussians import gaussian_1d, grid, ring
from ganray.data.registry import DATASETS, load_dataset


def test_names_are_those_of_sweep_files():
    made_here = {"gaussian-1d", "mixture-1d", "ring", "grid", "digits"}
    published = {"mnist", "fashion-mnist", "cifar10", "stacked-mnist"}
    assert set(DATASETS) == made_here | published | {"images", "vectors"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "ring", "modes": 3, "train_size": 20}, ring(modes=3, train_size=20)),
        ({"name": "grid", "modes": 4, "train_size": 20}, grid(modes=4, train_size=20)),
        ({"name": "gaussian-1d", "seed": 2, "train_size": 20}, gaussian_1d(seed=2, train_size=20)),
    ],
)
def test_options_reach_the_data_set_of_that_name(options, expected):
    loaded = load_dataset(options)
    assert loaded.name == expected.name
    assert loaded.fingerprint == expected.fingerprint


def test_loading_leaves_the_options_as_they_were():
    options = {"name": "ring", "train_size": 20}
    load_dataset(options)
    assert options == {"name": "ring", "train_size": 20}


def test_an_unknown_option_is_not_dropped():
    with pytest.raises(TypeError, match="mode_count"):
        load_dataset({"name": "ring", "mode_count": 3})


def test_an_unknown_name_is_an_error():
    with pytest.raises(KeyError, match="rng"):
        load_dataset({"name": "rng"})

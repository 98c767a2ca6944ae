"""Data sets by the name that a sweep file gives them."""

from collections.abc import Callable, Mapping

from ganray.data.dataset import Dataset
from ganray.data.digits import digits
from ganray.data.gaussians import gaussian_1d, grid, ring

DATASETS: Mapping[str, Callable[..., Dataset]] = {
    "gaussian-1d": gaussian_1d,
    "ring": ring,
    "grid": grid,
    "digits": digits,
}


def load_dataset(options: Mapping[str, object]) -> Dataset:
    """Load a data set.

    Args:
        options: `name`, and the options of the function of that name.
    """
    own = {key: value for key, value in options.items() if key != "name"}
    return DATASETS[str(options["name"])](**own)

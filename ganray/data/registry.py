"""Data sets by the name that a sweep file gives them."""

from collections.abc import Callable, Mapping

from ganray.data.dataset import Dataset
from ganray.data.digits import digits
from ganray.data.gaussians import gaussian_1d, grid, mixture_1d, ring
from ganray.data.images import cifar10, fashion_mnist, images, mnist
from ganray.data.stacked import stacked_mnist
from ganray.data.vectors import vectors

DATASETS: Mapping[str, Callable[..., Dataset]] = {
    "gaussian-1d": gaussian_1d,
    "mixture-1d": mixture_1d,
    "ring": ring,
    "grid": grid,
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "stacked-mnist": stacked_mnist,
    "images": images,
    "vectors": vectors,
}


def load_dataset(options: Mapping[str, object]) -> Dataset:
    """Load a data set.

    Args:
        options: `name`, and the options of the function of that name.

    Raises:
        DataError: it needs files, or the Hub, and they cannot be had or read.
    """
    own = {key: value for key, value in options.items() if key != "name"}
    return DATASETS[str(options["name"])](**own)

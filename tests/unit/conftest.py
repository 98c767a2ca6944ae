"""What several unit tests build on: data sets, loaded once, and one thread for small matrices."""

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from ganray.data.dataset import Dataset
from ganray.data.digits import digits
from ganray.data.gaussians import ring


@pytest.fixture(scope="session")
def ring8() -> Dataset:
    return ring(train_size=4_000)


@pytest.fixture(scope="session")
def digits10() -> Dataset:
    with threadpool_limits(1):  # the classifier's layers are too small to share among cores
        return digits()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As a trial trains: on a busy machine, sharing small matrices among cores takes far longer."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def in_float64() -> Iterator[None]:
    """Where rounding is out of the way."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)

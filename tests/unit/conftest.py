"""Data sets that several unit tests look at, loaded once."""

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

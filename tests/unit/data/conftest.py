"""Real images in files, made here: scikit-learn's digits, enlarged, in the schema of the Hub."""

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from ganray.data.dataset import Dataset
from ganray.data.images import mnist


@pytest.fixture(scope="session", autouse=True)
def one_thread_for_numpy() -> Iterator[None]:
    """On a busy machine, sharing small matrices among cores takes far longer."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def digits28(digit_files) -> Dataset:
    return mnist(path=str(digit_files))

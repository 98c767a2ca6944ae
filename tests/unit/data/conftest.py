"""Real images in files, made here: scikit-learn's digits, enlarged, in the schema of the Hub."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from ganray.data.dataset import Dataset
from ganray.data.images import mnist


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory) -> Iterator[None]:
    """Trained classifiers are shared by the tests, but not with whoever runs them."""
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def png(pixels: np.ndarray) -> bytes:
    """Of pixels [H, W] or [H, W, 3]."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def write_parquet(path: Path, pictures: list[bytes | None], **columns: list) -> None:
    """As on the Hub: `image: struct<bytes, path>`, and columns such as `label: int64`."""
    cells = [{"bytes": picture, "path": None} for picture in pictures]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    name = columns.pop("name", "image")
    pq.write_table(pa.table({name: pa.array(cells, kind)} | columns), path)


@pytest.fixture(scope="session")
def enlarged() -> tuple[np.ndarray, np.ndarray]:
    """1,797 real digits as uint8 [N, 28, 28], and their labels."""
    bunch = load_digits()
    small = (bunch.images * (255.0 / 16.0)).round().astype(np.uint8)
    large = [Image.fromarray(image).resize((28, 28), Image.Resampling.BICUBIC) for image in small]
    return np.stack([np.asarray(image) for image in large]), bunch.target


@pytest.fixture(scope="session")
def digit_files(enlarged, tmp_path_factory) -> Path:
    """A folder of 1,297 images to train on and 500 to test with, as the Hub names them."""
    images, labels = enlarged
    folder = tmp_path_factory.mktemp("digits28")
    for name, rows in (("train", slice(0, 1297)), ("test", slice(1297, None))):
        pictures = [png(image) for image in images[rows]]
        write_parquet(
            folder / f"{name}-00000-of-00001.parquet", pictures, label=labels[rows].tolist()
        )
    return folder


@pytest.fixture(scope="session")
def digits28(digit_files) -> Dataset:
    return mnist(path=str(digit_files))

"""What only the loaded data can tell: labels, sizes and features that a sweep counts on."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganray.data.dataset import Dataset
from ganray.data.gaussians import ring
from ganray.errors import NetworkError, SpecError
from ganray.tuning.fit import check_fit
from tests.conftest import small_spec


@pytest.fixture(scope="module")
def points() -> Dataset:
    return replace(ring(train_size=200), labels=None, heldout_labels=None, classes=0)


def images(points: Dataset, side: int) -> Dataset:
    """Pictures without classes, and so without a network that knows them."""
    shape = (200, 3, side, side)
    return replace(points, train=np.zeros(shape, np.uint8), heldout=np.zeros(shape, np.uint8))


VECTORS = {"name": "vectors", "path": "x.npy"}
IMAGES = {"name": "images", "path": "pictures"}


def problems(spec_parts: dict[str, Any], dataset: Dataset, folder: Path) -> tuple[str, ...]:
    with pytest.raises(SpecError) as error:
        check_fit(small_spec(folder, **spec_parts), dataset)
    return error.value.problems


def test_sweep_that_fits_its_data_passes(points: Dataset, tmp_path: Path) -> None:
    check_fit(small_spec(tmp_path, data=VECTORS, trainer={"batch_size": 200}), points)


def test_everything_that_does_not_fit_is_told_at_once(points: Dataset, tmp_path: Path) -> None:
    trainer = {"batch_size": 201, "conditioning": "acgan"}
    found = problems({"data": VECTORS, "trainer": trainer}, points, tmp_path)
    assert "trainer.batch_size: 201 is more than the 200 training samples of vectors" in found
    reason = "needs data with labels or condition vectors; these have none"
    assert f"trainer.conditioning: 'acgan': {reason}" in found
    assert len(found) == 2


def test_class_heads_need_labels_where_there_are_only_vectors(
    points: Dataset, tmp_path: Path
) -> None:
    told = replace(points, conditions=np.zeros((200, 3), np.float32))
    check_fit(small_spec(tmp_path, data=VECTORS, trainer={"conditioning": "concat"}), told)
    parts = {"data": VECTORS, "trainer": {"conditioning": "sgan"}}
    (problem,) = problems(parts, told, tmp_path)
    assert problem.endswith("these data have condition vectors, but no labels")


def test_networks_that_take_other_images_are_refused(points: Dataset, tmp_path: Path) -> None:
    parts = {"data": IMAGES, "networks": {"name": "conv"}}
    check_fit(small_spec(tmp_path, **parts), images(points, 32))
    (problem,) = problems(parts, images(points, 30), tmp_path)
    assert problem.startswith("networks.name: conv takes images with sides that are multiples of 4")


def test_metric_of_features_needs_features(
    points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: dict[str, Any] = {"data": IMAGES, "measure": {"metrics": ["published_modes", "fid"]}}
    (problem,) = problems(parts, images(points, 8), tmp_path)
    assert problem.startswith("measure.metrics[1]: fid compares features, and images has none")
    (tmp_path / "own_means.py").write_text("def means(x):\n    return x.mean((2, 3))\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_means", raising=False)
    parts["measure"]["features"] = "own_means:means"
    check_fit(small_spec(tmp_path, **parts), images(points, 8))
    parts["measure"]["features"] = "no_such_nets:Encoder"
    with pytest.raises(NetworkError, match="no_such_nets"):
        check_fit(small_spec(tmp_path, **parts), images(points, 8))


def test_labelled_images_have_features_of_their_own(points: Dataset, tmp_path: Path) -> None:
    parts: dict[str, Any] = {"data": IMAGES, "measure": {"metrics": ["fid"]}}
    labels = np.arange(200) % 10
    bare = replace(images(points, 8), labels=labels, heldout_labels=labels, classes=10)
    check_fit(
        small_spec(tmp_path, **parts), replace(bare, features=lambda images: images.mean((2, 3)))
    )
    (problem,) = problems(parts, bare, tmp_path)
    assert "fid compares features" in problem


@pytest.mark.parametrize("heldout", [1, 2, 3])
def test_fid_needs_more_held_out_samples_than_features(
    heldout: int, points: Dataset, tmp_path: Path
) -> None:
    """Vectors are their own features: two."""
    few = replace(points, heldout=points.heldout[:heldout])
    parts: dict[str, Any] = {"data": VECTORS, "measure": {"metrics": ["published_modes", "fid"]}}
    if heldout > 2:
        check_fit(small_spec(tmp_path, **parts), few)
        return
    (problem,) = problems(parts, few, tmp_path)
    needs = "measure.metrics[1]: fid of 2 features needs more than 2 held-out samples"
    assert problem.startswith(f"{needs}; there are {heldout}")
    check_fit(small_spec(tmp_path, **parts | {"measure": {"metrics": ["kid"]}}), few)


def test_custom_networks_are_built_once_before_anything_starts(
    points: Dataset, tmp_path: Path
) -> None:
    missing = {"generator": "no_such_nets:G", "discriminator": "no_such_nets:D"}
    spec = small_spec(tmp_path, data=VECTORS, networks={"name": "custom", **missing})
    with pytest.raises(NetworkError, match="no_such_nets"):
        check_fit(spec, points)

"""Feature networks: what they are given, what they must give, and what is said where they fail."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from ganray.errors import NetworkError, ResourceError
from ganray.metrics.features import inception_features, load_features

IMAGES = np.linspace(-1.2, 1.2, 600 * 3 * 2 * 2, dtype=np.float32).reshape(600, 3, 2, 2)


class Encoder(nn.Module):
    """Batch statistics in training, and a dropout: both must be off."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3, eps=0.0)
        self.drop = nn.Dropout(0.9)

    def forward(self, images):
        assert images.dtype == torch.float32
        assert not torch.is_grad_enabled()
        return self.drop(self.norm(images)).flatten(1)[:, :5]


def sums(images):
    return images.sum((2, 3))


@pytest.fixture
def nets(monkeypatch) -> str:
    module = ModuleType("own_nets")
    module.Encoder, module.sums = Encoder, sums
    module.flat, module.listed = lambda x: x.sum((1, 2, 3)), lambda x: x.tolist()
    module.pooled = lambda x: x.mean((0, 2, 3))[None]
    module.number, module.Broken = 3, type("Broken", (), {"__init__": lambda self: 1 / 0})
    monkeypatch.setitem(sys.modules, "own_nets", module)
    return "own_nets"


def test_a_class_of_one_s_own_is_made_and_used_as_in_inference(nets):
    found = load_features(f"{nets}:Encoder")(IMAGES)
    assert found == pytest.approx(IMAGES.reshape(600, -1)[:, :5])


def test_a_function_of_one_s_own_sees_all_batches_in_order(nets):
    found = load_features(f"{nets}:sums")(IMAGES)
    assert found.shape == (600, 3)
    assert found == pytest.approx(IMAGES.sum((2, 3)), rel=1e-5)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("own_nets", "own_nets: not of the form package.module:name"),
        (":Encoder", ":Encoder: not of the form"),
        ("no_such_module_here:Encoder", "ModuleNotFoundError: No module named 'no_such_module"),
        ("own_nets:Encodr", "own_nets has no .Encodr"),
        ("own_nets:Broken", "ZeroDivisionError"),
        ("own_nets:number", "is int; a callable is needed"),
    ],
)
def test_network_that_cannot_be_made_is_told(nets, path, message):
    with pytest.raises(NetworkError, match=message):
        load_features(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flat", r"gives \(250,\) for inputs of shape \(250, 3, 2, 2\); \(250, F\) is needed"),
        ("listed", "gives list for inputs"),
        ("pooled", r"gives \(1, 3\) for inputs"),
    ],
)
def test_output_of_another_shape_is_told(nets, name, message):
    with pytest.raises(NetworkError, match=message):
        load_features(f"{nets}:{name}")(IMAGES)


# --- Inception ------------------------------------------------------------------------------------


class Extractor(nn.Module):
    """In the place of torch-fidelity's network: the mean byte of each channel."""

    def __init__(self, name, features_list, feature_extractor_weights_path):
        super().__init__()
        assert features_list == ["2048"]
        self.weights = torch.load(feature_extractor_weights_path)

    def forward(self, images):
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        return (images.float().mean((2, 3)) * self.weights,)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    package = ModuleType("torch_fidelity")
    module = ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Extractor
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    torch.save(torch.tensor([1.0, 2.0, 3.0]), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_inception_is_given_bytes_and_the_weights_of_the_file(weights):
    images = np.array([-1.0, 1.0, 0.3, 7.0], np.float32).reshape(4, 1, 1, 1).repeat(3, 1)
    found = inception_features(weights)(images)
    levels = np.array([0.0, 255.0, 166.0, 255.0])  # 1.3 · 127.5 is 165.75
    assert found == pytest.approx(levels[:, None] * [1.0, 2.0, 3.0])


def test_inception_sees_grey_images_as_three_equal_channels(weights):
    assert (
        inception_features(weights)(np.ones((2, 1, 4, 4), np.float32)).tolist()
        == [[255.0, 510.0, 765.0]] * 2
    )


@pytest.mark.parametrize("shape", [(4, 2), (4, 2, 8, 8)])
def test_inception_wants_images(weights, shape):
    with pytest.raises(NetworkError, match="are needed; got"):
        inception_features(weights)(np.zeros(shape, np.float32))


def test_missing_weights_are_told_with_the_file_that_is_needed(tmp_path):
    with pytest.raises(ResourceError, match=r"no file .*none\.pth.*weights-inception-2015-12-05"):
        inception_features(tmp_path / "none.pth")


def test_missing_library_is_told_with_what_to_install(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ResourceError, match="pip install torch-fidelity"):
        inception_features(weights)

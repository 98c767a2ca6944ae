"""Feature networks for images: Inception where its weights are at hand, or one of your own."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganray.data.dataset import Samples
from ganray.errors import NetworkError, ResourceError
from ganray.gan.networks.custom import find_callable

FeatureMap = Callable[[Samples], NDArray[np.floating]]  # [N, ...] -> [N, F]
BATCH = 250


def inception_weights() -> Path:
    """Where torch-fidelity keeps the weights that it downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"


def inception_features(weights: Path, device: str = "cpu") -> FeatureMap:
    """The 2,048 pooled features of the Inception network that published FIDs are computed with.

    Images are taken as generators give them, floats in [-1, 1] with one channel or three, rounded
    to bytes; torch-fidelity then resizes them to 299 x 299 as the original TensorFlow graph does.

    Args:
        weights: torch-fidelity's file of converted TensorFlow weights; nothing is downloaded.
        device: where the network runs.

    Raises:
        ResourceError: the file or torch-fidelity is missing.

    Source: Heusel et al. 2017 (arXiv 1706.08500); torch-fidelity, Obukhov et al. 2020.
    """
    if not weights.is_file():
        raise ResourceError(
            f"features: inception: no file {weights}; it is to hold torch-fidelity's "
            f"{inception_weights().name}"
        )
    try:
        library = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError as error:
        raise ResourceError(
            f"features: inception: needs torch-fidelity (pip install torch-fidelity): {error}"
        ) from error
    network = library.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    ).to(device)
    return _batched("inception", lambda images: network(_bytes(images))[0], device)


def load_features(path: str, device: str = "cpu") -> FeatureMap:
    """A feature network of your own.

    Args:
        path: `package.module:name` of a class that is made without arguments, or of a callable;
            given float tensors [N, C, H, W] it must give features [N, F].
        device: where it runs, if it is a `torch.nn.Module`.

    Raises:
        NetworkError: it cannot be found or made; at a call: its output is not [N, F].
    """
    found = find_callable(f"features: {path}", path)
    try:
        network = found() if isinstance(found, type) else found
    except Exception as error:
        raise NetworkError(f"features: {path}: {type(error).__name__}: {error}") from error
    if isinstance(network, nn.Module):
        network = network.to(device).eval()
    return _batched(path, network, device)


def find_features(name: str | None, device: str = "cpu") -> FeatureMap | None:
    """The feature network that a sweep file names; None for the data set's own.

    Args:
        name: `inception`, `package.module:name`, or None.
        device: where it runs.

    Raises:
        ResourceError, NetworkError: as of the two functions above.
    """
    if name is None:
        return None
    if name == "inception":
        return inception_features(inception_weights(), device)
    return load_features(name, device)


def _batched(name: str, network: Callable[[Tensor], Tensor], device: str) -> FeatureMap:
    """Over batches, without gradients, each output checked."""

    @torch.no_grad()
    def features(samples: Samples) -> NDArray[np.floating]:
        batches = torch.from_numpy(samples).split(BATCH)  # type: ignore[no-untyped-call]
        return np.concatenate(
            [_checked(name, batch, network(batch.to(device))) for batch in batches]
        )

    return features


def _checked(name: str, batch: Tensor, found: Tensor) -> NDArray[np.floating]:
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(batch):
        raise NetworkError(
            f"features: {name}: gives {shape} for inputs of shape {tuple(batch.shape)}; "
            f"({len(batch)}, F) is needed"
        )
    array: NDArray[np.floating] = found.float().cpu().numpy()
    return array


def _bytes(images: Tensor) -> Tensor:
    """[-1, 1] as 0 … 255, grey as three equal channels."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise NetworkError(
            "features: inception: images [N, 1, H, W] or [N, 3, H, W] are needed; "
            f"got {tuple(images.shape)}"
        )
    scaled = ((images.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    return scaled.expand(-1, 3, -1, -1)

"""Whether a sweep fits its data: what a sweep file alone cannot tell."""

from ganray.data.dataset import Dataset
from ganray.errors import SpecError
from ganray.gan.networks import build_networks
from ganray.metrics.registry import METRICS
from ganray.spec import checks
from ganray.spec.data import LoadedData
from ganray.spec.models import SweepSpec
from ganray.spec.problems import Problem

LATENT_DIM = 2  # of networks that are only built to see whether they can be


def check_fit(spec: SweepSpec, dataset: Dataset) -> None:
    """Refuse a sweep that its data cannot serve, before its name is taken.

    Args:
        spec: valid by itself.
        dataset: what it names, loaded.

    Raises:
        SpecError: parts of the sweep contradict what the data are, with every problem.
        NetworkError: the networks cannot be built for these samples.
    """
    found = LoadedData(
        name=spec.data.name,
        sample_shape=dataset.shape,
        count=len(dataset.train),
        labelled=dataset.classes > 1,
        conditioned=dataset.conditions is not None or dataset.classes > 1,
    )
    problems = [*checks.problems({**dict(spec), "data": found}), *_metrics(spec, dataset)]
    if problems:
        raise SpecError([str(problem) for problem in problems])
    build_networks(spec.networks.model_dump(), dataset.shape, LATENT_DIM, 0)


def _metrics(spec: SweepSpec, dataset: Dataset) -> list[Problem]:
    """Distances of pixels mean little, so images need features; vectors are their own."""
    measure = spec.measure
    if measure.features is not None or dataset.features is not None or len(dataset.shape) == 1:
        return []
    return [
        Problem(
            f"measure.metrics[{index}]",
            f"{name} compares features, and {spec.data.name} has none without labels; "
            "give measure.features: inception, or package.module:Name",
        )
        for index, name in enumerate(measure.metrics)
        if METRICS[name].needs == "features"
    ]

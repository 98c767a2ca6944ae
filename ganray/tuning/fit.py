"""Whether a sweep fits its data: what a sweep file alone cannot tell."""

from collections.abc import Iterator

from ganray.data.dataset import Dataset, as_float
from ganray.errors import SpecError
from ganray.gan.networks import build_networks
from ganray.metrics.features import find_features
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
        NetworkError: the networks cannot be built for these samples, or features not be found.
        ResourceError: a feature network is not at hand.
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


def _metrics(spec: SweepSpec, dataset: Dataset) -> Iterator[Problem]:
    """What metrics need of features: that there are any, and for FID more samples than those."""
    features = find_features(spec.measure.features) or dataset.features
    count = len(dataset.heldout)
    for index, name in enumerate(spec.measure.metrics):
        where = f"measure.metrics[{index}]"
        if METRICS[name].needs != "features":
            continue
        if features is None and len(dataset.shape) > 1:
            yield Problem(
                where,
                f"{name} compares features, and {spec.data.name} has none without labels; "
                "give measure.features: inception, or package.module:Name",
            )
        elif name == "fid":
            few = as_float(dataset.heldout[:2])
            size = (features(few) if features else few.reshape(len(few), -1)).shape[1]
            if count <= size:
                yield Problem(
                    where,
                    f"fid of {size} features needs more than {size} held-out samples; there are "
                    f"{count}. Use kid, or hold out more",
                )

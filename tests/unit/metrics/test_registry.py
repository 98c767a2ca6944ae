"""Every metric by name: what it returns, what it wants, and that equal and unequal differ."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pytest

from ganray.data.dataset import Classified, Dataset
from ganray.errors import ResourceError
from ganray.metrics.registry import METRICS, Evaluation, evaluate
from ganray.metrics.samples import frechet_distance, median_distance, vendi
from ganray.spec.names import METRIC_SIGNALS, MetricName

pytestmark = pytest.mark.usefixtures("one_thread")

every_metric = pytest.mark.parametrize("name", sorted(METRICS))


@dataclass(frozen=True)
class Corners:
    """Modes at ±3 on the first axis, or as many as are said."""

    modes: int = 2

    def classify(self, samples):
        flat = samples.reshape(len(samples), -1)
        near = np.abs(np.abs(flat[:, 0]) - 3.0) < 3.0
        return Classified((flat[:, 0] > 0).astype(np.int64), near)


def draws(seed: int, count: int, dims: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(count, dims))
    samples[:, 0] += rng.choice([-3.0, 3.0], size=count)
    return samples.astype(np.float32)


def dataset(heldout: np.ndarray, **parts) -> Dataset:
    return Dataset("corners-v1", heldout[:10], heldout, parts.pop("counter", Corners()), **parts)


TWO = dataset(draws(0, 3_000))


def perfect(count: int) -> np.ndarray:
    return draws(1, count)


def collapsed(count: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(2).normal(size=(count, 2)) + [3.0, 0.0]).astype(np.float32)


def test_names_are_those_of_the_sweep_file():
    assert list(METRICS) == list(get_args(MetricName))
    assert {name: tuple(m.values) for name, m in METRICS.items()} == METRIC_SIGNALS


@every_metric
def test_every_metric_states_its_cost_and_its_samples(name):
    metric = METRICS[name]
    assert metric.cost.startswith("O(")
    assert metric.wanted(TWO) >= 1_000
    assert metric.needs in ("features", "modes")
    assert set(metric.values.values()) <= {"min", "max"}


def test_no_two_metrics_give_a_value_of_one_name():
    names = [value for metric in METRICS.values() for value in metric.values]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def good() -> dict[str, float]:
    return evaluate(METRICS, TWO, perfect)


@pytest.fixture(scope="module")
def bad() -> dict[str, float]:
    return evaluate(METRICS, TWO, collapsed)


def test_every_metric_gives_the_values_it_names(good):
    assert list(good) == [value for metric in METRICS.values() for value in metric.values]
    assert all(type(value) is float and math.isfinite(value) for value in good.values())


@every_metric
def test_collapse_is_worse_than_the_real_distribution_in_every_value(name, good, bad):
    for value, direction in METRICS[name].values.items():
        if value in ("precision", "density", "published_quality"):
            continue  # of fidelity, not of diversity
        assert (bad[value] - good[value]) * {"min": 1.0, "max": -1.0}[direction] > 0.0, value


def test_ideal_values_are_found_for_the_real_distribution(good, bad):
    assert good["fid"] == pytest.approx(0.0, abs=0.02)
    assert good["kid"] == pytest.approx(0.0, abs=0.01 * bad["kid"])
    assert good["density"] == pytest.approx(1.0, abs=0.05)
    assert good["coverage"] == pytest.approx(0.97, abs=0.02)
    assert good["ndb"] == pytest.approx(0.05, abs=0.1)
    assert good["vendi"] == pytest.approx(1.0, abs=0.05)
    assert good["modes_any"] == 2.0
    assert good["published_kl"] == pytest.approx(0.0, abs=0.002)


@every_metric
def test_no_more_samples_are_wanted_than_there_are_to_compare_with(name):
    few = dataset(draws(0, 300))
    wanted = {"fid": 5_000, "published_modes": 2_500}  # which gain by more
    assert METRICS[name].wanted(few) == wanted.get(name, 300)
    assert set(evaluate([name], few, perfect)) == set(METRICS[name].values)


@pytest.mark.parametrize(
    ("modes", "wanted"), [(1, 2_500), (8, 2_500), (25, 2_500), (1_000, 26_000), (10_000, 260_000)]
)
def test_published_modes_want_as_many_samples_as_the_tables_have(modes, wanted):
    data = dataset(TWO.heldout, counter=Corners(modes))
    assert METRICS["published_modes"].wanted(data) == wanted


def test_several_metrics_share_one_set_of_samples_the_largest_wanted():
    asked = []

    def generate(count: int) -> np.ndarray:
        asked.append(count)
        return perfect(count)

    found = evaluate(["vendi", "published_modes"], TWO, generate)
    assert asked == [2_500]
    assert set(found) == {"vendi", "modes_any", "published_quality", "published_kl"}
    assert found["vendi"] == evaluate(["vendi"], TWO, lambda count: perfect(2_500)[:count])["vendi"]
    assert evaluate([], TWO, generate) == {}
    assert len(asked) == 1


def test_real_samples_are_held_out_ones_in_random_order_that_follows_the_seed():
    data = dataset(np.sort(draws(0, 3_000), axis=0))  # the first thousand are one mode
    vendis = [evaluate(["vendi"], data, perfect, seed=seed)["vendi"] for seed in (0, 0, 1)]
    assert vendis[0] == vendis[1] != vendis[2]
    assert vendis[0] > 0.9


def test_vendi_is_relative_to_equally_many_real_samples():
    of = Evaluation(TWO, TWO.heldout, perfect(1_500))
    real = TWO.heldout[:1_000]
    width = median_distance(real)
    expected = vendi(of.fake[:1_000], bandwidth=width) / vendi(real, bandwidth=width)
    assert METRICS["vendi"].compute(of)["vendi"] == pytest.approx(expected)


def test_a_value_that_is_not_defined_is_left_out():
    nowhere = evaluate(["published_modes"], TWO, lambda count: np.zeros((count, 2), np.float32))
    assert nowhere == {"modes_any": 0.0, "published_quality": 0.0}


def test_samples_that_are_not_finite_are_told():
    with pytest.raises(ValueError, match="generated samples are not finite"):
        evaluate(["fid"], TWO, lambda count: np.full((count, 2), np.nan, np.float32))


# --- features -------------------------------------------------------------------------------------


def images(seed: int, count: int) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 1, 2, 2))
    return pixels.astype(np.uint8)


def as_generated(count: int) -> np.ndarray:
    return images(5, count).astype(np.float32) / 127.5 - 1.0


def counted(features: Callable[[np.ndarray], np.ndarray], calls: list[int]):
    def network(samples):
        assert samples.dtype == np.float32
        calls.append(len(samples))
        return features(samples)

    return network


def first_pixels(samples: np.ndarray) -> np.ndarray:
    return samples.reshape(len(samples), -1)[:, :2]


def test_features_of_the_data_set_are_computed_once_of_each_kind():
    calls: list[int] = []
    data = dataset(images(0, 500), features=counted(first_pixels, calls))
    found = evaluate(["fid", "precision_recall", "density_coverage"], data, as_generated)
    assert calls == [500, 10_000]
    real = first_pixels(images(0, 500).astype(np.float32) / 127.5 - 1.0)
    expected = frechet_distance(real, first_pixels(as_generated(10_000)))
    assert found["fid"] == pytest.approx(expected, rel=1e-4)


def test_modes_alone_need_no_features():
    calls: list[int] = []
    data = dataset(images(0, 500), features=counted(first_pixels, calls))
    assert evaluate(["published_modes"], data, as_generated)["modes_any"] >= 0.0
    assert calls == []


def test_a_network_of_one_s_own_takes_the_place_of_the_data_set_s():
    calls: list[int] = []
    data = dataset(images(0, 500), features=lambda samples: 1 / 0)
    network = counted(lambda x: 3.0 * first_pixels(x), calls)
    own = evaluate(["fid"], data, as_generated, network=network)["fid"]
    plain = evaluate(["fid"], dataset(images(0, 500), features=first_pixels), as_generated)["fid"]
    assert own == pytest.approx(9.0 * plain)
    assert len(calls) == 2


def test_images_without_features_are_told():
    with pytest.raises(ResourceError, match="corners-v1 has no features of its own"):
        evaluate(["fid"], dataset(images(0, 100)), as_generated)

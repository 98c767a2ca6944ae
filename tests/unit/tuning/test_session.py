"""One trial, report by report: the same numbers wherever it runs and whatever runs beside it."""

import io
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganray.data.dataset import Dataset
from ganray.data.gaussians import ring
from ganray.metrics.registry import METRICS
from ganray.spec.models import SweepSpec
from ganray.trial import SIGNALS, Signals, TrialConfig
from ganray.tuning.session import MILESTONES, Session, Workbench
from tests.conftest import small_spec

CONFIG = TrialConfig(batch_size=16, latent_dim=4, d_lr=1e-3, g_lr=1e-3, seed=3)
# what a clock says, not the training
TIMES = {"seconds": 0.0, "measure_seconds": None, "updates_per_second": None}


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """A workbench sets the number of torch's threads; other tests want theirs."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return ring(train_size=200)  # as many are measured, too: all is fast


def bench(spec: SweepSpec, dataset: Dataset) -> Workbench:
    return Workbench(spec, dataset, device="cpu")


def all_reports(session: Session) -> list[Signals]:
    reports = []
    while not session.done:
        reports.append(replace(session.next_report(), **TIMES))
    return reports


def test_reports_are_where_the_budget_puts_them(tmp_path: Path, dataset: Dataset) -> None:
    spec = small_spec(tmp_path, budget={"updates": 10, "reports": 4})
    reports = all_reports(Session(bench(spec, dataset), CONFIG))
    assert [signals.update for signals in reports] == [2, 5, 7, 10]
    assert [signals.d_updates for signals in reports] == [1, 3, 4, 5]
    assert [signals.images for signals in reports] == [16, 48, 64, 80]


def test_report_has_every_signal_that_is_defined_for_the_trial(
    tmp_path: Path, dataset: Dataset
) -> None:
    session = Session(bench(small_spec(tmp_path), dataset), CONFIG)
    session.next_report()
    second = session.next_report()
    undefined = {name for name in SIGNALS if getattr(second, name) is None}
    asked_for = {name for metric in METRICS.values() for name in metric.values}
    of_other_models = {"class_accuracy", "condition_accuracy", "joint_auc", "joint_js"}
    of_other_models |= {"ema_distance", "reconstruction", "d_penalty", "g_penalty"}
    without_clipping = {"d_clipped", "g_clipped"}
    expected = asked_for | of_other_models | without_clipping
    assert undefined - {"mode_kl"} == expected  # a generator that young may have no mode to tell of
    assert second.nonfinite is None


def test_same_configuration_gives_the_same_numbers(tmp_path: Path, dataset: Dataset) -> None:
    spec = small_spec(tmp_path)
    first = all_reports(Session(bench(spec, dataset), CONFIG))
    assert first == all_reports(Session(bench(spec, dataset), CONFIG))
    assert first != all_reports(Session(bench(spec, dataset), replace(CONFIG, seed=4)))


def test_trials_that_take_turns_are_as_each_alone(tmp_path: Path, dataset: Dataset) -> None:
    spec = small_spec(tmp_path)
    other = replace(CONFIG, loss="lsgan", latent_dim=2, seed=9)
    alone = [all_reports(Session(bench(spec, dataset), config)) for config in (CONFIG, other)]
    shared = bench(spec, dataset)
    turns: list[list[Signals]] = [[], []]
    sessions = [Session(shared, config) for config in (CONFIG, other)]
    for _ in range(spec.budget.reports):
        for session, reports in zip(sessions, turns, strict=True):
            reports.append(replace(session.next_report(), **TIMES))
    assert turns == alone


def test_trial_after_another_on_the_same_bench_is_as_on_a_new_one(
    tmp_path: Path, dataset: Dataset
) -> None:
    spec = small_spec(tmp_path)
    used = bench(spec, dataset)
    all_reports(Session(used, replace(CONFIG, loss="lsgan", seed=9)))
    assert all_reports(Session(used, CONFIG)) == all_reports(Session(bench(spec, dataset), CONFIG))


@pytest.mark.parametrize("reports", [1, 7, 8, 9, 40])
def test_pictures_are_few_evenly_spaced_and_end_with_the_last_report(
    reports: int, tmp_path: Path, dataset: Dataset
) -> None:
    spec = small_spec(tmp_path, budget={"updates": 40, "reports": reports})
    session = Session(bench(spec, dataset), CONFIG)
    drawn = []
    for index in range(reports):
        session.next_report()
        if session.is_milestone:
            drawn.append(index)
    assert drawn[-1] == reports - 1
    assert 1 <= len(drawn) <= MILESTONES
    assert len(drawn) > MILESTONES / 2 or len(drawn) == reports
    assert len({b - a for a, b in pairwise(drawn)}) <= 1


def test_picture_is_a_png(tmp_path: Path, dataset: Dataset) -> None:
    session = Session(bench(small_spec(tmp_path), dataset), CONFIG)
    all_reports(session)
    png = session.picture()
    assert Image.open(io.BytesIO(png)).format == "PNG"


def test_trial_that_diverges_says_so_and_can_still_be_drawn(
    tmp_path: Path, dataset: Dataset
) -> None:
    session = Session(
        bench(small_spec(tmp_path), dataset), replace(CONFIG, loss="lsgan", d_lr=1e30, g_lr=1e30)
    )
    reports = all_reports(session)
    assert reports[-1].nonfinite is not None
    assert reports[-1].distance is None
    assert session.picture()


@pytest.mark.parametrize(("cpu", "threads"), [(1, 1), (2, 2), (2.5, 2), (0.5, 1)])
def test_number_of_threads_is_what_the_sweep_gives_a_trial(
    cpu: float, threads: int, tmp_path: Path, dataset: Dataset
) -> None:
    bench(small_spec(tmp_path, resources={"cpu": cpu}), dataset)
    assert torch.get_num_threads() == threads

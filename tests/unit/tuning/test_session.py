"""One trial, report by report: the same numbers wherever it runs and whatever runs beside it."""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ganray.data.dataset import Dataset, Samples
from ganray.data.gaussians import ring
from ganray.errors import CheckpointError
from ganray.gan.checkpoint import load, load_generator
from ganray.metrics.registry import METRICS, evaluate
from ganray.spec.models import SweepSpec
from ganray.trial import SIGNALS, Signals, TrialConfig
from ganray.tuning.session import MILESTONES, Session, Workbench, guard_gpu
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


@pytest.mark.parametrize("metrics", [[], ["published_modes"]])
def test_trial_that_diverges_says_so_and_can_still_be_drawn(
    metrics: list[str], tmp_path: Path, dataset: Dataset
) -> None:
    spec = small_spec(tmp_path, measure={"metrics": metrics})
    session = Session(bench(spec, dataset), replace(CONFIG, loss="lsgan", d_lr=1e30, g_lr=1e30))
    reports = all_reports(session)
    assert reports[-1].nonfinite is not None
    assert reports[-1].distance is None
    assert reports[-1].modes_any is None
    assert session.picture()


# --- the best report ------------------------------------------------------------------------------


def rigged(session: Session, name: str, values: Sequence[float | None]) -> None:
    """Let the session's reports have these values of a signal, whatever it trains."""
    measure, left = session._meter.measure, iter(values)
    session._meter.measure = lambda snapshot: replace(measure(snapshot), **{name: next(left)})


@pytest.mark.parametrize(
    ("objective", "values", "best"),
    [
        ({"metric": "distance"}, [0.5, 0.1, 0.1, 0.3], [0, 1, 1, 1]),
        ({"metric": "modes"}, [2.0, 7.0, 1.0, 8.0], [0, 1, 1, 3]),
        ({"metric": "auc", "mode": "max"}, [None, float("inf"), 0.5, None], [None, None, 2, 2]),
    ],
)
def test_best_report_is_kept_as_it_was(
    objective: dict[str, str],
    values: list[float | None],
    best: list[int | None],
    tmp_path: Path,
    dataset: Dataset,
) -> None:
    budget = {"updates": 40, "reports": 4}
    spec = small_spec(tmp_path, objective=objective, budget=budget)
    session = Session(bench(spec, dataset), CONFIG)
    rigged(session, objective["metric"], values)
    seen = []
    for expected in best:
        session.next_report()
        seen.append((session.checkpoint(), session.picture()))
        if expected is None:
            assert session.best is None
            continue
        assert session.best is not None
        assert session.best.update == 10 * (expected + 1)
        checkpoint, picture = seen[expected]
        trained = {k: v for k, v in load(checkpoint).items() if k != "session"}
        assert equal(load(session.best.checkpoint()), trained)
        assert session.picture(session.best.samples) == picture


def equal(a: Any, b: Any) -> bool:
    """Whether two checkpoints hold the same, tensor by tensor."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else bool(a == b)


def test_report_that_is_not_finite_is_never_the_best(tmp_path: Path, dataset: Dataset) -> None:
    session = Session(
        bench(small_spec(tmp_path), dataset), replace(CONFIG, loss="lsgan", d_lr=1e30, g_lr=1e30)
    )
    rigged(session, "distance", [0.1] * 10)
    assert session.next_report().nonfinite is not None
    assert session.best is None


@pytest.mark.parametrize(
    ("prune", "condemned"), [({"risk": 0.02}, True), ({"risk": None}, False), (None, False)]
)
def test_trial_is_condemned_by_the_rules_of_the_sweep(
    prune: dict[str, Any] | None, condemned: bool, tmp_path: Path, dataset: Dataset
) -> None:
    session = Session(bench(small_spec(tmp_path, prune=prune), dataset), CONFIG)
    rigged(session, "extent", [1e3] * 10)
    session.next_report()
    assert not session.is_condemned
    all_reports(session)
    assert session.is_condemned is condemned


# --- metrics --------------------------------------------------------------------------------------

ASKED = ["wasserstein", "published_modes"]
ALWAYS = ("wasserstein_1", "wasserstein_2", "modes_any", "published_quality")


def draws_of(generator: nn.Module, shared: Workbench) -> Callable[[int], Samples]:
    """What it draws from the latents, and conditions, of every report."""

    @torch.no_grad()
    def draw(count: int) -> Samples:
        samples: Samples = generator(*shared.bench.inputs(CONFIG.latent_dim, count)).numpy()
        return samples

    return draw


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}, {"conditioning": "concat"}], ids=str)
def test_metrics_stand_at_milestones_and_are_of_the_generator_that_is_kept(
    changes: dict[str, Any], tmp_path: Path, dataset: Dataset
) -> None:
    budget = {"updates": 40, "reports": 10}
    shared = bench(small_spec(tmp_path, budget=budget, measure={"metrics": ASKED}), dataset)
    session = Session(shared, replace(CONFIG, **changes))
    with_metrics = []
    while not session.done:
        signals = session.next_report()
        found = {name: getattr(signals, name) for name in ALWAYS}
        assert (None not in found.values()) is session.is_milestone
        if not session.is_milestone:
            assert set(found.values()) == {None}
            continue
        generator = load_generator(load(session.checkpoint()))
        expected = evaluate(ASKED, dataset, draws_of(generator, shared))
        assert found == pytest.approx({name: expected[name] for name in ALWAYS}, rel=1e-5)
        with_metrics.append(signals.update)
    assert with_metrics == [8, 16, 24, 32, 40]


def test_metrics_are_of_features_where_the_sweep_names_them(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times the samples: a Wasserstein distance is three times as large."""
    (tmp_path / "own_features.py").write_text("def tripled(samples):\n    return 3 * samples\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_features", raising=False)
    found = []
    for measure in ({}, {"features": "own_features:tripled"}):
        spec = small_spec(tmp_path, measure={"metrics": ["wasserstein"], **measure})
        last = all_reports(Session(bench(spec, dataset), CONFIG))[-1]
        assert last.wasserstein_1 is not None
        found.append(last.wasserstein_1)
    assert found[1] == pytest.approx(3.0 * found[0], rel=1e-4)


# --- what the data are told of --------------------------------------------------------------------


def test_labels_and_conditions_of_the_data_reach_the_trainer(
    tmp_path: Path, dataset: Dataset
) -> None:
    rng = np.random.default_rng(0)
    told, heldout = (
        rng.normal(size=(len(bank), 3)).astype(np.float32)
        for bank in (dataset.train, dataset.heldout)
    )
    own = replace(dataset, conditions=told, heldout_conditions=heldout)
    shared = bench(small_spec(tmp_path), own)
    picked = torch.arange(len(told))
    assert np.array_equal(shared.data.conditions_at(picked), told)
    assert np.array_equal(shared.data.labels_at(picked), own.labels)
    session = Session(shared, replace(CONFIG, conditioning="concat"))
    session.next_report()
    kept = load(session.checkpoint())
    assert (kept["conditions"], kept["classes"]) == (3, 8)
    assert np.array_equal(kept["examples"], told[: len(kept["examples"])])


def test_labels_are_told_as_one_number_each_where_data_have_no_conditions(
    tmp_path: Path, dataset: Dataset
) -> None:
    session = Session(bench(small_spec(tmp_path), dataset), replace(CONFIG, conditioning="acgan"))
    signals = session.next_report()
    kept = load(session.checkpoint())
    assert (kept["conditions"], kept["classes"], kept["examples"]) == (8, 8, None)
    assert signals.class_accuracy is not None


def test_data_without_labels_need_none(tmp_path: Path, dataset: Dataset) -> None:
    bare = replace(dataset, labels=None, heldout_labels=None, classes=0)
    shared = bench(small_spec(tmp_path), bare)
    assert shared.data.labels is None
    assert Session(shared, CONFIG).next_report().nonfinite is None


@pytest.mark.parametrize(("cpu", "threads"), [(1, 1), (2, 2), (2.5, 2), (0.5, 1)])
def test_number_of_threads_is_what_the_sweep_gives_a_trial(
    cpu: float, threads: int, tmp_path: Path, dataset: Dataset
) -> None:
    bench(small_spec(tmp_path, resources={"cpu": cpu}), dataset)
    assert torch.get_num_threads() == threads


def test_session_that_goes_on_reports_what_one_without_a_break_does(
    tmp_path: Path, dataset: Dataset
) -> None:
    spec = small_spec(tmp_path, measure={"metrics": []})
    config = replace(CONFIG, ema=0.9, penalty="lecam", lr_schedule="linear", g_lr=1e-2)
    whole = Session(bench(spec, dataset), config)
    expected = all_reports(whole)
    for breaks in ((1,), (4,), (3, 7), (9,)):
        session, reports = Session(bench(spec, dataset), config), []
        for index in range(spec.budget.reports):
            if index in breaks:
                content, session = session.checkpoint(), Session(bench(spec, dataset), config)
                session.restore(content)
            reports.append(replace(session.next_report(), **TIMES))
        assert reports == expected
        assert [s.update for s in session.history] == [s.update for s in expected]
        assert whole.best is not None
        assert session.best is not None
        assert (session.best.update, session.best.value) == (whole.best.update, whole.best.value)
        assert session.picture() == whole.picture()


def test_session_goes_on_from_its_own_checkpoints_only(tmp_path: Path, dataset: Dataset) -> None:
    spec = small_spec(tmp_path)
    session = Session(bench(spec, dataset), CONFIG)
    session.next_report()
    other = Session(bench(spec, dataset), replace(CONFIG, seed=4))
    with pytest.raises(CheckpointError, match="not one that this trial could go on from"):
        other.restore(session.checkpoint())
    assert session.best is not None
    with pytest.raises(CheckpointError, match="not one that this trial could go on from"):
        session.restore(session.best.checkpoint())
    with pytest.raises(CheckpointError, match="no checkpoint"):
        session.restore(session.checkpoint()[:100])


@pytest.mark.parametrize(("share", "kept"), [(0.25, [0.25]), (1.0, []), (2.0, []), (0.0, [])])
def test_process_that_has_a_share_of_a_gpu_is_kept_to_it(
    share: float, kept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", found.append)
    guard_gpu(share)
    assert found == kept

"""What trials leave in their folders, whatever ends them."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ganray.data.dataset import Dataset
from ganray.data.gaussians import ring
from ganray.gan.checkpoint import load
from ganray.spec.models import SweepSpec
from ganray.trial import Signals, State, TrialConfig, Verdict
from ganray.tuning import trainable
from ganray.tuning.files import TrialFiles
from ganray.tuning.session import Session, Workbench
from ganray.tuning.trainable import GanTrial
from tests.conftest import small_spec

CONFIG = TrialConfig(batch_size=16, latent_dim=4, d_lr=1e-3, g_lr=1e-3, seed=3)
BUDGET = {"updates": 200, "reports": 20}
GOOD = {"distance": 0.1, "mode_ratio": 1.0}
LOST = {"distance": 0.8, "mode_ratio": 0.1}
CHECKPOINTS = ("best.png", "best.pt", "checkpoint.pt")


class FewModes:
    """A judge of one rule, in place of the sweep's."""

    def verdict(self, history: Sequence[Signals]) -> Verdict:
        dead = all(s.mode_ratio == 0.1 for s in history[-3:]) and len(history) > 2
        return Verdict(State.COLLAPSED if dead else State.HEALTHY)

    def condemns(self, verdict: Verdict) -> bool:
        return verdict.state.is_dead


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return ring(train_size=200)


def session_of(spec: SweepSpec, dataset: Dataset, reports: Sequence[dict[str, Any]]) -> Session:
    """A session that trains, but reports what is given."""
    shared = Workbench(spec, dataset, device="cpu")
    if spec.prune is not None:
        shared.pruner = FewModes()
    session = Session(shared, CONFIG)
    measure, left = session._meter.measure, iter(reports)
    session._meter.measure = lambda snapshot: replace(measure(snapshot), **next(left))
    return session


def names(folder: Path) -> tuple[str, ...]:
    """Of all files but the pictures of milestones."""
    found = [path.name for path in folder.iterdir()] if folder.exists() else []
    return tuple(sorted(name for name in found if not name.startswith("samples-")))


def update_of(checkpoint: Path) -> int:
    update: int = load(checkpoint.read_bytes())["state"]["update"]
    return update


def run(session: Session, folder: Path, reports: int) -> list[dict[str, Any]]:
    files = TrialFiles(session, str(folder))
    told = [files.after_report(session.next_report()) for _ in range(reports)]
    files.leave()
    return told


def test_trial_that_peaked_and_lost_its_modes_keeps_its_best(
    tmp_path: Path, dataset: Dataset
) -> None:
    peak = {"distance": 0.05, "mode_ratio": 1.0}
    history = [*[GOOD] * 4, peak, *[GOOD] * 3, *[LOST] * 3]
    session = session_of(small_spec(tmp_path, budget=BUDGET), dataset, history)
    folder = tmp_path / "trial"
    *earlier, last = run(session, folder, len(history))
    assert names(folder) == (*CHECKPOINTS, "stop.png")
    assert update_of(folder / "best.pt") == 50
    assert update_of(folder / "checkpoint.pt") == 80  # of a milestone: nobody goes on from the stop
    assert (folder / "stop.png").read_bytes() == session.picture()
    assert (folder / "best.png").read_bytes() != session.picture()
    assert set(names(folder)) <= set(last["kept"])
    assert list(last["kept"]) == sorted(path.name for path in folder.iterdir())
    assert not any("kept" in told for told in earlier)


def test_files_are_written_at_milestones_and_at_the_end_only(
    tmp_path: Path, dataset: Dataset
) -> None:
    better = [{"distance": 1.0 / (i + 1), "mode_ratio": 1.0} for i in range(20)]
    session = session_of(small_spec(tmp_path, budget=BUDGET), dataset, better)
    folder = tmp_path / "trial"
    files = TrialFiles(session, str(folder))
    seen = []
    for _ in range(20):
        files.after_report(session.next_report())
        seen.append(update_of(folder / "best.pt") if names(folder) else 0)
        assert names(folder) in ((), CHECKPOINTS)
    milestones = [20, 50, 80, 110, 140, 170, 200]
    assert seen == [max([m for m in milestones if m <= u], default=0) for u in range(10, 210, 10)]
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    files.leave()
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_trial_that_the_driver_stops_leaves_what_it_was_then(
    tmp_path: Path, dataset: Dataset
) -> None:
    session = session_of(small_spec(tmp_path, budget=BUDGET), dataset, [GOOD] * 6)
    folder = tmp_path / "trial"
    told = run(session, folder, 6)
    assert not any("kept" in t for t in told)
    assert names(folder) == (*CHECKPOINTS, "stop.png")
    assert update_of(folder / "checkpoint.pt") == 60
    assert (folder / "stop.png").read_bytes() == session.picture()


def test_audited_trial_keeps_the_picture_of_its_first_verdict(
    tmp_path: Path, dataset: Dataset
) -> None:
    history = [*[GOOD] * 4, *[LOST] * 3, *[GOOD] * 13]
    session = session_of(small_spec(tmp_path, budget=BUDGET), dataset, history)
    folder = tmp_path / "trial"
    files = TrialFiles(session, str(folder))
    for index in range(20):
        told = files.after_report(session.next_report())
        assert ("kept" in told) is (index in {6, 19})
        if index == 6:
            verdict = session.picture()
    assert (folder / "stop.png").read_bytes() == verdict != session.picture()
    assert update_of(folder / "checkpoint.pt") == 200


@pytest.mark.parametrize("prune", [{"risk": 0.02}, None])
def test_trial_that_is_not_finite_keeps_its_last_finite_checkpoint(
    prune: dict[str, Any] | None, tmp_path: Path, dataset: Dataset
) -> None:
    history = [*[GOOD] * 6, {"nonfinite": "loss of D", "distance": None}]
    session = session_of(small_spec(tmp_path, budget=BUDGET, prune=prune), dataset, history)
    folder = tmp_path / "trial"
    *_, last = run(session, folder, 7)
    assert set(last["kept"]) >= {*CHECKPOINTS, "stop.png"}
    assert update_of(folder / "checkpoint.pt") == 50
    assert update_of(folder / "best.pt") == 10


def test_without_pruning_nothing_is_a_stop(tmp_path: Path, dataset: Dataset) -> None:
    session = session_of(small_spec(tmp_path, budget=BUDGET, prune=None), dataset, [LOST] * 20)
    folder = tmp_path / "trial"
    *earlier, last = run(session, folder, 20)
    assert not any("kept" in told for told in earlier)
    assert set(last["kept"]) >= set(CHECKPOINTS)
    assert "stop.png" not in last["kept"]


def test_trial_whose_objective_was_never_defined_has_no_best(
    tmp_path: Path, dataset: Dataset
) -> None:
    session = session_of(
        small_spec(tmp_path, budget=BUDGET), dataset, [{**GOOD, "distance": None}] * 20
    )
    run(session, tmp_path / "trial", 20)
    assert names(tmp_path / "trial") == ("checkpoint.pt",)


def test_trial_that_never_reported_leaves_nothing(tmp_path: Path, dataset: Dataset) -> None:
    session = session_of(small_spec(tmp_path, budget=BUDGET), dataset, [])
    TrialFiles(session, str(tmp_path / "trial")).leave()
    assert names(tmp_path / "trial") == ()


# --- the actor ------------------------------------------------------------------------------------


def config_of(number: int) -> dict[str, Any]:
    return {"number": number, "trial_config": asdict(replace(CONFIG, seed=number))}


def actor_of(spec: SweepSpec, dataset: Dataset) -> GanTrial:
    """The trainable with its first trial, 0, as Ray would set it up."""
    actor = GanTrial.__new__(GanTrial)
    actor.setup(config_of(0), dataset, spec.to_json())
    return actor


def folder_of(tmp_path: Path, number: int) -> Path:
    return tmp_path / f"results/small/trials/{number:04d}"


def test_actor_that_takes_up_another_trial_leaves_the_evidence_of_the_one_before(
    tmp_path: Path, dataset: Dataset
) -> None:
    actor = actor_of(small_spec(tmp_path, budget=BUDGET), dataset)
    actor.step()
    assert names(folder_of(tmp_path, 0)) == ()
    assert actor.reset_config(config_of(1))
    assert names(folder_of(tmp_path, 0)) == (*CHECKPOINTS, "stop.png")
    actor.step()
    actor.cleanup()
    actor.cleanup()  # Ray may ask again
    assert names(folder_of(tmp_path, 1)) == (*CHECKPOINTS, "stop.png")


def test_actor_whose_trial_crashed_saves_nothing_half_done(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = actor_of(small_spec(tmp_path, budget=BUDGET), dataset)
    actor.step()

    def crash(self: Session) -> Signals:
        raise MemoryError

    monkeypatch.setattr(Session, "next_report", crash)
    with pytest.raises(MemoryError):
        actor.step()
    actor.cleanup()
    assert names(folder_of(tmp_path, 0)) == ()


def test_storage_that_is_away_is_no_fault_of_the_next_trial(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = actor_of(small_spec(tmp_path, budget=BUDGET), dataset)
    actor.step()

    def away(self: TrialFiles) -> None:
        raise OSError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(trainable.TrialFiles, "leave", away)
        assert actor.reset_config(config_of(1))
    actor.step()
    actor.cleanup()
    assert names(folder_of(tmp_path, 1)) == (*CHECKPOINTS, "stop.png")

"""What trials leave in their folders, whatever ends them."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganray.data.dataset import Dataset
from ganray.data.gaussians import ring
from ganray.gan.checkpoint import load
from ganray.spec.models import SweepSpec
from ganray.trial import Signals, State, TrialConfig, Verdict
from ganray.tuning import files as module
from ganray.tuning.files import TrialFiles
from ganray.tuning.places import read_file, write_file
from ganray.tuning.session import MILESTONES, Session, Workbench
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


@pytest.fixture(autouse=True)
def _all_milestones_are_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast they follow each other here."""
    monkeypatch.setattr(module, "SAVE_SHARE", 1e9)


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


def test_checkpoints_of_milestones_take_a_hundredth_of_the_time(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def write_slowly(*given: Any) -> None:
        nonlocal now
        now += 0.02  # each, of three files
        write_file(*given)

    monkeypatch.setattr(module, "SAVE_SHARE", 0.01)
    monkeypatch.setattr(module, "write_file", write_slowly)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    better = [{"distance": 1.0 / (i + 1), "mode_ratio": 1.0} for i in range(20)]
    session = session_of(small_spec(tmp_path, budget=BUDGET), dataset, better)
    files = TrialFiles(session, str(tmp_path / "trial"))
    seen = []
    for _ in range(20):
        now += 1.0
        files.after_report(session.next_report())
        saved = tmp_path / "trial" / "checkpoint.pt"
        seen.append(update_of(saved) if saved.exists() else 0)
    # of milestones every 3 s the next is too near to a save of 0.06 s, the second next not
    assert list(dict.fromkeys(seen)) == [0, 20, 80, 140, 200]


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


def bare_actor() -> GanTrial:
    """One that Tune has not set up, on a machine without a GPU."""
    actor = GanTrial.__new__(GanTrial)
    actor._trial_info = None
    return actor


def actor_of(spec: SweepSpec, dataset: Dataset) -> GanTrial:
    """The trainable with its first trial, 0, as Ray would set it up."""
    actor = bare_actor()
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


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("out of memory")])
def test_what_a_trial_cannot_leave_is_no_fault_of_the_next_one(
    error: Exception, tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = actor_of(small_spec(tmp_path, budget=BUDGET), dataset)
    actor.step()

    def away(self: TrialFiles) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(TrialFiles, "leave", away)
        assert actor.reset_config(config_of(1))
    actor.step()
    actor.cleanup()
    assert names(folder_of(tmp_path, 1)) == (*CHECKPOINTS, "stop.png")


# --- going on after a break -----------------------------------------------------------------------


def values(told: list[dict[str, Any]]) -> list[Signals]:
    clocks = {"seconds": 0.0, "measure_seconds": None, "updates_per_second": None}
    return [replace(result["signals"], **clocks) for result in told]


def steps(actor: GanTrial, count: int) -> list[dict[str, Any]]:
    return [actor.step() for _ in range(count)]


@pytest.fixture
def whole(tmp_path: Path, dataset: Dataset) -> list[Signals]:
    """The reports of trial 0 without a break."""
    spec = small_spec(tmp_path / "whole", budget=BUDGET, prune=None)
    return values(steps(actor_of(spec, dataset), 20))


@pytest.mark.parametrize(
    ("died_after", "told", "made_again"),
    [
        (1, 1, 0),  # before the first checkpoint: from the beginning, and nothing told again
        (2, 2, 2),
        (7, 7, 5),
        (8, 6, 8),  # the driver died with it, and had not heard of two reports
        (20, 19, 20),
    ],
)
def test_trial_goes_on_in_another_process_as_if_nothing_had_happened(
    died_after: int, told: int, made_again: int, tmp_path: Path, dataset: Dataset, whole
) -> None:
    spec = small_spec(tmp_path, budget=BUDGET, prune=None)
    steps(actor_of(spec, dataset), died_after)  # and it is killed: nothing is written any more
    again = bare_actor()
    config = {**config_of(0), "goes_on": True, "told": whole[told - 1].update}
    again.setup(config, dataset, spec.to_json())
    first = again.step()
    start = told if made_again >= told else made_again
    found = values([first, *steps(again, 19 - start)])
    assert found == whole[start:]
    folder = folder_of(tmp_path, 0)
    assert update_of(folder / "checkpoint.pt") == 200
    assert len([name for name in folder.iterdir() if name.name.startswith("samples-")]) == 7


def test_report_told_again_has_its_picture(tmp_path: Path, dataset: Dataset) -> None:
    spec = small_spec(tmp_path, budget=BUDGET, prune=None)
    steps(actor_of(spec, dataset), 5)
    again = bare_actor()
    again.setup({**config_of(0), "goes_on": True, "told": 10}, dataset, spec.to_json())
    pictures = [{u: Path(p).name for u, p in r["pictures"]} for r in steps(again, 4)]
    assert pictures == [{20: "samples-0000000020.png"}, {}, {}, {50: "samples-0000000050.png"}]


def test_best_of_before_the_break_is_kept(tmp_path: Path, dataset: Dataset) -> None:
    spec = small_spec(tmp_path, budget=BUDGET)
    peak = {"distance": 0.05, "mode_ratio": 1.0}
    session = session_of(spec, dataset, [GOOD, peak, *[GOOD] * 3])
    folder = tmp_path / "trial"
    files = TrialFiles(session, str(folder))
    for _ in range(5):
        files.after_report(session.next_report())
    before = (folder / "best.pt").read_bytes(), (folder / "best.png").read_bytes()
    session = session_of(spec, dataset, [GOOD] * 15)
    files = TrialFiles(session, str(folder))
    (folder / ".checkpoint.pt.0.part").write_bytes(b"of a process that was killed")
    files.resume()
    assert not list(folder.glob(".*"))
    for _ in range(15):
        told = files.after_report(session.next_report())
    assert update_of(folder / "best.pt") == 20
    assert ((folder / "best.pt").read_bytes(), (folder / "best.png").read_bytes()) == before
    assert {"best.png", "best.pt", "checkpoint.pt"} <= set(told["kept"])


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_checkpoint_that_cannot_be_read_costs_time_only(
    content: bytes | None, tmp_path: Path, dataset: Dataset, whole, caplog
) -> None:
    spec = small_spec(tmp_path, budget=BUDGET, prune=None)
    steps(actor_of(spec, dataset), 5)
    checkpoint = folder_of(tmp_path, 0) / "checkpoint.pt"
    if content is None:
        checkpoint.unlink()
    else:
        checkpoint.write_bytes(content)
    again = bare_actor()
    again.setup({**config_of(0), "goes_on": True, "told": 50}, dataset, spec.to_json())
    assert values(steps(again, 20)) == whole
    assert ("starts again from its beginning" in caplog.text) is (content is not None)


def test_storage_that_is_away_when_a_trial_goes_on_is_waited_for(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, whole
) -> None:
    spec = small_spec(tmp_path, budget=BUDGET, prune=None)
    steps(actor_of(spec, dataset), 5)
    tries = iter([OSError("no route to host")] * 3)

    def read(place: str) -> bytes:
        for error in tries:
            raise error
        return read_file(place)

    monkeypatch.setattr(module, "read_file", read)
    monkeypatch.setattr(module, "PAUSE", 0.0)
    again = bare_actor()
    again.setup({**config_of(0), "goes_on": True, "told": 50}, dataset, spec.to_json())
    assert values(steps(again, 15)) == whole[5:]


def test_checkpoint_is_written_every_so_often_between_milestones(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    session = session_of(small_spec(tmp_path, budget=BUDGET), dataset, [GOOD] * 20)
    files = TrialFiles(session, str(tmp_path / "trial"))
    seen = []
    for _ in range(7):
        clock[0] += 31.0
        files.after_report(session.next_report())
        path = tmp_path / "trial/checkpoint.pt"
        seen.append(update_of(path) if path.exists() else 0)
    assert seen == [0, 20, 20, 40, 50, 50, 70]  # 20 and 50 are milestones


# --- storage that fails ---------------------------------------------------------------------------


class Disk:
    """A disk that is full for some writes."""

    def __init__(self, full: Sequence[int]) -> None:
        self._full, self.calls = set(full), 0

    def write(self, folder: str, name: str, content: bytes) -> str:
        self.calls += 1
        if self.calls in self._full:
            raise OSError(28, "No space left on device")
        return write_file(folder, name, content)


def test_full_disk_is_no_fault_of_the_trial_and_nothing_is_missing_when_there_is_room_again(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "write_file", Disk(range(1, 12)).write)
    monkeypatch.setattr(module, "PAUSE", 0.0)
    history = [{"distance": 1.0 / (i + 1), "mode_ratio": 1.0} for i in range(20)]
    session = session_of(small_spec(tmp_path, budget=BUDGET), dataset, history)
    folder = tmp_path / "trial"
    *earlier, last = run(session, folder, 20)
    assert names(folder) == CHECKPOINTS
    assert update_of(folder / "best.pt") == update_of(folder / "checkpoint.pt") == 200
    pictures = [name for name in last["kept"] if name.startswith("samples-")]
    assert len(pictures) == len(session._milestones) == 7
    # the driver hears of each when it can be read
    shown = [each["pictures"] for each in (*earlier, last)]
    assert shown[1] == ()
    assert {update for each in shown for update, _ in each} == session._milestones
    assert all(Path(place).exists() for each in shown for _, place in each)
    assert not list(folder.glob(".*"))


def test_storage_that_stays_away_ends_no_trial(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(module, "write_file", Disk(range(1, 10_000)).write)
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    session = session_of(small_spec(tmp_path, budget=BUDGET), dataset, [GOOD] * 20)
    *_, last = run(session, tmp_path / "trial", 20)
    assert last["kept"] == ()
    assert caplog.text.count("waits for its storage") == 1


def test_disk_that_a_trial_takes_has_a_bound(tmp_path: Path, dataset: Dataset) -> None:
    """Two checkpoints and MILESTONES + 2 pictures, whatever it reports, at any time."""
    history = [{"distance": 1.0 / (i + 1), "mode_ratio": 1.0} for i in range(20)]
    session = session_of(small_spec(tmp_path, budget=BUDGET), dataset, history)
    folder = tmp_path / "trial"
    files = TrialFiles(session, str(folder))
    for _ in range(20):
        files.after_report(session.next_report())
        found = [path.suffix for path in folder.iterdir()] if folder.exists() else []
        assert found.count(".pt") <= 2
        assert found.count(".png") <= MILESTONES + 2
        assert len(found) == found.count(".pt") + found.count(".png")

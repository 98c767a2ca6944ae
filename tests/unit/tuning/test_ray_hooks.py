"""What the two Ray faces do by themselves; with Ray around them, see tests/integration."""

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest
from ray import tune
from ray.exceptions import ActorDiedError, RayTaskError
from ray.tune.execution.class_cache import _ActorClassCache
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from ganray.spec.load import parse_sweep
from ganray.spec.models import Confirm
from ganray.tracking.recorder import MemoryRecorder
from ganray.trial import Cause, Outcome, Signals
from ganray.tuning import ray_hooks
from ganray.tuning.confirm import ConfirmStudy
from ganray.tuning.hosting import Hosting
from ganray.tuning.places import trial_location, write_file
from ganray.tuning.ray_hooks import (
    OutOfTime,
    StudyScheduler,
    StudySearch,
    ray_config,
    started_workers,
)
from ganray.tuning.roster import Roster, SweepLimits
from ganray.tuning.study import SweepStudy


@pytest.fixture
def study(tmp_path: Path) -> SweepStudy:
    raw = {
        "name": "hooks",
        "data": {"name": "ring"},
        "search": {"sampler": "random", "trials": 2, "space": {"loss": ["hinge", "lsgan"]}},
        "budget": {"updates": 20, "reports": 2, "failures": 0},
        "storage": {"results": str(tmp_path)},
    }
    return SweepStudy.create(parse_sweep(raw))


def at(update: int, **values: Any) -> Signals:
    counters = {"d_updates": update, "g_updates": 0, "images": update, "seconds": 1.0}
    return Signals(update=update, **counters, distance=0.1, **values)


def ray_trial(
    number: int,
    error: Exception | None = None,
    folder: Path | None = None,
    words: Path | None = None,
) -> Any:
    file = None
    if error is not None and folder is not None:
        file = folder / "error.pkl"
        file.write_bytes(cloudpickle.dumps(error))
    return SimpleNamespace(
        trial_id=f"tune-{number}",
        status=Trial.RUNNING,
        config={"number": number},
        pickled_error_file=file and str(file),
        error_file=words and str(words),
        temporary_state=SimpleNamespace(ray_actor=f"actor of {number}"),
    )


def controller_of(*live: Any) -> Any:
    """Tune's own, with these trials; `let_go` counts how often it gave idle actors back."""
    found = SimpleNamespace(get_live_trials=lambda: [*live], get_trials=list, let_go=0)

    def let_go(force_all: bool) -> None:
        assert force_all
        found.let_go += 1

    found._cleanup_cached_actors = let_go
    return found


def faces(
    study: SweepStudy, limits: SweepLimits, silence: float | None = None
) -> tuple[StudySearch, StudyScheduler, Any]:
    memory = MemoryRecorder()
    roster = Roster(study, [memory], limits, lambda: 8)
    return StudySearch(roster), StudyScheduler(roster, silence), memory


def test_search_gives_each_trial_once_and_then_ends(study: SweepStudy) -> None:
    search, _, memory = faces(study, SweepLimits(None, 5))
    given = [search.suggest(str(i)) for i in range(3)]
    assert [config["number"] for config in given[:2]] == [0, 1]
    assert given[2] is None  # one of these may still fail, and go on
    for number in range(2):
        study.report(number, at(20))
        search.roster.finish(number, Outcome.COMPLETED, "")
    assert search.suggest("c") == Searcher.FINISHED
    assert memory.trials[1].params == given[1]["trial_config"]


def test_trial_begins_when_tune_has_a_worker_for_it(study: SweepStudy) -> None:
    search, scheduler, memory = faces(study, SweepLimits(None, 5))
    search.suggest("a"), search.suggest("b")
    first, second = ray_trial(0), ray_trial(1)
    second.status = Trial.PENDING
    controller = controller_of(first, second)
    scheduler.choose_trial_to_run(controller)
    assert list(memory.trials) == [0]
    scheduler.on_trial_result(None, second, {"signals": at(10)})
    assert list(memory.trials) == [0, 1]


def test_recorders_hear_which_trial_is_confirmed(study: SweepStudy) -> None:
    spec = study.spec.model_copy(update={"confirm": Confirm(top=1, seeds=1)})
    for _ in range(2):
        number = study.ask().number
        study.report(number, at(20))
        study.finish(number, Outcome.COMPLETED)
    search, _, memory = faces(ConfirmStudy.create(spec), SweepLimits(None, 5))
    given = [search.suggest("a")]
    assert given[0]["number"] == 2
    search.roster.begin(2)
    record = memory.trials[2]
    assert (record.phase, record.confirms) == ("confirm", 0)
    assert record.files.endswith("hooks/trials/0002")
    assert record.params["seed"] == given[0]["trial_config"]["seed"] != study.config(0).seed


def test_trial_goes_on_until_its_budget_and_stops_as_completed(study: SweepStudy) -> None:
    search, scheduler, memory = faces(study, SweepLimits(None, 5))
    search.suggest("a")
    trial = ray_trial(0)
    first = scheduler.on_trial_result(None, trial, {"signals": at(10)})
    last = scheduler.on_trial_result(None, trial, {"signals": at(20)})
    assert (first, last) == (TrialScheduler.CONTINUE, TrialScheduler.STOP)
    assert memory.endings[0].outcome is Outcome.COMPLETED
    assert [s.update for s in memory.reports[0]] == [10, 20]


def test_trials_start_in_the_order_in_which_they_came(study: SweepStudy) -> None:
    """Without a look at those that ended: Tune keeps all of them, and asks at every event."""
    _, scheduler, _ = faces(study, SweepLimits(None, 5))
    controller = controller_of()
    first, second, third = (ray_trial(number) for number in range(3))
    assert scheduler.choose_trial_to_run(controller) is None
    for trial in (first, second, third):
        trial.status = Trial.PENDING
        scheduler.on_trial_add(None, trial)
    assert scheduler.choose_trial_to_run(controller) is first
    assert scheduler.choose_trial_to_run(controller) is first  # until it has an actor
    second.status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(controller) is first
    first.status = Trial.TERMINATED
    assert scheduler.choose_trial_to_run(controller) is third
    third.status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(controller) is None


def test_error_after_the_end_changes_nothing(study: SweepStudy, tmp_path: Path) -> None:
    limits = SweepLimits(None, 5)
    search, scheduler, memory = faces(study, limits)
    search.suggest("a")
    scheduler.on_trial_result(None, ray_trial(0), {"signals": at(20)})
    scheduler.on_trial_error(None, ray_trial(0, ValueError("late"), tmp_path))
    assert study.outcomes() == {0: Outcome.COMPLETED}
    assert memory.endings[0].outcome is Outcome.COMPLETED
    assert limits.crashed == 0


def test_crash_is_told_in_one_line_and_counts(study: SweepStudy, tmp_path: Path) -> None:
    limits = SweepLimits(None, 0)
    search, scheduler, memory = faces(study, limits)
    search.suggest("a")
    cause = ValueError("batch of 9\nis too large")
    error = RayTaskError("step", "Traceback …\nValueError: batch of 9", cause)
    scheduler.on_trial_error(None, ray_trial(0, error, tmp_path))
    assert memory.endings[0].reason == "ValueError: batch of 9"
    assert limits.reason == "1 trials crashed, more than budget.failures 0"
    assert search.suggest("b") == Searcher.FINISHED


def test_hours_that_are_over_end_the_experiment() -> None:
    assert OutOfTime(SweepLimits(0.0, 5)).stop_all()
    for limits in (SweepLimits(1.0, 5), SweepLimits(None, 0, crashed=1)):
        assert not OutOfTime(limits).stop_all()
    assert not OutOfTime(SweepLimits(0.0, 5))("a", {})


def test_error_that_is_known_in_words_alone_is_told_in_these(
    study: SweepStudy, tmp_path: Path
) -> None:
    search, scheduler, memory = faces(study, SweepLimits(None, 5))
    search.suggest("a"), search.suggest("b")
    words = tmp_path / "error.txt"
    words.write_text("Failure # 1 (occurred at noon)\nold\nFailure # 2 (at one)\nlost an object\n")
    scheduler.on_trial_error(None, ray_trial(0, words=words))
    assert 0 not in memory.endings  # the cluster's fault: it goes on
    assert study._frozen(0).user_attrs["faults"][0]["reason"] == "RayError: lost an object"
    odd = ray_trial(1, words=words)
    odd.pickled_error_file = str(words)  # nothing that can be loaded
    scheduler.on_trial_error(None, odd)
    assert memory.endings[1].cause is Cause.EXCEPTION
    assert memory.endings[1].reason == "RuntimeError: lost an object"


def test_what_has_no_outcome_is_cancelled_at_the_end(study: SweepStudy) -> None:
    search, scheduler, memory = faces(study, SweepLimits(None, 5))
    search.suggest("a"), search.suggest("b")
    scheduler.on_trial_result(None, ray_trial(0), {"signals": at(20)})
    scheduler.roster.cancel_unfinished("stopped")
    assert study.outcomes() == {0: Outcome.COMPLETED, 1: Outcome.CANCELLED}
    assert memory.endings[1].reason == "stopped"


# --- what trials leave ----------------------------------------------------------------------------


def left(study: SweepStudy, number: int, *names: str) -> None:
    for name in names:
        write_file(trial_location(study.spec, number), name, name.encode())


def test_evidence_is_told_at_the_end_of_a_trial_whose_worker_knew_of_it(study: SweepStudy) -> None:
    search, scheduler, memory = faces(study, SweepLimits(None, 5))
    search.suggest("a")
    names = ("best.png", "best.pt", "checkpoint.pt", "samples-0000000020.png", "stop.png")
    left(study, 0, *names)
    scheduler.on_trial_result(None, ray_trial(0), {"signals": at(10), "kept": names})
    assert memory.kept == {}  # an audited trial goes on
    scheduler.on_trial_result(None, ray_trial(0), {"signals": at(20), "kept": names})
    assert memory.kept == {0: {"best.png": b"best.png", "stop.png": b"stop.png"}}
    assert memory.best_checkpoints == {0: f"{trial_location(study.spec, 0)}/best.pt"}


def test_evidence_of_other_trials_is_told_when_nothing_runs_any_more(
    study: SweepStudy, tmp_path: Path
) -> None:
    search, scheduler, memory = faces(study, SweepLimits(None, 5))
    search.suggest("a"), search.suggest("b")
    told = []
    memory.evidence = lambda number, evidence: told.append((number, list(evidence.pictures)))
    scheduler.on_trial_result(None, ray_trial(0), {"signals": at(20), "kept": ("best.png",)})
    scheduler.on_trial_error(None, ray_trial(1, ValueError("late"), tmp_path))
    left(study, 1, "stop.png", "checkpoint.pt")
    assert told == [(0, ["best.png"])]
    scheduler.tell_evidence()
    scheduler.tell_evidence()
    assert told == [(0, ["best.png"]), (1, ["stop.png"])]


def test_trial_that_left_nothing_is_told_so_and_one_of_which_nobody_knows_is_not(
    study: SweepStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, scheduler, memory = faces(study, SweepLimits(None, 5))
    search.suggest("a"), search.suggest("b")
    scheduler.on_trial_result(None, ray_trial(0), {"signals": at(20)})
    scheduler.tell_evidence()
    scheduler.on_trial_result(None, ray_trial(1), {"signals": at(20)})

    def away(folder: str) -> tuple[str, ...]:
        raise OSError("no route to host")

    monkeypatch.setattr(ray_hooks, "list_files", away)
    scheduler.tell_evidence()
    assert memory.kept == {0: {}}


# --- faults ---------------------------------------------------------------------------------------


def test_trial_whose_process_died_is_given_out_again_and_told_where_it_was(
    study: SweepStudy, tmp_path: Path
) -> None:
    search, scheduler, memory = faces(study, SweepLimits(None, 0))
    first = search.suggest("a")
    assert (first["goes_on"], first["told"], first["launch"]) == (False, 0, 1)
    scheduler.on_trial_result(None, ray_trial(0), {"signals": at(10)})
    scheduler.on_trial_error(None, ray_trial(0, ActorDiedError(), tmp_path))
    again = search.suggest("b")
    assert again == {**first, "goes_on": True, "told": 10, "launch": 2}
    assert folder(0, again) == "0000-2"
    scheduler.on_trial_result(None, ray_trial(0), {"signals": at(10)})  # told twice
    scheduler.on_trial_result(None, ray_trial(0), {"signals": at(20)})
    assert [s.update for s in memory.reports[0]] == [10, 20]
    assert (memory.endings[0].outcome, memory.endings[0].retries) == (Outcome.COMPLETED, 1)


def folder(number: int, config: dict[str, Any]) -> str:
    return ray_hooks.folder_name(SimpleNamespace(config=config))


def test_silent_trial_is_killed_and_has_crashed_with_that_reason(
    study: SweepStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[Any] = []
    monkeypatch.setattr(ray_hooks.ray, "kill", killed.append)
    clock = [1000.0]
    monkeypatch.setattr(ray_hooks.time, "monotonic", lambda: clock[0])
    search, scheduler, memory = faces(study, SweepLimits(None, 5), silence=90.0)
    search.suggest("a"), search.suggest("b")
    silent, talking = ray_trial(0), ray_trial(1)
    controller = controller_of(silent, talking, SimpleNamespace(status=Trial.PENDING))
    for seconds in range(0, 100, 4):
        clock[0] += 4.0
        if seconds == 60:
            scheduler.on_trial_result(None, talking, {"signals": at(10)})
        scheduler.choose_trial_to_run(controller)
        assert killed == ["actor of 0"] * (seconds > 90)
    scheduler.on_trial_error(None, ray_trial(0, ActorDiedError(), tmp_path))
    ending = memory.endings[0]
    assert (ending.outcome, ending.cause) == (Outcome.CRASHED, Cause.SILENT)
    assert ending.reason == "reported nothing for 1.5 minutes (budget.silence_minutes)"


def test_actors_that_no_trial_needs_any_more_are_let_go(study: SweepStudy) -> None:
    """Other sweeps may wait for their places, and the last trial may run for hours."""
    search, scheduler, _ = faces(study, SweepLimits(None, 5))
    first, second = ray_trial(0), ray_trial(1)
    controller = controller_of(first, second)
    search.suggest("a")
    scheduler.choose_trial_to_run(controller)
    assert controller.let_go == 0  # one more is to come
    search.suggest("b")
    waiting = ray_trial(1)
    waiting.status = Trial.PENDING
    scheduler.on_trial_add(controller, waiting)
    assert scheduler.choose_trial_to_run(controller) is waiting
    assert controller.let_go == 0  # and may take over an actor
    waiting.status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(controller) is None
    assert controller.let_go == 1


class Waiting(Hosting):
    """Where trial 0 waits for others to leave, and is evicted if it is taken for dead."""

    begins_at_once = False

    def __init__(self) -> None:
        self.waits = True
        self.evicted: list[int] = []

    def is_waiting(self, number: int) -> bool:
        return self.waits

    def evict(self, number: int) -> None:
        self.evicted.append(number)


def test_trial_that_waits_for_others_is_neither_silent_nor_begun(
    study: SweepStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[Any] = []
    monkeypatch.setattr(ray_hooks.ray, "kill", killed.append)
    clock = [1000.0]
    monkeypatch.setattr(ray_hooks.time, "monotonic", lambda: clock[0])
    memory, hosting = MemoryRecorder(), Waiting()
    roster = Roster(study, [memory], SweepLimits(None, 5), lambda: 8)
    scheduler = StudyScheduler(roster, 90.0, hosting)
    StudySearch(roster, hosting).suggest("a")
    trial = ray_trial(0)
    controller = controller_of(trial)

    def wait(seconds: int) -> None:
        for _ in range(0, seconds, 4):
            clock[0] += 4.0
            scheduler.choose_trial_to_run(controller)

    wait(200)
    assert (killed, hosting.evicted, memory.trials) == ([], [], {})
    hosting.waits = False
    scheduler.on_trial_result(None, trial, {"signals": at(10)})
    assert list(memory.trials) == [0]
    wait(100)
    assert (killed, hosting.evicted) == (["actor of 0"], [0])


def test_nobody_is_silent_while_the_driver_itself_heard_nothing(
    study: SweepStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_hooks.ray, "kill", lambda actor: pytest.fail("it was killed"))
    clock = [1000.0]
    monkeypatch.setattr(ray_hooks, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    search, scheduler, _ = faces(study, SweepLimits(None, 5), silence=90.0)
    search.suggest("a")
    trial = ray_trial(0)
    controller = controller_of(trial)
    for _ in range(10):
        clock[0] += 600.0  # its storage was away
        scheduler.choose_trial_to_run(controller)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_last_checkpoint_is_dropped_where_nobody_goes_on(
    outcome: Outcome, study: SweepStudy
) -> None:
    search, scheduler, _ = faces(study, SweepLimits(None, 5))
    search.suggest("a")
    study.report(0, at(20))
    left(study, 0, "best.pt", "checkpoint.pt")
    scheduler._finish(0, outcome, "")
    left(study, 0, "checkpoint.pt") if outcome is Outcome.OUTRANKED else None
    scheduler.close()
    names = ray_hooks.list_files(trial_location(study.spec, 0))
    keeps = outcome in {Outcome.COMPLETED, Outcome.CRASHED, Outcome.CANCELLED}
    assert names == ("best.pt", *(("checkpoint.pt",) if keeps else ()))


def test_config_of_a_trial_is_all_that_a_worker_needs(study: SweepStudy) -> None:
    asked = study.ask()
    assert asked is not None
    assert ray_config(asked) == {
        "number": 0,
        "trial_config": asdict(asked.config),
        "launch": 1,
        "goes_on": False,
        "told": 0,
        "alone": False,
    }


def test_actors_of_trials_ask_for_no_environment_that_started_workers_lack() -> None:
    def asked() -> Any:
        return _ActorClassCache().get(tune.Trainable)._default_options["runtime_env"]

    usual = asked()
    with started_workers():
        assert asked() == {}
    assert asked() == usual != {}

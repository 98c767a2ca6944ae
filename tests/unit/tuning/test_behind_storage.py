"""A storage that writes reports behind the driver's back is, to all who read, as any other."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage, get_storage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from ganray.errors import StorageError
from ganray.tuning import patience
from ganray.tuning.behind_storage import MOST, BehindStorage

pytestmark = pytest.mark.timeout(60)

DIRECTIONS = [StudyDirection.MINIMIZE]


class Held:
    """Another storage, whose attributes and values of trials are written when it is let go."""

    def __init__(self, storage: BaseStorage) -> None:
        self.storage = storage
        self.may_go = threading.Event()
        self.error: Exception | None = None
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.storage, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if name in ("set_trial_user_attr", "set_trial_intermediate_value"):
                self.may_go.wait(20.0)
                if self.error is not None:
                    raise self.error
            self.calls.append(name)
            return method(*args, **kwargs)

        return call


@pytest.fixture
def held() -> Iterator[Held]:
    found = Held(InMemoryStorage())
    yield found
    found.may_go.set()


def trial_in(storage: BaseStorage) -> int:
    return storage.create_new_trial(storage.create_new_study(DIRECTIONS, "one"))


def test_nobody_waits_for_what_a_report_writes(held: Held) -> None:
    storage = BehindStorage(held)
    trial = trial_in(storage)
    storage.set_trial_intermediate_value(trial, 1, 0.5)
    storage.set_trial_user_attr(trial, "signals", [1, 2])
    assert "set_trial_user_attr" not in held.calls
    held.may_go.set()
    found = storage.get_trial(trial)
    assert (found.intermediate_values, found.user_attrs) == ({1: 0.5}, {"signals": [1, 2]})


@pytest.mark.parametrize(
    "call",
    [
        lambda storage, trial: storage.get_trial(trial),
        lambda storage, trial: storage.set_trial_state_values(trial, TrialState.COMPLETE, [1.0]),
        lambda storage, trial: storage.set_study_system_attr(0, "lease", "mine"),
        lambda storage, trial: storage.create_new_trial(0),
    ],
)
def test_every_other_call_comes_after_what_was_told_before(held: Held, call: Any) -> None:
    storage = BehindStorage(held)
    trial = trial_in(storage)
    for step in range(50):
        storage.set_trial_intermediate_value(trial, step, 0.5)
    before = len(held.calls)
    threading.Timer(0.05, held.may_go.set).start()
    call(storage, trial)
    written = held.calls[before:]
    assert written[:50] == ["set_trial_intermediate_value"] * 50
    assert len(written) == 51


def test_what_cannot_be_written_is_told_to_whoever_calls_next(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.001)
    storage = BehindStorage(held, patience=0.02)
    trial = trial_in(storage)
    held.error = OSError(errno.ENOSPC, "No space left on device")
    held.may_go.set()
    storage.set_trial_user_attr(trial, "first", 1)
    for call in (
        lambda: storage.get_trial(trial),
        lambda: storage.set_trial_user_attr(trial, "second", 2),
        lambda: storage.set_trial_state_values(trial, TrialState.FAIL),
    ):
        with pytest.raises(StorageError, match="No space left"):
            call()
    held.error = None
    assert held.storage.get_trial(trial).user_attrs == {}  # nothing that came after it, either


def test_a_storage_that_is_back_has_missed_nothing(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.001)
    storage = BehindStorage(held)
    trial = trial_in(storage)
    held.error = OSError(errno.ENOSPC, "No space left on device")
    held.may_go.set()
    for step in range(5):
        storage.set_trial_intermediate_value(trial, step, float(step))
    time.sleep(0.02)
    held.error = None
    assert storage.get_trial(trial).intermediate_values == {n: float(n) for n in range(5)}


def test_who_is_in_a_hurry_waits_no_longer_for_what_is_queued(held: Held) -> None:
    storage = BehindStorage(held)
    trial = trial_in(storage)
    held.error = OSError(errno.ENOSPC, "No space left on device")
    held.may_go.set()
    storage.set_trial_user_attr(trial, "first", 1)
    storage.hurry(0.1)
    with pytest.raises(StorageError):
        storage.get_trial(trial)


def test_no_more_is_queued_than_can_be_written_in_a_while(held: Held) -> None:
    storage = BehindStorage(held)
    trial = trial_in(storage)
    threading.Timer(0.1, held.may_go.set).start()
    for step in range(MOST + 2):  # one of them is being written
        storage.set_trial_intermediate_value(trial, step, 0.5)
    assert held.may_go.is_set()


def test_optuna_is_told_the_same(tmp_path: Path) -> None:
    def run(storage: BaseStorage) -> list[tuple[Any, ...]]:
        study = optuna.create_study(
            storage=storage,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1),
            sampler=optuna.samplers.RandomSampler(0),
        )
        study.optimize(objective, n_trials=8)
        return [(t.state, t.value, t.intermediate_values, t.user_attrs) for t in study.trials]

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        for step in range(4):
            trial.report(x + step, step)
            trial.set_user_attr(f"at {step}", x)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x

    behind = BehindStorage(get_storage(RDBStorage(f"sqlite:///{tmp_path}/behind.db")))
    assert run(behind) == run(InMemoryStorage())

"""A storage that fails in passing is as one that does not, whatever a lost call had done."""

import errno
import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage, get_storage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from ganray.errors import StorageError
from ganray.tuning import patience
from ganray.tuning.journal import JournalFile
from ganray.tuning.patient_storage import PatientStorage

DIRECTIONS = [StudyDirection.MINIMIZE]
METHODS = [
    name
    for name, _ in inspect.getmembers(BaseStorage, inspect.isfunction)
    if not name.startswith("_")
]


class Faulty:
    """Another storage, a method of which fails at its next calls: before its work, or after."""

    def __init__(self, storage: BaseStorage) -> None:
        self.storage = storage
        self.faults: dict[str, list[str]] = {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.storage, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            when = self.faults.get(name)
            fault = when.pop(0) if when else None
            found = None if fault == "before" else method(*args, **kwargs)
            if fault is not None:
                raise OSError(errno.ENOSPC, "No space left on device")
            return found

        return call


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.001)


def in_memory(folder: Path) -> BaseStorage:
    return InMemoryStorage()


def in_journal(folder: Path) -> BaseStorage:
    return JournalStorage(JournalFile(str(folder / "study.journal")))


def in_sqlite(folder: Path) -> BaseStorage:
    return get_storage(RDBStorage(f"sqlite:///{folder}/study.db"))


@pytest.fixture(params=[in_memory, in_journal, in_sqlite])
def faulty(request: pytest.FixtureRequest, tmp_path: Path) -> Faulty:
    return Faulty(request.param(tmp_path))


@pytest.fixture
def patient(faulty: Faulty) -> PatientStorage:
    return PatientStorage(faulty, 30.0)  # type: ignore[arg-type]


TWICE = [["before"], ["after"], ["before", "after"], ["after", "after"]]


# --- every method ---------------------------------------------------------------------------------

# what each is called with, on a study 0 that has a RUNNING trial 0
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "create_new_study": (DIRECTIONS, "another"),
    "create_new_trial": (0,),
    "delete_study": (0,),
    "set_study_user_attr": (0, "key", {"a": 1}),
    "set_study_system_attr": (0, "key", [1]),
    "set_trial_param": (0, "x", 0.5, FloatDistribution(0.0, 1.0)),
    "set_trial_state_values": (0, TrialState.COMPLETE, [0.5]),
    "set_trial_intermediate_value": (0, 3, 0.25),
    "set_trial_user_attr": (0, "key", "value"),
    "set_trial_system_attr": (0, "key", "value"),
    "get_study_id_from_name": ("first",),
    "get_study_name_from_id": (0,),
    "get_study_directions": (0,),
    "get_study_user_attrs": (0,),
    "get_study_system_attrs": (0,),
    "get_all_studies": (),
    "get_trial": (0,),
    "get_all_trials": (0, False, (TrialState.RUNNING,)),
    "get_n_trials": (0, TrialState.RUNNING),
    "get_trial_id_from_study_id_trial_number": (0, 0),
    "get_trial_number_from_id": (0,),
    "get_trial_param": (0, "y"),
    "get_trial_params": (0,),
    "get_trial_user_attrs": (0,),
    "get_trial_system_attrs": (0,),
    "get_best_trial": (0,),
    "check_trial_is_updatable": (0, TrialState.RUNNING),
    "remove_session": (),
}


def prepared(storage: BaseStorage) -> tuple[int, int]:
    study = storage.create_new_study(DIRECTIONS, "first")
    trial = storage.create_new_trial(study)
    storage.set_trial_param(trial, "y", 0.5, FloatDistribution(0.0, 1.0))
    storage.create_new_trial(study, create_trial(value=1.0))
    return study, trial


def contents(storage: BaseStorage) -> list[Any]:
    """All that a storage holds, but for the times."""
    studies = storage.get_all_studies()
    trials = [trial for s in studies for trial in storage.get_all_trials(s._study_id)]
    shown = ("number", "state", "values", "params", "user_attrs", "system_attrs")
    found: list[Any] = [[getattr(t, name) for name in shown] for t in trials]
    return [*[(s.study_name, s.user_attrs, s.system_attrs) for s in studies], *found]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("faults", [["before"], ["before"] * 3, ["after"], ["before", "after"]])
def test_call_that_failed_in_passing_is_as_one_that_did_not(
    name: str, faults: list[str], tmp_path: Path
) -> None:
    plain, faulty = InMemoryStorage(), Faulty(InMemoryStorage())
    patient = PatientStorage(faulty, 30.0)  # type: ignore[arg-type]
    for storage in (plain, patient):
        prepared(storage)
    faulty.faults[name] = list(faults)
    found = [getattr(storage, name)(*ARGUMENTS[name]) for storage in (plain, patient)]
    assert faulty.faults[name] == []
    if (name, "after" in faults) == ("create_new_trial", True):
        return  # an orphan is left, see below
    assert contents(plain) == contents(patient)
    if name not in ("get_all_studies", "get_trial", "get_all_trials", "get_best_trial"):
        assert found[0] == found[1]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_a_storage_is_passed_on(name: str) -> None:
    # the defaults of the base class would do without what the wrapped one does better
    assert name in vars(PatientStorage)
    own = inspect.signature(getattr(PatientStorage, name))
    assert list(own.parameters) == list(inspect.signature(getattr(BaseStorage, name)).parameters)


@pytest.mark.parametrize("name", METHODS)
def test_error_that_lasts_is_raised_as_it_is(name: str) -> None:
    class Broken:
        def __getattr__(self, method: str) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                raise PermissionError(errno.EACCES, "Permission denied", method)

            return call

    patient = PatientStorage(Broken(), 30.0)  # type: ignore[arg-type]
    with pytest.raises(PermissionError, match=name):
        getattr(patient, name)(*ARGUMENTS[name])


def test_patience_is_that_of_its_maker(faulty: Faulty) -> None:
    patient = PatientStorage(faulty, 0.2)  # type: ignore[arg-type]
    faulty.faults["get_all_studies"] = ["before"] * 10_000
    began = time.monotonic()
    with pytest.raises(StorageError, match="No space left"):
        patient.get_all_studies()
    assert 0.2 <= time.monotonic() - began < 2.0


def test_hurry_cuts_patience_short(faulty: Faulty, patient: PatientStorage) -> None:
    faulty.faults["get_all_studies"] = ["before"] * 10_000
    patient.hurry(0.1)
    began = time.monotonic()
    with pytest.raises(StorageError):
        patient.get_all_studies()
    assert time.monotonic() - began < 2.0


# --- calls that did their work before they failed -------------------------------------------------


@pytest.mark.parametrize("faults", TWICE)
def test_study_is_created_once(faults: list[str], faulty: Faulty, patient: PatientStorage) -> None:
    faulty.faults["create_new_study"] = list(faults)
    study = patient.create_new_study(DIRECTIONS, "a")
    assert faulty.faults["create_new_study"] == []
    assert [each._study_id for each in patient.get_all_studies()] == [study]
    assert patient.get_study_id_from_name("a") == study


def test_study_without_a_name_is_created_once(faulty: Faulty, patient: PatientStorage) -> None:
    faulty.faults["create_new_study"] = ["after"]
    study = patient.create_new_study(DIRECTIONS)
    assert [each._study_id for each in patient.get_all_studies()] == [study]


def test_name_that_is_taken_is_refused_at_once(faulty: Faulty, patient: PatientStorage) -> None:
    patient.create_new_study(DIRECTIONS, "a")
    with pytest.raises(DuplicatedStudyError):
        patient.create_new_study(DIRECTIONS, "a")


@pytest.mark.parametrize("way", ["attribute", "trial"])
def test_name_that_another_took_in_between_is_refused(
    way: str, faulty: Faulty, patient: PatientStorage
) -> None:
    theirs = faulty.storage.create_new_study(DIRECTIONS, "a")
    if way == "attribute":
        faulty.storage.set_study_user_attr(theirs, "spec", "{}")
    else:
        faulty.storage.create_new_trial(theirs)
    faulty.faults["create_new_study"] = ["before"]
    with pytest.raises(DuplicatedStudyError):
        patient.create_new_study(DIRECTIONS, "a")


@pytest.mark.parametrize("faults", TWICE)
def test_study_is_deleted_once(faults: list[str], faulty: Faulty, patient: PatientStorage) -> None:
    study = patient.create_new_study(DIRECTIONS, "a")
    faulty.faults["delete_study"] = list(faults)
    patient.delete_study(study)
    assert patient.get_all_studies() == []
    with pytest.raises(KeyError):
        patient.delete_study(study)


@pytest.mark.parametrize("faults", TWICE)
@pytest.mark.parametrize(
    ("state", "values"),
    [
        (TrialState.COMPLETE, [0.1 + 0.2]),
        (TrialState.COMPLETE, (1e-300,)),
        (TrialState.PRUNED, [0.5]),
        (TrialState.PRUNED, None),
        (TrialState.FAIL, None),
    ],
)
def test_trial_ends_once(
    state: TrialState, values: Any, faults: list[str], faulty: Faulty, patient: PatientStorage
) -> None:
    trial = patient.create_new_trial(patient.create_new_study(DIRECTIONS, "a"))
    faulty.faults["set_trial_state_values"] = list(faults)
    assert patient.set_trial_state_values(trial, state, values) is True
    found = patient.get_trial(trial)
    assert (found.state, found.values) == (state, values and list(values))


@pytest.mark.parametrize(
    ("state", "values"),
    [(TrialState.PRUNED, [0.5]), (TrialState.COMPLETE, [0.25]), (TrialState.FAIL, None)],
)
def test_trial_that_another_ended_otherwise_is_refused(
    state: TrialState, values: Any, faulty: Faulty, patient: PatientStorage
) -> None:
    trial = patient.create_new_trial(patient.create_new_study(DIRECTIONS, "a"))
    faulty.storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.5])
    for faults in ([], ["before"]):
        faulty.faults["set_trial_state_values"] = list(faults)
        with pytest.raises(UpdateFinishedTrialError):
            patient.set_trial_state_values(trial, state, values)


@pytest.mark.parametrize("faults", TWICE)
def test_waiting_trial_is_taken_once(
    faults: list[str], faulty: Faulty, patient: PatientStorage
) -> None:
    study = optuna.create_study(storage=patient)
    study.enqueue_trial({"x": 0.25})
    faulty.faults["set_trial_state_values"] = list(faults)
    trial = study.ask({"x": FloatDistribution(0.0, 1.0)})
    assert (trial.number, trial.params) == (0, {"x": 0.25})
    assert len(study.trials) == 1


def test_trial_that_runs_is_not_taken_again(patient: PatientStorage) -> None:
    trial = patient.create_new_trial(patient.create_new_study(DIRECTIONS, "a"))
    assert patient.set_trial_state_values(trial, TrialState.RUNNING) is False


def test_trial_whose_creation_got_no_answer_is_left_as_an_orphan(
    faulty: Faulty, patient: PatientStorage
) -> None:
    study = patient.create_new_study(DIRECTIONS, "a")
    faulty.faults["create_new_trial"] = ["after"]
    trial = patient.create_new_trial(study)
    orphan, asked = patient.get_all_trials(study)
    assert (asked._trial_id, asked.number) == (trial, 1)
    assert (orphan.state, orphan.params, orphan.user_attrs) == (TrialState.RUNNING, {}, {})


# --- as Optuna's ----------------------------------------------------------------------------------


def test_optuna_takes_it_as_it_is(patient: PatientStorage) -> None:
    study = optuna.create_study(storage=patient, study_name="a")
    assert study._storage is patient
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=5)
    again = optuna.load_study(study_name="a", storage=patient)
    assert again.trials == study.trials
    assert again.best_trial == study.best_trial
    assert len(again.trials) == 5


def test_it_adds_microseconds_to_a_call() -> None:
    plain = InMemoryStorage()
    patient = PatientStorage(plain)
    study = plain.create_new_study(DIRECTIONS, "a")

    def seconds(storage: BaseStorage) -> float:
        took = []
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(1_000):
                storage.get_study_directions(study)
            took.append(time.perf_counter() - began)
        return min(took) / 1_000

    assert seconds(patient) - seconds(plain) < 20e-6

"""An Optuna storage that outlives full disks and restarts of its database."""

from collections.abc import Callable, Sequence
from functools import partial, update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import uuid4

from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ganray.tuning.patience import PATIENCE, Patience, is_passing

P = ParamSpec("P")
T = TypeVar("T")


def _as_it_is(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A method that passes a call on, and repeats it."""
    name = method.__name__

    def call(self: "PatientStorage", /, *args: P.args, **kwargs: P.kwargs) -> T:
        do: Callable[P, T] = getattr(self._storage, name)
        try:
            return do(*args, **kwargs)
        except Exception as error:
            return self._repeat(error, lambda: do(*args, **kwargs))

    update_wrapper(call, method, updated=())  # not its `__dict__`: that says that it is abstract
    return call


class PatientStorage(BaseStorage):
    """Passes every call on, and repeats one that fails in passing until its patience is over.

    A call can fail although it did its work: the database commits, and its answer is lost. To
    repeat it is harmless where it sets a value; the other methods say what they do. They rely on
    a study having one driver at a time. What a repeated call waits for holds no lock: calls of
    other threads go their own way. Costs a microsecond a call.

    Args:
        storage: not an `RDBStorage` itself but with the cache that Optuna would give it.
        patience: seconds to go on.

    Raises:
        StorageError: from any call: the storage failed for longer than that.
    """

    def __init__(self, storage: BaseStorage, patience: float = PATIENCE) -> None:
        self._storage = storage
        self._patience = Patience(patience)

    def hurry(self, seconds: float) -> None:
        """Wait for the storage until some seconds from now, and no longer, in any call.

        May be called by any thread and by a signal handler.
        """
        self._patience.hurry(seconds)

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Create a study; an empty one of that name, found at the second try, is of the first."""
        name = study_name or f"no-name-{uuid4()}"
        create = self._storage.create_new_study

        def again() -> int:
            try:
                return create(directions, name)
            except DuplicatedStudyError:
                found = self._storage.get_study_id_from_name(name)
                if self._storage.get_study_user_attrs(found) or self._storage.get_n_trials(found):
                    raise
                return found

        return self._do(lambda: create(directions, name), again)

    def delete_study(self, study_id: int) -> None:
        """Delete a study; that it is gone at the second try is what was asked for."""

        def again() -> None:
            try:
                self._storage.delete_study(study_id)
            except KeyError:
                return

        self._do(lambda: self._storage.delete_study(study_id), again)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial; a lost answer leaves an orphan, a trial that nobody was told of.

        `RDBStorage` itself repeats this call, so an orphan cannot be told here from a trial that
        was asked for. The study can: it adopts a RUNNING trial without a configuration, and does
        not trust a WAITING one to hold the point that belongs to its number.
        """
        create = partial(self._storage.create_new_trial, study_id, template_trial)
        return self._do(create, create)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set a state; that it is set already at the second try is what was asked for."""
        set_state = self._storage.set_trial_state_values

        def again() -> bool:
            try:
                # False: it was RUNNING before, and the only driver is this one
                return set_state(trial_id, state, values) or state is TrialState.RUNNING
            except UpdateFinishedTrialError:
                found = self._storage.get_trial(trial_id)
                if (found.state, found.values) != (state, values and list(values)):
                    raise
                return True

        return self._do(lambda: set_state(trial_id, state, values), again)

    def _do(self, first: Callable[[], T], again: Callable[[], T]) -> T:
        try:
            return first()
        except Exception as error:
            return self._repeat(error, again)

    def _repeat(self, error: Exception, again: Callable[[], T]) -> T:
        if not is_passing(error):
            raise error
        return self._patience.repeat(again, error)

    # to be repeated as they are: they read, or set a value
    set_study_user_attr = _as_it_is(BaseStorage.set_study_user_attr)
    set_study_system_attr = _as_it_is(BaseStorage.set_study_system_attr)
    get_study_id_from_name = _as_it_is(BaseStorage.get_study_id_from_name)
    get_study_name_from_id = _as_it_is(BaseStorage.get_study_name_from_id)
    get_study_directions = _as_it_is(BaseStorage.get_study_directions)
    get_study_user_attrs = _as_it_is(BaseStorage.get_study_user_attrs)
    get_study_system_attrs = _as_it_is(BaseStorage.get_study_system_attrs)
    get_all_studies = _as_it_is(BaseStorage.get_all_studies)
    set_trial_param = _as_it_is(BaseStorage.set_trial_param)
    set_trial_intermediate_value = _as_it_is(BaseStorage.set_trial_intermediate_value)
    set_trial_user_attr = _as_it_is(BaseStorage.set_trial_user_attr)
    set_trial_system_attr = _as_it_is(BaseStorage.set_trial_system_attr)
    get_trial = _as_it_is(BaseStorage.get_trial)
    get_all_trials = _as_it_is(BaseStorage.get_all_trials)
    get_n_trials = _as_it_is(BaseStorage.get_n_trials)
    get_best_trial = _as_it_is(BaseStorage.get_best_trial)
    get_trial_id_from_study_id_trial_number = _as_it_is(
        BaseStorage.get_trial_id_from_study_id_trial_number
    )
    get_trial_number_from_id = _as_it_is(BaseStorage.get_trial_number_from_id)
    get_trial_param = _as_it_is(BaseStorage.get_trial_param)
    get_trial_params = _as_it_is(BaseStorage.get_trial_params)
    get_trial_user_attrs = _as_it_is(BaseStorage.get_trial_user_attrs)
    get_trial_system_attrs = _as_it_is(BaseStorage.get_trial_system_attrs)
    check_trial_is_updatable = _as_it_is(BaseStorage.check_trial_is_updatable)
    remove_session = _as_it_is(BaseStorage.remove_session)

"""Both ends of the line between a trial of Tune's and its engine; to import them takes no torch."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.exceptions import RayError

from ganray.secrets import redacted_errors


class EngineActor:
    """An `Engine` in an actor; whoever gets a handle of it imports this class.

    Args:
        spec: as of `Engine`.
        dataset: a reference to it in Ray's object store, pickled, which keeps it there: of one that
            is passed as it is Ray warns that an actor which starts again may not find it.
        slots: as of `Engine`.
    """

    def __init__(self, spec: str, dataset: bytes, slots: int) -> None:
        from ganray.tuning.engine import Engine  # with torch

        self._engine = Engine(spec, ray.get(cloudpickle.loads(dataset)), slots)

    def step(self, number: int, config: Mapping[str, Any] | None) -> dict[str, Any]:
        """See `Engine.step`."""
        return self._engine.step(number, config)

    def leave(self, number: int) -> None:
        """See `Engine.leave`."""
        self._engine.leave(number)

    def evict(self, number: int) -> None:
        """See `Engine.evict`."""
        self._engine.evict(number)

    def is_waiting(self, number: int) -> bool:
        """See `Engine.is_waiting`."""
        return self._engine.is_waiting(number)


class SlotTrial(tune.Trainable):
    """A trial for Tune, which an engine trains: as `GanTrial`, without what training takes.

    The Ray config is that of a `GanTrial`, and `engine`, the name of the engine's actor.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Set up nothing but the first trial."""
        self._engine: Any = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another trial, with the next step."""
        self.cleanup()
        self._number = int(new_config["number"])
        self._config: dict[str, Any] | None = new_config
        return True

    @redacted_errors()
    def step(self) -> dict[str, Any]:
        """Have the engine train up to the next report."""
        config, self._config = self._config, None
        if config is not None:
            self._engine = ray.get_actor(config["engine"])
        found: dict[str, Any] = ray.get(self._engine.step.remote(self._number, config))
        return found

    def cleanup(self) -> None:
        """Leave the trial, which has ended."""
        engine, self._engine = self._engine, None
        if engine is not None:
            with suppress(RayError):  # it died, and what it had with it
                ray.get(engine.leave.remote(self._number))

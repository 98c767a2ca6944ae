"""The cohorts of one engine: trials of one shape that step together, each in its row."""

import threading
from collections.abc import Callable, Mapping

from ganray.gan.base import Trainer
from ganray.gan.fusing import Signature, refusal, signature
from ganray.gan.shared_cohort import SharedCohort
from ganray.gan.trainer import GanTrainer

Leave = Callable[[], None]


class Cohorts:
    """A cohort for each kind of trial that has come so far, with a row for each slot.

    Args:
        slots: of the engine.
        networks: options of `build_networks`, of all trials.
    """

    def __init__(self, slots: int, networks: Mapping[str, object]) -> None:
        self._slots = slots
        self._networks = networks
        self._cohorts: dict[Signature, SharedCohort] = {}
        self._making = threading.Lock()

    def join(self, trainer: Trainer) -> Leave:
        """Take a trainer into the cohort of its kind, if such trainers can step together.

        Returns:
            How it leaves again; a trainer that cannot join is left as it is.
        """
        if not isinstance(trainer, GanTrainer) or refusal(trainer.config, self._networks):
            return lambda: None
        cohort = self._of(trainer)
        row = cohort.join(trainer)

        def leave() -> None:
            cohort.leave(row)

        return leave

    def _of(self, trainer: GanTrainer) -> SharedCohort:
        kind = signature(trainer.config, self._networks)
        with self._making:
            if kind not in self._cohorts:
                made = SharedCohort(self._slots, trainer.config, self._networks, trainer.data)
                self._cohorts[kind] = made
            return self._cohorts[kind]

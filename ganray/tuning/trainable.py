"""What runs in a Ray actor of its own: one trial after another."""

from typing import TYPE_CHECKING, Any

from ray import tune

from ganray.data.dataset import Dataset
from ganray.garbage import load
from ganray.secrets import redacted_errors

if TYPE_CHECKING:
    from ganray.tuning.worker import Worker


class GanTrial(tune.Trainable):
    """Trains the trial that its Ray config names; the actor is reused for the next one.

    The Ray config is `number` and what a `Worker` is told.
    """

    def setup(  # type: ignore[override]  # `tune.with_parameters` adds the last two
        self, config: dict[str, Any], dataset: Dataset, spec: str
    ) -> None:
        """Set up what all trials of this actor share.

        Args:
            config: of the first trial.
            dataset: arrays in Ray's object store, one copy a node.
            spec: the sweep, as JSON.
        """
        load(("ganray.tuning.worker",))  # with torch
        from ganray.tuning.session import guard_gpu
        from ganray.tuning.worker import Workplace

        self._workplace = Workplace(spec, dataset, lambda: guard_gpu(self._share_of_gpu))
        self._worker: Worker | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another trial, with the next step: what may hang or fail is the trial's own."""
        self.cleanup()
        self._config: dict[str, Any] | None = new_config
        return True

    @redacted_errors()  # Tune writes them into files of the trial's folder
    def step(self) -> dict[str, Any]:
        """Train up to the next report."""
        config, self._config = self._config, None
        if config is not None:
            self._worker = self._workplace.begin(config)
        assert self._worker is not None, "a trial has a config before its first step"
        return self._worker.next_report()

    @property
    def _share_of_gpu(self) -> float:
        """What Ray has given this actor; more trials of its share may be on the same GPU."""
        given = self.trial_resources
        return 0.0 if given is None else float(given.required_resources.get("GPU", 0.0))

    def cleanup(self) -> None:
        """Leave the trial, which has ended: the driver may have stopped it since its last step."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.leave()

"""What runs in a Ray actor: one trial after another, each a `Session`."""

from typing import Any

from ray import tune

from ganray.data.dataset import Dataset
from ganray.spec.models import SweepSpec
from ganray.trial import TrialConfig
from ganray.tuning.places import CHECKPOINT, trial_location, write_file
from ganray.tuning.session import Session, Workbench


class GanTrial(tune.Trainable):
    """Trains the trial that its Ray config names; the actor is reused for the next one."""

    def setup(  # type: ignore[override]  # `tune.with_parameters` adds the last two
        self, config: dict[str, Any], dataset: Dataset, spec: str
    ) -> None:
        """Set up what all trials of this actor share.

        Args:
            config: of the first trial: its `number` and its `trial_config`.
            dataset: arrays in Ray's object store, one copy a node.
            spec: the sweep, as JSON.
        """
        self._spec = SweepSpec.model_validate_json(spec)
        self._workbench = Workbench(self._spec, dataset)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another trial."""
        self._number = int(new_config["number"])
        self._session = Session(self._workbench, TrialConfig(**new_config["trial_config"]))
        return True

    def step(self) -> dict[str, Any]:
        """Train up to the next report."""
        signals = self._session.next_report()
        # never "done": Tune would end the trial without asking the scheduler
        result: dict[str, Any] = {"signals": signals}
        if self._session.is_milestone:
            folder = trial_location(self._spec, self._number)
            name = f"samples-{signals.update:010d}.png"
            result["picture"] = write_file(folder, name, self._session.picture())
            if signals.nonfinite is None:
                write_file(folder, CHECKPOINT, self._session.checkpoint())
        return result

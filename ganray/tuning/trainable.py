"""What runs in a Ray actor: one trial after another, each a `Session`."""

import contextlib
from typing import Any

import pyarrow
from ray import tune

from ganray.data.dataset import Dataset
from ganray.secrets import redacted_errors
from ganray.spec.models import SweepSpec
from ganray.trial import TrialConfig
from ganray.tuning.files import TrialFiles
from ganray.tuning.places import trial_location
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
        self._files: TrialFiles | None = None
        self.reset_config(config)

    @redacted_errors()  # Tune writes them into files of the trial's folder
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another trial."""
        self.cleanup()
        folder = trial_location(self._spec, int(new_config["number"]))
        self._session = Session(self._workbench, TrialConfig(**new_config["trial_config"]))
        self._files = TrialFiles(self._session, folder)
        return True

    @redacted_errors()
    def step(self) -> dict[str, Any]:
        """Train up to the next report."""
        files, self._files = self._files, None  # an error here leaves nothing that could be saved
        assert files is not None, "Tune takes no step after an error"
        signals = self._session.next_report()
        # never "done": Tune would end the trial without asking the scheduler
        result = {"signals": signals, **files.after_report(signals)}
        self._files = files
        return result

    def cleanup(self) -> None:
        """Leave the trial, which has ended: the driver may have stopped it since its last step."""
        files, self._files = self._files, None
        if files is not None:
            # what is missing on storage must not be a fault of the next trial
            with contextlib.suppress(OSError, pyarrow.ArrowException):
                files.leave()

"""What runs in a Ray actor: one trial after another, each a `Session`."""

from collections import deque
from typing import Any

from ray import tune

from ganray.data.dataset import Dataset
from ganray.secrets import redacted_errors, redacted_log
from ganray.spec.models import SweepSpec
from ganray.trial import Signals, TrialConfig
from ganray.tuning.files import TrialFiles
from ganray.tuning.places import trial_location
from ganray.tuning.session import Session, Workbench, guard_gpu

log = redacted_log("ganray.tuning")


class GanTrial(tune.Trainable):
    """Trains the trial that its Ray config names; the actor is reused for the next one.

    The Ray config has `number` and `trial_config`; of a trial that goes on after a break also
    `goes_on: True` and `told`, the update of the last report that the driver has. Reports that an
    earlier process made and the driver lacks are told first: none is missing, none is made twice.
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
        self._spec = SweepSpec.model_validate_json(spec)
        self._dataset = dataset
        self._workbench: Workbench | None = None
        self._files: TrialFiles | None = None
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
        files, self._files = self._files, None  # an error here leaves nothing that could be saved
        if config is not None:
            files = self._begin(config)
        assert files is not None, "Tune takes no step after an error"
        signals, told = self._next(files)
        self._files = files
        # never "done": Tune would end the trial without asking the scheduler
        return {"signals": signals, **told}

    def _begin(self, config: dict[str, Any]) -> TrialFiles:
        if self._workbench is None:
            guard_gpu(self._share_of_gpu)
            self._workbench = Workbench(self._spec, self._dataset)
        self._session = Session(self._workbench, TrialConfig(**config["trial_config"]))
        files = TrialFiles(self._session, trial_location(self._spec, int(config["number"])))
        if config.get("goes_on"):
            files.resume()
        told = int(config.get("told", 0))
        self._untold = deque(s for s in self._session.history if s.update > told)
        return files

    @property
    def _share_of_gpu(self) -> float:
        """What Ray has given this actor; more trials of its share may be on the same GPU."""
        given = self.trial_resources
        return 0.0 if given is None else float(given.required_resources.get("GPU", 0.0))

    def _next(self, files: TrialFiles) -> tuple[Signals, dict[str, Any]]:
        if self._untold:
            signals = self._untold.popleft()
            return signals, files.again(signals)
        signals = self._session.next_report()
        return signals, files.after_report(signals)

    def cleanup(self) -> None:
        """Leave the trial, which has ended: the driver may have stopped it since its last step."""
        files, self._files = self._files, None
        if files is not None:
            try:
                files.leave()
            except Exception as error:  # what it leaves must not be a fault of the next trial
                log.warning("a trial that ended left less than it should: %r", error)

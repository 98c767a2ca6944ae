"""One trial in the process that trains it, from its first report there to what it leaves."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ganray.data.dataset import Dataset
from ganray.gan.base import Trainer
from ganray.secrets import redacted_log
from ganray.spec.models import SweepSpec
from ganray.trial import Signals, TrialConfig
from ganray.tuning.files import TrialFiles
from ganray.tuning.places import trial_location
from ganray.tuning.session import Session, Workbench

log = redacted_log("ganray.tuning")


class Workplace:
    """What the trials of one process share; it is set up when the first of them begins.

    Args:
        spec: the sweep, as JSON.
        dataset: arrays in Ray's object store, one copy a node.
        prepare: called once, before anything is put on the device.
    """

    def __init__(
        self, spec: str, dataset: Dataset, prepare: Callable[[], None] = lambda: None
    ) -> None:
        self.spec = SweepSpec.model_validate_json(spec)
        self._dataset = dataset
        self._prepare = prepare
        self._workbench: Workbench | None = None
        self._setting_up = threading.Lock()

    def begin(self, config: Mapping[str, Any]) -> "Worker":
        """Take up the trial of a Ray config: see `ray_config`."""
        location = trial_location(self.spec, int(config["number"]))
        return Worker(self.workbench, config, location)

    @property
    def workbench(self) -> Workbench:
        """The data on the device, and what measures."""
        with self._setting_up:
            if self._workbench is None:
                self._prepare()
                self._workbench = Workbench(self.spec, self._dataset)
            return self._workbench


class Worker:
    """A trial under way in this process.

    Of one that goes on after a break, reports that an earlier process made and the driver lacks are
    told first: none is missing, none is made twice.

    Args:
        workbench: what trials of this process share.
        config: `trial_config`, and of a trial that goes on also `goes_on: True` and `told`, the
            update of the last report that the driver has.
        location: of the trial's files.
    """

    def __init__(self, workbench: Workbench, config: Mapping[str, Any], location: str) -> None:
        self._session = Session(workbench, TrialConfig(**config["trial_config"]))
        self._files: TrialFiles | None = TrialFiles(self._session, location)
        if config.get("goes_on"):
            self._files.resume()
        told = int(config.get("told", 0))
        self._untold = deque(s for s in self._session.history if s.update > told)

    @property
    def trainer(self) -> Trainer:
        """What makes its updates."""
        return self._session.trainer

    def next_report(self) -> dict[str, Any]:
        """Train up to the next report: `signals`, and what `TrialFiles.after_report` tells."""
        files, self._files = self._files, None  # an error here leaves nothing that could be saved
        assert files is not None, "no step is taken after an error"
        signals, told = self._next(files)
        self._files = files
        # never "done": Tune would end the trial without asking the scheduler
        return {"signals": signals, **told}

    def _next(self, files: TrialFiles) -> tuple[Signals, dict[str, Any]]:
        if self._untold:
            signals = self._untold.popleft()
            return signals, files.again(signals)
        signals = self._session.next_report()
        return signals, files.after_report(signals)

    def leave(self) -> None:
        """Write what is missing of the trial, which the driver has ended, perhaps."""
        files, self._files = self._files, None
        if files is not None:
            try:
                files.leave()
            except Exception as error:  # what it leaves must not be a fault of the next trial
                log.warning("a trial that ended left less than it should: %r", error)

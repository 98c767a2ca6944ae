"""One trial, report by report: the same in a Ray actor and in `ganray train`."""

import torch

from ganray.data import pictures
from ganray.data.dataset import Dataset
from ganray.gan.trainer import GanTrainer
from ganray.health.measure import Bench, Meter
from ganray.spec.models import SweepSpec
from ganray.trial import Signals, TrialConfig

PICTURES = 8  # of samples, at most, over a trial


class Workbench:
    """What all trials of one process share: the data on the device, and the real side of measures.

    Args:
        spec: the sweep.
        dataset: its data, loaded.
        device: where to train; None: a GPU if torch sees one.
    """

    def __init__(self, spec: SweepSpec, dataset: Dataset, device: str | None = None) -> None:
        # results must not depend on how many threads happen to be free
        torch.set_num_threads(max(1, int(spec.resources.cpu)))
        self.spec = spec
        self.dataset = dataset
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.networks = spec.networks.model_dump()
        self.train = torch.tensor(dataset.train).to(self.device)
        self.bench = Bench(dataset, self.networks)


class Session:
    """A trial under way."""

    def __init__(self, workbench: Workbench, config: TrialConfig) -> None:
        self._workbench = workbench
        self._trainer = GanTrainer(
            config, workbench.networks, workbench.train, device=workbench.device
        )
        self._meter = Meter(workbench.bench, config.latent_dim)
        budget = workbench.spec.budget
        self._ends = budget.report_updates()
        every = -(-budget.reports // PICTURES)
        self._picture_at = set(self._ends[::-1][::every])  # the last report always has one
        self._update = 0

    @property
    def done(self) -> bool:
        """Whether the budget is used up."""
        return self._update >= self._ends[-1]

    def next_report(self) -> Signals:
        """Train up to the next report and measure."""
        end = next(end for end in self._ends if end > self._update)
        self._trainer.advance(end - self._update)
        self._update = end
        return self._meter.measure(self._trainer.snapshot())

    def picture(self) -> bytes | None:
        """A PNG of the samples last measured, at every few reports; else None."""
        if self._update not in self._picture_at:
            return None
        return pictures.draw(self._workbench.dataset, self._meter.samples)

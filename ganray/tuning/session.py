"""One trial, report by report: the same in a Ray actor and in `ganray train`."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ganray.data import pictures
from ganray.data.dataset import Dataset, Samples
from ganray.errors import CheckpointError
from ganray.gan.base import Snapshot
from ganray.gan.checkpoint import capture, dump, load, serialize
from ganray.gan.real import RealData
from ganray.gan.trainer import make_trainer
from ganray.health.measure import Bench, Meter
from ganray.metrics.features import find_features
from ganray.metrics.registry import evaluate
from ganray.spec.models import Budget, SweepSpec
from ganray.trial import Signals, TrialConfig
from ganray.tuning.pruner import make_pruner

PROGRESS_OVER = 0.1  # of the trial
MILESTONES = 8  # reports, at most, with a picture, metrics and a checkpoint


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
        self.data = RealData(
            _tensor(dataset.train),
            labels=None if dataset.labels is None else _tensor(dataset.labels),
            classes=dataset.classes,
            conditions=None if dataset.conditions is None else _tensor(dataset.conditions),
            device=self.device,
        )
        self.bench = Bench(dataset, self.networks)
        self.features = find_features(spec.measure.features, self.device)
        prune, budget = spec.prune, spec.budget
        self.pruner = None if prune is None else make_pruner(prune, budget.updates)


def guard_gpu(share: float) -> None:
    """Keep what this process allocates on its GPU to a share of the GPU's memory.

    Who needs more runs out of memory itself, and not one of those beside it.

    Args:
        share: of one GPU; nothing is kept where it is none, or a whole one.
    """
    if 0.0 < share < 1.0 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


@dataclass(frozen=True, slots=True)
class Best:
    """A trial at its best report so far, by the sweep's objective."""

    update: int
    value: float
    samples: Samples | None  # None, both: a trial that goes on has the files of its best already
    captured: Mapping[str, Any] | None  # of `checkpoint.capture`

    def checkpoint(self) -> bytes:
        """The trial as it was then; samples can be drawn from it."""
        assert self.captured is not None, "it is on storage"
        return serialize(self.captured)


class Session:
    """A trial under way.

    Attributes:
        trainer: of the trial.
        best: None while the objective was never defined.
    """

    def __init__(self, workbench: Workbench, config: TrialConfig) -> None:
        self.best: Best | None = None
        self._history: list[Signals] = []
        self._workbench = workbench
        budget = workbench.spec.budget
        self.trainer = make_trainer(config, workbench.networks, workbench.data, budget.updates)
        window = max(1, round(PROGRESS_OVER * budget.reports))
        self._meter = Meter(workbench.bench, config.latent_dim, window)
        self._ends = budget.report_updates()
        self._milestones = set(milestones(budget))
        self._update = 0

    @property
    def history(self) -> Sequence[Signals]:
        """All reports so far, oldest first."""
        return tuple(self._history)

    @property
    def done(self) -> bool:
        """Whether the budget is used up."""
        return self._update >= self._ends[-1]

    def next_report(self) -> Signals:
        """Train up to the next report and measure."""
        end = next(end for end in self._ends if end > self._update)
        self.trainer.advance(end - self._update)
        self._update = end
        snapshot = self.trainer.snapshot()
        signals = self._meter.measure(snapshot)
        if self.is_milestone and signals.nonfinite is None:
            signals = signals.with_values(self._metrics(snapshot))
        self._history.append(signals)
        self._keep_best(signals)
        return signals

    @property
    def is_milestone(self) -> bool:
        """Whether the last report is one of the few with a picture, metrics and a checkpoint."""
        return self._update in self._milestones

    @property
    def is_condemned(self) -> bool:
        """Whether the sweep prunes, and its health rules say by now that the trial is dead.

        They hear of this trial alone, so that the driver comes to the same verdict.
        """
        pruner = self._workbench.pruner
        return pruner is not None and pruner.condemns(pruner.verdict(self._history))

    def picture(self, samples: Samples | None = None) -> bytes:
        """A PNG of samples; None: of those last measured."""
        shown = self._meter.samples if samples is None else samples
        return pictures.draw(self._workbench.dataset, shown)

    def checkpoint(self) -> bytes:
        """The trial as it is after its last report, to go on with or to draw samples from."""
        best = None if self.best is None else (self.best.update, self.best.value)
        session = {
            "history": [signals.to_dict() for signals in self._history],
            "meter": self._meter.state_dict(),
            "best": best,
        }
        return dump(self.trainer, self._workbench.networks, session)

    def restore(self, content: bytes) -> None:
        """Go on from a checkpoint, report for report as if there had been no break.

        Args:
            content: what `checkpoint` of a session of the same trial gave.

        Raises:
            CheckpointError: it is none, or of another trial.
        """
        found = load(content)  # on the CPU, where measures are; networks move their part
        session = found.get("session")
        if session is None or found["config"] != asdict(self.trainer.config):
            raise CheckpointError("this checkpoint is not one that this trial could go on from")
        self.trainer.load_state_dict(found["state"])
        self._meter.load_state_dict(session["meter"])
        self._history = [Signals.from_dict(values) for values in session["history"]]
        self._update = self.trainer.update
        if session["best"] is not None:
            update, value = session["best"]
            self.best = Best(update, value, None, None)

    def _keep_best(self, signals: Signals) -> None:
        objective = self._workbench.spec.objective
        value = getattr(signals, objective.metric)
        if value is None or not math.isfinite(value) or signals.nonfinite is not None:
            return
        sign = 1.0 if objective.direction == "min" else -1.0
        if self.best is None or sign * value < sign * self.best.value:
            captured = capture(self.trainer, self._workbench.networks)
            self.best = Best(signals.update, value, self._meter.samples, captured)

    def _metrics(self, snapshot: Snapshot) -> dict[str, float]:
        measure, dataset = self._workbench.spec.measure, self._workbench.dataset
        generate = snapshot.generate_average or snapshot.generate  # whichever would be kept

        def draw(count: int) -> Samples:
            inputs = self._workbench.bench.inputs(self.trainer.config.latent_dim, count)
            samples: Samples = generate(*inputs).float().cpu().numpy()
            return samples

        network = self._workbench.features
        return evaluate(measure.metrics, dataset, draw, network=network)


def milestones(budget: Budget) -> list[int]:
    """The updates of those few reports; the last one always is among them."""
    every = -(-budget.reports // MILESTONES)
    return budget.report_updates()[::-1][::every][::-1]


def _tensor(array: NDArray[Any]) -> Tensor:
    """The array itself as a tensor: on one machine all processes read the same memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nor written
        return torch.as_tensor(array)

"""Samples with what belongs to them, in two banks that never mix."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ganray.data.bins import fit_bins
from ganray.data.classifier import train_classifier
from ganray.data.dataset import Bytes, Dataset, Labels, ModeCounter, Samples
from ganray.errors import DataError

HELDOUT = 5_000  # or a tenth of the data, if that is fewer
HELDOUT_SPLIT = 10_000  # of a split that comes with the data
FEWEST = 20  # samples to train on and measure with

Modes = tuple[ModeCounter, Mapping[str, float], Callable[[Samples], Samples] | None]


@dataclass(frozen=True)
class Table:
    """Samples and, row by row, what is known of them."""

    samples: Samples | Bytes  # [N, ...]
    labels: Labels | None = None  # [N]
    conditions: Samples | None = None  # [N, K]

    def rows(self, chosen: Labels) -> "Table":
        """Some rows, in the order given."""
        labels = None if self.labels is None else self.labels[chosen]
        conditions = None if self.conditions is None else self.conditions[chosen]
        return Table(self.samples[chosen], labels, conditions)


def split(
    data: Table, test: Table | None, heldout: int | None, seed: int, origin: str
) -> tuple[Table, Table]:
    """The bank to train on and the bank held out, each in random order.

    Args:
        data: what to train on, and to hold out from if there is no `test`.
        test: a split that came with the data.
        heldout: how many to hold out; None: of `test` at most `HELDOUT_SPLIT`, of `data`
            `HELDOUT` or a tenth, whichever is fewer.
        seed: of the order and the choice.
        origin: what to call the data in an error.

    Raises:
        DataError: there are too few samples.
    """
    rng = np.random.default_rng(seed)
    source = data if test is None else test
    count = len(source.samples)
    if heldout is None:
        heldout = min(HELDOUT, count // 10) if test is None else min(HELDOUT_SPLIT, count)
    left = len(data.samples) - (heldout if test is None else 0)
    if heldout > count or heldout < 2 or left < FEWEST:
        raise DataError(
            f"{origin}: has {len(data.samples)} samples"
            f"{'' if test is None else f' and a test split of {count}'}; "
            f"expected at least {FEWEST} to train on and 2 to hold out beside them "
            f"(to be held out: {heldout})"
        )
    chosen = stratified(source.labels, count, heldout, rng)
    rest = np.arange(len(data.samples))
    if test is None:
        rest = np.delete(rest, chosen)
    return data.rows(rng.permutation(rest)), source.rows(chosen)


def stratified(labels: Labels | None, count: int, chosen: int, rng: np.random.Generator) -> Labels:
    """Indices of `chosen` of `count` samples, of every label as often as in all, in random order.

    Every (count / chosen)-th of a random order that is sorted by label.
    """
    order = rng.permutation(count)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    picked = ((np.arange(chosen) + rng.random()) * count / chosen).astype(np.int64)
    return rng.permutation(order[np.minimum(picked, count - 1)])


def build(name: str, train: Table, heldout: Table, classes: int, seed: int) -> Dataset:
    """The data set of two banks; its modes are the classes if there are two or more, else bins.

    Args:
        name: with version and options; what the data are is added as a hash.
        train: the bank to train on.
        heldout: the bank held out.
        classes: labels are below it; 0 if there are none.
        seed: of the classifier or the bins.
    """
    counter, facts, features = _modes(train, heldout, classes, seed)
    made = Dataset(
        name,
        train.samples,
        heldout.samples,
        counter,
        facts,
        labels=train.labels,
        heldout_labels=heldout.labels,
        classes=classes,
        conditions=train.conditions,
        heldout_conditions=heldout.conditions,
        features=features,
    )
    return replace(made, name=f"{name}-seed{seed}-{made.fingerprint[:8]}")


def _modes(train: Table, heldout: Table, classes: int, seed: int) -> Modes:
    if train.labels is None or heldout.labels is None or classes < 2:
        return fit_bins(train.samples, heldout.samples, seed=seed), {}, None
    trained = train_classifier(
        train.samples, train.labels, heldout.samples, heldout.labels, seed=seed
    )
    facts = {"classifier_accuracy": trained.accuracy}
    return trained.counter, facts, trained.counter.features

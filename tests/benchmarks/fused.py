"""Trials that step together: K in a cohort beside the same K trainers, one after the other.

Both do the same updates on the ring, in blocks that take turns. On a GPU small networks wait for
launches of kernels, of which a cohort needs about as many for K trials as for one; on a CPU nothing
waits for launches, and a cohort is not expected to pay. Each trial's trainer is the one that
`step` compares with a loop by hand.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from ganray.data.gaussians import ring
from ganray.gan.cohort import Cohort
from ganray.gan.real import RealData
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig
from tests.benchmarks.results import Row, Rows

MLP = {"name": "mlp", "width": 128, "depth": 2}
SIZES = (1, 2, 4, 8, 16)
LOSSES = {
    "one loss": ("non_saturating",),
    "five losses": ("non_saturating", "hinge", "wgan", "relativistic_average", "fgan_hellinger"),
}
BLOCKS = 5  # for each of `--runs`
PAIRS = 10  # of an update of D and one of G, of each trial, in a block


def fused(runs: int) -> Rows:
    """Seconds of a block in a cohort as a share of those one after the other.

    Args:
        runs: blocks are `BLOCKS` times as many.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = RealData(torch.as_tensor(ring(train_size=4_000).train), device=device)
    print(f"\n{PAIRS} pairs of updates of K trials, {device}: medians of {BLOCKS * runs} blocks")
    rows = []
    for name, losses in LOSSES.items():
        for size in SIZES:
            rows.append(_compared(f"{size} trials, {name}", _trainers(size, losses, data), runs))
            print(rows[-1], flush=True)
    return rows


def _trainers(size: int, losses: Sequence[str], data: RealData) -> list[GanTrainer]:
    configs = [TrialConfig(seed=seed, loss=losses[seed % len(losses)]) for seed in range(size)]
    return [GanTrainer(config, MLP, data) for config in configs]


def _compared(case: str, trainers: Sequence[GanTrainer], runs: int) -> Row:
    config, data = trainers[0].config, trainers[0].data
    cohort = Cohort(len(trainers), config, MLP, data)
    twins = [GanTrainer(each.config, MLP, data) for each in trainers]
    places = [cohort.join(each) for each in twins]
    ratios = []
    for block in range(BLOCKS * runs + 1):
        together = _seconds(partial(cohort.advance, dict.fromkeys(places, 2 * PAIRS)))
        in_turns = sum(_seconds(partial(each.advance, 2 * PAIRS)) for each in trainers)
        if block:  # the first one warms up
            ratios.append(together / in_turns)
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return Row("fused", f"{case} / in turns", ratio, low, high, "x")


def _seconds(work: Callable[[], object]) -> float:
    """Of the processor, whatever else it does; on a GPU, which it waits for, of the clock."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    start = clock()
    work()  # ends with a look at the weights, so that nothing is under way any more
    return clock() - start

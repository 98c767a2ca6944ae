"""GAN trials of one shape that step together: the kernels of one update serve a whole cohort.

A trial stays the trainer that it is. While it is in a row of a cohort, its tensors are views of
that row, so that all one can do with a trainer works as ever; only its updates are made here. It
draws what it would draw alone, from its own generator and in the same order, so that neither its
neighbours nor its row matter. Beside rounding, it trains as it would alone; its seconds are of the
clock, which the rows share.

All that rows differ in is data, and no shape or address depends on who is in which row. So where
trials ask for CUDA graphs, it is the cohort's updates that are recorded.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack

from torch import Tensor

from ganray.gan.fusing import refusal, signature
from ganray.gan.player import Player
from ganray.gan.real import RealData
from ganray.gan.row_player import RowPlayer
from ganray.gan.row_updates import RowUpdates
from ganray.gan.rows import move_in, move_out
from ganray.gan.schedules import TURNS, Turn
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig


class Cohort:
    """K rows for trials of one signature. One thread at a time.

    Args:
        size: K.
        config: of any of the trials.
        networks: options of `build_networks`, of all of them.
        data: that all of them train on.

    Attributes:
        signature: of the trials that may join.

    Raises:
        ValueError: such trials cannot step together.
    """

    def __init__(
        self, size: int, config: TrialConfig, networks: Mapping[str, object], data: RealData
    ) -> None:
        if reason := refusal(config, networks):
            raise ValueError(f"this trial cannot step together with others: {reason}")
        self.signature = signature(config, networks)
        self._options = networks
        self._data = data
        self._trainers: list[GanTrainer | None] = [None] * size
        self._updates = RowUpdates(size, config, networks, data, self.signature)

    @property
    def is_recorded(self) -> bool:
        """Whether updates are graphs that are replayed; they are recorded before the first ones."""
        return self._updates.is_recorded

    # --- who is in which row ----------------------------------------------------------------------

    @property
    def free(self) -> list[int]:
        """The rows that nobody is in."""
        return [row for row, trainer in enumerate(self._trainers) if trainer is None]

    def join(self, trainer: GanTrainer) -> int:
        """Take a trainer into a free row, as it is now.

        Returns:
            The number of the row.

        Raises:
            ValueError: no row is free, or the trainer has one, or is not of this cohort's kind, or
                has graphs of its own.
        """
        self._check(trainer)
        trainer.forgo_graphs()
        row = self.free[0]
        move_in(self._places(row, trainer))
        for mine, player in self._sides(trainer):
            mine.begin(row, player)
        trainers = [*self._trainers]
        trainers[row] = trainer
        self._updates.assign(trainers)
        self._trainers = trainers
        return row

    def leave(self, row: int) -> GanTrainer:
        """Give the trainer in a row tensors of its own again, and the row to whoever is next.

        Returns:
            The trainer.
        """
        trainer = self._at(row)
        self._trainers[row] = None  # also if there is no memory for what follows
        move_out(own for own, _ in self._places(row, trainer))
        return trainer

    def _check(self, trainer: GanTrainer) -> None:
        if trainer in self._trainers:
            raise ValueError(f"this trial is in row {self._trainers.index(trainer)}")
        if not self.free:
            raise ValueError(f"all {len(self._trainers)} rows are taken")
        if reason := refusal(trainer.config, self._options):
            raise ValueError(f"this trial cannot step together with others: {reason}")
        if (its := signature(trainer.config, self._options)) != self.signature:
            raise ValueError(f"this trial is of another kind: {its}, not {self.signature}")
        if trainer.data is not self._data:
            raise ValueError("this trial trains on other data")

    def _at(self, row: int) -> GanTrainer:
        trainer = self._trainers[row]
        if trainer is None:
            raise ValueError(f"nobody is in row {row}")
        return trainer

    def _sides(self, trainer: GanTrainer) -> list[tuple[RowPlayer, Player]]:
        return [(mine, trainer.players[side]) for side, mine in self._updates.sides.items()]

    def _places(self, row: int, trainer: GanTrainer) -> Iterator[tuple[Tensor, Tensor]]:
        """Each of a trainer's tensors, and where in a row it goes."""
        for mine, player in self._sides(trainer):
            yield from mine.places(row, player)
        if (average := trainer.parts.average) is not None:
            layout = self._updates.sides["g"].network.layout
            places = layout.split(self._updates.averages[row])
            yield from zip(average.module.parameters(), places, strict=True)

    # --- updates ----------------------------------------------------------------------------------

    def advance(self, updates: Mapping[int, int]) -> None:
        """`Trainer.advance` of some rows: that many updates of each; the others stay as they are.

        Args:
            updates: by row.
        """
        with ExitStack() as stack:
            left = {row: count for row, count in updates.items() if not self._at(row).nonfinite}
            for row, count in left.items():
                stack.enter_context(self._at(row).stretch(count))
            while left:
                left = self.tick(left)

    def tick(self, left: Mapping[int, int]) -> dict[int, int]:
        """An update of D where it is D's turn, then one of G where it is G's.

        A row thus makes up to two updates: those with a turn of D for each of G stay in step.

        Args:
            left: how many updates are left to make, by row; other rows stay as they are.

        Returns:
            How many are left then, without the rows that are through.
        """
        left = dict(left)
        for turn in TURNS:
            rows = [row for row, count in left.items() if count and self._turn(row) == turn]
            if rows:
                self._update(turn, rows)
            for row in rows:
                left[row] -= 1
        for row in [row for row, count in left.items() if not count]:
            self._settle(row)
            del left[row]
        return left

    def _turn(self, row: int) -> Turn:
        return self._at(row).parts.turns.upcoming

    def _settle(self, row: int) -> None:
        for mine, player in self._sides(self._at(row)):
            mine.settle(row, player)

    def _update(self, turn: Turn, rows: Collection[int]) -> None:
        trainers = {row: self._at(row) for row in rows}
        for trainer in trainers.values():
            trainer.follow_schedules()
        self._updates.make(turn, trainers)
        for trainer in trainers.values():
            _count(turn, trainer)


def _count(turn: Turn, trainer: GanTrainer) -> None:
    """Of what a trainer counts, all that it keeps on the host."""
    average = trainer.parts.average
    trainer.parts.turns.next()
    trainer.players[turn].count_step()
    trainer.update += 1
    trainer.d_updates += turn == "d"
    if turn == "g" and average is not None:
        average.updates += 1

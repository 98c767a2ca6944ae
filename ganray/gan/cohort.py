"""GAN trials of one shape that step together: the kernels of one update serve a whole cohort.

A trial stays the trainer that it is. While it is in a row of a cohort, its tensors are views of
that row, so that all one can do with a trainer works as ever; only its updates are made here. It
draws what it would draw alone, from its own generator and in the same order, so that neither its
neighbours nor its row matter. Beside rounding, it trains as it would alone; its seconds are of the
clock, which the rows share.

All that rows differ in is data, and no shape or address depends on who is in which row.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor

from ganray.gan.fusing import refusal, signature
from ganray.gan.losses import LossFunction
from ganray.gan.player import Player
from ganray.gan.real import RealData
from ganray.gan.row_draws import FAKE, REAL, RowDraws
from ganray.gan.row_losses import slopes
from ganray.gan.row_player import RowPlayer
from ganray.gan.row_settings import SettingsTable, settings_of
from ganray.gan.rows import move_in, move_out
from ganray.gan.schedules import Turn
from ganray.gan.trainer import GanTrainer, networks_of
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
        pair = networks_of(config, networks, data.shape, 0, 0)
        self._g = RowPlayer(size, pair.generator.to(data.device), self.signature.g_optimizer)
        self._d = RowPlayer(size, pair.discriminator.to(data.device), self.signature.d_optimizer)
        weights = self._g.network.weights
        self._averages = torch.zeros_like(weights)
        self._settings = SettingsTable(weights)
        self._draws = RowDraws(size, config, data, weights)
        self._losses: dict[LossFunction, Tensor] = {}  # whose each one is, [K, 1]

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
            ValueError: no row is free, or the trainer has one, or is not of this cohort's kind.
        """
        self._check(trainer)
        row = self.free[0]
        move_in(self._places(row, trainer))
        for mine, player in self._sides(trainer):
            mine.begin(row, player)
        self._trainers[row] = trainer
        self._take_down_losses()
        return row

    def leave(self, row: int) -> GanTrainer:
        """Give the trainer in a row tensors of its own again, and the row to whoever is next.

        Returns:
            The trainer.
        """
        trainer = self._at(row)
        move_out(own for own, _ in self._places(row, trainer))
        self._trainers[row] = None
        self._take_down_losses()
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
        return [(self._d, trainer.players["d"]), (self._g, trainer.players["g"])]

    def _places(self, row: int, trainer: GanTrainer) -> Iterator[tuple[Tensor, Tensor]]:
        """Each of a trainer's tensors, and where in a row it goes."""
        for mine, player in self._sides(trainer):
            yield from mine.places(row, player)
        if (average := trainer.parts.average) is not None:
            places = self._g.network.layout.split(self._averages[row])
            yield from zip(average.module.parameters(), places, strict=True)

    def _take_down_losses(self) -> None:
        """Note whose each loss is, where that was noted before."""
        used = [() if trainer is None else _sides_of_loss(trainer) for trainer in self._trainers]
        before, self._losses = self._losses, {}
        for loss in dict.fromkeys(loss for both in used for loss in both):
            whose = torch.tensor([[loss in both] for both in used])
            kept = before.get(loss)
            self._losses[loss] = whose.to(self._data.device) if kept is None else kept.copy_(whose)

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
        for turn, update in (("d", self._update_d), ("g", self._update_g)):
            rows = [row for row, count in left.items() if count and self._turn(row) == turn]
            if rows:
                update(rows)
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

    def _update_d(self, rows: Collection[int]) -> None:
        self._begin("d", rows)
        for row in rows:
            self._draws.for_d(row, self._at(row))
        with torch.no_grad():
            shown = torch.cat([self._real(rows), self._fake(rows)], 1)
        logits = self._judge(shown)
        found = slopes(self._losses_of("d", rows), *logits.chunk(2, 1))
        by_logits = torch.cat([found.by_real, found.by_fake], 1)
        self._d.move(self._d.network.gradient(logits, by_logits), found.loss, self._settings.rows)
        self._count("d", rows)

    def _update_g(self, rows: Collection[int]) -> None:
        self._begin("g", rows)
        for row in rows:
            self._draws.for_g(row, self._at(row))
        on_fake = on_real = self._judge(self._fake(rows))
        if any(self._at(row).parts.loss.generator_uses_real for row in rows):
            with torch.no_grad():
                on_real = self._judge(self._real(rows))
        found = slopes(self._losses_of("g", rows), on_real, on_fake)
        gradient = self._g.network.gradient(on_fake, found.by_fake)
        self._g.move(gradient, found.loss, self._settings.rows)
        self._move_averages(rows)
        self._count("g", rows)

    def _begin(self, turn: Turn, rows: Iterable[int]) -> None:
        moving = {}
        for row in rows:
            trainer = self._at(row)
            trainer.follow_schedules()
            moving[row] = settings_of(trainer, trainer.players[turn])
        self._settings.set(moving)

    def _count(self, turn: Turn, rows: Iterable[int]) -> None:
        """Of what each trainer counts, all that it keeps on the host."""
        for row in rows:
            trainer = self._at(row)
            average = trainer.parts.average
            trainer.parts.turns.next()
            trainer.players[turn].count_step()
            trainer.update += 1
            trainer.d_updates += turn == "d"
            if turn == "g" and average is not None:
                average.updates += 1

    def _move_averages(self, rows: Iterable[int]) -> None:
        if any(self._at(row).parts.average for row in rows):
            by = self._settings.rows.average
            with torch.no_grad():
                moved = torch.lerp(self._averages, self._g.network.weights, by)
                torch.where(by > 0.0, moved, self._averages, out=self._averages)

    def _losses_of(self, turn: Turn, rows: Iterable[int]) -> dict[LossFunction, Tensor]:
        """The losses of that side that these rows need, and whose each one is."""
        both = (_sides_of_loss(self._at(row)) for row in rows)
        wanted = {d_side if turn == "d" else g_side for d_side, g_side in both}
        return {loss: whose for loss, whose in self._losses.items() if loss in wanted}

    # --- what goes through the networks -----------------------------------------------------------

    def _real(self, rows: Iterable[int]) -> Tensor:
        """What D is shown of the data, [K, B, features]."""
        return self._shown(self._draws.real(), REAL, rows)

    def _fake(self, rows: Iterable[int]) -> Tensor:
        """What D is shown of G, [K, B, features]."""
        return self._shown(self._g.network(self._draws.latents), FAKE, rows)

    def _shown(self, samples: Tensor, of: int, rows: Iterable[int]) -> Tensor:
        if not any(self._at(row).config.instance_noise for row in rows):
            return samples
        return self._draws.noised(samples, of, self._settings.rows.noise_std)

    def _judge(self, samples: Tensor) -> Tensor:
        """Logits, [K, B]."""
        return self._d.network(samples).squeeze(2)


def _sides_of_loss(trainer: GanTrainer) -> tuple[LossFunction, LossFunction]:
    return trainer.parts.loss.discriminator, trainer.parts.loss.generator

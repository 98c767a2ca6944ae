"""The updates of a cohort: all that its device is told, which may be recorded as CUDA graphs.

What rows differ in lies in tensors that are written before an update begins. So a graph serves
whoever is in the rows, and is recorded anew only when a kind of loss comes that it does not have.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ganray.gan.fusing import Signature
from ganray.gan.graphs import RECORDERS, Update, are_wanted, tell_failure
from ganray.gan.losses import LossFunction
from ganray.gan.real import RealData
from ganray.gan.row_draws import FAKE, REAL, RowDraws
from ganray.gan.row_losses import RowLosses
from ganray.gan.row_player import RowPlayer
from ganray.gan.row_settings import SettingsTable, settings_of
from ganray.gan.schedules import Turn
from ganray.gan.trainer import GanTrainer, networks_of
from ganray.trial import TrialConfig

Part = Literal["real", "noise", "average"]


class Step(NamedTuple):
    """What Python decides of an update; the rest is data.

    Attributes:
        turn: of which side.
        losses: that the rows have which move.
        parts: what not every update has: G's loss sees real samples, samples are noised, weights of
            G are averaged.
    """

    turn: Turn
    losses: frozenset[LossFunction]
    parts: frozenset[Part]

    def covers(self, other: "Step") -> bool:
        """Whether this one, of the same turn, has all that the other one has."""
        return self.losses >= other.losses and self.parts >= other.parts


def step_of(turn: Turn, trainers: Iterable[GanTrainer]) -> Step:
    """What an update of these trainers takes."""
    losses, parts = set(), set[Part]()
    for trainer in trainers:
        losses.add(loss_of(turn, trainer))
        if trainer.config.instance_noise:
            parts.add("noise")
        if turn == "g" and trainer.parts.loss.generator_uses_real:
            parts.add("real")
        if turn == "g" and trainer.parts.average is not None:
            parts.add("average")
    return Step(turn, frozenset(losses), frozenset(parts))


def loss_of(turn: Turn, trainer: GanTrainer) -> LossFunction:
    """The loss of that side."""
    loss = trainer.parts.loss
    return loss.discriminator if turn == "d" else loss.generator


class RowUpdates:
    """Makes updates of K rows.

    Args:
        size: K.
        config: of any of the trials.
        networks: options of `build_networks`, of all of them.
        data: that all of them train on.
        kind: what they have in common.

    Attributes:
        sides: the networks of D and G.
        averages: of G's weights, as those lie in their rows.
    """

    def __init__(
        self,
        size: int,
        config: TrialConfig,
        networks: Mapping[str, object],
        data: RealData,
        kind: Signature,
    ) -> None:
        pair = networks_of(config, networks, data.shape, 0, 0)
        self._g = RowPlayer(size, pair.generator.to(data.device), kind.g_optimizer)
        self._d = RowPlayer(size, pair.discriminator.to(data.device), kind.d_optimizer)
        self.sides: Mapping[Turn, RowPlayer] = {"d": self._d, "g": self._g}
        weights = self._g.network.weights
        self.averages = torch.zeros_like(weights)
        self._settings = SettingsTable(weights)
        self._draws = RowDraws(size, config, data, weights)
        self._losses = {turn: RowLosses(size, data.device) for turn in self.sides}
        self._config = config
        self._recorder = None
        if are_wanted(config, networks, data):  # an update's draws are made before it
            self._recorder = RECORDERS[data.device.type](torch.Generator(data.device))
        self._recorded: dict[Turn, Step] = {}
        self._graphs: dict[Turn, Update] = {}

    @property
    def is_recorded(self) -> bool:
        """Whether updates are graphs that are replayed; they are recorded when first made."""
        return bool(self._graphs)

    def assign(self, trainers: Sequence[GanTrainer | None]) -> None:
        """Take down which losses the trainers in the rows have."""
        for turn, losses in self._losses.items():
            if losses.assign([None if each is None else loss_of(turn, each) for each in trainers]):
                self._recorded.pop(turn, None)  # the graph itself may still be under way

    def make(self, turn: Turn, trainers: Mapping[int, GanTrainer]) -> None:
        """Make an update of that side of these rows, whose schedules have come to it."""
        make = self._prepared(step_of(turn, trainers.values()))
        self._settings.set(
            {row: settings_of(trainer, trainer.players[turn]) for row, trainer in trainers.items()}
        )
        for row, trainer in trainers.items():
            self._draws.draw(turn, row, trainer)
        make()

    # --- recording --------------------------------------------------------------------------------

    def _prepared(self, step: Step) -> Update:
        """What makes the update once settings and draws are there."""
        recorded = self._recorded.get(step.turn)
        if self._recorder is not None and (recorded is None or not recorded.covers(step)):
            self._record(step, recorded)
        return self._graphs.get(step.turn) or partial(self._update, step)

    def _record(self, step: Step, before: Step | None) -> None:
        """Record an update that serves all rows, whatever else they had before.

        It leaves no trace: meanwhile no row moves.
        """
        assert self._recorder is not None, "only who has one records"
        parts = step.parts if before is None else step.parts | before.parts
        wide = Step(step.turn, self._losses[step.turn].known, parts)
        self._settings.set({})
        try:
            self._graphs[step.turn] = self._recorder(partial(self._update, wide))
            self._recorded[step.turn] = wide
        except Exception as error:  # whatever it is: if training has it, too, it comes again
            self._recorder = None
            self._graphs.clear()
            tell_failure(self._config, error)

    # --- the two updates --------------------------------------------------------------------------

    def _update(self, step: Step) -> None:
        if step.turn == "d":
            self._discriminator_update(step)
        else:
            self._generator_update(step)

    def _discriminator_update(self, step: Step) -> None:
        with torch.no_grad():
            shown = torch.cat([self._real(step), self._fake(step)], 1)
        logits = self._judge(shown)
        found = self._losses["d"].slopes(step.losses, *logits.chunk(2, 1))
        by_logits = torch.cat([found.by_real, found.by_fake], 1)
        self._d.move(self._d.network.gradient(logits, by_logits), found.loss, self._settings.rows)

    def _generator_update(self, step: Step) -> None:
        on_fake = on_real = self._judge(self._fake(step))
        if "real" in step.parts:
            with torch.no_grad():
                on_real = self._judge(self._real(step))
        found = self._losses["g"].slopes(step.losses, on_real, on_fake)
        gradient = self._g.network.gradient(on_fake, found.by_fake)
        self._g.move(gradient, found.loss, self._settings.rows)
        if "average" in step.parts:
            self._move_averages()

    @torch.no_grad()
    def _move_averages(self) -> None:
        by = self._settings.rows.average
        moved = torch.lerp(self.averages, self._g.network.weights, by)
        torch.where(by > 0.0, moved, self.averages, out=self.averages)

    # --- what goes through the networks -----------------------------------------------------------

    def _real(self, step: Step) -> Tensor:
        """What D is shown of the data, [K, B, features]."""
        return self._shown(self._draws.real(), REAL, step)

    def _fake(self, step: Step) -> Tensor:
        """What D is shown of G, [K, B, features]."""
        return self._shown(self._g.network(self._draws.latents), FAKE, step)

    def _shown(self, samples: Tensor, of: int, step: Step) -> Tensor:
        if "noise" not in step.parts:
            return samples
        return self._draws.noised(samples, of, self._settings.rows.noise_std)

    def _judge(self, samples: Tensor) -> Tensor:
        """Logits, [K, B]."""
        return self._d.network(samples).squeeze(2)

"""The GAN trainer: updates of D and G in turns, driven from outside."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganray.gan.augment import add_instance_noise, diffaugment, pack
from ganray.gan.autoencoder import AutoencoderTrainer
from ganray.gan.base import Trainer, evaluated
from ganray.gan.ema import Average
from ganray.gan.graphs import (
    RECORDERS,
    Number,
    Update,
    are_wanted,
    on_device,
    renewed,
    tell_failure,
)
from ganray.gan.losses import GanLoss, make_loss
from ganray.gan.networks import CONDITIONED, Networks, Wiring, build_networks, latents
from ganray.gan.networks.layers import Shape, mixes_samples
from ganray.gan.penalties import PENALTIES, Judged, Penalty, precise
from ganray.gan.player import Player
from ganray.gan.real import RealData
from ganray.gan.schedules import Turn, Turns, factor
from ganray.trial import TrialConfig, derive_seed

CLASS_HEADS = ("acgan", "sgan")  # conditionings whose D also tells classes
JOINT = ("concat", "projection")  # those whose D judges samples and conditions together


class Shown(NamedTuple):
    """Samples as D sees them: with instance noise, augmented, in packs."""

    samples: Tensor  # [B, ...]
    conditions: Tensor | None  # [B, K]
    labels: Tensor | None  # [B]; None where no class head needs them


class Parts(NamedTuple):
    """Beside the players, what a trainer's updates are made with."""

    turns: Turns
    loss: GanLoss
    average: Average | None  # of G's weights
    noise: Number  # standard deviation of instance noise, in units of the data


class Judgement(NamedTuple):
    """What D says of samples."""

    logits: Tensor  # [B]
    classes: Tensor | None  # logits [B, K] of the class head, if D has one


def networks_of(
    config: TrialConfig, options: Mapping[str, object], shape: Shape, conditions: int, classes: int
) -> Networks:
    """The networks of a GAN trial as they begin.

    Args:
        config: the trial's parameters.
        options: of `build_networks`.
        shape: of one sample.
        conditions: length of a condition vector of the data; 0 if there are none.
        classes: of the data; 0 if there are none.
    """
    wiring = Wiring(config.conditioning, conditions, classes, config.pack, config.spectral_norm)
    seed = derive_seed(config.seed, "weights")
    return build_networks(options, shape, config.latent_dim, seed, wiring)


class GanTrainer(Trainer):
    """Train one GAN on real samples.

    Args:
        config: the trial's parameters.
        networks: options of `build_networks`.
        data: real samples, with what the conditioning needs.
        budget: updates of the whole trial; None where nothing is scheduled.

    Raises:
        ValueError: the batch is larger than the data, or the data have no conditions to be told.
    """

    def __init__(
        self,
        config: TrialConfig,
        networks: Mapping[str, object],
        data: RealData,
        budget: int | None = None,
    ) -> None:
        super().__init__(config, data, budget)
        if config.conditioning != "none" and not data.condition_size:
            raise ValueError(f"conditioning {config.conditioning!r} needs data with conditions")
        self._has_class_head = config.conditioning in CLASS_HEADS
        self._is_conditional = config.conditioning in CONDITIONED
        if self._has_class_head and data.labels is None:
            raise ValueError(f"conditioning {config.conditioning!r} needs data with labels")
        pair = networks_of(config, networks, data.shape, data.condition_size, data.classes)
        self._g = Player(pair.generator.to(data.device), config, "g")
        self._d = Player(pair.discriminator.to(data.device), config, "d")
        self._average = None if config.ema is None else Average(self._g.network, config.ema)
        self._loss = make_loss(
            config.loss, fgan_generator=config.fgan_generator, alpha=config.alpha
        )
        self._penalty = _penalty(config, data.device)
        self._turns = Turns(config)
        self._labelled = max(1, round(config.labelled * len(data)))
        self._first_noise = config.instance_noise * data.std() if config.instance_noise else 0.0
        self._noise: Number = 0.0  # standard deviation, in units of the data
        self._penalty_weight: Number = 0.0
        self._set_progress(0.0)
        self._graphs: Mapping[Turn, Update] = {}
        self._is_to_be_recorded = are_wanted(config, networks, data)

    @property
    def parts(self) -> Parts:
        """Beside the players, what an update is made with."""
        return Parts(self._turns, self._loss, self._average, self._noise)

    @property
    def players(self) -> Mapping[str, Player]:
        """D and G."""
        return {"d": self._d, "g": self._g}

    @property
    def networks(self) -> Networks:
        """The two players' networks, as they are now."""
        return Networks(self._g.network, self._d.network)

    @property
    def is_recorded(self) -> bool:
        """Whether updates are graphs that are replayed; they are recorded before the first one."""
        return bool(self._graphs)

    def forgo_graphs(self) -> None:
        """Record nothing: its tensors are about to move, which a graph would not notice.

        Raises:
            ValueError: there are graphs already.
        """
        if self.is_recorded:
            raise ValueError("this trial's updates are recorded where its tensors are now")
        self._is_to_be_recorded = False

    def state_dict(self) -> dict[str, Any]:
        """As of every trainer, with the turn, the average of G and what the penalty remembers."""
        own = {"turns": self._turns.state_dict()}
        if self._average is not None:
            own["average"] = self._average.state_dict()
        if self._penalty is not None:
            own["penalty"] = self._penalty.state_dict()
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that a trainer of the same configuration gave."""
        super().load_state_dict(state)
        self._turns.load_state_dict(state["turns"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if self._penalty is not None:
            self._penalty.load_state_dict(state["penalty"])

    def _next_update(self) -> None:
        if self._is_to_be_recorded:
            self._record()
        turn = self._turns.next()
        if self._graphs:
            self._graphs[turn]()
        elif turn == "d":
            self._discriminator_update()
        elif self.config.simultaneous:
            self._g.move()  # along the gradient that was taken with D's
        else:
            self._generator_update()
        self._count(turn)

    def _count(self, turn: Turn) -> None:
        """What follows an update and is no part of its graph, as it differs from one to the next.

        The average's decay does: to tell it to a graph would cost as much as the average itself.
        """
        if turn == "d":
            self._d.count(penalised=self._penalty is not None)
            self.d_updates += 1
            return
        self._g.count(penalised=False)
        if self._average is not None:
            self._average.update(self._g.network)

    def _set_progress(self, progress: float) -> None:
        super()._set_progress(progress)
        self._noise = renewed(self._noise, self._first_noise * (1.0 - progress))
        if self._penalty is not None:
            config, weight = self.config, self.config.penalty_weight
            weight = self._penalty.default_weight if weight is None else weight
            weight *= factor(config.penalty_schedule, progress, config.penalty_final)
            self._penalty_weight = renewed(self._penalty_weight, weight)

    # --- recording --------------------------------------------------------------------------------

    def _record(self) -> None:
        """Record both updates; where that fails, train without graphs."""
        self._is_to_be_recorded = False
        try:
            with self._leaving_no_trace():
                self._graphs = self._recorded()
        except Exception as error:  # whatever it is: if training has it, too, it comes again
            tell_failure(self.config, error)

    def _recorded(self) -> Mapping[Turn, Update]:
        for player in self.players.values():
            player.prepare_recording()
        if self._scheduled:
            self._noise = on_device(self._noise, self.data.device)
            self._penalty_weight = on_device(self._penalty_weight, self.data.device)
        record = RECORDERS[self.data.device.type](self._rng)
        return {"d": record(self._discriminator_update), "g": record(self._generator_update)}

    @contextmanager
    def _leaving_no_trace(self) -> Iterator[None]:
        """Put everything back in place that updates changed, the random numbers with it."""
        before = copy.deepcopy(self.state_dict())
        try:
            yield
        except Exception:
            self._rng = torch.Generator(self.data.device)  # the old one may still be recording
            raise
        finally:
            self.load_state_dict(before)

    # --- the two updates --------------------------------------------------------------------------

    def _discriminator_update(self) -> None:
        simultaneous = self.config.simultaneous
        picked = self._pick()
        real = self._real(picked)
        with torch.set_grad_enabled(simultaneous):  # else D's step needs no graph through G
            fake = self._fake(picked)  # told the same, so that what lies between is told it, too
        if self._penalty is not None:
            _ask_gradient(real.samples, wanted=self._penalty.needs_real_gradient)
            _ask_gradient(fake.samples, wanted=self._penalty.needs_fake_gradient)
        on_real, on_fake = self._judge(real), self._judge(fake)
        loss = self._loss.discriminator(on_real.logits, on_fake.logits)
        if self._has_class_head:
            loss = loss + self.config.class_weight * self._class_loss(real, on_real, fake, on_fake)
        penalty = self._penalise(real, on_real, fake, on_fake)
        self._d.backward(loss, penalty, keep_graph=simultaneous)
        if simultaneous:
            self._g.backward(self._generator_loss(on_real.logits.detach(), on_fake, fake))
        self._d.move()

    def _generator_update(self) -> None:
        uses_real = self._loss.generator_uses_real
        picked = self._pick() if self._is_conditional or uses_real else None
        fake = self._fake(picked)
        on_fake = self._judge(fake)
        real_logits = on_fake.logits
        if uses_real and picked is not None:
            with torch.no_grad():
                real_logits = self._judge(self._real(picked)).logits
        self._g.step(self._generator_loss(real_logits, on_fake, fake))

    def _generator_loss(self, real_logits: Tensor, on_fake: Judgement, fake: Shown) -> Tensor:
        loss = self._loss.generator(real_logits, on_fake.logits)
        if self.config.conditioning == "acgan":
            loss = loss + self.config.class_weight * _cross_entropy(on_fake, fake)
        return loss

    def _class_loss(
        self, real: Shown, on_real: Judgement, fake: Shown, on_fake: Judgement
    ) -> Tensor:
        """AC-GAN tells the class of real and generated samples, SGAN that of labelled ones."""
        if self.config.conditioning == "acgan":
            return _cross_entropy(on_real, real) + _cross_entropy(on_fake, fake)
        if self._labelled == len(self.data):
            return _cross_entropy(on_real, real)
        labelled = self._real(self._pick(among=self._labelled))
        return _cross_entropy(self._judge(labelled), labelled)

    def _penalise(
        self, real: Shown, on_real: Judgement, fake: Shown, on_fake: Judgement
    ) -> Tensor | None:
        if self._penalty is None:
            return None
        judged = Judged(
            lambda samples: self._judge(Shown(samples, real.conditions, None)).logits,
            real.samples,
            fake.samples,
            on_real.logits,
            on_fake.logits,
        )
        penalty: Tensor = self._penalty_weight * self._penalty(judged, self._rng)
        return penalty

    # --- what goes through the networks -----------------------------------------------------------

    def _real(self, picked: Tensor) -> Shown:
        conditions = self.data.conditions_at(picked) if self._is_conditional else None
        labels = self.data.labels_at(picked) if self._has_class_head else None
        return self._show(self.data.samples_at(picked), conditions, labels)

    def _fake(self, picked: Tensor | None) -> Shown:
        """Generated samples, told what the picked real ones are."""
        config = self.config
        conditions = labels = None
        if self._is_conditional and picked is not None:
            conditions = self.data.conditions_at(picked)
            labels = self.data.labels_at(picked) if self._has_class_head else None
        noise = latents(config.batch_size * config.pack, config.latent_dim, self._rng)
        with self._autocast():
            samples = self._g.forward(noise, conditions)
        return self._show(precise(samples), conditions, labels)

    def _pick(self, among: int | None = None) -> Tensor:
        return self.data.pick(self.config.batch_size * self.config.pack, self._rng, among)

    def _show(self, samples: Tensor, conditions: Tensor | None, labels: Tensor | None) -> Shown:
        config = self.config
        if self._first_noise:
            samples = add_instance_noise(samples, self._noise, self._rng)
        if config.diffaugment is not None:
            samples = diffaugment(samples, config.diffaugment, self._rng)
        if config.channels_last:
            samples = samples.contiguous(memory_format=torch.channels_last)
        return Shown(*self._packed(samples, conditions), labels)

    def _packed(self, samples: Tensor, conditions: Tensor | None) -> tuple[Tensor, Tensor | None]:
        size = self.config.pack
        if size == 1:
            return samples, conditions
        return pack(samples, size), None if conditions is None else pack(conditions, size)

    def _judge(self, shown: Shown) -> Judgement:
        with self._autocast():
            logits, classes = self._d.forward(shown.samples, shown.conditions)
        return Judgement(precise(logits), None if classes is None else precise(classes))

    # --- what others may see ----------------------------------------------------------------------

    def _functions(self) -> dict[str, Any]:
        g, d, average = self._g.network, self._d.network, self._average
        functions = {
            "generate": evaluated(g, g),
            "is_conditional": self._is_conditional,
            "is_joint": self.config.conditioning in JOINT or self.config.pack > 1,
        }
        if not mixes_samples(d):
            functions["discriminate"] = evaluated(d, self._evaluate_logits, self.config.pack)
        if self._has_class_head:
            functions["classify"] = evaluated(d, lambda samples, _: d(samples)[1])
        if average is not None:
            functions["generate_average"] = evaluated(average.module, average.module)
        return functions

    def _evaluate_logits(self, samples: Tensor, conditions: Tensor | None) -> Tensor:
        told = conditions if self._is_conditional else None
        logits: Tensor = self._d.network(*self._packed(samples, told))[0]
        return logits


def _penalty(config: TrialConfig, device: torch.device) -> Penalty | None:
    return None if config.penalty == "none" else PENALTIES[config.penalty]().to(device)


def _ask_gradient(samples: Tensor, *, wanted: bool) -> None:
    if wanted and not samples.requires_grad:
        samples.requires_grad_()


def _cross_entropy(judgement: Judgement, shown: Shown) -> Tensor:
    assert judgement.classes is not None, "only a D with a class head is asked"
    assert shown.labels is not None, "a class head has data with labels"
    return F.cross_entropy(judgement.classes, shown.labels)


def make_trainer(
    config: TrialConfig,
    networks: Mapping[str, object],
    data: RealData,
    budget: int | None = None,
) -> Trainer:
    """The trainer of the trial's model; arguments and errors are those of `GanTrainer`."""
    kind = GanTrainer if config.model == "gan" else AutoencoderTrainer
    return kind(config, networks, data, budget)

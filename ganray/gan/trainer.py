"""The GAN trainer: alternating updates of D and G, driven from outside.

The trainer knows no listener, no clock but its own, and no random numbers but its own: two trainers
that take turns in one process train exactly as each would alone.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganray.gan.clipping import clip_gradients, clip_weights
from ganray.gan.losses import LOSSES
from ganray.gan.networks import Networks, build_networks, latents
from ganray.trial import TrialConfig, derive_seed

OptimizerFactory = Callable[[TrialConfig, list[nn.Parameter], float], torch.optim.Optimizer]


@dataclass(frozen=True, slots=True)
class Side:
    """What one network's updates were like, averaged since the last `advance` began.

    All None if it had no update there.
    """

    loss: float | None
    grad_norm: float | None  # L2, before clipping
    clipped: float | None  # share of updates whose gradient was clipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A trial between two updates, as the measuring side may see it.

    `generate` and `discriminate` run in evaluation mode without gradients and draw nothing from the
    trainer's generators, so that measuring never changes training.
    """

    update: int
    d_updates: int
    g_updates: int
    images: int
    seconds: float
    updates_per_second: float | None
    nonfinite: str | None
    d: Side
    g: Side
    latent_dim: int
    generate: Callable[[Tensor], Tensor]  # latents [B, latent_dim] -> samples [B, ...]
    discriminate: Callable[[Tensor], Tensor]  # samples [B, ...] -> logits [B]


class GanTrainer:
    """Train one GAN on an array of samples.

    Args:
        config: the trial's parameters.
        networks: options of `build_networks`.
        train: real samples, shape [N, ...], float32; N at least the batch size.
        device: where to train.

    Raises:
        ValueError: the batch is larger than the data.
    """

    def __init__(
        self,
        config: TrialConfig,
        networks: Mapping[str, object],
        train: Tensor,
        *,
        device: str | torch.device = "cpu",
    ) -> None:
        if config.batch_size > len(train):
            raise ValueError(
                f"batch_size {config.batch_size} is more than the {len(train)} training samples"
            )
        self.config = config
        self.train = train.to(device)
        self.update = 0
        self.seconds = 0.0
        self._rng = torch.Generator(device).manual_seed(derive_seed(config.seed, "draws"))
        pair = build_networks(
            networks, tuple(train.shape[1:]), config.latent_dim, derive_seed(config.seed, "weights")
        )
        self._g = _Player(pair.generator.to(device), config, "g")
        self._d = _Player(pair.discriminator.to(device), config, "d")
        self._loss = LOSSES[config.loss]
        self._nonfinite: str | None = None
        self._last: tuple[int, float] = (0, 0.0)

    @property
    def networks(self) -> Networks:
        """The two players, as they are now."""
        return Networks(self._g.network, self._d.network)

    @property
    def d_updates(self) -> int:
        """Updates of D so far."""
        cycle = self.config.d_steps + self.config.g_steps
        rounds, rest = divmod(self.update, cycle)
        return rounds * self.config.d_steps + min(rest, self.config.d_steps)

    def advance(self, updates: int) -> None:
        """Make that many updates: `d_steps` of D, then `g_steps` of G, and so on.

        A trainer that stopped being finite makes no more updates.
        """
        if self._nonfinite is not None:
            return
        self._d.restart_averages()
        self._g.restart_averages()
        start = time.perf_counter()
        cycle = self.config.d_steps + self.config.g_steps
        for step in range(self.update, self.update + updates):
            if step % cycle < self.config.d_steps:
                self._discriminator_update()
            else:
                self._generator_update()
        self.update += updates
        self._nonfinite = self._d.nonfinite() or self._g.nonfinite()
        elapsed = time.perf_counter() - start
        self.seconds += elapsed
        self._last = (updates, elapsed)

    def snapshot(self) -> Snapshot:
        """The state between two updates; free of side effects."""
        updates, elapsed = self._last
        return Snapshot(
            update=self.update,
            d_updates=self.d_updates,
            g_updates=self.update - self.d_updates,
            images=self.d_updates * self.config.batch_size,
            seconds=self.seconds,
            updates_per_second=updates / elapsed if elapsed else None,
            nonfinite=self._nonfinite,
            d=self._d.averages(),
            g=self._g.averages(),
            latent_dim=self.config.latent_dim,
            generate=self._g.evaluate,
            discriminate=self._d.evaluate,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on bit for bit, on the same kind of device.

        As everywhere in torch, tensors are the live ones: save or copy the state before going on.
        """
        return {
            "update": self.update,
            "seconds": self.seconds,
            "last": self._last,
            "nonfinite": self._nonfinite,
            "rng": self._rng.get_state(),
            "d": self._d.state_dict(),
            "g": self._g.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that a trainer of the same configuration gave."""
        self.update = state["update"]
        self.seconds = state["seconds"]
        self._last = state["last"]
        self._nonfinite = state["nonfinite"]
        self._rng.set_state(state["rng"])
        self._d.load_state_dict(state["d"])
        self._g.load_state_dict(state["g"])

    def _discriminator_update(self) -> None:
        real = self._real_batch()
        with torch.no_grad():
            fake = self._g.network(self._latents())
        loss = self._loss.discriminator(self._d.network(real), self._d.network(fake))
        self._d.step(loss)

    def _generator_update(self) -> None:
        self._d.network.requires_grad_(False)  # spares the gradients of D's weights
        fake = self._d.network(self._g.network(self._latents()))
        uses_real = self._loss.generator_uses_real
        real = self._d.network(self._real_batch()) if uses_real else fake
        self._g.step(self._loss.generator(real, fake))
        self._d.network.requires_grad_(True)

    def _real_batch(self) -> Tensor:
        device, rng = self._rng.device, self._rng
        size = (self.config.batch_size,)
        return self.train[torch.randint(len(self.train), size, generator=rng, device=device)]

    def _latents(self) -> Tensor:
        return latents(self.config.batch_size, self.config.latent_dim, self._rng)


class _Player:
    """One network with its optimiser, its clipping and its averages."""

    def __init__(self, network: nn.Module, config: TrialConfig, side: str) -> None:
        self.network = network
        self.side = side
        self.parameters = list(network.parameters())
        self.grad_clip: float | None = getattr(config, f"{side}_grad_clip")
        self.weight_clip = config.weight_clip if side == "d" else config.g_weight_clip
        lr = getattr(config, f"{side}_lr")
        self.optimizer = OPTIMIZERS[config.optimizer](config, self.parameters, lr)
        self.restart_averages()

    def restart_averages(self) -> None:
        zero = torch.zeros((), device=self.parameters[0].device)
        self.steps = 0
        self.loss_sum, self.norm_sum, self.clipped_sum = zero.clone(), zero.clone(), zero.clone()

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = clip_gradients(self.parameters, self.grad_clip)
        self.optimizer.step()
        if self.weight_clip is not None:
            clip_weights(self.parameters, self.weight_clip)
        self.steps += 1
        self.loss_sum += loss.detach()  # sums stay on the device: no waiting inside the loop
        self.norm_sum += norm
        if self.grad_clip is not None:
            self.clipped_sum += norm > self.grad_clip

    def nonfinite(self) -> str | None:
        """What is not finite any more: a sum is not if one of its terms was not."""
        finite = torch.stack([torch.isfinite(p).all() for p in self.parameters]).all()
        checks = {
            "loss": torch.isfinite(self.loss_sum),
            "gradient norm": torch.isfinite(self.norm_sum),
            "weights": finite,
        }
        name = {"d": "D", "g": "G"}[self.side]
        return next((f"{what} of {name}" for what, ok in checks.items() if not ok), None)

    def averages(self) -> Side:
        if not self.steps:
            return Side(None, None, None)
        sums = torch.stack([self.loss_sum, self.norm_sum, self.clipped_sum]).tolist()
        loss, norm, clipped = (_finite(value / self.steps) for value in sums)
        return Side(loss, norm, clipped if self.grad_clip is not None else None)

    @torch.no_grad()
    def evaluate(self, inputs: Tensor) -> Tensor:
        self.network.eval()
        outputs: Tensor = self.network(inputs.to(self.parameters[0].device))
        self.network.train()
        return outputs

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averages": (self.steps, self.loss_sum, self.norm_sum, self.clipped_sum),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps, self.loss_sum, self.norm_sum, self.clipped_sum = state["averages"]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _adam(config: TrialConfig, parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    betas = (config.beta1, config.beta2)
    return torch.optim.Adam(parameters, lr=lr, betas=betas, fused=True)


def _rmsprop(
    _config: TrialConfig, parameters: list[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(parameters, lr=lr)


OPTIMIZERS: Mapping[str, OptimizerFactory] = {"adam": _adam, "rmsprop": _rmsprop}

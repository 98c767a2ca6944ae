"""Autoencoder and VAE: the comparison, trained and measured like a GAN, with G as the decoder."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganray.gan.base import Trainer, evaluated
from ganray.gan.graphs import are_wanted
from ganray.gan.networks import Autoencoder, build_autoencoder
from ganray.gan.networks.layers import Shape
from ganray.gan.player import Player, compiled
from ganray.gan.real import RealData
from ganray.trial import TrialConfig, derive_seed

SMALLEST_ERROR = 1e-8  # of the squared error whose logarithm is taken
LOG_VARIANCES = (-20.0, 10.0)  # of codes; an untrained encoder of large features goes beyond


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) ‖ N(0, I)) of each sample, in nats.

    Args:
        mean: shape [B, Z].
        log_variance: of a diagonal covariance, shape [B, Z].

    Returns:
        Shape [B].

    Source: Kingma and Welling 2014, appendix B (arXiv 1312.6114).
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(1)


def calibrated_reconstruction(samples: Tensor, decoded: Tensor) -> Tensor:
    """-log likelihood of a sample, mean over the batch, where the decoder's variance fits best.

    A Gaussian decoder whose one variance is the mean squared error of the batch: D/2 log MSE, up to
    a constant. It needs no weight that would depend on the scale of the data.

    Args:
        samples: shape [B, ...].
        decoded: shape [B, ...].

    Returns:
        Scalar, in nats.

    Source: Rybkin et al. 2021, the optimal sigma-VAE (arXiv 2006.13202).
    """
    error = (samples - decoded).square().mean()
    return 0.5 * samples[0].numel() * error.clamp_min(SMALLEST_ERROR).log()


def autoencoder_of(
    config: TrialConfig, options: Mapping[str, object], shape: Shape, conditions: int
) -> Autoencoder:
    """The networks of a trial of `model: vae` or `autoencoder` as they begin.

    Args:
        config: the trial's parameters.
        options: of `build_autoencoder`.
        shape: of one sample.
        conditions: length of a condition vector of the data; 0 if there are none.
    """
    return build_autoencoder(
        options,
        shape,
        config.latent_dim,
        derive_seed(config.seed, "weights"),
        variational=config.model == "vae",
        conditions=conditions if config.conditioning != "none" else 0,
    )


class AutoencoderTrainer(Trainer):
    """Train an autoencoder (`model: autoencoder`) or a VAE (`model: vae`).

    Encoder and decoder take their steps together, as the side of G. Samples are decoded from
    N(0, I), which a VAE's codes are drawn towards and an autoencoder's are not.

    Args:
        config: the trial's parameters; those of D have no meaning here.
        networks: options of `build_autoencoder`.
        data: real samples, with conditions if `conditioning` is `concat`.
        budget: updates of the whole trial; None where nothing is scheduled.
    """

    def __init__(
        self,
        config: TrialConfig,
        networks: Mapping[str, object],
        data: RealData,
        budget: int | None = None,
    ) -> None:
        super().__init__(config, data, budget)
        are_wanted(config, networks, data)  # in vain, which the log is to say
        self._variational = config.model == "vae"
        self._is_conditional = config.conditioning != "none"
        pair = autoencoder_of(config, networks, data.shape, data.condition_size)
        self.encoder, self.decoder = pair
        both = nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder})
        self._player = Player(both.to(data.device), config, "g")
        self._encode, self._decode = (compiled(half, config) for half in pair)

    @property
    def players(self) -> Mapping[str, Player]:
        """Encoder and decoder as one."""
        return {"g": self._player}

    def _next_update(self) -> None:
        picked = self.data.pick(self.config.batch_size, self._rng)
        samples = self.data.samples_at(picked)
        conditions = self.data.conditions_at(picked) if self._is_conditional else None
        with self._autocast():
            codes = self._encode(samples, conditions)
        latents, kl = self._codes(codes.float())
        with self._autocast():
            decoded = self._decode(latents, conditions)
        loss = self._reconstruction(samples, decoded.float())
        self._player.step(loss, self.config.kl_weight * kl if self._variational else None)
        self._player.count(penalised=self._variational)

    def _codes(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Latents [B, Z] drawn as the encoder says, and their mean KL to N(0, I)."""
        if not self._variational:
            return codes, codes.new_zeros(())
        mean, log_variance = codes.chunk(2, dim=1)
        log_variance = log_variance.clamp(*LOG_VARIANCES)
        noise = torch.randn(mean.shape, generator=self._rng, device=mean.device)
        latents = mean + (0.5 * log_variance).exp() * noise
        return latents, gaussian_kl(mean, log_variance).mean()

    def _reconstruction(self, samples: Tensor, decoded: Tensor) -> Tensor:
        if self._variational:
            return calibrated_reconstruction(samples, decoded)
        return (samples - decoded).square().mean()

    def _reconstruct(self, samples: Tensor, conditions: Tensor | None) -> Tensor:
        codes = self.encoder(samples, conditions)[:, : self.config.latent_dim]  # a VAE's mean
        decoded: Tensor = self.decoder(codes, conditions)
        return decoded

    def _images(self) -> int:
        return self.update * self.config.batch_size

    def _functions(self) -> dict[str, Any]:
        network = self._player.network
        return {
            "generate": evaluated(network, self.decoder),
            "is_conditional": self._is_conditional,
            "reconstruct": evaluated(network, self._reconstruct),
        }

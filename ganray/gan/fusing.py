"""Which trials can share a cohort."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ganray.trial import TrialConfig

# What speaks against it, in words, and how it is seen in a trial's parameters.
REFUSED: Mapping[str, Callable[[TrialConfig], bool]] = {
    "only GANs step together": lambda config: config.model != "gan",
    "a penalty needs gradients of its own": lambda config: config.penalty != "none",
    "spectral norm": lambda config: config.spectral_norm,
    "conditions": lambda config: config.conditioning != "none",
    "packs": lambda config: config.pack > 1,
    "simultaneous updates": lambda config: config.simultaneous,
    "augmentation": lambda config: config.diffaugment is not None,
    "a dtype other than fp32": lambda config: config.dtype != "fp32",
    "compiled networks": lambda config: config.compile,
    "channels_last": lambda config: config.channels_last,
}


class Signature(NamedTuple):
    """What the trials of a cohort have in common, beside data and device."""

    networks: tuple[tuple[str, object], ...]
    batch_size: int
    latent_dim: int
    d_optimizer: str
    g_optimizer: str
    graphs: str  # of which a cohort has its own


def refusal(config: TrialConfig, networks: Mapping[str, object]) -> str | None:
    """Why a trial cannot step together with others; None: it can, with those of its signature.

    Args:
        config: the trial's parameters.
        networks: options of `build_networks`.
    """
    if networks["name"] != "mlp":
        return f"networks {networks['name']!r}; only mlp steps together"
    if any(networks.get(norm, "none") != "none" for norm in ("g_norm", "d_norm")):
        return "batch norm"
    return next((reason for reason, is_so in REFUSED.items() if is_so(config)), None)


def signature(config: TrialConfig, networks: Mapping[str, object]) -> Signature:
    """The same for all trials that may share a cohort on the same data.

    Args:
        config: of a trial that is not refused.
        networks: options of `build_networks`.
    """
    return Signature(
        networks=tuple(sorted(networks.items())),
        batch_size=config.batch_size,
        latent_dim=config.latent_dim,
        d_optimizer=config.d_optimizer or config.optimizer,
        g_optimizer=config.g_optimizer or config.optimizer,
        graphs=config.graphs,
    )

"""Optimisers by name, with the parameters of a trial."""

from collections.abc import Callable, Mapping
from typing import Literal

from torch import optim
from torch.nn import Parameter

from ganray.trial import TrialConfig

OptimizerFactory = Callable[[TrialConfig, list[Parameter], float], optim.Optimizer]


def make_optimizer(
    config: TrialConfig, parameters: list[Parameter], side: Literal["d", "g"]
) -> optim.Optimizer:
    """The optimiser of one side: its own, if the trial names one, with its own learning rate.

    Args:
        config: the trial's parameters.
        parameters: those to optimise.
        side: whose they are.
    """
    name = (config.d_optimizer if side == "d" else config.g_optimizer) or config.optimizer
    lr = config.d_lr if side == "d" else config.g_lr
    return OPTIMIZERS[name](config, parameters, lr)


def adam(config: TrialConfig, parameters: list[Parameter], lr: float) -> optim.Optimizer:
    """Adam, weight decay as an L2 term. Source: Kingma & Ba 2015 (arXiv 1412.6980)."""
    betas = (config.beta1, config.beta2)
    decay = config.weight_decay
    return optim.Adam(parameters, lr=lr, betas=betas, weight_decay=decay, fused=True)


def adamw(config: TrialConfig, parameters: list[Parameter], lr: float) -> optim.Optimizer:
    """Adam, weight decay decoupled. Source: Loshchilov & Hutter 2019 (arXiv 1711.05101)."""
    betas = (config.beta1, config.beta2)
    decay = config.weight_decay
    return optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=decay, fused=True)


def rmsprop(config: TrialConfig, parameters: list[Parameter], lr: float) -> optim.Optimizer:
    """RMSprop, weight decay as an L2 term; torch has no fused form of it."""
    momentum, decay = config.momentum, config.weight_decay
    return optim.RMSprop(parameters, lr=lr, momentum=momentum, weight_decay=decay)


def sgd(config: TrialConfig, parameters: list[Parameter], lr: float) -> optim.Optimizer:
    """Stochastic gradient descent, weight decay as an L2 term."""
    momentum, decay = config.momentum, config.weight_decay
    return optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay, fused=True)


OPTIMIZERS: Mapping[str, OptimizerFactory] = {
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "sgd": sgd,
}

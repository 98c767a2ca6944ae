"""Clipping of gradients (by their common norm) and of weights (each by itself)."""

import math
from typing import get_args

import pytest
import torch
from torch.nn import Parameter

from ganray.gan.clipping import CLIP_SCOPES, clip_gradients, clip_weights, clippable
from ganray.spec.names import WeightClipScopeName


def parameters(*gradients: list[float] | None) -> list[Parameter]:
    """One parameter for each gradient; None is a parameter that had no part in the loss."""
    found = []
    for gradient in gradients:
        parameter = Parameter(torch.zeros(2 if gradient is None else len(gradient)))
        parameter.grad = None if gradient is None else torch.tensor(gradient)
        found.append(parameter)
    return found


def gradients_of(found: list[Parameter]) -> list[list[float]]:
    return [p.grad.tolist() for p in found if p.grad is not None]


def test_the_norm_is_taken_over_all_gradients_and_before_clipping():
    norm = clip_gradients(parameters([3.0, 0.0], [0.0, 4.0, 12.0]), max_norm=1.0)
    assert norm.shape == ()
    assert norm.item() == pytest.approx(13.0, rel=1e-6)


def test_gradients_above_the_bound_are_scaled_together_to_it():
    found = parameters([3.0, 0.0], [0.0, 4.0, 12.0])
    clip_gradients(found, max_norm=6.5)
    assert gradients_of(found)[0] == pytest.approx([1.5, 0.0], rel=1e-5)
    assert gradients_of(found)[1] == pytest.approx([0.0, 2.0, 6.0], rel=1e-5)


@pytest.mark.parametrize("bound", [13.1, 1e6, None])
def test_gradients_within_the_bound_or_without_one_are_left_alone(bound):
    found = parameters([3.0, 0.0], [0.0, 4.0, 12.0])
    norm = clip_gradients(found, max_norm=bound)
    assert norm.item() == pytest.approx(13.0, rel=1e-6)
    assert gradients_of(found) == [[3.0, 0.0], [0.0, 4.0, 12.0]]


@pytest.mark.parametrize("bound", [1.0, None])
def test_parameters_without_a_gradient_do_not_count(bound):
    found = parameters([3.0, 4.0], None)
    assert clip_gradients(found, max_norm=bound).item() == pytest.approx(5.0, rel=1e-6)
    assert found[1].grad is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("bound", [1.0, None])
def test_a_gradient_that_is_not_finite_is_not_hidden(value, bound):
    norm = clip_gradients(parameters([1.0, value]), max_norm=bound)
    assert not math.isfinite(norm.item())


def test_clip_weights_clamps_every_parameter_with_its_biases():
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, 0.5, 2.0)
    with torch.no_grad():
        network[0].bias[:2] = torch.tensor([-7.0, 0.005])
    clip_weights(list(network.parameters()), bound=0.01)
    for parameter in network.parameters():
        assert parameter.abs().max().item() == pytest.approx(0.01)
    assert network[0].bias.tolist() == pytest.approx([-0.01, 0.005, 0.01, 0.01])


def test_clip_weights_keeps_the_graph_and_what_is_not_finite():
    parameter = Parameter(torch.tensor([math.nan, 3.0]))
    clip_weights([parameter], bound=1.0)
    assert parameter.requires_grad
    assert parameter.is_leaf
    assert math.isnan(parameter[0].item())
    assert parameter[1].item() == 1.0


def every_kind() -> torch.nn.Module:
    """Layers with and without weights to clip, one of them under spectral norm."""
    return torch.nn.ModuleDict(
        {
            "linear": torch.nn.Linear(3, 4),
            "conv": torch.nn.Conv2d(2, 3, 3),
            "up": torch.nn.Sequential(torch.nn.ConvTranspose2d(2, 3, 3, bias=False)),
            "spectral": torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(3, 2)),
            "embedding": torch.nn.Embedding(5, 4),
            "batch_norm": torch.nn.BatchNorm2d(3),
            "layer_norm": torch.nn.LayerNorm(4),
            "slope": torch.nn.PReLU(),
        }
    )


LINEAR_WEIGHTS = {
    "linear.weight",
    "conv.weight",
    "up.0.weight",
    "spectral.parametrizations.weight.original",
    "embedding.weight",
}


def names_in_scope(module: torch.nn.Module, scope: str) -> set[str]:
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    found = [names[id(parameter)] for parameter in clippable(module, scope)]
    assert len(found) == len(set(found))
    return set(found)


def test_the_scope_all_has_every_bias_and_every_gain():
    module = every_kind()
    assert names_in_scope(module, "all") == {name for name, _ in module.named_parameters()}
    assert len(list(module.parameters())) == 13


def test_the_scope_weights_has_those_of_linear_maps_alone():
    assert names_in_scope(every_kind(), "weights") == LINEAR_WEIGHTS


def test_a_weight_that_two_layers_share_is_found_once():
    first, second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    second.weight = first.weight
    found = clippable(torch.nn.Sequential(first, second), "weights")
    assert len(found) == 1
    assert found[0] is first.weight


def test_clipping_weights_leaves_biases_and_gains_alone():
    module = every_kind()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(3.0)
    clip_weights(clippable(module, "weights"), bound=0.5)
    values = {name: p.unique().tolist() for name, p in module.named_parameters()}
    assert values == {name: [0.5] if name in LINEAR_WEIGHTS else [3.0] for name in values}


def test_the_scopes_are_those_of_a_sweep_file():
    assert set(CLIP_SCOPES) == set(get_args(WeightClipScopeName))

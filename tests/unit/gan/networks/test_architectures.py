"""Each architecture's layers, against what its source says."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from ganray.gan.networks import build_networks
from ganray.gan.networks.layers import Residual
from ganray.gan.networks.mlp import Maxout

pytestmark = pytest.mark.usefixtures("one_thread")

WEIGHTED = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
NORMS = nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm | nn.InstanceNorm2d

PACGAN = {
    "name": "mlp",
    "width": 400,
    "depth": 4,
    "g_norm": "batch",
    "d_width": 200,
    "d_depth": 3,
    "d_activation": "maxout",
    "init_std": 0.02,
}


def of_kind(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def kinds(network: nn.Sequential) -> list[str]:
    return [type(layer).__name__ for layer in network]


def shapes(network: nn.Module, inputs: torch.Tensor) -> list[tuple[int, ...]]:
    """The shapes that the layers with weights give for one sample, in the order they are used."""
    found = []
    for layer in of_kind(network, WEIGHTED):
        layer.register_forward_hook(lambda _, __, outputs: found.append(tuple(outputs.shape[1:])))
    network(inputs)
    return found


# --- mlp ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_mlp_has_as_many_hidden_layers_of_the_width_asked_for(depth):
    networks = build_networks({"name": "mlp", "width": 6, "depth": depth}, (2,), 3, 0)
    for network, first, last in ((networks.generator, 3, 2), (networks.discriminator, 2, 1)):
        sizes = [(m.in_features, m.out_features) for m in of_kind(network, nn.Linear)]
        assert sizes == list(zip([first, *[6] * depth], [*[6] * depth, last], strict=True))


def test_mlp_of_depth_0_is_affine():
    networks = build_networks({"name": "mlp", "depth": 0}, (2,), 3, 0)
    assert kinds(networks.generator.network) == ["Linear"]
    assert kinds(networks.discriminator.trunk) == []
    of_images = build_networks({"name": "mlp", "depth": 0}, (1, 4, 4), 3, 0)
    assert kinds(of_images.generator.network) == ["Linear", "Unflatten", "Tanh"]
    assert kinds(of_images.discriminator.trunk) == ["Flatten"]


def test_mlp_has_sizes_of_its_own_for_d():
    options = {"name": "mlp", "width": 6, "depth": 1, "d_width": 5, "d_depth": 2}
    networks = build_networks(options, (2,), 3, 0)
    sizes = [[m.out_features for m in of_kind(n, nn.Linear)] for n in networks]
    assert sizes == [[6, 2], [5, 5, 1]]
    linear = build_networks(options | {"d_depth": 0}, (2,), 3, 0)
    assert [m.out_features for m in of_kind(linear.discriminator, nn.Linear)] == [1]


def test_mlp_is_relu_in_g_and_leaky_relu_in_d():
    networks = build_networks({"name": "mlp", "width": 1, "depth": 1}, (1,), 1, 0)
    with torch.no_grad():
        for network in networks:
            for name, parameter in network.named_parameters():
                parameter.fill_(0.0 if "bias" in name else 1.0)
    points = torch.tensor([[-1.0], [2.0]])
    assert networks.generator(points).flatten().tolist() == [0.0, 2.0]
    assert networks.discriminator(points)[0].tolist() == pytest.approx([-0.2, 2.0])


def test_maxout_takes_the_largest_of_five_linear_pieces():
    options = {"name": "mlp", "width": 2, "depth": 1, "d_activation": "maxout"}
    trunk = build_networks(options, (1,), 1, 0).discriminator.trunk
    layer = trunk[0]
    assert (layer.in_features, layer.out_features) == (1, 10)
    slopes = [1.0, -2.0, 0.5, 0.0, 0.0, -1.0, 0.0, 3.0, -1.0, 0.0]
    offsets = [0.0, 0.0, 0.0, 0.25, 0.0, 0.0, -1.0, -9.0, -2.0, -1.0]
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(slopes)[:, None])
        layer.bias.copy_(torch.tensor(offsets))
    found = trunk(torch.tensor([[-1.0], [0.0], [4.0]])).tolist()
    assert found == [[2.0, 1.0], [0.25, 0.0], [4.0, 3.0]]


def test_maxout_groups_neighbours():
    x = torch.tensor([[1.0, 5.0, -2.0, -3.0, 0.0, 4.0]])
    assert Maxout(2)(x).tolist() == [[5.0, -2.0, 4.0]]
    assert Maxout(3)(x).tolist() == [[5.0, 4.0]]


def test_pacgan_s_networks_are_as_in_its_code():
    generator, discriminator = build_networks(PACGAN, (2,), 2, 0)
    hidden = ["Linear", "BatchNorm1d", "ReLU"]
    assert kinds(generator.network) == [*hidden * 4, "Linear"]
    assert kinds(discriminator.trunk) == ["Linear", "Maxout"] * 3
    # hidden layers of G have no bias but a gain and an offset of the norm; its output has a bias
    assert count(generator) == 2 * 400 + 3 * 400**2 + 4 * 2 * 400 + 400 * 2 + 2
    # five pieces with biases, and a linear output
    assert count(discriminator) == 3 * 1000 + 2 * 201 * 1000 + 201


@pytest.mark.parametrize("name", ["mlp", "dcgan"])
def test_weights_are_normal_of_the_std_asked_for_and_biases_zero(name):
    options = PACGAN if name == "mlp" else {"name": "dcgan", "width": 32}
    for network in build_networks(options, (1, 28, 28), 100, 0):
        for layer in of_kind(network, WEIGHTED):
            weight = layer.weight.detach()
            assert weight.mean().item() == pytest.approx(0.0, abs=0.1 * 0.02)
            error = 4 / math.sqrt(2 * weight.numel())  # four standard errors
            assert weight.std().item() == pytest.approx(0.02, rel=error)
            assert layer.bias is None or not layer.bias.any()


def test_without_a_std_weights_are_as_torch_draws_them():
    layer = build_networks({"name": "mlp", "width": 64}, (2,), 3, 0).discriminator.trunk[2]
    bound = 1 / math.sqrt(64)
    assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert layer.bias.any()


@pytest.mark.parametrize(
    ("norms", "expected"), [(("none", "batch"), (0, 2)), (("batch", "none"), (2, 0))]
)
def test_mlp_normalises_batches_where_said_before_the_activation(norms, expected):
    options = {"name": "mlp", "g_norm": norms[0], "d_norm": norms[1]}
    networks = build_networks(options, (2,), 3, 0)
    assert tuple(len(of_kind(n, nn.BatchNorm1d)) for n in networks) == expected
    for network in (networks.generator.network, networks.discriminator.trunk):
        for i, layer in enumerate(network):
            if isinstance(layer, nn.BatchNorm1d):
                assert network[i - 1].bias is None  # the norm would cancel it
                assert isinstance(network[i + 1], nn.ReLU | nn.LeakyReLU)


@pytest.mark.parametrize(
    ("plain", "spelled_out", "shape"),
    [
        (
            {"name": "mlp"},
            {
                "name": "mlp",
                "width": 128,
                "depth": 2,
                "d_width": 128,
                "d_depth": 2,
                "g_norm": "none",
                "d_norm": "none",
                "d_activation": "leaky_relu",
                "init_std": None,
            },
            (2,),
        ),
        ({"name": "conv"}, {"name": "conv", "width": 32}, (1, 8, 8)),
        (
            {"name": "dcgan"},
            {"name": "dcgan", "width": 64, "g_norm": "batch", "d_norm": "none"},
            (1, 32, 32),
        ),
        (
            {"name": "sngan-resnet"},
            {"name": "sngan-resnet", "g_width": 256, "d_width": 128},
            (3, 32, 32),
        ),
        ({"name": "resnet"}, {"name": "resnet", "width": 64, "depth": 1}, (1, 28, 28)),
    ],
    ids=lambda value: str(value.get("name")) if isinstance(value, dict) else None,
)
def test_options_have_defaults(plain, spelled_out, shape):
    first, second = (build_networks(o, shape, 3, 0) for o in (plain, spelled_out))
    assert [str(network) for network in first] == [str(network) for network in second]
    for a, b in zip(first, second, strict=True):
        assert all(map(torch.equal, a.parameters(), b.parameters()))


# --- conv and dcgan -------------------------------------------------------------------------------


def test_conv_doubles_the_sides_twice_in_g_and_halves_them_twice_in_d():
    networks = build_networks({"name": "conv", "width": 4}, (1, 8, 8), 3, 0)
    found = shapes(networks.generator, torch.randn(2, 3))
    assert found == [(64,), (8, 4, 4), (4, 8, 8), (1, 8, 8)]
    found = shapes(networks.discriminator, torch.zeros(2, 1, 8, 8))
    assert found == [(4, 8, 8), (8, 4, 4), (16, 2, 2), (1,)]


@pytest.mark.parametrize(
    ("side", "sides"), [(28, [7, 14, 28]), (32, [4, 8, 16, 32]), (64, [4, 8, 16, 32, 64])]
)
def test_dcgan_doubles_and_halves_the_sides_and_halves_and_doubles_the_channels(side, sides):
    networks = build_networks({"name": "dcgan", "width": 2}, (3, side, side), 5, 0)
    widths = [2 * 2**i for i in range(len(sides) - 1)][::-1]
    maps = [(w, s, s) for w, s in zip([*widths, 3], sides, strict=True)]
    found = shapes(networks.generator, torch.randn(2, 5))
    assert found == [(math.prod(maps[0]),), *maps[1:]]
    found = shapes(networks.discriminator, torch.zeros(2, 3, side, side))
    assert found == [*maps[-2::-1], (1,)]


def test_dcgan_of_64_pixels_has_the_sizes_of_the_paper():
    generator, discriminator = build_networks({"name": "dcgan"}, (3, 64, 64), 100, 0)
    widths = [512, 256, 128, 64]
    steps = [25 * a * b for a, b in pairwise(widths)]
    norms = 2 * sum(widths)
    assert count(generator) == 100 * 512 * 16 + sum(steps) + norms + 25 * 64 * 3 + 3
    assert count(discriminator) == 25 * 3 * 64 + sum(steps) + sum(widths) + 512 * 16 + 1


@pytest.mark.parametrize("name", ["conv", "dcgan"])
def test_batch_norm_is_in_g_alone_where_no_layer_has_a_bias_that_it_would_cancel(name):
    networks = build_networks({"name": name, "width": 4}, (1, 28, 28), 3, 0)
    assert [bool(of_kind(network, NORMS)) for network in networks] == [True, False]
    biases = [layer.bias is not None for layer in of_kind(networks.generator, WEIGHTED)]
    assert biases == [False] * (len(biases) - 1) + [True]
    assert all(layer.bias is not None for layer in of_kind(networks.discriminator, WEIGHTED))


def test_dcgan_s_norms_can_be_chosen_and_d_s_first_layer_has_none():
    options = {"name": "dcgan", "width": 4, "g_norm": "none", "d_norm": "batch"}
    networks = build_networks(options, (1, 28, 28), 3, 0)
    assert not of_kind(networks.generator, NORMS)
    assert all(layer.bias is not None for layer in of_kind(networks.generator, WEIGHTED))
    assert kinds(networks.discriminator.trunk) == [
        *["Conv2d", "LeakyReLU"],
        *["Conv2d", "BatchNorm2d", "LeakyReLU"],
        "Flatten",
    ]
    assert {m.negative_slope for m in of_kind(networks.discriminator, nn.LeakyReLU)} == {0.2}


# --- residual networks ----------------------------------------------------------------------------


def test_sngan_has_the_published_number_of_parameters():
    generator, discriminator = build_networks({"name": "sngan-resnet"}, (3, 32, 32), 128, 0)
    assert count(generator) == 4_276_739  # mimicry's SNGANGenerator32
    assert count(discriminator) == 1_053_825  # mimicry's SNGANDiscriminator32


def test_sngan_begins_at_4_pixels_in_g_and_ends_at_8_in_d():
    networks = build_networks(
        {"name": "sngan-resnet", "g_width": 2, "d_width": 3}, (3, 32, 32), 5, 0
    )
    found = shapes(networks.generator, torch.randn(2, 5))
    doubling = [(2, side, side) for side in (8, 16, 32) for _ in range(3)]
    assert found == [(32,), *doubling, (3, 32, 32)]
    found = shapes(networks.discriminator, torch.zeros(2, 3, 32, 32))
    first = [(3, 32, 32), (3, 32, 32), (3, 16, 16)]
    assert found == [*first, *[(3, 16, 16)] * 3, *[(3, 8, 8)] * 4, (1,)]


def test_sngan_sums_over_pixels_and_normalises_in_g_alone():
    options = {"name": "sngan-resnet", "g_width": 2, "d_width": 3}
    networks = build_networks(options, (3, 32, 32), 5, 0)
    assert len(of_kind(networks.generator, nn.BatchNorm2d)) == 7  # two a block, one at the end
    assert not of_kind(networks.discriminator, NORMS)
    maps = torch.arange(24.0).view(2, 3, 2, 2)
    assert networks.discriminator.trunk[-1](maps).tolist() == [[6, 22, 38], [54, 70, 86]]


def test_sngan_s_weights_are_glorot_s_with_a_gain_in_the_branches():
    networks = build_networks({"name": "sngan-resnet"}, (3, 32, 32), 128, 0)
    block = networks.discriminator.trunk[1]
    in_branch, beside = block.branch[1].weight, block.shortcut[0].weight
    assert in_branch.abs().max().item() == pytest.approx(
        math.sqrt(2) * math.sqrt(6 / (2 * 9 * 128)), rel=1e-3
    )
    assert beside.abs().max().item() == pytest.approx(math.sqrt(6 / (2 * 128)), rel=1e-3)


def test_a_residual_block_leaves_its_input_as_it_was():
    networks = build_networks({"name": "sngan-resnet", "d_width": 3}, (3, 32, 32), 5, 0)
    maps = -torch.ones(1, 3, 8, 8)
    with torch.no_grad():
        networks.discriminator.trunk[3](maps)
    assert maps.max().item() == -1.0


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("side", [28, 32])
def test_resnet_has_no_norm_and_as_many_blocks_at_each_resolution(depth, side):
    options = {"name": "resnet", "width": 4, "depth": depth}
    for network in build_networks(options, (3, side, side), 5, 0):
        assert not of_kind(network, NORMS)
        sizes = [(b.branch[1].in_channels, b.branch[-1].out_channels) for b in blocks(network)]
        assert sorted(sizes) == [(4, 4)] * depth + [(8, 8)] * depth + [(16, 16)] * depth


def blocks(network):
    return of_kind(network, Residual)


def test_resnet_s_branches_begin_at_zero_so_that_blocks_pass_their_input():
    for network in build_networks({"name": "resnet", "width": 4}, (3, 32, 32), 5, 0):
        for block in blocks(network):
            maps = torch.randn(2, block.branch[1].in_channels, 8, 8)
            assert torch.equal(block(maps), maps)
            assert block.branch[1].weight.any()


def test_resnet_s_branches_learn_from_the_first_step():
    networks = build_networks({"name": "resnet", "width": 4}, (3, 32, 32), 5, 0)
    networks.discriminator(networks.generator(torch.randn(2, 5)))[0].sum().backward()
    for network in networks:
        for block in blocks(network):
            assert block.branch[-1].weight.grad.any()


def test_resnet_s_first_branch_layers_shrink_with_the_number_of_branches():
    network = build_networks({"name": "resnet", "width": 32, "depth": 2}, (3, 32, 32), 5, 0)[1]
    for block in blocks(network):
        weight = block.branch[1].weight
        he = math.sqrt(2 / (1 + 0.2**2) / (9 * weight.shape[1]))
        assert weight.std().item() == pytest.approx(he / math.sqrt(6), rel=0.04)

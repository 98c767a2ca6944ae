"""Networks: their shapes, bounds and arithmetic, and that the seed alone decides the weights."""

import pytest
import torch
from torch import nn

from ganray.gan.networks import NETWORKS, Networks, build_networks, latents

MLP = {"name": "mlp", "width": 16, "depth": 2}
CONV = {"name": "conv", "width": 4}
PAIRS = [(MLP, (1,)), (MLP, (2,)), (MLP, (1, 8, 8)), (CONV, (1, 8, 8)), (CONV, (3, 12, 8))]
every_pair = pytest.mark.parametrize(("options", "shape"), PAIRS)


def weights(networks: Networks) -> list[torch.Tensor]:
    return [p.detach() for network in networks for p in network.parameters()]


def equal(a: Networks, b: Networks) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def draw(count: int, latent_dim: int) -> torch.Tensor:
    return latents(count, latent_dim, torch.Generator().manual_seed(0))


def test_every_kind_of_network_is_looked_at_here():
    assert {options["name"] for options, _ in PAIRS} == set(NETWORKS)


@every_pair
@pytest.mark.parametrize("count", [1, 5])
def test_g_makes_samples_of_the_data_s_shape_and_d_one_logit_for_each(options, shape, count):
    networks = build_networks(options, shape, latent_dim=3, seed=0)
    samples = networks.generator(draw(count, 3))
    assert samples.shape == (count, *shape)
    assert networks.discriminator(samples).shape == (count,)


@every_pair
def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(options, shape):
    torch.manual_seed(1)
    first = build_networks(options, shape, latent_dim=3, seed=7)
    torch.manual_seed(2)
    assert equal(first, build_networks(options, shape, latent_dim=3, seed=7))


@every_pair
def test_another_seed_gives_other_weights_to_both_players(options, shape):
    first, second = (build_networks(options, shape, latent_dim=3, seed=s) for s in (7, 8))
    for a, b in zip(first, second, strict=True):
        assert not torch.equal(next(a.parameters()), next(b.parameters()))


@every_pair
def test_building_leaves_torch_s_global_random_state_as_it_was(options, shape):
    before = torch.get_rng_state()
    build_networks(options, shape, latent_dim=3, seed=7)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("depth", [1, 3])
def test_mlp_has_as_many_hidden_layers_of_the_width_asked_for(depth):
    networks = build_networks({"name": "mlp", "width": 6, "depth": depth}, (2,), 3, seed=0)
    for network, first, last in ((networks.generator, 3, 2), (networks.discriminator, 2, 1)):
        sizes = [(m.in_features, m.out_features) for m in network if isinstance(m, nn.Linear)]
        assert sizes == [(first, 6), *[(6, 6)] * (depth - 1), (6, last)]


def test_mlp_is_relu_in_g_and_leaky_relu_in_d():
    networks = build_networks({"name": "mlp", "width": 1, "depth": 1}, (1,), 1, seed=0)
    with torch.no_grad():
        for network in networks:
            for name, parameter in network.named_parameters():
                parameter.fill_(0.0 if "bias" in name else 1.0)
    points = torch.tensor([[-1.0], [2.0]])
    assert networks.generator(points).flatten().tolist() == [0.0, 2.0]
    assert networks.discriminator(points).tolist() == pytest.approx([-0.2, 2.0])


@pytest.mark.parametrize("options", [MLP, CONV])
def test_images_stay_within_minus_one_and_one_and_use_the_whole_range(options):
    generator = build_networks(options, (1, 8, 8), latent_dim=3, seed=0).generator
    with torch.no_grad():
        last = [m for m in generator if isinstance(m, nn.Linear | nn.Conv2d)][-1]
        last.weight.mul_(100.0)
        images = generator(draw(64, 3))
    assert images.min().item() == pytest.approx(-1.0, abs=1e-3)
    assert images.max().item() == pytest.approx(1.0, abs=1e-3)
    assert images.abs().max().item() <= 1.0


def test_vectors_are_not_bounded():
    generator = build_networks(MLP, (2,), latent_dim=3, seed=0).generator
    assert generator(1e3 * draw(64, 3)).abs().max().item() > 10.0


@pytest.mark.parametrize("shape", [(2,), (64,), (8, 8), (1, 7, 8), (1, 8, 6), (1, 9, 9)])
def test_conv_refuses_vectors_and_sides_that_are_no_multiple_of_4(shape):
    with pytest.raises(ValueError, match=r"multiples of 4; got \(" + str(shape[0])):
        build_networks(CONV, shape, latent_dim=3, seed=0)


def test_conv_normalises_batches_in_g_alone_where_no_layer_has_a_bias_that_would_cancel():
    networks = build_networks(CONV, (1, 8, 8), latent_dim=3, seed=0)
    normalised = [any(isinstance(m, nn.BatchNorm2d) for m in n.modules()) for n in networks]
    assert normalised == [True, False]
    weighted = nn.Linear | nn.ConvTranspose2d | nn.Conv2d
    biases = [m.bias is not None for m in networks.generator if isinstance(m, weighted)]
    assert biases == [False, False, False, True]


def test_conv_doubles_the_sides_twice_in_g_and_halves_them_twice_in_d():
    generator, discriminator = build_networks(CONV, (1, 8, 8), latent_dim=3, seed=0)
    assert sizes(generator, draw(2, 3)) == [(64,), (8, 4, 4), (4, 8, 8), (1, 8, 8)]
    assert sizes(discriminator, torch.zeros(2, 1, 8, 8)) == [(4, 8, 8), (8, 4, 4), (16, 2, 2), (1,)]


def sizes(network: nn.Module, inputs: torch.Tensor) -> list[tuple[int, ...]]:
    """The shape that each layer with weights gives for one sample."""
    found = []
    for layer in network:
        inputs = layer(inputs)
        if isinstance(layer, nn.Linear | nn.ConvTranspose2d | nn.Conv2d):
            found.append(tuple(inputs.shape[1:]))
    return found


@pytest.mark.parametrize(
    ("plain", "spelled_out"),
    [
        ({"name": "mlp"}, {"name": "mlp", "width": 128, "depth": 2}),
        ({"name": "conv"}, {"name": "conv", "width": 32}),
    ],
)
def test_sizes_have_defaults(plain, spelled_out):
    assert equal(*(build_networks(o, (1, 8, 8), 3, seed=0) for o in (plain, spelled_out)))


def test_conv_has_the_width_asked_for_at_full_resolution():
    networks = build_networks({"name": "conv", "width": 5}, (1, 8, 8), 3, seed=0)
    convolutions = [m for m in networks.generator if isinstance(m, nn.Conv2d)]
    assert convolutions[-1].in_channels == 5
    assert networks.discriminator[0].out_channels == 5


def test_an_option_that_a_network_does_not_have_is_not_dropped():
    with pytest.raises(TypeError, match="depth"):
        build_networks({**CONV, "depth": 2}, (1, 8, 8), latent_dim=3, seed=0)


def test_latents_are_standard_normal_and_come_from_the_generator_given():
    before = torch.get_rng_state()
    draws = draw(20_000, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws, draw(20_000, 2))
    assert draws.shape == (20_000, 2)
    assert draws.mean().item() == pytest.approx(0.0, abs=0.03)
    assert draws.std().item() == pytest.approx(1.0, abs=0.03)
    assert torch.corrcoef(draws.T)[0, 1].item() == pytest.approx(0.0, abs=0.04)

"""Networks of the user's own: found, tried and refused with clear words."""

import sys
import uuid

import pytest
import torch

from ganray.errors import NetworkError
from ganray.gan.networks import Wiring, build_autoencoder, build_networks

SOURCE = """
import torch
from torch import nn

class Generator(nn.Module):
    def __init__(self, shape, latent_dim, *, width=4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, width),
            nn.BatchNorm1d(width),
            nn.BatchNorm1d(width),
            nn.Linear(width, shape[0]),
        )
        self.layers[1].eval()  # on purpose

    def forward(self, z):
        return self.layers(z) + 0.0 * torch.randn(())

class Critic(nn.Sequential):
    def __init__(self, shape, *, frozen=False):
        super().__init__(nn.Linear(shape[0], 3), nn.ReLU(), nn.Linear(3, 1), nn.Flatten(0))
        self.requires_grad_(not frozen)

class Features(nn.Module):
    features = 5

    def __init__(self, shape):
        super().__init__()
        self.layer = nn.Linear(shape[0], 5)

    def forward(self, x):
        return self.layer(x)

def generator_from_function(shape, latent_dim):
    return nn.Linear(latent_dim, shape[0])

def column(shape):
    return nn.Linear(shape[0], 1)

def vgg(shape):
    critic = Critic(shape)
    critic.features = nn.Identity()  # also its last layer
    return critic

def one_too_many(shape, latent_dim):
    return nn.Linear(latent_dim, shape[0] + 1)

def pair(shape, latent_dim):
    class Pair(nn.Module):
        def forward(self, z):
            return z, z
    return Pair()

def wrong_inputs(shape, latent_dim):
    return nn.Linear(latent_dim + 1, shape[0])

def raises(shape, latent_dim):
    raise RuntimeError("no such luck")

def no_module(shape, latent_dim):
    return "a generator"

class TooFew(Features):
    features = 6

number = 3
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The name of a module in a folder that becomes the current one, and is on no path."""
    name = f"own_{uuid.uuid4().hex}"
    folder = tmp_path_factory.mktemp("own")
    (folder / f"{name}.py").write_text(SOURCE)
    (folder / f"{name}_broken.py").write_text("import no_such_library")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [path for path in sys.path if path])
        yield name
    for loaded in [key for key in sys.modules if key.startswith(name)]:
        del sys.modules[loaded]


def custom(module, generator="Generator", discriminator="Critic", **options):
    return {
        "name": "custom",
        "generator": f"{module}:{generator}",
        "discriminator": f"{module}:{discriminator}",
        **options,
    }


def test_own_networks_are_found_in_the_current_folder_and_trained_like_any(module):
    networks = build_networks(custom(module), (2,), 3, 0)
    samples = networks.generator(torch.randn(6, 3))
    assert samples.shape == (6, 2)
    logits, classes = networks.discriminator(samples)
    assert logits.shape == (6,)
    assert classes is None


def test_a_function_may_build_them(module):
    networks = build_networks(custom(module, "generator_from_function"), (2,), 3, 0)
    assert isinstance(networks.generator.network, torch.nn.Linear)


def test_each_gets_its_own_options(module):
    options = custom(module, g_options={"width": 7}, d_options={"frozen": True})
    networks = build_networks(options, (2,), 3, 0)
    assert networks.generator.network.layers[0].out_features == 7
    assert not networks.discriminator.trunk[0].weight.requires_grad


@pytest.mark.parametrize("conditioning", ["none", "concat", "projection", "acgan", "sgan"])
def test_a_network_with_features_fits_every_conditioning(module, conditioning):
    wiring = Wiring(conditioning, 0 if conditioning == "none" else 4, spectral_norm=True)
    networks = build_networks(custom(module, discriminator="Features"), (2,), 3, 0, wiring)
    condition = torch.eye(4)
    samples = networks.generator(torch.randn(4, 3), condition)
    logits, _ = networks.discriminator(samples, condition)
    assert logits.shape == (4,)


def test_a_network_with_features_encodes(module):
    options = custom(module, discriminator="Features")
    pair = build_autoencoder(options, (2,), 3, 0, variational=True)
    assert pair.encoder(torch.randn(4, 2)).shape == (4, 6)


def test_a_network_of_logits_can_be_conditioned_by_concatenation_and_packed(module):
    networks = build_networks(custom(module), (2,), 3, 0, Wiring("concat", 4, pack=2))
    logits, _ = networks.discriminator(torch.randn(5, 4), torch.randn(5, 8))
    assert logits.shape == (5,)


def test_trying_leaves_random_states_modes_and_running_means_as_they_were(module):
    before = torch.get_rng_state()
    generator = build_networks(custom(module), (2,), 3, 0).generator.network
    assert torch.equal(torch.get_rng_state(), before)
    assert generator.training
    assert [layer.training for layer in generator.layers] == [True, False, True, True]
    assert not generator.layers[2].running_mean.any()


def test_the_seed_decides_their_weights(module):
    first, again, other = (
        torch.cat(
            [
                p.flatten()
                for n in build_networks(custom(module), (2,), 3, seed)
                for p in n.parameters()
            ]
        )
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("generator", "told"),
    [
        ("{m}", "not of the form package.module:name"),
        ("{m}_gone:Generator", "cannot import .*_gone: ModuleNotFoundError: No module named"),
        ("{m}_broken:Generator", "cannot import .*: No module named 'no_such_library'"),
        ("{m}:Absent", "own_.* has no 'Absent'"),
        ("{m}:number", "is int; a callable is needed"),
        ("{m}:column", r"takes \(shape\), but is called with \(shape, latent_dim\): too many"),
        ("{m}:raises", "cannot be built: RuntimeError: no such luck"),
        ("{m}:no_module", "gives str; a torch.nn.Module is needed"),
        ("{m}:wrong_inputs", r"fails on inputs of shape \(2, 3\): RuntimeError"),
        ("{m}:one_too_many", r"gives \(2, 3\) for inputs of shape \(2, 3\); \(2, 2\) is needed"),
        ("{m}:pair", r"gives tuple for inputs of shape \(2, 3\); \(2, 2\) is needed"),
    ],
)
def test_what_is_wrong_with_a_generator_is_told(module, generator, told):
    path = generator.format(m=module)
    with pytest.raises(NetworkError, match=f"^networks.generator: {path}: {told}"):
        build_networks(custom(module) | {"generator": path}, (2,), 3, 0)


@pytest.mark.parametrize(
    ("discriminator", "told"),
    [
        ("column", r"gives \(2, 1\) for inputs of shape \(2, 2\); \(2,\) is needed"),
        ("TooFew", r"gives \(2, 5\) for inputs of shape \(2, 2\); \(2, 6\) is needed"),
        ("Generator", "takes .* missing a required argument: 'latent_dim'"),
    ],
)
def test_what_is_wrong_with_a_discriminator_is_told(module, discriminator, told):
    with pytest.raises(NetworkError, match=f"^networks.discriminator: {module}:.*: {told}"):
        build_networks(custom(module, discriminator=discriminator), (2,), 3, 0)


def test_an_option_that_a_network_does_not_take_is_told(module):
    with pytest.raises(
        NetworkError, match=r"called with \(shape, latent_dim, depth=\.\.\.\): got an"
    ):
        build_networks(custom(module, g_options={"depth": 3}), (2,), 3, 0)


@pytest.mark.parametrize("conditioning", ["projection", "acgan", "sgan"])
def test_conditionings_that_need_features_say_so(module, conditioning):
    with pytest.raises(
        NetworkError, match=f"discriminator: {conditioning} needs features; got Crit"
    ):
        build_networks(custom(module), (2,), 3, 0, Wiring(conditioning, 4))


def test_encoders_that_need_features_say_so(module):
    with pytest.raises(NetworkError, match="an encoder needs features; got Critic without an int"):
        build_autoencoder(custom(module), (2,), 3, 0, variational=False)


def test_an_attribute_features_that_is_a_module_means_nothing(module):
    networks = build_networks(custom(module, discriminator="vgg"), (2,), 3, 0)
    assert networks.discriminator(torch.randn(4, 2))[0].shape == (4,)

"""What every architecture keeps to: shapes, seeds, and no trace left behind."""

import io
import pickle

import pytest
import torch
from torch import nn

from ganray.errors import NetworkError
from ganray.gan.networks import (
    ARCHITECTURES,
    Networks,
    Wiring,
    build_autoencoder,
    build_networks,
    latents,
)

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = {"name": "mlp", "width": 16, "depth": 2}
MAXOUT = MLP | {"g_norm": "batch", "d_activation": "maxout", "d_width": 6, "init_std": 0.02}
LINEAR = {"name": "mlp", "depth": 0}
CONV = {"name": "conv", "width": 4}
DCGAN = {"name": "dcgan", "width": 4}
SNGAN = {"name": "sngan-resnet", "g_width": 8, "d_width": 6}
RESNET = {"name": "resnet", "width": 4, "depth": 2}
PAIRS = [
    *[(options, shape) for options in (MLP, MAXOUT) for shape in [(1,), (2,), (1, 8, 8)]],
    (LINEAR, (2,)),
    *[(CONV, shape) for shape in [(1, 8, 8), (3, 12, 8)]],
    *[(DCGAN, shape) for shape in [(1, 28, 28), (3, 28, 28), (3, 32, 32), (1, 64, 64)]],
    *[(SNGAN, shape) for shape in [(1, 32, 32), (3, 32, 32)]],
    *[(RESNET, shape) for shape in [(1, 28, 28), (3, 32, 32)]],
]
every_pair = pytest.mark.parametrize(("options", "shape"), PAIRS)
one_of_each = pytest.mark.parametrize(
    ("options", "shape"),
    [
        (MLP, (2,)),
        (MLP, (1, 8, 8)),
        (CONV, (1, 8, 8)),
        (DCGAN, (1, 28, 28)),
        (SNGAN, (3, 32, 32)),
        (RESNET, (3, 28, 28)),
    ],
)
WIRINGS = [
    Wiring(),
    Wiring("concat", 3),
    Wiring("projection", 3),
    Wiring("acgan", 3),
    Wiring("sgan", 3),
    Wiring("concat", 3, pack=2),
    Wiring(pack=3, spectral_norm=True),
    Wiring("projection", 3, spectral_norm=True),
]


def weights(networks: Networks) -> list[torch.Tensor]:
    return [value for network in networks for value in network.state_dict().values()]


def equal(a: Networks, b: Networks) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_architecture_is_looked_at_here_or_beside():
    assert {options["name"] for options, _ in PAIRS} | {"custom"} == set(ARCHITECTURES)


@every_pair
@pytest.mark.parametrize("count", [2, 5])
def test_g_makes_samples_of_the_data_s_shape_and_d_one_logit_for_each(options, shape, count):
    networks = build_networks(options, shape, 3, 0)
    samples = networks.generator(draw(count, 3))
    assert samples.shape == (count, *shape)
    logits, classes = networks.discriminator(samples)
    assert logits.shape == (count,)
    assert classes is None


@one_of_each
@pytest.mark.parametrize("wiring", WIRINGS, ids=str)
def test_shapes_hold_with_every_wiring(options, shape, wiring):
    networks = build_networks(options, shape, 3, 0, wiring)
    condition = torch.eye(3)[[0, 1, 2, 0]] if wiring.conditions else None
    samples = networks.generator(draw(4, 3), condition)
    assert samples.shape == (4, *shape)
    packs = draw(4, wiring.pack * shape[0], *shape[1:])
    packed = None if condition is None else condition.repeat(1, wiring.pack)
    logits, classes = networks.discriminator(packs, packed)
    assert logits.shape == (4,)
    has_classes = wiring.conditioning in ("acgan", "sgan")
    assert (None if classes is None else classes.shape) == ((4, 3) if has_classes else None)


@one_of_each
@pytest.mark.parametrize("conditions", [0, 2])
@pytest.mark.parametrize(("variational", "outputs"), [(True, 10), (False, 5)])
def test_autoencoders_encode_to_as_many_numbers_as_they_need(
    options, shape, conditions, variational, outputs
):
    pair = build_autoencoder(options, shape, 5, 0, variational=variational, conditions=conditions)
    condition = torch.eye(2) if conditions else None
    codes = pair.encoder(draw(2, *shape), condition)
    assert codes.shape == (2, outputs)
    assert pair.decoder(codes[:, :5], condition).shape == (2, *shape)


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_both_halves_of_a_conditional_autoencoder_depend_on_the_condition(half):
    pair = build_autoencoder(MLP, (2,), 2, 0, variational=False, conditions=2)
    network, x = getattr(pair, half), draw(1, 2)
    assert not torch.equal(*[network(x, torch.eye(2)[[i]]) for i in (0, 1)])


def test_an_autoencoder_s_decoder_is_a_generator_and_its_encoder_a_discriminator_s_trunk():
    pair = build_autoencoder(MLP, (2,), 3, 0, variational=True)
    networks = build_networks(MLP, (2,), 3, 0)
    assert str(pair.decoder) == str(networks.generator)
    assert str(pair.encoder.trunk) == str(networks.discriminator.trunk)


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_autoencoders_begin_as_their_architecture_says(half):
    options = MLP | {"init_std": 0.02}
    network = getattr(build_autoencoder(options, (2,), 3, 0, variational=True), half)
    biases = [value for name, value in network.named_parameters() if name.endswith("bias")]
    assert len(biases) == 3
    assert not any(bias.any() for bias in biases)


# --- seeds ----------------------------------------------------------------------------------------


@one_of_each
@pytest.mark.parametrize("wiring", [Wiring(), Wiring("projection", 3, spectral_norm=True)], ids=str)
def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(options, shape, wiring):
    torch.manual_seed(1)
    first = build_networks(options, shape, 3, 7, wiring)
    torch.manual_seed(2)
    assert equal(first, build_networks(options, shape, 3, 7, wiring))


@one_of_each
def test_another_seed_gives_other_weights_to_both_players(options, shape):
    first, second = (build_networks(options, shape, 3, seed) for seed in (7, 8))
    for a, b in zip(first, second, strict=True):
        assert not torch.equal(next(a.parameters()), next(b.parameters()))


def test_an_autoencoder_s_weights_depend_on_the_seed_alone():
    def build(seed):
        torch.manual_seed(torch.seed())
        return build_autoencoder(MLP, (2,), 3, seed, variational=True)

    assert equal(build(7), build(7))
    assert not equal(build(7), build(8))


@one_of_each
def test_building_leaves_torch_s_global_random_state_as_it_was(options, shape):
    before = torch.get_rng_state()
    build_networks(options, shape, 3, 7, Wiring(spectral_norm=True))
    build_autoencoder(options, shape, 3, 7, variational=True)
    assert torch.equal(torch.get_rng_state(), before)


@one_of_each
@pytest.mark.parametrize("wiring", [Wiring(), Wiring("acgan", 3, spectral_norm=True)], ids=str)
def test_a_saved_state_loads_without_running_code_from_it(options, shape, wiring):
    first = build_networks(options, shape, 3, 1, wiring)
    second = build_networks(options, shape, 3, 2, wiring)
    assert not equal(first, second)
    for a, b in zip(first, second, strict=True):
        file = io.BytesIO()
        torch.save(a.state_dict(), file)
        file.seek(0)
        b.load_state_dict(torch.load(file, weights_only=True))
    assert equal(first, second)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "cnn"}, r"networks: unknown networks 'cnn'\. Known: mlp, conv, .*resnet, custom"),
        (CONV | {"depth": 2}, r"networks: unknown option of conv 'depth'\. Known: width"),
        (MLP | {"g_norm": "layer"}, r"networks: unknown g_norm 'layer'\. Known: none, batch"),
        (MLP | {"d_norm": "layer"}, r"networks: unknown d_norm 'layer'\. Known: none, batch"),
        (MLP | {"d_activation": "tanh"}, "unknown d_activation 'tanh'. Known: leaky_relu, maxout"),
        (DCGAN | {"g_norm": "layer"}, r"networks: unknown g_norm 'layer'\. Known: none, batch"),
        (DCGAN | {"d_norm": "layer"}, r"networks: unknown d_norm 'layer'\. Known: none, batch"),
    ],
    ids=str,
)
def test_words_that_are_not_known_are_told_with_those_that_are(options, told):
    with pytest.raises(NetworkError, match=told):
        build_networks(options, (1, 28, 28), 3, 0)


@pytest.mark.parametrize(
    ("options", "shape", "told"),
    [
        *[
            (CONV, shape, rf"conv needs images .* multiples of 4; got \({shape[0]}, ?")
            for shape in [(2,), (8, 8), (1, 7, 8), (1, 8, 6), (1, 9, 9)]
        ],
        (DCGAN, (2,), r"dcgan needs square images .* 28 or 32 or 64; got \(2,\)"),
        (DCGAN, (1, 48, 48), r"dcgan needs .*; got \(1, 48, 48\)"),
        (DCGAN, (1, 28, 32), r"dcgan needs .*; got \(1, 28, 32\)"),
        (SNGAN, (3, 28, 28), r"sngan-resnet needs .* sides of 32; got \(3, 28, 28\)"),
        (RESNET, (3, 64, 64), r"resnet needs .* sides of 28 or 32; got \(3, 64, 64\)"),
    ],
    ids=str,
)
def test_shapes_that_an_architecture_cannot_do_are_refused(options, shape, told):
    with pytest.raises(NetworkError, match=told):
        build_networks(options, shape, 3, 0)
    with pytest.raises(NetworkError, match=told):
        build_autoencoder(options, shape, 3, 0, variational=False)


@pytest.mark.parametrize(
    ("wiring", "told"),
    [
        (Wiring("film", 3), "unknown conditioning 'film'. Known: none, concat, projection, acgan"),
        (Wiring("concat", 0), "concat needs conditions; the data have none"),
        (Wiring("acgan", 3, pack=2), "pack: acgan judges single samples; got packs of 2"),
        (Wiring("sgan", 3, pack=2), "pack: sgan judges single samples; got packs of 2"),
        (Wiring("projection", 3, pack=2), "pack: projection judges single samples"),
    ],
    ids=str,
)
def test_wirings_that_make_no_sense_are_refused(wiring, told):
    with pytest.raises(NetworkError, match=told):
        build_networks(MLP, (2,), 3, 0, wiring)


def test_a_refusal_is_an_error_of_the_input_and_survives_the_way_between_processes():
    with pytest.raises(NetworkError) as raised:
        build_networks({"name": "cnn"}, (2,), 3, 0)
    assert raised.value.exit_code == 2
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


# --- samples and latents --------------------------------------------------------------------------


@one_of_each
def test_images_stay_within_minus_one_and_one_and_use_the_whole_range(options, shape):
    generator = build_networks(options, shape, 3, 0).generator
    with torch.no_grad():
        last = [m for m in generator.modules() if isinstance(m, WEIGHTED)][-1]
        last.weight.mul_(1e4)
        images = generator(draw(16, 3))
    if len(shape) == 1:
        assert images.abs().max().item() > 10.0
        return
    assert images.min().item() == pytest.approx(-1.0, abs=1e-3)
    assert images.max().item() == pytest.approx(1.0, abs=1e-3)
    assert images.abs().max().item() <= 1.0


WEIGHTED = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


@one_of_each
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_d_judges_each_sample_by_itself(options, shape, spectral_norm):
    wiring = Wiring(spectral_norm=spectral_norm)
    discriminator = build_networks(options, shape, 3, 0, wiring).discriminator.double()
    samples = draw(6, *shape).double()
    with torch.no_grad():
        if spectral_norm:
            discriminator.eval()  # else each call sharpens the norm
        together, _ = discriminator(samples)
        alone = torch.cat([discriminator(sample[None])[0] for sample in samples])
    assert together.tolist() == pytest.approx(alone.tolist(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "shape"),
    [(MLP | {"d_norm": "batch"}, (2,)), (DCGAN | {"d_norm": "batch"}, (1, 28, 28))],
)
def test_with_batch_norm_d_judges_a_sample_by_its_batch(options, shape):
    discriminator = build_networks(options, shape, 3, 0).discriminator
    first, second = draw(4, *shape), draw(4, *shape, seed=1)
    second[0] = first[0]
    a, b = (discriminator(batch)[0][0].item() for batch in (first, second))
    assert a != pytest.approx(b, rel=1e-3)


def test_latents_are_standard_normal_and_come_from_the_generator_given():
    before = torch.get_rng_state()
    draws, again = (latents(20_000, 2, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws, again)
    assert draws.shape == (20_000, 2)
    assert draws.mean().item() == pytest.approx(0.0, abs=0.03)
    assert draws.std().item() == pytest.approx(1.0, abs=0.03)
    assert torch.corrcoef(draws.T)[0, 1].item() == pytest.approx(0.0, abs=0.04)

"""How networks are wired: conditions, heads, packs and spectral norm, by hand."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from ganray.gan.networks import Wiring, build_networks
from ganray.gan.networks.players import join, shown_shape

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = {"name": "mlp", "width": 8, "depth": 1}
RESNET = {"name": "resnet", "width": 4}
EYE = torch.eye(3)
WEIGHTED = nn.Linear | nn.Conv2d


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def players(conditioning: str, options=MLP, shape=(2,), **wiring):
    conditions = 0 if conditioning == "none" else 3
    return build_networks(options, shape, 4, 0, Wiring(conditioning, conditions, **wiring))


# --- generators -----------------------------------------------------------------------------------


@pytest.mark.parametrize("conditioning", ["concat", "projection", "acgan"])
def test_g_depends_on_the_condition_which_joins_the_latents(conditioning):
    generator = players(conditioning).generator
    z = draw(1, 4)
    first, second = generator(z, EYE[[0]]), generator(z, EYE[[1]])
    assert not torch.equal(first, second)
    by_hand = generator.network(torch.tensor([[*z[0].tolist(), 0.0, 1.0, 0.0]]))
    assert torch.equal(second, by_hand)


@pytest.mark.parametrize("conditioning", ["none", "sgan"])
def test_g_without_conditions_ignores_them(conditioning):
    generator = players(conditioning).generator
    z = draw(3, 4)
    assert torch.equal(generator(z), generator(z, EYE))


@pytest.mark.parametrize("side", [0, 1])
def test_a_condition_that_is_missing_is_told(side):
    network = players("concat")[side]
    with pytest.raises(ValueError, match="conditional, and no condition was given"):
        network(draw(3, 4 if side == 0 else 2))


# --- heads ----------------------------------------------------------------------------------------


def test_d_without_conditions_is_linear_in_its_features_and_ignores_conditions():
    discriminator = players("none").discriminator
    x = draw(3, 2)
    features, head = discriminator.trunk(x), discriminator.head.logit
    expected = (features * head.weight).sum(1) + head.bias
    logits, classes = discriminator(x, EYE)
    assert logits.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert classes is None


def test_concatenating_d_sees_vectors_with_the_condition_as_further_entries():
    discriminator = players("concat").discriminator
    x = draw(1, 2)
    logits = [discriminator(x, EYE[[i]])[0].item() for i in range(3)]
    assert len(set(logits)) == 3
    seen = torch.tensor([[*x[0].tolist(), 0.0, 0.0, 1.0]])
    by_hand = discriminator.head.logit(discriminator.trunk(seen)).item()
    assert logits[2] == by_hand


def test_concatenating_d_sees_images_with_the_condition_as_constant_planes():
    images, condition = draw(2, 1, 2, 3), torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    joined = join(images, condition)
    assert joined.shape == (2, 3, 2, 3)
    assert torch.equal(joined[:, :1], images)
    assert joined[:, 1:].flatten(2).tolist() == [[[0.5] * 6, [-1.0] * 6], [[2.0] * 6, [0.0] * 6]]


def test_projection_adds_the_inner_product_of_v_y_and_the_features():
    discriminator = players("projection").discriminator.double()
    x = draw(1, 2).double()
    features = discriminator.trunk(x)[0]
    v = discriminator.head.projection.weight  # [F, K]
    first, second = (discriminator(x, EYE[[i]].double())[0].item() for i in (0, 2))
    expected = sum((v[f, 0] - v[f, 2]).item() * features[f].item() for f in range(8))
    assert first - second == pytest.approx(expected, rel=1e-9)
    nothing = discriminator(x, torch.zeros(1, 3).double())[0].item()
    assert nothing == pytest.approx(discriminator.head.logit(features).item(), rel=1e-9)


def test_projection_takes_conditions_that_are_not_one_hot():
    discriminator = players("projection").discriminator.double()
    x = draw(1, 2).double()
    nothing, one, other, mixed = (
        discriminator(x, torch.tensor([y], dtype=torch.float64))[0].item()
        for y in ([0, 0, 0], [1, 0, 0], [0, 1, 0], [2, -0.5, 0])
    )
    assert mixed == pytest.approx(nothing + 2 * (one - nothing) - 0.5 * (other - nothing))


def test_acgan_tells_classes_from_the_same_features_and_judges_without_the_condition():
    discriminator = players("acgan").discriminator
    x = draw(3, 2)
    features, head = discriminator.trunk(x), discriminator.head
    logits, classes = discriminator(x, EYE)
    assert torch.equal(logits, head.logit(features)[:, 0])
    assert torch.equal(classes, head.classes(features))
    assert torch.equal(logits, discriminator(x)[0])


# --- packs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "wiring", "shown"),
    [
        ((2,), Wiring(pack=3), (6,)),
        ((3, 28, 28), Wiring(pack=2), (6, 28, 28)),
        ((2,), Wiring("concat", 5, pack=3), (21,)),
        ((3, 28, 28), Wiring("concat", 10, pack=2), (26, 28, 28)),
        ((2,), Wiring("projection", 5), (2,)),
    ],
    ids=str,
)
def test_d_is_shown_packs_joined_by_their_conditions(shape, wiring, shown):
    assert shown_shape(shape, wiring) == shown


def test_packs_change_d_alone():
    plain, packed = players("none"), players("none", pack=3)
    assert str(plain.generator) == str(packed.generator)
    assert packed.discriminator.trunk[0].in_features == 6
    assert packed.discriminator(draw(5, 6))[0].shape == (5,)


def test_conditions_of_a_pack_come_in_one_row_or_in_rows_that_follow_each_other():
    discriminator = players("concat", pack=2).discriminator
    packs, conditions = draw(3, 4), draw(6, 3)
    in_rows, _ = discriminator(packs, conditions)
    assert torch.equal(in_rows, discriminator(packs, conditions.view(3, 6))[0])
    changed = conditions.clone()
    changed[1] += 1.0  # of the second sample in the first pack
    differs = discriminator(packs, changed)[0] != in_rows
    assert differs.tolist() == [True, False, False]


# --- spectral norm --------------------------------------------------------------------------------


def layers(network):
    return [module for module in network.modules() if isinstance(module, WEIGHTED)]


@pytest.mark.parametrize(
    ("options", "shape", "conditioning"),
    [
        (MLP, (2,), "none"),
        (MLP, (2,), "projection"),
        (MLP, (2,), "acgan"),
        (MLP, (2,), "sgan"),
        ({"name": "sngan-resnet", "g_width": 2, "d_width": 4}, (3, 32, 32), "projection"),
        (RESNET, (1, 28, 28), "none"),
    ],
)
def test_every_matrix_of_d_has_largest_singular_value_one(options, shape, conditioning):
    networks = players(conditioning, options, shape, spectral_norm=True)
    discriminator = networks.discriminator
    with torch.no_grad():
        for _ in range(60):
            discriminator(draw(2, *shape), EYE[:2])
    discriminator.eval()
    found = [layer.weight.detach().flatten(1) for layer in layers(discriminator)]
    norms = [torch.linalg.matrix_norm(weight, 2).item() for weight in found]
    assert norms == pytest.approx([1.0] * len(norms), abs=0.02)
    assert not any(map(parametrize.is_parametrized, layers(networks.generator)))


def test_spectral_norm_of_branches_that_begin_at_zero_stays_finite():
    plain = players("none", RESNET, (1, 28, 28)).discriminator
    assert any(not layer.weight.any() for layer in layers(plain))
    networks = players("none", RESNET, (1, 28, 28), spectral_norm=True)
    logits, _ = networks.discriminator(draw(2, 1, 28, 28))
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(p.grad).all() for p in networks.discriminator.parameters())


def test_without_spectral_norm_weights_are_as_they_were_drawn():
    assert not any(map(parametrize.is_parametrized, layers(players("none").discriminator)))

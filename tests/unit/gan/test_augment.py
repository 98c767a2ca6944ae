"""What is done to samples before D sees them."""

import math
from itertools import combinations

import pytest
import torch

from ganray.gan.augment import POLICIES, add_instance_noise, diffaugment, pack

CHOICES = [",".join(c) for n in (1, 2, 3) for c in combinations(POLICIES, n)]
every_choice = pytest.mark.parametrize("policy", CHOICES)
MANY = 2000


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=draws(seed), dtype=torch.float64)


def uniform_moments(values: torch.Tensor, low: float, high: float) -> None:
    """Within four standard errors of U(low, high), and never outside."""
    n, width = len(values), high - low
    assert values.min() >= low - 1e-9
    assert values.max() <= high + 1e-9
    assert values.mean().item() == pytest.approx(
        (low + high) / 2, abs=4 * width / math.sqrt(12 * n)
    )
    assert values.var().item() == pytest.approx(width**2 / 12, rel=0.12)


# --- DiffAugment ----------------------------------------------------------------------------------


@every_choice
def test_gradients_flow_back_to_most_pixels_of_every_image(policy):
    images = normal(6, 3, 16, 12).requires_grad_()
    weights = normal(6, 3, 16, 12, seed=1)
    (diffaugment(images, policy, draws()) * weights).sum().backward()
    assert images.grad.isfinite().all()
    reached = (images.grad != 0).double().mean((1, 2, 3))
    assert reached.min() > 0.5


@every_choice
def test_the_generator_alone_decides_the_draws(policy):
    images = normal(6, 3, 16, 12)
    first = diffaugment(images, policy, draws(3))
    torch.rand(5)
    assert first.shape == images.shape
    assert torch.equal(diffaugment(images, policy, draws(3)), first)
    assert not torch.equal(diffaugment(images, policy, draws(4)), first)


@every_choice
def test_each_image_has_its_own_draws(policy):
    same = normal(1, 3, 16, 12).expand(40, 3, 16, 12)
    found = diffaugment(same, policy, draws())
    assert len({tuple(image.flatten().tolist()) for image in found}) > 20


def test_images_that_are_given_stay_as_they_are():
    images = normal(6, 3, 8, 8)
    before = images.clone()
    diffaugment(images, "color,translation,cutout", draws())
    assert torch.equal(images, before)


def test_the_order_is_that_of_the_policy():
    images = normal(6, 3, 8, 8)
    by_name = diffaugment(images, "cutout,color", draws(1))
    generator = draws(1)
    by_hand = POLICIES["color"](POLICIES["cutout"](images, generator), generator)
    assert torch.equal(by_name, by_hand)
    assert (by_name != 0).all()  # the hole was coloured after it was cut


def test_color_is_brightness_then_saturation_then_contrast():
    """A grey image knows brightness only; a coloured pixel's spread knows the other two."""
    grey = torch.full((MANY, 3, 2, 2), 0.25, dtype=torch.float64)
    moved = diffaugment(grey, "color", draws())
    assert torch.allclose(moved, moved[:, :1, :1, :1].expand_as(moved))
    uniform_moments(moved[:, 0, 0, 0] - 0.25, -0.5, 0.5)

    # The left pixel is grey, so its contrast to the image's mean is not a matter of saturation.
    image = torch.tensor([[-0.5, 0.1], [-0.5, 0.4], [-0.5, 0.7]], dtype=torch.float64)
    batch = image.view(1, 3, 1, 2).expand(MANY, 3, 1, 2)
    found = diffaugment(batch, "color", draws(1))
    left, right = found[:, :, 0, 0], found[:, :, 0, 1]
    assert torch.allclose(left, left[:, :1].expand_as(left))
    contrast = (right.mean(1) - left.mean(1)) / (0.4 - -0.5)
    uniform_moments(contrast, 0.5, 1.5)
    saturation = (right[:, 2] - right[:, 0]) / (0.7 - 0.1) / contrast
    uniform_moments(saturation, 0.0, 2.0)
    assert abs(torch.corrcoef(torch.stack([contrast, saturation]))[0, 1]) < 0.1


def test_color_keeps_the_mean_over_the_image_but_for_brightness():
    images = normal(50, 3, 4, 4)
    moved = diffaugment(images, "color", draws())
    brightness = (moved.mean((1, 2, 3)) - images.mean((1, 2, 3))).abs()
    assert brightness.max() <= 0.5


def test_saturation_and_contrast_keep_each_pixels_place_on_the_grey_axis():
    """Saturation keeps channel means, so those of all pixels are moved by one affine map."""
    images = normal(20, 3, 4, 4)
    before, after = (x.mean(1).flatten(1) for x in (images, diffaugment(images, "color", draws())))
    before, after = (x - x.mean(1, keepdim=True) for x in (before, after))
    ratios = after / before
    assert torch.allclose(ratios, ratios[:, :1].expand_as(ratios), atol=1e-8)
    assert (ratios[:, 0] >= 0.5 - 1e-9).all()
    assert (ratios[:, 0] <= 1.5 + 1e-9).all()


def shifts(image: torch.Tensor, result: torch.Tensor, reach: tuple[int, int]) -> list[tuple]:
    """Every whole-pixel shift with zero fill that turns the image into the result."""
    height, width = image.shape[1:]
    found = []
    for down in range(-reach[0], reach[0] + 1):
        for right in range(-reach[1], reach[1] + 1):
            moved = torch.zeros_like(image)
            for row in range(height):
                for column in range(width):
                    if 0 <= row - down < height and 0 <= column - right < width:
                        moved[:, row, column] = image[:, row - down, column - right]
            if torch.equal(moved, result):
                found.append((down, right))
    return found


def test_translation_moves_by_whole_pixels_up_to_an_eighth_with_zeros_behind():
    image = normal(2, 16, 8)  # an eighth: 2 rows, 1 column
    results = diffaugment(image.expand(300, 2, 16, 8), "translation", draws())
    distinct = torch.unique(results, dim=0)
    found = [shifts(image, result, (3, 2)) for result in distinct]
    assert all(len(moves) == 1 for moves in found)
    assert {move for (move,) in found} == {(d, r) for d in range(-2, 3) for r in (-1, 0, 1)}


@pytest.mark.parametrize(("side", "reach"), [(28, 4), (32, 4), (11, 1), (3, 0)])
def test_an_eighth_is_rounded_to_whole_pixels(side, reach):
    ones = torch.ones(200, 1, side, side)
    lost = (diffaugment(ones, "translation", draws()) == 0)[:, 0, :, side // 2].sum(1)
    assert lost.max().item() == reach


@pytest.mark.parametrize(("height", "width"), [(8, 12), (9, 7), (6, 10), (28, 28)])
def test_cutout_is_a_rectangle_of_half_of_each_side_unless_the_edge_cuts_it_off(height, width):
    ones = torch.ones(MANY, 3, height, width)
    cut = diffaugment(ones, "cutout", draws()) == 0
    assert torch.equal(cut, cut[:, :1].expand_as(cut))
    cut = cut[:, 0]
    rows, columns = cut.any(2), cut.any(1)
    assert torch.equal(cut, rows[:, :, None] & columns[:, None, :])
    for lines, side in ((rows, height), (columns, width)):
        hole = math.floor(side / 2 + 0.5)
        lengths = lines.sum(1)
        assert lengths.max().item() == hole
        for edge in (0, -1):  # the shortest has its centre there
            assert lengths[lines[:, edge]].min().item() == (hole + 1) // 2
        touching = lines[:, 0] | lines[:, -1]
        assert (lengths[~touching] == hole).all()
        edges = (lines[:, 1:] != lines[:, :-1]).sum(1)
        assert edges.max().item() <= 2  # one run of lines
        assert lines.any(0).all()  # any line may be hit


def test_cutout_leaves_the_rest_alone():
    images = normal(20, 3, 8, 8)
    found = diffaugment(images, "cutout", draws())
    kept = found != 0
    assert torch.equal(found[kept], images[kept])
    assert 0.75 <= kept.double().mean() <= 0.95


def test_images_of_one_channel_will_do():
    found = diffaugment(normal(5, 1, 8, 8), "color,translation,cutout", draws())
    assert found.shape == (5, 1, 8, 8)


@pytest.mark.parametrize("policy", ["", "colour", "color,", "color,color", "cutout color"])
def test_a_policy_that_is_none_is_refused(policy):
    with pytest.raises(ValueError, match=f"color, translation, cutout .*got '{policy}'"):
        diffaugment(normal(2, 3, 4, 4), policy, draws())


def test_vectors_are_refused():
    with pytest.raises(ValueError, match=r"got shape \[4, 2\]"):
        diffaugment(normal(4, 2), "color", draws())


# --- instance noise -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2,), (3, 4, 4)])
def test_instance_noise_is_gaussian_of_that_deviation_in_each_coordinate(shape):
    samples = normal(MANY, *shape, seed=1).requires_grad_()
    noisy = add_instance_noise(samples, 0.3, draws())
    noise = ((noisy - samples) / 0.3).detach().flatten()
    n = len(noise)
    assert noise.mean().item() == pytest.approx(0.0, abs=4 / math.sqrt(n))
    assert noise.var().item() == pytest.approx(1.0, abs=4 * math.sqrt(2 / n))
    assert (noise.abs() < 1).double().mean().item() == pytest.approx(
        math.erf(math.sqrt(0.5)), abs=0.04
    )
    assert len(noise.unique()) == n
    (gradient,) = torch.autograd.grad(noisy.sum(), samples)
    assert torch.equal(gradient, torch.ones_like(samples))


def test_instance_noise_comes_from_the_generator_and_ends_at_nothing():
    samples = normal(5, 2)
    assert torch.equal(
        add_instance_noise(samples, 0.3, draws(2)), add_instance_noise(samples, 0.3, draws(2))
    )
    assert torch.equal(add_instance_noise(samples, 0.0, draws(2)), samples)


# --- packing --------------------------------------------------------------------------------------


def test_vectors_are_packed_over_features_in_order():
    samples = torch.arange(12.0).view(6, 2)
    assert pack(samples, 3).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_images_are_packed_over_channels_in_order():
    samples = normal(6, 3, 4, 5)
    packed = pack(samples, 2)
    assert packed.shape == (3, 6, 4, 5)
    for sample in range(6):
        first = 3 * (sample % 2)
        assert torch.equal(packed[sample // 2, first : first + 3], samples[sample])


def test_packing_does_not_depend_on_how_images_lie_in_memory():
    samples = normal(6, 3, 4, 5)
    apart = samples.to(memory_format=torch.channels_last)
    assert torch.equal(pack(apart, 2), pack(samples, 2))


def test_a_pack_of_one_is_the_sample():
    samples = normal(4, 3, 2, 2)
    assert torch.equal(pack(samples, 1), samples)


@pytest.mark.parametrize("size", [0, 4, 5, -2])
def test_samples_that_do_not_fill_packs_are_refused(size):
    with pytest.raises(ValueError, match=f"6 samples cannot be packed by {size}"):
        pack(normal(6, 2), size)

"""Pictures of samples, decoded again and looked at."""

import io

import numpy as np
import pytest
from PIL import Image

from ganray.data.dataset import Dataset, as_float
from ganray.data.gaussians import gaussian_1d
from ganray.data.pictures import BLUE, ORANGE, SIZE, WHITE, draw, draw_alone, draw_real


@pytest.fixture(scope="module")
def line() -> Dataset:
    return gaussian_1d(train_size=100)


@pytest.fixture(params=["1-D", "2-D", "images"])
def dataset(request, line, ring8, digits10) -> Dataset:
    return {"1-D": line, "2-D": ring8, "images": digits10}[request.param]


def pixels(png: bytes) -> np.ndarray:
    """Colours [height, width, 3]."""
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns [N, 2] of the pixels of one colour."""
    return np.argwhere((picture == colour).all(-1))


def single(x: float, y: float, count: int = 50) -> np.ndarray:
    return np.full((count, 2), (x, y), dtype=np.float32)


def test_every_kind_of_data_gives_a_png_of_the_usual_size(dataset):
    height, width, _ = pixels(draw(dataset, dataset.heldout[:200])).shape
    expected = SIZE if len(dataset.shape) == 1 else 5 * (10 * (8 + 1) + 1)  # whole pixels only
    assert (height, width) == (expected, expected)


def test_other_samples_give_another_picture_and_the_same_the_same(dataset):
    first, second = dataset.heldout[:200], dataset.train[:100]
    assert draw(dataset, first) == draw(dataset, first.copy())
    assert draw(dataset, first) != draw(dataset, second)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e38])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_samples_that_are_not_finite_or_far_away_do_not_raise(dataset, value, share):
    samples = dataset.heldout[:40].copy()
    samples[: int(share * len(samples))] = value
    pixels(draw(dataset, samples))


def test_real_data_are_drawn_as_samples_are_but_without_any(dataset):
    real = pixels(draw_real(dataset))
    assert len(where(real, BLUE)) == 0
    if len(dataset.shape) == 3:
        assert (real == pixels(draw(dataset, as_float(dataset.heldout)))).all()
    else:
        beside = pixels(draw(dataset, np.full((4, *dataset.shape), np.nan, dtype=np.float32)))
        assert (real[(beside == ORANGE).all(-1)] == ORANGE).all()  # beneath an outline, too


@pytest.mark.parametrize("spoilt", [False, True], ids=["finite", "some not finite"])
def test_generated_samples_alone_are_not_drawn_as_real_ones(dataset, spoilt):
    samples = dataset.heldout[:200].astype(np.float32)
    if spoilt:
        samples[:50] = np.nan
    picture = pixels(draw_alone(samples))
    assert picture.shape[:2] == (SIZE, SIZE) or samples.ndim == 4
    if samples.ndim == 2:
        assert len(where(picture, ORANGE)) == 0
        assert len(where(picture, BLUE)) > 8


def test_nothing_finite_is_an_empty_picture():
    assert len(where(pixels(draw_alone(np.full((10, 2), np.nan, np.float32))), BLUE)) == 0


def test_drawing_does_not_change_the_samples(dataset):
    samples = dataset.heldout[:40].copy()
    samples[0] = np.nan
    before = samples.copy()
    draw(dataset, samples)
    assert np.array_equal(samples, before, equal_nan=True)


# --- points in the plane --------------------------------------------------------------------------


def test_points_lie_where_they_belong_x_to_the_right_and_y_up(ring8):
    for x, y, is_right, is_down in ((0.7, 0.7, True, False), (-0.7, -0.6, False, True)):
        found = where(pixels(draw(ring8, single(x, y))), BLUE)
        assert 5 <= len(found) <= 9  # a dot of three pixels
        row, column = found.mean(0)
        assert bool(column > SIZE / 2) is is_right
        assert bool(row > SIZE / 2) is is_down


def test_a_point_is_drawn_to_the_scale_of_the_real_data(ring8):
    real = where(pixels(draw(ring8, single(np.nan, np.nan))), ORANGE)
    margin = SIZE * 0.2 / 1.4
    assert real.min(0) == pytest.approx([margin, margin], abs=6)
    assert real.max(0) == pytest.approx([SIZE - margin, SIZE - margin], abs=6)
    right = where(pixels(draw(ring8, single(1.0, 0.0))), BLUE).mean(0)
    left = where(pixels(draw(ring8, single(-1.0, 0.0))), BLUE).mean(0)
    assert right[0] == pytest.approx(left[0], abs=2)
    assert right[1] == pytest.approx(real[:, 1].max(), abs=20)
    assert left[1] == pytest.approx(real[:, 1].min(), abs=20)


def test_real_points_lie_beneath_and_all_eight_modes_show(ring8):
    picture = pixels(draw(ring8, ring8.counter.centres))
    assert len(where(picture, BLUE)) > 8
    assert len(where(picture, ORANGE)) > 8 * 50
    nothing = pixels(draw(ring8, single(np.nan, np.nan)))
    assert len(where(nothing, BLUE)) == 0
    for row, column in where(picture, BLUE):
        assert tuple(nothing[row, column]) == ORANGE


# --- a histogram on the line ----------------------------------------------------------------------


def test_bars_are_the_real_data_and_the_outline_the_samples(line):
    real, fake = line.heldout, np.full((500, 1), 1.0, dtype=np.float32)  # well below the mean of 4
    picture = pixels(draw(line, fake))
    bars, outline = where(picture, ORANGE), where(picture, BLUE)
    assert abs(bars[:, 1].mean() - SIZE / 2) < 30
    peak = outline[outline[:, 0].argmin()]
    low, high = real.min(), real.max()
    margin = 0.3 * (high - low)
    expected = (1.0 - (low - margin)) / (high - low + 2 * margin) * SIZE
    assert peak[1] == pytest.approx(expected, abs=12)


def test_the_outline_of_perfect_samples_is_as_high_as_the_bars(line):
    picture = pixels(draw(line, line.heldout[::-1].copy()))
    bars, outline = where(picture, ORANGE), where(picture, BLUE)
    assert outline[:, 0].min() == pytest.approx(bars[:, 0].min(), abs=6)
    assert 0.25 * SIZE < bars[:, 0].min() < 0.5 * SIZE


def test_the_outline_shows_shares_whatever_the_number_of_samples(line):
    many = where(pixels(draw(line, line.heldout)), BLUE)[:, 0].min()
    fewer = where(pixels(draw(line, line.heldout[:2500])), BLUE)[:, 0].min()
    assert fewer == pytest.approx(many, abs=25)


def test_a_sample_that_is_not_finite_lowers_the_outline(line):
    samples = line.heldout.copy()
    samples[::2] = np.nan
    whole = where(pixels(draw(line, line.heldout)), BLUE)[:, 0].min()
    half = where(pixels(draw(line, samples)), BLUE)[:, 0].min()
    assert SIZE - half == pytest.approx((SIZE - whole) / 2, rel=0.1)


# --- a grid of images -----------------------------------------------------------------------------


def cell(picture: np.ndarray, index: int) -> np.ndarray:
    """Image `index` of a grid of 8×8 images with white lines between them, five times as large."""
    row, column = divmod(index, 10)
    small = picture[2::5, 2::5, 0]
    return small[row * 9 + 1 : row * 9 + 9, column * 9 + 1 : column * 9 + 9]


def test_images_stand_in_rows_of_ten_with_black_for_minus_one(digits10):
    images = digits10.heldout[:150]
    picture = pixels(draw(digits10, images))
    for index in (0, 1, 9, 10, 57, 99):
        expected = (images[index, 0] + 1.0) * 127.5
        assert cell(picture, index) == pytest.approx(expected, abs=1.0)
    assert (picture[0] == WHITE).all()
    assert (picture[:, 0] == WHITE).all()


def test_fewer_images_leave_the_rest_white(digits10):
    picture = pixels(draw(digits10, digits10.heldout[:3]))
    assert cell(picture, 2).min() == 0
    assert cell(picture, 3).min() == 255


def test_pixels_that_are_not_finite_are_the_nearest_grey(digits10):
    images = np.zeros((3, 1, 8, 8), dtype=np.float32)
    images[0], images[1], images[2] = np.nan, np.inf, -np.inf
    picture = pixels(draw(digits10, images))
    assert [int(cell(picture, i).max()) for i in range(3)] == [127, 255, 0]


def test_colour_images_keep_their_colours(digits10):
    rgb = np.full((1, 3, 8, 8), -1.0, dtype=np.float32)
    rgb[:, 1] = 1.0
    picture = pixels(draw(digits10, rgb))
    assert tuple(picture[20, 20]) == (0, 255, 0)


@pytest.mark.parametrize(
    ("channels", "places"),
    [(2, [(0, 0), (0, 1)]), (4, [(0, 0), (0, 1), (1, 0), (1, 1)]), (5, [(0, 0), (0, 1), (0, 2)])],
)
def test_other_numbers_of_channels_are_grey_tiles(digits10, channels, places):
    images = np.full((2, channels, 8, 8), -1.0, dtype=np.float32)
    images[1] = np.linspace(-0.5, 1.0, channels)[:, None, None]
    picture = pixels(draw(digits10, images))
    assert (picture[..., 0] == picture[..., 2]).all()
    columns = {2: 2, 4: 2, 5: 3}[channels]
    width = 8 * columns + 1
    scale = max(1, SIZE // (10 * width + 1))
    for channel, (row, column) in enumerate(places):
        x = scale * (width + 1 + 8 * column + 4)
        y = scale * (1 + 8 * row + 4)
        assert picture[y, x, 0] == pytest.approx((images[1, channel, 0, 0] + 1.0) * 127.5, abs=1.0)


def test_a_tile_without_a_channel_is_black(digits10):
    images = np.ones((1, 3 + 2, 8, 8), dtype=np.float32)
    picture = pixels(draw(digits10, images))
    assert picture[1 + 8 + 4, 1 + 16 + 4, 0] == 0
    assert picture[1 + 8 + 4, 1 + 8 + 4, 0] == 255


@pytest.mark.parametrize(("size", "side"), [(32, 10), (64, 9), (128, 4), (256, 4)])
def test_large_images_are_fewer(digits10, size, side):
    images = np.zeros((100, 3, size, size), dtype=np.float32)
    picture = pixels(draw(digits10, images))
    assert picture.shape == (side * (size + 1) + 1, side * (size + 1) + 1, 3)


def test_real_images_may_be_bytes(digits28):
    images = as_float(digits28.heldout[:100])
    picture = pixels(draw(digits28, images))
    assert picture[1:29, 1:29, 0] == pytest.approx(digits28.heldout[0, 0].astype(float), abs=1.0)

"""A picture of samples, drawn in milliseconds: points over the real modes, or a grid of images."""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ganray.data.dataset import Dataset, Samples, as_float

SIZE = 480  # pixels
GRID = 10  # images a side, or fewer large ones
LARGEST = 640  # pixels that they take without being scaled
FEWEST = 4
POINTS = 1_000
# Okabe and Ito's palette: told apart with any colour vision
BLUE, ORANGE, WHITE = (0, 114, 178), (230, 159, 0), (255, 255, 255)


def draw(dataset: Dataset, samples: Samples) -> bytes:
    """A PNG of generated samples, real data in orange beneath where they are points.

    Args:
        dataset: where the samples should come from.
        samples: shape [N, D], of which at most two coordinates are drawn, or [N, C, H, W]: grey for
            one channel, colours for three, for others a tile of each channel; values that are not
            finite are left out.
    """
    if samples.ndim == 4:
        return _png(_image_grid(samples))
    return _png(_points(as_float(dataset.heldout), samples))


def draw_real(dataset: Dataset) -> bytes:
    """A PNG of held-out data, as `draw` shows samples: points to the same scale, or images."""
    if len(dataset.shape) == 3:
        return _png(_image_grid(as_float(dataset.heldout[: GRID * GRID])))
    real = as_float(dataset.heldout)
    return _png(_points(real, real[:0]))


def draw_alone(samples: Samples) -> bytes:
    """A PNG of generated samples without real ones: every image, or points.

    Args:
        samples: as in `draw`.
    """
    if samples.ndim == 4:
        return _png(_image_grid(samples, math.ceil(math.sqrt(len(samples)))))
    return _png(_points(samples[:0], samples))


def _points(real: Samples, fake: Samples) -> Image.Image:
    """Real ones in orange, generated ones in blue; either may be none."""
    if real.shape[1] == 1:
        return _histogram(real[:, 0], fake[:, 0])
    return _scatter(real[:POINTS, :2], fake[:POINTS, :2])


def _range(real: Samples, fake: Samples) -> tuple[float, float]:
    """What the picture shows of the line: where the real ones are, without them the generated."""
    shown = real if len(real) else fake[np.isfinite(fake)]
    return (float(shown.min()), float(shown.max())) if shown.size else (-1.0, 1.0)


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _scatter(real: Samples, fake: Samples) -> Image.Image:
    low, high = _range(real, fake)
    margin = 0.2 * (high - low)
    canvas = np.zeros((SIZE, SIZE), np.uint8)  # of colours' places in the palette
    for place, (points, radius) in enumerate(((real, 4), (fake, 1)), start=1):
        unit = ((points - (low - margin)) / (high - low + 2 * margin)).clip(-0.1, 1.1)
        pixels = np.stack([unit[:, 0], 1.0 - unit[:, 1]], 1) * (SIZE - 1)
        _stamp(canvas, pixels[np.isfinite(pixels).all(1)].round().astype(int), radius, place)
    image = Image.fromarray(canvas)
    image.putpalette([*WHITE, *ORANGE, *BLUE])
    return image


def _stamp(canvas: NDArray[np.uint8], pixels: NDArray[np.int_], radius: int, place: int) -> None:
    """A disc at each of the pixels [N, 2], x and y, as far as it lies on the canvas."""
    offsets = np.arange(-radius, radius + 1)
    disc = offsets[:, None] ** 2 + offsets**2 <= (radius + 0.5) ** 2
    dots = pixels[:, None] + (np.argwhere(disc) - radius)
    columns, rows = dots.reshape(-1, 2).T
    seen = (columns >= 0) & (columns < SIZE) & (rows >= 0) & (rows < SIZE)
    canvas[rows[seen], columns[seen]] = place


def _histogram(real: Samples, fake: Samples) -> Image.Image:
    low, high = _range(real, fake)
    margin = 0.3 * (high - low)
    edges = np.linspace(low - margin, high + margin, 61)
    image = Image.new("RGB", (SIZE, SIZE), WHITE)
    pen = ImageDraw.Draw(image)
    of_real, of_fake = (
        np.histogram(v[np.isfinite(v)], edges)[0] / max(len(v), 1) for v in (real, fake)
    )
    scale = (SIZE - 40) / max((of_real if len(real) else of_fake).max() * 1.5, 1e-9)
    width = SIZE / 60
    for index, height in enumerate(of_real):
        top = SIZE - height * scale
        pen.rectangle((index * width, top, (index + 1) * width - 1, SIZE), fill=ORANGE)
    if len(fake):
        outline = [(i * width + width / 2, SIZE - 1 - h * scale) for i, h in enumerate(of_fake)]
        pen.line(outline, fill=BLUE, width=3)
    return image


def _tiled(samples: Samples) -> Samples:
    """The channels of each image [N, C, H, W] as one grey image, in rows of about as many."""
    count, channels, height, width = samples.shape
    columns = math.ceil(math.sqrt(channels))
    rows = math.ceil(channels / columns)
    tiles = np.full((count, rows * columns, height, width), -1.0, np.float32)
    tiles[:, :channels] = samples
    tiles = tiles.reshape(count, rows, columns, height, width).transpose(0, 1, 3, 2, 4)
    return tiles.reshape(count, 1, rows * height, columns * width)


def _image_grid(samples: Samples, side: int | None = None) -> Image.Image:
    """As many images a side as are asked for, or as can be seen well."""
    samples = samples if samples.shape[1] in (1, 3) else _tiled(samples)
    channels, height, width = samples.shape[1:]
    side = side or int(np.clip(LARGEST // (max(height, width) + 1), FEWEST, GRID))
    images = np.nan_to_num(samples[: side * side], posinf=1.0, neginf=-1.0)
    canvas = np.full((channels, side * (height + 1) + 1, side * (width + 1) + 1), 1.0, np.float32)
    for index, picture in enumerate(images):
        row, column = divmod(index, side)
        top, left = row * (height + 1) + 1, column * (width + 1) + 1
        canvas[:, top : top + height, left : left + width] = picture
    pixels = ((canvas.clip(-1, 1) + 1.0) * 127.5).astype(np.uint8).transpose(1, 2, 0)
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    scale = max(1, SIZE // image.width)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)

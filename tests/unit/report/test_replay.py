"""The figure of a replay: a picture of every policy, whatever there is to show."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from ganray.report import replay
from ganray.report.replay import draw
from ganray.tuning.replay.catalogue import make_policies
from ganray.tuning.replay.compare import Comparison, compare
from tests.conftest import past

GOOD = {"distance": 0.05, "mode_ratio": 1.0}
DEAD = {"distance": 0.9, "mode_ratio": 0.1}


def compared(policies: list[str], *trials: list[dict[str, float]]) -> Comparison:
    histories = [past(i, reports) for i, reports in enumerate(trials)]
    return compare(make_policies(policies, histories), histories, resamples=1)


def colours(picture: bytes) -> set[tuple[int, ...]]:
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    assert min(image.size) > 500
    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return {tuple(colour) for colour in np.unique(pixels, axis=0).tolist()}


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def test_each_policy_has_a_colour_of_its_own() -> None:
    trials = [[DEAD] * 10, [GOOD] * 10, [GOOD] * 10]
    two = colours(draw(compared(["modes", "none"], *trials)))
    one = colours(draw(compared(["modes"], *trials)))
    first, second, *_ = map(rgb, replay._COLOURS)
    assert {first, second} <= two
    assert first in one
    assert second not in one


@pytest.mark.parametrize(
    "trials",
    [[[GOOD] * 10], [[DEAD] * 10], [[DEAD] * 4, [{"mode_ratio": 1.0, "distance": 0.2}] * 3]],
    ids=["none bad", "none healthy", "all unknown"],
)
def test_figure_is_drawn_also_where_a_kind_is_missing(
    trials: list[list[dict[str, float]]],
) -> None:
    assert colours(draw(compared(["modes", "none"], *trials)))


def test_labels_of_points_in_one_place_do_not_cover_each_other() -> None:
    labels = [
        (0.5, 0.9, "a", "k"),
        (0.55, 0.9, "b", "k"),
        (0.5, 0.91, "c", "k"),
        (0.0, 0.9, "d", "k"),
    ]
    placed = {text: y for _, y, text, _ in replay._apart(labels)}
    assert placed["d"] == 0.9
    heights = sorted(placed[name] for name in "abc")
    assert heights[0] == 0.9
    assert all(b - a >= replay._LABEL_HEIGHT - 1e-9 for a, b in pairwise(heights))

"""Colours that can be told apart, on light and dark pages, by any eye, and in grey copies."""

from itertools import pairwise

import pytest

from ganray.report.fates import Fate
from ganray.report.style import DARK, LIGHT, MARKS, RUNNING, Theme
from ganray.trial import Outcome

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def luminance(colour: str) -> float:
    """Relative, as WCAG 2.2 defines it."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def grey(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


@THEMES
def test_text_can_be_read(theme: Theme) -> None:
    assert contrast(theme.ink, theme.page) > 7.0
    assert contrast(theme.quiet, theme.page) > 4.5


@THEMES
def test_a_grey_copy_of_a_map_can_be_read(theme: Theme) -> None:
    order = (Fate.TRAINED, Fate.STALLED, Fate.COLLAPSED, Fate.DIVERGED)
    levels = [abs(grey(theme.fates[fate]) - grey(theme.page)) for fate in order]
    assert all(worse - better > 0.15 for better, worse in pairwise(levels))
    assert theme.fates[Fate.UNCLEAR] == theme.page  # hatched


@THEMES
def test_every_outcome_has_a_colour_that_can_be_seen(theme: Theme) -> None:
    assert set(theme.outcomes) == {*Outcome, RUNNING}
    told = [theme.outcomes[o] for o in Outcome if o is not Outcome.CANCELLED]
    assert len(set(told)) == len(told)
    assert all(contrast(colour, theme.page) > 2.4 for colour in told)


def test_every_way_to_be_stopped_has_a_mark_of_its_own() -> None:
    assert set(MARKS) == set(Outcome) - {Outcome.COMPLETED}
    assert len(set(MARKS.values())) == len(MARKS)

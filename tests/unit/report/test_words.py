"""Values as a reader sees them."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from ganray.report import words


def plain(text: str) -> str:
    """Gaps in which no line breaks are gaps."""
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.012345, "0.0123"),
        (-0.00663, "−0.00663"),
        (7.0, "7"),
        (12_345.0, "12,345"),
        (12_345.6, "12,346"),
        (1e-9, "1e−09"),
        (0.0, "0"),
        (None, "–"),
        (math.nan, "not finite"),
        (-math.inf, "not finite"),
    ],
)
def test_numbers_have_few_digits(value: float | None, told: str) -> None:
    assert words.number(value) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.4, "0 s"),
        (-0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (-125.0, "−2 min 05 s"),
        (3_599.0, "59 min 59 s"),
        (6_000.0, "1 h 40 min"),
        (4e6, "1,111 h 06 min"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_durations_have_the_units_that_matter(seconds: float | None, told: str) -> None:
    assert plain(words.duration(seconds)) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "none"), (True, "yes"), (False, "no"), (0.00064123, "0.000641"), (5, "5"), ("a", "a")],
)
def test_settings_are_told_as_a_file_has_them(value: Any, told: str) -> None:
    assert words.setting(value) == told


def test_shares_moments_and_counts() -> None:
    assert plain(words.share(0.126)) == "13 %"
    assert words.share(None) == "–"
    assert words.moment(datetime(2026, 1, 2, 3, 4, 59, tzinfo=UTC)) == "2026-01-02 03:04 UTC"
    assert words.moment(None) == "–"
    assert [words.counted(n, "trial") for n in (0, 1, 1_200)] == [
        "0 trials",
        "1 trial",
        "1,200 trials",
    ]


@pytest.mark.parametrize(
    ("names", "told"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_lists_end_with_and(names: list[str], told: str) -> None:
    assert words.listed(names) == told


def test_sentences_begin_with_a_capital_but_names_stay_as_they_are() -> None:
    assert words.sentence("no trial failed") == "No trial failed"
    assert words.sentence("d_lr matters most") == "d_lr matters most"
    assert words.sentence("") == ""

"""Names that somebody may have meant."""

import pytest

from ganray.similar import did_you_mean


@pytest.mark.parametrize(
    ("got", "known", "told"),
    [
        ("rnig-8", ["ring-8", "stacked"], "; did you mean 'ring-8'?"),
        ("ring", ["ring-20261122-014531", "stacked"], "; did you mean 'ring-20261122-014531'?"),
        ("ring-8", ["ring-9", "ring-7"], "; did you mean 'ring-9' or 'ring-7'?"),
        (
            "ring",
            [f"ring-{n}" for n in range(9)],
            "; did you mean 'ring-8' or 'ring-7' or 'ring-6'?",
        ),
        ("nope", ["ring-8"], ""),
        ("nope", [], ""),
        ("", ["ring-8"], ""),
    ],
)
def test_nearest_names_are_told(got: str, known: list[str], told: str) -> None:
    assert did_you_mean(got, known) == told

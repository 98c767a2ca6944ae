"""One option says where a sweep keeps what, by what it looks like."""

import pytest

from ganray.cli.options import storage_settings


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (None, {}),
        ("results", {"storage.results": "results"}),
        ("s3://bucket/results", {"storage.results": "s3://bucket/results"}),
        ("postgresql://host/db", {"storage.study": "postgresql://host/db"}),
        ("postgresql+psycopg://host/db", {"storage.study": "postgresql+psycopg://host/db"}),
        ("sqlite:///study.db", {"storage.study": "sqlite:///study.db"}),
        ("a/study.journal", {"storage.study": "a/study.journal"}),
        ("postgresql://", {"storage.results": "postgresql://"}),
    ],
)
def test_place(place: str | None, found: dict[str, str]) -> None:
    assert storage_settings(place) == found

"""Times as MLflow and Ray tell them."""

from datetime import UTC, datetime


def as_time(milliseconds: int | None) -> datetime | None:
    """A time that is told in ms since 1970; None, and 0, where there is none yet."""
    return datetime.fromtimestamp(milliseconds / 1000.0, UTC) if milliseconds else None

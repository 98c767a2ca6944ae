"""Values as a reader wants them: few digits, units, and plain words for what is not there."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

NOTHING = "–"
GAP = "\u00a0"  # between a number and its unit: no line breaks there


def number(value: float | None) -> str:
    """Three significant digits; whole numbers in full, with commas."""
    if value is None or not math.isfinite(value):
        return NOTHING if value is None else "not finite"
    if float(value).is_integer() and abs(value) < 1e15:
        told = f"{int(value):,}"
    else:
        told = f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"
    return told.replace("-", "−")


def share(value: float | None) -> str:
    """As per cent."""
    return NOTHING if value is None else f"{100 * value:.0f}{GAP}%"


def setting(value: Any) -> str:
    """A value of a trial parameter, as a sweep file may have it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def settings(values: Mapping[str, Any]) -> str:
    """Names and values in one line."""
    return ", ".join(f"{name} {setting(value)}" for name, value in values.items())


def duration(seconds: float | None) -> str:
    """In seconds, in minutes and seconds, or in hours and minutes."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    whole = round(abs(seconds))
    sign = "−" if seconds < 0 and whole else ""
    if whole < 60:
        return f"{sign}{whole}{GAP}s"
    minutes, left = divmod(whole, 60)
    if minutes < 60:
        return f"{sign}{minutes}{GAP}min{GAP}{left:02}{GAP}s"
    return f"{sign}{minutes // 60:,}{GAP}h{GAP}{minutes % 60:02}{GAP}min"


def moment(at: datetime | None) -> str:
    """To the minute, in UTC."""
    return NOTHING if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Such as `1 trial`, `1,200 trials`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(words: list[str]) -> str:
    """Such as `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def sentence(text: str) -> str:
    """With a capital letter, unless it begins with a name such as `d_lr`."""
    is_name = "_" in text.split(" ")[0]
    return text if is_name else text[:1].upper() + text[1:]

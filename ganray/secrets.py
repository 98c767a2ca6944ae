"""Passwords and tokens are replaced in every text that leaves: messages, logs, records."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

HIDDEN = "***"
_SHORTEST = 6  # of a value that is looked for by itself: "true" would hide half of every text
# environment variables by the ends of their names: PGPASSWORD, RAY_AUTH_TOKEN, OPENAI_API_KEY, …
_NAMES = re.compile(r"(PASSWORD|PASSWD|TOKEN|SECRET|SECRET_KEY|API_KEY|ACCESS_KEY)$", re.IGNORECASE)
_KEY = r"[\w.-]{0,40}(?:password|passwd|pwd|token|secret|api[_-]?key|access[_-]?key|signature)"
_USER = re.compile(r"(?<=://)[^/\s]*@")
# databases take a slash in a password, too, where others see the end of the host; a port is none
_SLASHED = re.compile(r"(?<=://)[^:/@\s]*:(?!\d+[/?#])[^\s@]+@")
_NAMED = re.compile(rf"(?i)\b({_KEY}\s*=\s*)(?:'[^']*'|\"[^\"]*\"|[^\s&;,'\")\]}}]+)")
_QUOTED = re.compile(rf"(?i)(['\"]{_KEY}['\"]\s*:\s*)(?:'[^']*'|\"[^\"]*\")")
_HEADER = re.compile(r"(?i)(authorization['\"]?\s*[:=]\s*['\"]?)(?:\w+ )?[^\s'\",]+")
_PATTERNS = (
    (_USER, f"{HIDDEN}@"),
    (_SLASHED, f"{HIDDEN}@"),
    (_NAMED, rf"\1{HIDDEN}"),
    (_QUOTED, rf'\1"{HIDDEN}"'),
    (_HEADER, rf"\1{HIDDEN}"),
)


def redact(text: str) -> str:
    """The text without what nobody may read.

    Hidden are the values of environment variables whose names end as those of secrets do, Ray's
    token, what stands before the @ of a URL, and values that are named a password or the like.
    What is redacted already comes back as it is.
    """
    values = _values()
    while (clean := _once(text, values)) != text:  # what was hidden may have joined two halves
        text = clean
    return text


def has_password(url: str) -> bool:
    """Whether a URL carries a password, before its @ or in its query; a user's name is none."""
    try:
        before_the_host = urlsplit(url).password
    except ValueError:  # no URL that anybody could open; better safe
        return "@" in url
    query = url.partition("?")[2]
    return bool(before_the_host or _SLASHED.search(url) or _NAMED.search(query))


class RedactingFilter(logging.Filter):
    """Redacts log records, their tracebacks with them; for handlers, which see those of all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place; it is always to be logged."""
        message = record.getMessage()
        record.msg, record.args = redact(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def redacted_log(name: str) -> logging.Logger:
    """The logger of that name, whose records are redacted whoever handles them."""
    log = logging.getLogger(name)
    log.addFilter(_FILTER)
    return log


@contextmanager
def redacted_errors() -> Iterator[None]:
    """Errors whose text tells a secret leave as a RuntimeError that tells the rest of it."""
    try:
        yield
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        if redact(told) == told:
            raise
        raise RuntimeError(redact(told)) from None  # the cause would tell it after all


_FILTER = RedactingFilter()  # one: a logger has it once, however many ask


def _once(text: str, values: list[str]) -> str:
    for value in values:
        text = text.replace(value, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _values() -> list[str]:
    """All secrets that this process knows, the longest first: one may be part of another."""
    found = {value for name, value in os.environ.items() if _NAMES.search(name)}
    found.add(_token_file())
    found |= {quote(value, safe="") for value in found}  # as in a URL
    return sorted((v for v in found if len(v) >= _SHORTEST and v.strip("*")), key=len, reverse=True)


def _token_file() -> str:
    """Ray's token where Ray looks for it; empty if there is none."""
    place = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    try:
        return Path(place).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, RuntimeError):
        return ""

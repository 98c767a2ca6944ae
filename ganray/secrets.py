"""Passwords and tokens are replaced in every text that leaves: messages, logs, records."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "***"
_SHORTEST = 6  # of a value that is looked for by itself: "true" would hide half of every text
# environment variables by the ends of their names: PGPASSWORD, RAY_AUTH_TOKEN, OPENAI_API_KEY, …
_NAMES = re.compile(
    r"(PASSWORD|PASSWD|TOKEN|SECRET|(SECRET|API|ACCESS|ACCOUNT|STORAGE)_KEY|CONNECTION_STRING)$",
    re.IGNORECASE,
)
_WORDS = r"password|passwd|pwd|token|secret|(?:api|access|account|storage)[_-]?key|signature"
_KEY = rf"(?:[\w.-]{{0,40}}(?:{_WORDS})|sig)"
_USER = re.compile(r"(?<=://)[^/\s]*@")
_PASSWORD = re.compile(r"(?<=://)[^:/@\s]*:(?P<secret>[^/\s]+)@")
# databases take a slash in a password, too, where others see the end of the host; a port is none;
# bounded, or a text of many URLs would be read to its end for each
_SLASHED = re.compile(r"(?<=://)[^:/@\s]*:(?P<secret>(?!\d+[/?#])[^\s@]{1,1000})@")
_WEB_USER = re.compile(r"(?i)https?://(?P<secret>[^:/?#\s@]+):?@")  # GitHub and others: a token
_NAMED = re.compile(
    rf"(?i)\b(?P<key>{_KEY}\s*=\s*)(?P<secret>'[^']*'|\"[^\"]*\"|[^\s&;,'\")\]}}]+)"
)
_QUOTED = re.compile(rf"(?i)(?P<key>['\"]{_KEY}['\"]\s*:\s*)(?P<secret>'[^']*'|\"[^\"]*\")")
_HEADER = re.compile(r"(?i)(?P<key>authorization['\"]?\s*[:=]\s*['\"]?)(?:\w+ )?[^\s'\",]+")
_PATTERNS = (
    (_USER, f"{HIDDEN}@"),
    (_SLASHED, f"{HIDDEN}@"),
    (_NAMED, rf"\g<key>{HIDDEN}"),
    (_QUOTED, rf'\g<key>"{HIDDEN}"'),
    (_HEADER, rf"\g<key>{HIDDEN}"),
)


def redact(text: str) -> str:
    """The text without what nobody may read.

    Hidden are the values of environment variables whose names end as those of secrets do, the
    passwords and keys within other variables, such as DATABASE_URL, Ray's token, what stands before
    the @ of a URL, and values that are named a password or the like. What is redacted already comes
    back as it is.
    """
    values = _values()
    while (clean := _once(text, values)) != text:  # what was hidden may have joined two halves
        text = clean
    return text


def has_secret(url: str) -> bool:
    """Whether a URL carries a password, a key or a token, before its @ or in its query.

    A user's name is none, but where it can be a token: over HTTP.
    """
    try:
        before_the_host = urlsplit(url).password
    except ValueError:  # no URL that anybody could open; better safe
        return "@" in url
    query = url.partition("?")[2]
    found = _SLASHED.search(url) or _WEB_USER.search(url) or _NAMED.search(query)
    return bool(before_the_host or found)


class RedactingFilter(logging.Filter):
    """Redacts log records, their tracebacks with them; for handlers, which see those of all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place; it is always to be logged."""
        record.msg, record.args = redact(_message(record)), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
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


def _message(record: logging.LogRecord) -> str:
    """What a record says; where its details do not fit it, as it was written.

    Whoever logged must not fail for it: a filter's errors are theirs, a formatter's are not.
    """
    try:
        return record.getMessage()
    except Exception:  # from the `__str__` of anything
        return record.msg if isinstance(record.msg, str) else f"a {type(record.msg).__name__}"


def _once(text: str, values: list[str]) -> str:
    for value in values:
        text = text.replace(value, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _values() -> list[str]:
    """All secrets that this process knows, the longest first: one may be part of another."""
    found = {value for name, value in os.environ.items() if _NAMES.search(name)}
    found |= {secret for value in os.environ.values() for secret in _within(value)}
    found.add(_token_file())
    found |= {as_written(value) for value in found for as_written in (_in_url, unquote)}
    return sorted((v for v in found if len(v) >= _SHORTEST and v.strip("*")), key=len, reverse=True)


def _within(value: str) -> Iterator[str]:
    """The secrets of a value that holds more: a URL, a connection string, options."""
    for pattern in (_PASSWORD, _SLASHED, _WEB_USER, _NAMED, _QUOTED):
        yield from (match["secret"].strip("'\"") for match in pattern.finditer(value))


def _in_url(value: str) -> str:
    return quote(value, safe="")


def _token_file() -> str:
    """Ray's token where Ray looks for it; empty if there is none."""
    place = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    try:
        return Path(place).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, RuntimeError):
        return ""

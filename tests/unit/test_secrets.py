"""What is hidden of a text, what is left of it, and which URLs are refused."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ganray.secrets import (
    HIDDEN,
    RedactingFilter,
    has_secret,
    redact,
    redacted_errors,
    redacted_log,
)

PLANTED = "pl4nted-s3cret"
NAMES = [
    *["RAY_AUTH_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD"],
    *["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "OPENAI_API_KEY", "HF_TOKEN"],
    *["MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY", "my_service_password"],
    *["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_CONNECTION_STRING"],
]


@pytest.fixture(autouse=True)
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a token; returns where one would be."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    return tmp_path / ".ray" / "auth_token"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://me:secret@host/db is away", "postgresql://***@host/db is away"),
        ("at http://me:a@b@host:5000/x", "at http://***@host:5000/x"),
        ("postgresql://me:a/b@host/db", "postgresql://***@host/db"),
        ("https://just-a-token@host/x", "https://***@host/x"),
        ("s3://k:s@a/b and s3://c/d", "s3://***@a/b and s3://c/d"),
        ("db://h/x?password=abc&sslmode=on", "db://h/x?password=***&sslmode=on"),
        ("s3://b/x?X-Amz-Signature=abc", "s3://b/x?X-Amz-Signature=***"),
        ("abfss://a.dfs/x?sv=2020&sig=a%3D&st=1", "abfss://a.dfs/x?sv=2020&sig=***&st=1"),
        ("abfss://a.dfs/x?account_key=abc", "abfss://a.dfs/x?account_key=***"),
        ("AccountName=me;AccountKey=abc==;Suffix=x", "AccountName=me;AccountKey=***;Suffix=x"),
        ("host=h password='a b' user=u", "host=h password=*** user=u"),
        ("connect(host='h', password='a b')", "connect(host='h', password=***)"),
        ('{"password": "a b", "user": "u"}', '{"password": "***", "user": "u"}'),
        ("Authorization: Bearer abc.def, x", "Authorization: ***, x"),
        ("{'Authorization': 'Basic abc='}", "{'Authorization': '***'}"),
    ],
)
def test_passwords_are_hidden_and_the_rest_is_left(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        *["", "trial 3 crashed", "http://127.0.0.1:5000/#/experiments/1", "s3://bucket/a@b"],
        *["http://host:5000/users/me@example.org", "sqlite:////home/me/mlflow.db", "a@b.c"],
        *["~/ray_results/ring/trials/0003/checkpoint.pt", "unexpected argument 'password'"],
        *["the tokens of a text", "distance 0.71; in doubt for 25 reports (chance 5.8 %)"],
        *["design=8 n_sig=2", "keyboard=us, key=value"],
    ],
)
def test_text_without_secrets_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("name", NAMES)
def test_value_of_a_secret_variable_is_hidden_wherever_it_stands(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, PLANTED)
    assert redact(f"cannot open <{PLANTED}>!") == "cannot open <***>!"


def test_value_is_hidden_as_it_stands_in_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "p@ss/word 1")
    assert redact("got p%40ss%2Fword%201.") == "got ***."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"postgresql://me:{PLANTED}@host:5432/db"),
        ("MLFLOW_BACKEND_STORE_URI", f"mysql://me:{PLANTED}@host/db?ssl=1"),
        ("REPOSITORY", f"https://{PLANTED}@host/me/code"),
        ("REPOSITORY", f"https://{PLANTED}:@host/me/code"),
        ("STORE", f"AccountName=me;AccountKey={PLANTED};EndpointSuffix=core.windows.net"),
        ("LINK", f"https://a.blob.core.windows.net/c/x?sv=2020&sig={PLANTED}"),
        ("SETTINGS", f'{{"user": "me", "password": "{PLANTED}"}}'),
    ],
)
def test_secret_within_a_variable_is_hidden_by_itself_and_the_rest_is_left(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert PLANTED not in redact(f"cannot use {PLANTED}")
    kept = "host, me, 5432, core.windows.net and db"
    assert redact(kept) == kept


def test_secret_within_a_url_is_hidden_as_it_is_and_as_it_stands_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:p%40ss%2Fword@host/db")
    monkeypatch.setenv("OTHER_URL", "postgresql://me:p4ss/word@host/db")
    assert redact("no p@ss/word, p%40ss%2Fword or p4ss/word") == "no ***, *** or ***"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PATH_TO_DATA", PLANTED), ("USE_TOKEN", "true"), ("MY_PASSWORD", ""), ("PGUSER", PLANTED)],
)
def test_value_that_is_no_secret_or_too_short_to_be_found_is_left(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert redact(f"it is true that {PLANTED}") == f"it is true that {PLANTED}"


@pytest.mark.parametrize("by_variable", [False, True])
def test_rays_token_is_hidden(
    by_variable: bool, no_token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "elsewhere" if by_variable else no_token
    if by_variable:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{PLANTED}\n")
    assert redact(f"invalid token {PLANTED}") == "invalid token ***"


def test_token_file_that_cannot_be_read_hides_nothing(no_token: Path) -> None:
    no_token.parent.mkdir()
    no_token.write_bytes(b"\xff\xfe\xff")
    assert redact("fine") == "fine"
    no_token.unlink()
    no_token.mkdir()
    assert redact("fine") == "fine"


def test_of_two_secrets_the_longer_one_is_hidden_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "abcdef")
    monkeypatch.setenv("B_TOKEN", "abcdefghij")
    assert redact("abcdefghij abcdef") == "*** ***"


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20)


@given(before=WORDS, value=VALUES, after=WORDS)
@example("", "abc***abc", "")
@example("abc", "abcabc", "abc")
def test_planted_value_never_survives_and_twice_is_as_once(
    before: str, value: str, after: str
) -> None:
    assume(value.strip("*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED_TOKEN", value)
        once = redact(f"{before}{value}{after} postgresql://me:{value}@host/db {value}")
        assert value not in once
        assert redact(once) == once


@given(text=WORDS, url=st.sampled_from(["", "a://b:c@d", "password=", "Authorization: "]))
def test_any_text_is_redacted_once(text: str, url: str) -> None:
    once = redact(text + url + text)
    assert redact(once) == once


@pytest.mark.timeout(60)  # where each URL is read to the end of the text it takes minutes
def test_time_that_a_text_takes_is_in_proportion_to_its_length() -> None:
    text = "https://a" * 50_000
    assert redact(text) == text


@given(password=VALUES)
def test_password_of_a_url_is_found_and_hidden(password: str) -> None:
    assume("@" not in password and not password[0].isdigit())  # as 5432/db@ is a port and a path
    url = f"postgresql://me:{password}@host/db"
    assert has_secret(url)
    assert redact(url) == "postgresql://***@host/db"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://host/db", False),
        ("postgresql:///db", False),
        ("postgresql://me@host/db", False),
        ("postgresql://postgres:@/postgres?host=/run/postgresql", False),
        ("s3://bucket/a@b", False),
        ("results", False),
        ("~/a:b@c", False),
        ("postgresql://me:secret@host/db", True),
        ("postgresql://me:a/b@host/db", True),
        ("postgresql://host/db?user=me&password=secret", True),
        ("s3://key:secret@bucket/x", True),
        ("http://[::1:secret@host", True),
        ("https://just-a-token@host/x", True),
        ("http://just-a-token:@host/x", True),
        ("HTTP://me@host:5000", True),
        ("http://host:5000/users/me@example.org", False),
        ("http://host/?user=me@example.org", False),
        ("abfss://container@account.dfs.core.windows.net/x", False),
        ("abfss://container@account.dfs.core.windows.net/x?sv=2020&sig=abc", True),
        ("abfss://account.dfs.core.windows.net/x?account_key=abc", True),
        ("abfss://account.dfs.core.windows.net/x?AccountKey=abc", True),
    ],
)
def test_url_with_a_secret_is_told_from_one_without(url: str, expected: bool) -> None:
    assert has_secret(url) is expected


# --- logs and errors ------------------------------------------------------------------------------


def record(message: str, *details: object, error: bool = False) -> logging.LogRecord:
    trace = sys.exc_info() if error else None
    return logging.LogRecord("x", logging.WARNING, "x.py", 1, message, details, trace)


def test_log_record_is_redacted_with_its_details() -> None:
    one = record("%s is away: %d", "http://me:secret@host", 3)
    assert RedactingFilter().filter(one)
    assert logging.Formatter().format(one) == "http://***@host is away: 3"
    plain = record("100 % of it")
    assert RedactingFilter().filter(plain)
    assert logging.Formatter().format(plain) == "100 % of it"


def test_traceback_of_a_log_record_is_redacted() -> None:
    try:
        raise ValueError("http://me:secret@host")
    except ValueError:
        one = record("failed", error=True)
    RedactingFilter().filter(one)
    told = logging.Formatter().format(one)
    assert "ValueError: http://***@host" in told
    assert "me:secret@" not in told.replace('raise ValueError("http://me:secret@host")', "")


def test_stack_of_a_log_record_is_redacted() -> None:
    one = record("here")
    one.stack_info = 'Stack (most recent call last):\n  open("http://me:secret@host")'
    RedactingFilter().filter(one)
    assert "me:secret@" not in logging.Formatter().format(one)
    assert "http://***@host" in logging.Formatter().format(one)


class Unspeakable:
    """What cannot be told of, in any way."""

    def __str__(self) -> str:
        raise OSError("no words")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("message", "details", "told"),
    [
        ("%d at http://me:secret@host", ("three",), "%d at http://***@host"),
        ("one", ("too many",), "one"),
        ("%s", (Unspeakable(),), "%s"),
        (Unspeakable(), (), "a Unspeakable"),
    ],
)
def test_message_that_its_details_do_not_fit_is_logged_as_written_and_fails_nobody(
    message: Any, details: tuple[object, ...], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = redacted_log("tests.redacted")
    log.warning(message, *details)
    assert caplog.messages == [told]


def test_logger_redacts_for_whoever_handles_its_records(caplog: pytest.LogCaptureFixture) -> None:
    log = redacted_log("tests.redacted")
    assert redacted_log("tests.redacted") is log
    assert len(log.filters) == 1
    log.warning("%s is away", "http://me:secret@host")
    assert caplog.messages == ["http://***@host is away"]


def test_error_that_tells_a_secret_leaves_without_it_and_without_its_cause() -> None:
    with pytest.raises(RuntimeError) as raised, redacted_errors():
        raise ValueError("no http://me:secret@host")
    assert str(raised.value) == f"ValueError: no http://{HIDDEN}@host"
    assert raised.value.__suppress_context__


def test_other_errors_leave_as_they_are() -> None:
    error = ValueError("no such thing")
    with pytest.raises(ValueError, match="no such thing") as raised, redacted_errors():
        raise error
    assert raised.value is error

"""The table of addresses and tokens: which cluster, and whether it may be talked to."""

from pathlib import Path

import pytest

from ganray.client.address import find_token, given_address, parse_address, refuse_open
from ganray.errors import AddressError, TokenError


@pytest.mark.parametrize(
    ("option", "environment", "found"),
    [
        ("http://a:1", "http://b:2", "http://a:1"),
        (None, "http://b:2", "http://b:2"),
        (None, "https://b", "https://b"),
        (None, "auto", None),
        (None, "10.0.0.1:6379", None),
        (None, "ray://b:10001", None),
        (None, "", None),
    ],
)
def test_option_comes_before_the_environment(
    option: str | None, environment: str, found: str | None
) -> None:
    assert given_address(option, {"RAY_ADDRESS": environment}) == found


@pytest.mark.parametrize(
    ("text", "whole", "loopback"),
    [
        ("http://127.0.0.1:8265", "http://127.0.0.1:8265", True),
        ("127.0.0.1", "http://127.0.0.1:8265", True),
        ("localhost:9000", "http://localhost:9000", True),
        ("http://[::1]:8265/", "http://[::1]:8265", True),
        ("http://127.1.2.3:1", "http://127.1.2.3:1", True),
        ("https://ray.example.com", "https://ray.example.com:443", False),
        ("https://example.com/ray/", "https://example.com:443/ray", False),
        ("http://10.0.0.1:8265", "http://10.0.0.1:8265", False),
        ("http://0.0.0.0:8265", "http://0.0.0.0:8265", False),
        ("http://localhost.evil.example:8265", "http://localhost.evil.example:8265", False),
    ],
)
def test_address_is_read_as_a_person_means_it(text: str, whole: str, loopback: bool) -> None:
    address = parse_address(text)
    assert (str(address), address.is_loopback) == (whole, loopback)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ray://head:10001", "must start with http"),
        ("file:///etc/passwd", "must start with http"),
        ("http://", "is none"),
        ("http://head:port", "is none"),
        ("http://head:99999", "is none"),
        ("http://head/?a=b", "is none"),
        ("http://he ad", "is none"),
        ("http://head:1\r\nX: y", "is none"),
        ("http://me:hunter22@head", "holds a user or a password"),
    ],
)
def test_what_is_no_address_is_refused(text: str, message: str) -> None:
    with pytest.raises(AddressError, match=message) as error:
        parse_address(text)
    assert "hunter22" not in str(error.value)


# --- the token ------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("of-the-home\n")
    (tmp_path / "file").write_text("of-the-file\n")
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "token"),
    [
        ({}, "of-the-home"),
        ({"RAY_AUTH_TOKEN_PATH": "file"}, "of-the-file"),
        ({"RAY_AUTH_TOKEN_PATH": "file", "RAY_AUTH_TOKEN": "itself"}, "itself"),
        ({"RAY_AUTH_TOKEN": "itself", "RAY_AUTH_MODE": "disabled"}, None),
        ({"RAY_AUTH_TOKEN": "itself", "RAY_AUTH_MODE": "token"}, "itself"),
    ],
)
def test_token_is_found_where_ray_finds_it(
    home: Path, variables: dict[str, str], token: str | None
) -> None:
    if "RAY_AUTH_TOKEN_PATH" in variables:
        variables = variables | {"RAY_AUTH_TOKEN_PATH": str(home / "file")}
    assert find_token({"HOME": str(home), **variables}) == token


def test_no_token_anywhere_is_none(tmp_path: Path) -> None:
    assert find_token({"HOME": str(tmp_path)}) is None


@pytest.mark.parametrize("token", ["two words", "a\nb", "ü", " "])
def test_what_is_no_token_is_refused_and_not_shown(token: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(token)
    with pytest.raises(TokenError, match="holds no token") as error:
        find_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "file")})
    assert token.strip() == "" or token not in str(error.value)


def test_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="cannot be read: No such file"):
        find_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("address", "token", "insecure", "refused"),
    [
        ("http://127.0.0.1:8265", None, False, False),
        ("http://127.0.0.1:8265", "t", False, False),
        ("http://10.0.0.1:8265", "t", False, False),
        ("http://10.0.0.1:8265", None, True, False),
        ("http://10.0.0.1:8265", None, False, True),
        ("https://ray.example.com", None, False, True),
        ("http://0.0.0.0:8265", None, False, True),
    ],
)
def test_open_clusters_of_others_are_refused(
    address: str, token: str | None, insecure: bool, refused: bool
) -> None:
    if not refused:
        refuse_open(parse_address(address), token, insecure=insecure)
        return
    with pytest.raises(AddressError, match="CVE-2023-48022"):
        refuse_open(parse_address(address), token, insecure=insecure)

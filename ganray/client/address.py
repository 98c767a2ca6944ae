"""Which cluster, and whether it may be talked to: the table of addresses."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ganray.errors import AddressError, TokenError
from ganray.secrets import redact

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
DEFAULT_PORTS = {"http": 80, "https": 443}
DEFAULT_DASHBOARD_PORT = 8265
HINT = f"give the dashboard's, such as {DEFAULT_ADDRESS}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Ray dashboard answers."""

    scheme: str  # http or https
    host: str
    port: int
    path: str = ""  # in front of every request's, behind a proxy; without a slash at its end

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Whether nothing but this machine can see what is sent there."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def given_address(given: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The address that somebody named: by option, else `RAY_ADDRESS` if it is a dashboard's.

    `RAY_ADDRESS` may also be what drivers connect to, such as `auto`: that is no dashboard.
    """
    if given is not None:
        return given
    found = environment.get("RAY_ADDRESS", "")
    return found if found.startswith(("http://", "https://")) else None


def parse_address(text: str) -> Address:
    """An address as a person writes it: `http://` and the dashboard's port may be left out.

    Raises:
        AddressError: it is none, or holds a password.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise AddressError(f"the address {redact(text)!r} is none: {error}; {HINT}") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise AddressError(
            f"the address {redact(text)!r} must start with http:// or https://; {HINT}"
        )
    if "@" in parts.netloc:
        raise AddressError(
            f"the address {redact(text)} holds a user or a password, which ends in logs; "
            "clusters take a token: set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        )
    if not parts.hostname or parts.query or parts.fragment or not _is_plain(text):
        raise AddressError(f"the address {text!r} is none; {HINT}")
    port = _default_port(text, parts) if port is None else port
    return Address(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))


def find_token(environment: Mapping[str, str] = os.environ) -> str | None:
    """The cluster's token, where Ray looks for it and in its order.

    `RAY_AUTH_TOKEN`, else the file of `RAY_AUTH_TOKEN_PATH`, else `~/.ray/auth_token`; none if
    `RAY_AUTH_MODE` is `disabled`.

    Raises:
        TokenError: the file cannot be read, or what was found is no token.
    """
    if environment.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None
    if environment.get("RAY_AUTH_TOKEN"):
        return _checked(environment["RAY_AUTH_TOKEN"], "RAY_AUTH_TOKEN")
    path = environment.get("RAY_AUTH_TOKEN_PATH")
    file = path or os.path.join(environment.get("HOME", "~"), ".ray", "auth_token")
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return _checked(opened.read(), file)
    except OSError as error:
        if path is None:
            return None
        raise TokenError(f"RAY_AUTH_TOKEN_PATH: {path} cannot be read: {error.strerror}") from None


def refuse_open(address: Address, token: str | None, *, insecure: bool) -> None:
    """Refuse to submit to where anybody could: over a network, without a token.

    Raises:
        AddressError: the address is not this machine's, there is no token, and `insecure` is off.
    """
    if token is None and not insecure and not address.is_loopback:
        raise AddressError(
            f"refused to submit to {address} without a token: whoever reaches a cluster that asks "
            "for none can run any code there (CVE-2023-48022), and so can change your sweep. "
            "Start the cluster with RAY_AUTH_MODE=token and set RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH here, or reach it through `ray dashboard` or an SSH tunnel; "
            "--insecure submits all the same"
        )


def _default_port(text: str, parts: SplitResult) -> int:
    """Of a host by itself, the dashboard's; of a whole URL, its scheme's."""
    return DEFAULT_PORTS[parts.scheme] if "://" in text else DEFAULT_DASHBOARD_PORT


def _is_plain(text: str) -> bool:
    """Whether it may stand in a request as it is."""
    return text.isascii() and text.isprintable() and " " not in text


def _checked(text: str, source: str) -> str:
    """A token that may stand in a header; never shown."""
    token = text.strip()
    if not token or not _is_plain(token):
        raise TokenError(f"{source} holds no token: it must be one line without spaces")
    return token

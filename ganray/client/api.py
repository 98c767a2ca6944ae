"""HTTP to a Ray dashboard: timeouts, retries, the token, and what each failure means.

Ray's own client waits for ever for an answer that was lost on the way, and takes a second to load.
urllib3's `Retry` counts tries, where patience here is a time, and differs with whether the cluster
ever answered; and neither it nor `http.client` sees that an answer broke off within its headers.
"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from ganray.client.address import Address
from ganray.client.text import plain
from ganray.errors import ClusterError, TokenError

TIMEOUT_SECONDS = 20.0  # for each step of one request
PATIENCE_SECONDS = 30.0  # with a cluster that answered before and then went away
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0
PASSING = {500, 502, 503, 504}  # such as: no agent to submit the job
CHUNK = 65_536
NOBODY = (ConnectionRefusedError, socket.gaierror)

Failure = (OSError, http.client.HTTPException)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the dashboard answered."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body's value.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body, as the end of it that tells most: the last line."""
        lines = plain(self.body.decode("utf-8", "replace")).strip().splitlines()
        return lines[-1] if lines else ""


class Api:
    """Requests to one dashboard; each may be repeated without harm.

    Args:
        address: of the dashboard.
        token: of the cluster, if it asks for one.
        pause: how to wait.
    """

    def __init__(
        self, address: Address, token: str | None, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.address = address
        self._token = token
        self._pause = pause
        self._reached = False

    def get(self, path: str, kind: type[Value]) -> Value:
        """The value that a path has.

        Args:
            path: on a Ray dashboard always there.
            kind: of JSON value that a Ray dashboard has there.

        Raises:
            ClusterError: nobody answers there, or nothing that can be used.
            TokenError: the token is missing or wrong.
        """
        reply = self.call("GET", path)
        if reply.status == 404:
            raise self._no_dashboard()
        return self._value(reply, kind)

    def find(self, path: str, kind: type[Value]) -> Value | None:
        """As `get`; None if there is no such thing."""
        reply = self.call("GET", path)
        return None if reply.status == 404 else self._value(reply, kind)

    def call(
        self, method: str, path: str, body: bytes | None = None, *, once: bool = False
    ) -> Reply:
        """Send a request until it is answered, or patience ends.

        Args:
            method: of HTTP.
            path: with its query.
            body: JSON, or a package.
            once: whether an answer that tells of a failure there is taken as it is.

        Raises:
            ClusterError, TokenError: as in `get`.
        """
        deadline, pause = time.monotonic() + PATIENCE_SECONDS, FIRST_PAUSE
        while True:
            try:
                reply = self._send(method, path, body)
            except Failure as error:
                if _is_no_http(error) and not self._reached:
                    raise self._no_dashboard() from None
                nobody = isinstance(error, NOBODY) and not self._reached
                if nobody or time.monotonic() + pause > deadline:
                    raise ClusterError(self._unreachable(error)) from None
            else:
                self._refuse(reply)
                passing = reply.status in PASSING and not once
                if not passing or time.monotonic() + pause > deadline:
                    return reply
            self._pause(pause)
            pause = min(2.0 * pause, LONGEST_PAUSE)

    def stream(self, path: str) -> "Stream":
        """An answer that has no end; where the connection is lost, raises `Failure`.

        Raises:
            ClusterError, TokenError: as in `get`.
        """
        connection = self._connect()
        connected = connection.sock  # the connection itself may let go of it
        stream = Stream(connected, self._ask(connection, "GET", path, None))
        if stream.status != 200:
            reply = Reply(stream.status, b"".join(stream))
            stream.close()
            self._refuse(reply)
            raise ClusterError(f"the cluster at {self.address} answered: {reply.text}")
        return stream

    def _send(self, method: str, path: str, body: bytes | None) -> Reply:
        with closing(self._connect()) as connection:
            answer = self._ask(connection, method, path, body)
            if _is_torn(answer):
                raise http.client.IncompleteRead(b"")
            reply = Reply(answer.status, answer.read())
        self._reached = True
        return reply

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        # no redirect is followed: it could carry the token to another host
        headers = {"Accept": "*/*", "Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        connection.request(method, self.address.path + path, body, headers)
        return connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        connection: http.client.HTTPConnection
        if self.address.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT_SECONDS, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        connection.connect()
        return connection

    def _value(self, reply: Reply, kind: type[Value]) -> Value:
        if reply.status != 200:
            raise ClusterError(
                f"the cluster at {self.address} answered {reply.status}: {reply.text}"
            )
        try:
            found = reply.json()
        except ValueError:
            raise self._no_dashboard() from None
        if not isinstance(found, kind):
            raise self._no_dashboard()
        return found

    def _refuse(self, reply: Reply) -> None:
        if reply.status == 401:
            raise TokenError(
                f"the cluster at {self.address} asks for a token: set RAY_AUTH_TOKEN or "
                "RAY_AUTH_TOKEN_PATH, or write it to ~/.ray/auth_token, and name the cluster with "
                "--address or RAY_ADDRESS: one that is not named gets no token"
            )
        if reply.status == 403:
            raise TokenError(
                f"the cluster at {self.address} refuses the token: it is wrong or has expired. "
                "It was read from RAY_AUTH_TOKEN, else RAY_AUTH_TOKEN_PATH, else ~/.ray/auth_token"
            )

    def _no_dashboard(self) -> ClusterError:
        return ClusterError(
            f"{self.address} answers, but is no Ray dashboard; give that one's address"
        )

    def _unreachable(self, error: Exception) -> str:
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
        gone = "went away" if self._reached else "cannot be reached"
        return (
            f"the cluster at {self.address} {gone}: {what}; is it up, and is the tunnel to its "
            "dashboard (`ray dashboard`, or ssh -L 8265:localhost:8265) open?"
        )


def _is_no_http(error: Exception) -> bool:
    """Whether what came is no answer at all; a lost connection is another matter."""
    return isinstance(error, http.client.BadStatusLine) and not isinstance(error, OSError)


def _is_torn(answer: http.client.HTTPResponse) -> bool:
    """Whether the connection was lost within the headers, which Python takes for their end.

    A dashboard says of every body how long it is, or sends it in chunks.
    """
    return answer.length is None and not answer.chunked


class Stream:
    """The pieces of an endless answer; may be closed by another thread than the one that reads."""

    def __init__(self, connected: socket.socket, answer: http.client.HTTPResponse) -> None:
        self._socket = connected
        self._answer = answer
        if answer.status == 200:
            _expect_silence(connected)

    @property
    def status(self) -> int:
        """Of HTTP."""
        return self._answer.status

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._answer.read1(CHUNK):
            yield chunk

    def close(self) -> None:
        """Let go; wakes whoever waits for the next piece."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _expect_silence(connected: socket.socket) -> None:
    """Let an answer pause for long, but notice within half a minute that the other end is gone."""
    connected.settimeout(None)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):  # macOS lacks one of them
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

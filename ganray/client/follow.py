"""A log that grows, to its end: no line twice and none left out when the connection drops."""

import queue
import threading
from collections.abc import Callable, Iterator

from ganray.client.api import Failure, Stream
from ganray.errors import ClusterError

LOOK_SECONDS = 2.0  # between two looks whether the log has ended


class Follower:
    """Follows one log.

    Args:
        open_stream: gives the log from its beginning, and what is added to it from then on.
        read: the whole log as it is now.
        has_ended: whether nothing will be added any more.
        pause: how to wait before another try.
    """

    def __init__(
        self,
        open_stream: Callable[[], Stream],
        read: Callable[[], bytes],
        has_ended: Callable[[], bool],
        pause: Callable[[float], None],
    ) -> None:
        self._open_stream = open_stream
        self._read = read
        self._has_ended = has_ended
        self._pause = pause
        self._seen = 0  # bytes that were handed out

    def chunks(self) -> Iterator[bytes]:
        """The log, piece by piece, until it has ended.

        Raises:
            ClusterError, TokenError: the cluster is gone for good.
        """
        while not self._has_ended():
            yield from self._one_connection()
        yield from self._fresh(self._read())

    def _one_connection(self) -> Iterator[bytes]:
        """What comes until the connection is lost, or the log has ended."""
        try:
            stream = self._open_stream()
        except (*Failure, ClusterError):  # whether it is gone for good, `has_ended` finds out
            self._pause(LOOK_SECONDS)
            return
        arrived: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        reader = threading.Thread(target=_drain, args=(stream, arrived), daemon=True)
        reader.start()
        place = 0
        try:
            while (chunk := self._next(arrived)) is not None:
                place += len(chunk)
                fresh = place - self._seen
                if fresh > 0:  # the rest was handed out before the last connection was lost
                    self._seen = place
                    yield chunk[-fresh:]
        finally:
            stream.close()
            reader.join()

    def _next(self, arrived: "queue.SimpleQueue[bytes | None]") -> bytes | None:
        """The next piece; empty: nothing came for a while; None: there will be none."""
        try:
            return arrived.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return None if self._has_ended() else b""

    def _fresh(self, whole: bytes) -> Iterator[bytes]:
        if len(whole) > self._seen:
            yield whole[self._seen :]
            self._seen = len(whole)


def _drain(stream: Stream, arrived: "queue.SimpleQueue[bytes | None]") -> None:
    try:
        for chunk in stream:
            arrived.put(chunk)
    except (*Failure, ValueError):  # ValueError: read after it was closed
        pass
    finally:
        arrived.put(None)

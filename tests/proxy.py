"""A relay between a client and a server, whose connections drop when a test says so."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST


@dataclass(frozen=True)
class Cut:
    """After how many bytes a connection is lost; None: not by itself."""

    up: int | None = None  # from the client
    down: int | None = None  # to the client
    reset: bool = False  # by RST; else by FIN, as by a proxy that ends in order


class Proxy:
    """Passes connections on to a port of this machine.

    Args:
        port: where to.
        plan: how each connection is to be lost, by its number from 0.
    """

    def __init__(self, port: int, plan: Callable[[int], Cut] = lambda number: Cut()) -> None:
        self._target = port
        self.plan = plan
        self.accepted = 0
        self.lost = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        port: int = self._listener.getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def cut(self) -> None:
        """Drop every connection that there is now."""
        with self._lock:
            found = list(self._open)
        self.lost += bool(found)
        for each in found:
            _close(each, reset=True)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            cut = self.plan(self.accepted)
            self.accepted += 1
            with self._lock:
                self._open |= {client, server}
            for source, sink, limit in ((client, server, cut.up), (server, client, cut.down)):
                pump = (source, sink, limit, cut.reset)
                threading.Thread(target=self._pump, args=pump, daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, limit: int | None, reset: bool
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while limit is None or passed < limit:
                found = source.recv(65_536 if limit is None else limit - passed)
                if not found:
                    break
                sink.sendall(found)
                passed += len(found)
        self.lost += passed == limit
        for each in (source, sink):
            _close(each, reset=reset and passed == limit)
        with self._lock:
            self._open -= {source, sink}


def _close(end: socket.socket, *, reset: bool) -> None:
    with contextlib.suppress(OSError):
        if reset:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # wakes who waits for it in another thread; of the two, only the second one sends FIN
        end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
    end.close()

"""A TCP proxy on loopback that cuts a connection, or holds it, in the middle of what a client sends.

with CuttingProxy(front.port, after=12 << 20, cut=Cut.RST) as proxy:
    ... push to proxy.url ...
    assert proxy.cuts == 1
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from enum import StrEnum
from types import TracebackType
from typing import Self

PIECE_BYTES = 64 << 10
MAX_WAIT_SECONDS = 120.0


class Cut(StrEnum):
    """What both sides see of the end: that no more comes, or a reset. `HOLD`: nothing, until `release`."""

    FIN = "fin"
    RST = "rst"
    HOLD = "hold"


class CuttingProxy:
    """Ends the first connection on which a client sends more than `after` bytes; all others are left alone.

    `reached` is set when that has happened, and `cuts` counts it."""

    def __init__(self, port: int, *, after: int, cut: Cut) -> None:
        self._target, self._after, self._cut = port, after, cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock, self._released = threading.Lock(), threading.Event()
        self._open: set[socket.socket] = set()
        self.reached = threading.Event()
        self.cuts = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def release(self) -> None:
        """Let a held connection go on."""
        self._released.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            with self._lock:
                self._open |= {client, server}
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                self._forward(client, server)
            with self._lock:
                self._open -= {client, server}
            back.join(MAX_WAIT_SECONDS)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        sent = 0
        while data := client.recv(PIECE_BYTES):
            server.sendall(data)
            sent += len(data)
            if sent > self._after and self._is_first():
                if self._cut is not Cut.HOLD:
                    self._end(client, server)
                    return
                self._released.wait(MAX_WAIT_SECONDS)
        server.shutdown(socket.SHUT_WR)

    def _is_first(self) -> bool:
        with self._lock:
            self.cuts += not self.reached.is_set()
            first = not self.reached.is_set()
            self.reached.set()
            return first

    def _end(self, client: socket.socket, server: socket.socket) -> None:
        for connection in (server, client):
            if self._cut is Cut.RST:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RD)  # the other thread lets go of it, so that closing it resets it
                connection.close()
            else:
                connection.shutdown(socket.SHUT_WR)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE_BYTES):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

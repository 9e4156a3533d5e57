"""Counts connections from their acceptance on, before the TLS handshake and before any protocol handles them."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from errno import EMFILE, ENFILE
from typing import Any

import structlog

from app.net.addresses import share_of

SHARE_OF_ONE = 4  # one address may use a quarter of the connections
LEAST_SHARE = 16
MAX_HANDSHAKES = 256  # connections with an unfinished TLS handshake
HANDSHAKE_SECONDS = 5.0
LOG_SECONDS = 1.0  # interval between two log entries about refused connections

_log = structlog.get_logger(__name__)


class ConnectionLimiter:
    """Limits connections. `most`: at once; `is_exempt`: addresses without a share, such as trusted proxies."""

    def __init__(
        self,
        most: int,
        is_exempt: Callable[[str], bool] = lambda _: False,
        *,
        handshakes: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_connections, self._is_exempt, self._clock = most, is_exempt, clock
        self._handshakes = handshakes
        self._open: dict[int, str] = {}  # descriptor -> share; "" for an exempt one
        self._by_share: Counter[str] = Counter()
        self._pending: dict[int, tuple[Accepted, float]] = {}  # oldest first
        self._refused = 0
        self._logged = float("-inf")

    @property
    def open(self) -> int:
        return len(self._open)

    def admit(self, connection: Accepted, address: str) -> bool:
        """Count a connection; return False if it must be closed."""
        share = "" if not address or self._is_exempt(address) else share_of(address)
        limit = max(LEAST_SHARE, self._max_connections // SHARE_OF_ONE)
        if len(self._open) >= self._max_connections or (share and self._by_share[share] >= limit):
            self._refuse()
            return False
        self._open[connection.fileno()] = share
        self._by_share[share] += 1
        if self._handshakes:
            self._close_slow_handshakes()
            self._pending[connection.fileno()] = (connection, self._clock())
        return True

    def end_handshake(self, descriptor: int) -> None:
        """Take note of a completed TLS handshake."""
        self._pending.pop(descriptor, None)

    def release(self, descriptor: int) -> None:
        self._pending.pop(descriptor, None)
        share = self._open.pop(descriptor, None)
        if share is not None:
            self._by_share[share] -= 1
            if not self._by_share[share]:
                del self._by_share[share]

    def refuse_descriptor(self) -> None:
        self._refuse()

    def _close_slow_handshakes(self) -> None:
        """Close connections with an old unfinished handshake; a regular one takes milliseconds. While too many are
        left, close the oldest one of the share that has the most."""
        limit = self._clock() - HANDSHAKE_SECONDS
        old = (descriptor for descriptor, (_, since) in self._pending.items() if since <= limit)
        for descriptor in tuple(old):
            self._end_handshake(descriptor)
        while len(self._pending) >= MAX_HANDSHAKES:
            most = Counter(self._open[descriptor] for descriptor in self._pending).most_common(1)[0][0]
            self._end_handshake(next(item for item in self._pending if self._open[item] == most))

    def _end_handshake(self, descriptor: int) -> None:
        connection, _ = self._pending.pop(descriptor)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def _refuse(self) -> None:
        self._refused += 1
        now = self._clock()
        if now - self._logged >= LOG_SECONDS:
            _log.warning("connections.refused", count=self._refused, open=len(self._open))
            self._logged, self._refused = now, 0


class Accepted(socket.socket):
    """A connection that is counted until it is closed."""

    limiter: ConnectionLimiter | None = None

    def close(self) -> None:
        if self.limiter is not None:
            self.limiter.release(self.fileno())
            self.limiter = None
        super().close()


class Listening(socket.socket):
    """A listening socket whose connections are limited by `limiter`."""

    limiter: ConnectionLimiter | None = None
    _spare = -1

    @classmethod
    def adopt(cls, listener: socket.socket, limiter: ConnectionLimiter) -> Listening:
        """Take over `listener`, which must not be used afterwards."""
        listening = cls(listener.family, listener.type, listener.proto, fileno=listener.detach())
        listening.limiter = limiter
        listening._spare = _spare()
        return listening

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Raises ConnectionAbortedError for a refused one, so that the event loop continues."""
        try:
            descriptor, address = self._accept()  # type: ignore[attr-defined]  # used by socket.accept
        except OSError as error:
            if error.errno not in (EMFILE, ENFILE):
                raise
            self._refuse_without_descriptor()
            raise ConnectionAbortedError("no file descriptor for a connection") from None
        connection = Accepted(self.family, self.type, self.proto, fileno=descriptor)
        host = address[0] if isinstance(address, tuple) else ""
        if self.limiter is not None and not self.limiter.admit(connection, host):
            connection.close()
            raise ConnectionAbortedError("too many connections")
        connection.limiter = self.limiter
        return connection, address

    def _refuse_without_descriptor(self) -> None:
        """Accept and close a connection with the spare descriptor, so that the event loop stops reporting it."""
        if self.limiter is not None:
            self.limiter.refuse_descriptor()
        if self._spare >= 0:
            os.close(self._spare)
            with suppress(OSError):
                os.close(self._accept()[0])  # type: ignore[attr-defined]
        self._spare = _spare()

    def close(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        super().close()


def _spare() -> int:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


__all__ = ["Accepted", "ConnectionLimiter", "Listening"]

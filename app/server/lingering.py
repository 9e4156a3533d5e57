"""A transport that reads on for a moment if it is closed during a request.

The kernel answers bytes that arrive after a close with a reset, and a reset discards a response that the client has not
read yet. A client whose archive is refused would then see a broken connection instead of the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

LINGER_SECONDS = 5.0  # as nginx; a client that reads closes at once


class LingeringTransport:
    """Wraps `transport` and changes only `close`.

    `has_unread` returns whether a part of an answered request has not arrived yet. If `lingers`, incoming bytes are
    dropped."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, has_unread: Callable[[], bool]
    ) -> None:
        self._transport, self._loop, self._has_unread = transport, loop, has_unread
        self._end: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def lingers(self) -> bool:
        return self._end is not None

    def is_closing(self) -> bool:
        return self.lingers or self._transport.is_closing()

    def linger(self) -> None:
        """Send pending data, then read for LINGER_SECONDS or until the client closes."""
        if self.is_closing():
            return
        self._end = self._loop.call_later(LINGER_SECONDS, self._transport.close)
        with suppress(OSError):  # the client has disconnected meanwhile
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._transport.resume_reading()

    def close(self) -> None:
        """Close at once if nothing is unread or it lingers already; otherwise linger."""
        if not self.is_closing() and self._has_unread():
            self.linger()
            return
        if self._end is not None:
            self._end.cancel()
        self._transport.close()


__all__ = ["LINGER_SECONDS", "LingeringTransport"]

"""Access log: one line for each response, or for those with an error status.

Strangers cause error responses, too, so their number of lines has a limit, and so has the size of a line."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config.types import AccessLog

MAX_ERROR_LINES = 100  # per second
MAX_PATH_CHARACTERS = 500
_log = structlog.get_logger(__name__)


class AccessLogMiddleware:
    """Logs responses when they have been sent. The query is omitted, because clients may put secrets into it.

    `clock` returns monotonic seconds."""

    def __init__(self, app: ASGIApp, mode: AccessLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._mode = app, mode
        self._errors = _LineLimit(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._mode is AccessLog.NONE:
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 500  # if the application raises before it responds

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            if self._errors.take() if status >= 400 else self._mode is AccessLog.ALL:
                _log_response(scope, status, time.monotonic() - began)


class _LineLimit:
    """Counts lines by the second, and logs how many were omitted when the next second has begun."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._second, self._lines, self._omitted = 0, 0, 0

    def take(self) -> bool:
        """Return whether one more line may be logged."""
        second = int(self._clock())
        if second != self._second:
            if self._omitted:
                _log.warning("http.responses_omitted", count=self._omitted)
            self._second, self._lines, self._omitted = second, 0, 0
        self._lines += 1
        self._omitted += self._lines > MAX_ERROR_LINES
        return self._lines <= MAX_ERROR_LINES


def _log_response(scope: Scope, status: int, seconds: float) -> None:
    _log.info(
        "http.response",
        method=scope["method"],
        path=quote(scope["path"])[:MAX_PATH_CHARACTERS],
        status=status,
        client=scope["client"][0] if scope.get("client") else None,
        seconds=round(seconds, 3),
    )


__all__ = ["AccessLogMiddleware"]

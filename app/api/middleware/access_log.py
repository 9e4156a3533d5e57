"""Access log: one line for each response, or for those with an error status."""

from __future__ import annotations

import time
from urllib.parse import quote

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config.types import AccessLog

_log = structlog.get_logger(__name__)


class AccessLogMiddleware:
    """Logs responses when they have been sent. The query is omitted, because clients may put secrets into it."""

    def __init__(self, app: ASGIApp, mode: AccessLog) -> None:
        self._app, self._mode = app, mode

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
            if status >= 400 or self._mode is AccessLog.ALL:
                _log_response(scope, status, time.monotonic() - began)


def _log_response(scope: Scope, status: int, seconds: float) -> None:
    _log.info(
        "http.response",
        method=scope["method"],
        path=quote(scope["path"]),
        status=status,
        client=scope["client"][0] if scope.get("client") else None,
        seconds=round(seconds, 3),
    )


__all__ = ["AccessLogMiddleware"]

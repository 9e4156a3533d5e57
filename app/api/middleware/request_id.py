"""`X-Request-Id`: accepted from the client if it is plain, otherwise generated; returned and logged."""

from __future__ import annotations

import re
import uuid

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, get_contextvars

REQUEST_ID = "X-Request-Id"
_FIELD = REQUEST_ID.lower().encode()
_KEY = "request_id"  # in log lines
_PLAIN = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Pure ASGI. Binds the id to the context of the request's task, and does not unbind it.

    So responses and log lines after an unexpected error have it, too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == _FIELD]
        request_id = given[0].decode() if len(given) == 1 and _PLAIN.fullmatch(given[0]) else uuid.uuid4().hex
        bind_contextvars(**{_KEY: request_id})

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        await self._app(scope, receive, sending)


def request_id_field() -> dict[str, str]:
    """Return the header field for a response that is created outside this layer."""
    request_id = get_contextvars().get(_KEY)
    return {} if request_id is None else {REQUEST_ID: request_id}


__all__ = ["REQUEST_ID", "RequestIds", "request_id_field"]

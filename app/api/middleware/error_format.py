"""Errors in the format of their clients: below `/v2/` the distribution-spec's, on Docker's routes `message`.

The second outermost layer, so that the refusals of all other layers are converted: no token, a bad head, no route.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import PROBLEM_JSON

DOCKER_PATHS = re.compile(r"(?:/v1\.[0-9]{1,9})?/(?:_ping|version|images/.*)")
_REGISTRY_PATHS = re.compile(r"/v2(?:/.*)?")
# distribution-spec, "Error Codes": a code outside its list is not allowed in a 4xx response
_CODES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "UNAUTHORIZED",
    HTTPStatus.FORBIDDEN: "DENIED",
    HTTPStatus.TOO_MANY_REQUESTS: "TOOMANYREQUESTS",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
}

Members = Mapping[str, Any]
Dialect = Callable[[Members], Members]


def to_registry_error(problem: Members) -> Members:
    """Return the error in the format of the distribution-spec."""
    code = _CODES.get(problem["status"], "UNSUPPORTED")
    return {"errors": [{"code": code, "message": problem["detail"], "detail": {"code": problem["code"]}}]}


def to_docker_error(problem: Members) -> Members:
    """Return the problem with the member `message`, without which Docker's SDKs fail."""
    return {"message": problem["detail"], **problem}


def error_format_of(path: str) -> Dialect | None:
    """Return the converter of errors of requests for `path`; None if they stay problem documents."""
    if _REGISTRY_PATHS.fullmatch(path):
        return to_registry_error
    return to_docker_error if DOCKER_PATHS.fullmatch(path) else None


class ErrorFormatMiddleware:
    """Pure ASGI. Only problem documents are delayed until they are complete."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dialect = error_format_of(scope["path"]) if scope["type"] == "http" else None
        await self._app(scope, receive, send if dialect is None else _ErrorTranslator(dialect, send))


class _ErrorTranslator:
    def __init__(self, dialect: Dialect, send: Send) -> None:
        self._dialect, self._send = dialect, send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if MutableHeaders(scope=message).get("content-type") == PROBLEM_JSON:
                self._start = message
                return
        elif self._start is not None:
            self._body += message.get("body", b"")
            if message.get("more_body", False):
                return
            message = await self._translated(self._start)
        await self._send(message)

    async def _translated(self, start: Message) -> Message:
        body = json.dumps(self._dialect(json.loads(self._body))).encode() + b"\n"
        headers = MutableHeaders(scope=start)
        headers["Content-Type"] = "application/json"
        headers["Content-Length"] = str(len(body))
        await self._send(start)
        return {"type": "http.response.body", "body": body}

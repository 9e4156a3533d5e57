"""Who may do what: bearer tokens, and browsers kept from acting for pages that are not ours."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response
from app.errors import Forbidden, TarmacError, Unauthorized

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# They tell nothing about jobs or registries, and load balancers and browsers ask for them without a token.
OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
_OPEN_BELOW = ("/docs", "/page/")
MAX_TOKENS = 10_000
_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-fA-F]{64})(?::([a-z,]*))?")
_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}


class Role(StrEnum):
    READ = "read"
    PUSH = "push"  # and read


@dataclass(frozen=True, slots=True)
class Tokens:
    """Who holds which token. Only the tokens' SHA-256 is known here: they are random, so that is enough."""

    holders: tuple[tuple[str, bytes, frozenset[Role]], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Lines `name:sha256-of-token[:roles]`; empty ones and those that begin with `#` say nothing. Raises ValueError
        naming the line."""
        holders = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                holders.append(_holder(line.strip(), number))
        if not 0 < len(holders) <= MAX_TOKENS:
            raise ValueError(f"there are {len(holders)} tokens; 1 to {MAX_TOKENS} are possible")
        return cls(tuple(holders))

    def find(self, token: bytes) -> tuple[str, frozenset[Role]] | None:
        """Name and roles of the holder. Takes the same time wherever the token stands, and where it does not."""
        digest = hashlib.sha256(token).digest()
        found = None
        for name, known, roles in self.holders:
            if hmac.compare_digest(known, digest):
                found = (name, roles)
        return found


def _holder(line: str, number: int) -> tuple[str, bytes, frozenset[Role]]:
    match = _LINE.fullmatch(line)
    try:
        roles = frozenset(Role(role) for role in (match[3] or Role.PUSH).split(",")) if match else frozenset()
    except ValueError:
        match = None
    if match is None:
        raise ValueError(f"line {number} must be name:<sha256 of the token, 64 hex>[:read|push]")
    return match[1], bytes.fromhex(match[2]), roles


class Security:
    """Pure ASGI. Without tokens everybody who can connect may do everything."""

    def __init__(self, app: ASGIApp, tokens: Tokens | None = None) -> None:
        self._app, self._tokens = app, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        try:
            check_origin(method, headers)
            self._check_token(method, path, headers)
        except TarmacError as error:
            await problem_response(error, _challenge(error, path))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_token(self, method: str, path: str, headers: Headers) -> None:
        is_open = method in _SAFE and (path in OPEN or path.startswith(_OPEN_BELOW))
        if self._tokens is None or is_open:
            return
        token = _token_of(headers.get("authorization", ""))
        holder = self._tokens.find(token) if token else None
        if holder is None:
            raise Unauthorized("send a token that TARMAC_TOKENS_FILE knows: Authorization: Bearer <token>")
        if method not in _SAFE and Role.PUSH not in holder[1]:
            raise Forbidden(f"the token of {holder[0]} may only read")


def check_origin(method: str, headers: Headers) -> None:
    """A page of another origin may not act in the name of the one who looks at it. Raises Forbidden."""
    if method in _SAFE:
        return
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Forbidden("the request comes from a page of another site")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise Forbidden("the request comes from a page of another origin")


def _token_of(authorization: str) -> bytes | None:
    """Of `Bearer <token>`, or the password of `Basic`, which is what container tools can send."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return None
    return None


def _challenge(error: TarmacError, path: str) -> Mapping[str, str] | None:
    if not isinstance(error, Unauthorized):
        return None
    return {"WWW-Authenticate": 'Basic realm="tarmac"' if path.startswith("/v2/") else 'Bearer realm="tarmac"'}


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending

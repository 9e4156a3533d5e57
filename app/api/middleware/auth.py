"""Authentication and roles, and protection against requests from pages of other origins."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.context import CALLER, LAPSE, never
from app.api.middleware.allowed_hosts import AllowedHosts, host_of
from app.api.middleware.cors import CorsOrigins
from app.api.middleware.proxy import FORWARDED_HOST, TrustedProxies
from app.api.middleware.rates import Buckets, Kind, limited_response
from app.api.problems import problem_response
from app.auth.model import Caller, Submitter
from app.auth.token_file import TokenHolder
from app.errors import Forbidden, RateLimited, TarmacError, Unauthorized, Unavailable
from app.net.addresses import share_of

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LAPSE_SECONDS = 5.0  # between two checks of the token of a long request
_DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}
# They reveal nothing about jobs or registries; load balancers and browsers request them without a token.
OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
_PROBED = frozenset({"/healthz", "/readyz"})  # by load balancers, under any name
_OPEN_BELOW = ("/docs", "/page/")
# The repository in a path below /v2/: what precedes the endpoint (distribution-spec, "Endpoints").
_PULLED = re.compile(r"/v2/(.+)/(?:manifests|blobs|tags|referrers)/.*")
# Content of archives is served as data, never as a page or a script of this origin.
_FOREIGN_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Content-Disposition": "attachment",
}
FindHolder = Callable[[bytes], Awaitable[TokenHolder | None]]
Lapse = Callable[[], Awaitable[None]]
_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Who may use the service.

    `find` returns the `TokenHolder` of a token; None allows every client everything. `hosts` are the allowed host
    names; None allows any. `cors` has the origins of pages that may send requests. `proxies` and `base_path`
    describe the proxies before the service.
    """

    find: FindHolder | None = None
    hosts: AllowedHosts | None = None
    cors: CorsOrigins = field(default_factory=CorsOrigins)
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    base_path: str = ""


class AuthMiddleware:
    """Pure ASGI. Stores the caller of a request in its scope."""

    def __init__(self, app: ASGIApp, access: AccessPolicy, buckets: Buckets) -> None:
        self._app, self._find, self._hosts, self._cors = app, access.find, access.hosts, access.cors
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        send = _with_headers(send, _FOREIGN_HEADERS if path == "/v2" or path.startswith("/v2/") else {})
        try:
            if self._hosts is not None and path not in _PROBED:
                self._hosts.check_all(filter(None, (headers.get("host"), scope.get(FORWARDED_HOST))))
            preflight = self._cors.preflight(method, headers)
            if preflight is not None:
                await preflight(scope, receive, send)
                return
            self._check_origin(method, headers, scope.get(FORWARDED_HOST))
            caller, lapse = await self._caller(scope, headers)
            _check_roles(caller, method, path)
        except RateLimited as error:
            await limited_response(error)(scope, receive, send)
            return
        except TarmacError as error:
            await problem_response(error, _challenge(error, path))(scope, receive, send)
            return
        await self._app({**scope, CALLER: caller, LAPSE: lapse}, receive, send)

    def _check_origin(self, method: str, headers: Headers, forwarded_host: str | None) -> None:
        if not self._cors.allow(headers.get("origin")):
            check_origin(method, headers, forwarded_host)

    async def _caller(self, scope: Scope, headers: Headers) -> tuple[Caller, Lapse]:
        method, path = scope["method"], scope["path"]
        address = str((scope.get("client") or ("",))[0])
        if self._find is None:
            return Caller(Submitter(address=address)), never
        if method in _SAFE and (path in OPEN or path.startswith(_OPEN_BELOW)):
            return Caller(Submitter(address=address), frozenset()), never
        token = _token_of(headers.get("authorization", ""))
        try:
            holder = await self._find(token) if token else None
        except (Unauthorized, Forbidden):
            self._buckets.take(Kind.FAILURES, share_of(address))
            raise
        if token is None or holder is None:
            if token is not None:  # a browser sends none at first
                self._buckets.take(Kind.FAILURES, share_of(address))
            raise Unauthorized("send a token that TARMAC_TOKENS_FILE knows: Authorization: Bearer <token>")
        submitter = Submitter(holder.name, address, holder.repositories)
        caller = Caller(submitter, holder.roles, holder.quota, holder.default_prefix)
        return caller, partial(_lapse, self._find, token, holder)


async def _lapse(find: FindHolder, token: bytes, holder: TokenHolder) -> None:
    """Return when `token` was revoked, has expired, or its rights were changed."""
    while True:
        await asyncio.sleep(LAPSE_SECONDS)
        try:
            if await find(token) != holder:
                return
        except (Unauthorized, Forbidden):
            return
        except Unavailable:  # the issuer's keys are not available now
            continue


def _check_roles(caller: Caller, method: str, path: str) -> None:
    """Check that a role of the caller allows the request. Raises Forbidden."""
    if method not in _SAFE and not caller.may_push:
        raise Forbidden(f"the token of {caller.name} may only read")
    if path == "/metrics" and caller.is_bound:
        raise Forbidden(f"the token of {caller.name} is bound to repositories, and counts of all need the role read")
    bounds = caller.submitter.repositories
    if not bounds or not path.startswith("/v2/") or path == "/v2/":
        return
    pulled = _PULLED.fullmatch(path)
    if pulled is None or not caller.submitter.may_use(pulled[1]):
        raise Forbidden(f"the token of {caller.name} may use repositories below {', '.join(bounds)} only")


def check_origin(method: str, headers: Headers, forwarded_host: str | None = None) -> None:
    """Refuse requests that a page of another origin sends in the name of its viewer. Raises Forbidden.

    Browsers report whether a page has our origin (Sec-Fetch-Site), even if a proxy changed the Host header. If a
    browser does not report it, the origins are compared.
    """
    if method in _SAFE:
        return
    site = headers.get("sec-fetch-site")
    if site == "same-origin":
        return
    if site not in (None, "none"):
        raise Forbidden("the request comes from a page of another site; name its origin in TARMAC_CORS_ORIGINS")
    origin = headers.get("origin")
    if origin is not None and not is_same_origin(origin, forwarded_host or headers.get("host", "")):
        raise Forbidden("the request comes from a page of another origin; name it in TARMAC_CORS_ORIGINS")


def is_same_origin(origin: str, host: str) -> bool:
    """Return whether `origin` has the name of the Host header `host`, and its port if `host` has one"""
    try:
        there, here = urlsplit(origin), urlsplit(f"//{host}")
        ports = there.port or _DEFAULT_PORTS.get(there.scheme), here.port
    except ValueError:
        return False
    is_named = bool(there.hostname) and host_of(there.netloc) == host_of(host)
    return is_named and ports[1] in (None, ports[0])


def _token_of(authorization: str) -> bytes | None:
    """Return the token of `Bearer <token>`, or the password of `Basic`, which container tools send."""
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


def _with_headers(send: Send, own: Mapping[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(own)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending

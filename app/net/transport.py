"""httpx's transport over our own sockets: egress rule, trust and proxies are applied where a connection is made."""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar
from typing import Any

import httpx

from app.errors import RegistryRejected
from app.net.connection import Backend
from app.net.egress import EgressPolicy
from app.net.proxies import Proxies
from app.net.tls import TlsContexts
from app.net.urls import Origin

# a push bounds its own concurrency
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=32)


class NoCookies(CookieJar):
    """A jar that keeps no cookie and sends none, for every httpx client that Tarmac makes.

    Each request is complete in itself. Harbor answers 403 "CSRF token invalid" to a POST that brings back the cookie
    which Harbor set."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Ignore the Set-Cookie fields of `response`."""

    def add_cookie_header(self, request: Any) -> None:
        """Leave `request` as it is."""


class Transport(httpx.AsyncBaseTransport):
    """Directly, or by the proxy that leads to a URL's origin. A proxy resolves names itself, so there the addresses
    they mean are for its own rules to refuse; what is connected to is the proxy, which the operator has named."""

    def __init__(self, trust: TlsContexts, reach: EgressPolicy, proxies: Proxies) -> None:
        self._trust, self._reach, self._proxies = trust, reach, proxies
        self._made: dict[str | None, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = self._proxies.proxy_for(Origin.of(str(request.url), "the URL"))
        if proxy not in self._made:
            self._made[proxy] = self._make(proxy)
        return await self._made[proxy].handle_async_request(request)

    async def aclose(self) -> None:
        while self._made:
            _, transport = self._made.popitem()
            await transport.aclose()

    def _make(self, proxy: str | None) -> httpx.AsyncHTTPTransport:
        # the context that counts is the one that Backend has from Trust, anew for each connection
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            made = httpx.AsyncHTTPTransport(verify=unused, trust_env=False, limits=_LIMITS, proxy=proxy)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise RegistryRejected("the proxy that the environment names is no valid URL") from error
        reach = self._reach if proxy is None else None
        made._pool._network_backend = Backend(reach, self._trust)  # there is no parameter for it
        return made

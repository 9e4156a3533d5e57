"""An httpx transport over our own sockets, which applies egress policy, trust and proxies to each connection."""

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

# a push limits its own concurrency
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=32)


class NoCookies(CookieJar):
    """A cookie jar that stores and sends no cookies, for every httpx client of Tarmac.

    Each request is complete in itself. Harbor returns 403 "CSRF token invalid" for a POST that contains the cookie set
    by Harbor.
    """

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Ignore the Set-Cookie fields of `response`."""

    def add_cookie_header(self, request: Any) -> None:
        """Leave `request` unchanged."""


class Transport(httpx.AsyncBaseTransport):
    """Connects directly or through the proxy for the URL's origin.

    A proxy resolves names itself and applies its own rules to the addresses; the operator has named the address of the
    proxy.
    """

    def __init__(self, trust: TlsContexts, egress: EgressPolicy, proxies: Proxies) -> None:
        self._trust, self._egress, self._proxies = trust, egress, proxies
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
        # unused: Backend gets the actual context from TlsContexts for each connection
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            made = httpx.AsyncHTTPTransport(verify=unused, trust_env=False, limits=_LIMITS, proxy=proxy)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise RegistryRejected(
                "the proxy in the environment is not a valid URL; check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
            ) from error
        egress = self._egress if proxy is None else None
        made._pool._network_backend = Backend(egress, self._trust)  # httpx has no parameter for it
        return made

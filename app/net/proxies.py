"""Choice of a proxy by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; pure.

httpx's own reader does not support networks (10.0.0.0/8) in NO_PROXY, the usual notation for registries at private
addresses, and matches `good.example` within `notgood.example`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

from app.errors import InvalidRequest
from app.net.urls import Origin, is_loopback


@dataclass(frozen=True, slots=True)
class Proxies:
    """URLs of proxies, hidden from `repr` because they may contain credentials.

    `exceptions`: targets that use no proxy.
    """

    http: str | None = field(default=None, repr=False)
    https: str | None = field(default=None, repr=False)
    exceptions: tuple[str, ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment.

        Lower case wins over upper case, as in curl. Raises InvalidRequest for an invalid proxy.
        """

        def value(name: str) -> str:
            return environ.get(name) or environ.get(name.upper()) or ""

        fallback = value("all_proxy")
        exceptions = tuple(filter(None, (part.strip().lower() for part in value("no_proxy").split(","))))
        http = _proxy(value("http_proxy") or fallback, "HTTP_PROXY")
        return cls(http, _proxy(value("https_proxy") or fallback, "HTTPS_PROXY"), exceptions)

    def describe_route(self, target: Origin) -> str:
        """Return a label for messages: `target` and its proxy, without the credentials of the proxy's URL."""
        proxy = self.proxy_for(target)
        return f"{target} (through the proxy {urlsplit(proxy).netloc.rpartition('@')[2]})" if proxy else str(target)

    @property
    def credentials(self) -> tuple[tuple[str, str], ...]:
        """Return the user names and passwords in the URLs."""
        parts = [urlsplit(url) for url in (self.http, self.https) if url]
        return tuple((unquote(part.username or ""), unquote(part.password or "")) for part in parts)

    def proxy_for(self, target: Origin) -> str | None:
        """Return the proxy for `target`, or None for a direct connection.

        Loopback is always direct: no proxy can reach it.
        """
        if is_loopback(target.host) or any(_covers(exception, target) for exception in self.exceptions):
            return None
        return self.https if target.scheme == "https" else self.http


DIRECT = Proxies()


def _proxy(text: str, name: str) -> str | None:
    if not text:
        return None
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise InvalidRequest(f"{name} (or ALL_PROXY) in the environment is not of the form http[s]://host[:port]")
    return url


def _covers(exception: str, target: Origin) -> bool:
    if exception == "*":
        return True
    if "/" in exception:
        return _is_within(target.host, exception)
    bare = exception.removeprefix("[").removesuffix("]")
    if bare == target.host:  # the colons of an IPv6 address do not separate a port
        return True
    name, colon, port = exception.rpartition(":")
    if colon and port.isdigit():
        return int(port) == target.port and _matches(name.removeprefix("[").removesuffix("]"), target.host)
    return _matches(exception, target.host)


def _matches(name: str, host: str) -> bool:
    """Return whether `name` covers `host`.

    `example.com` covers itself and its subdomains; `.example.com` and `*.example.com` cover the subdomains only.
    """
    if name.startswith(("*.", ".")):
        return host.endswith(name.removeprefix("*"))
    return host == name or host.endswith(f".{name}")


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False

"""Trusted proxies before the service, and the base path.

`X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` count from the networks of TARMAC_TRUSTED_PROXIES only. The
last entry of a list was added by the proxy next to us; every other entry may be the client's. So the client is the
right-most address that is not a trusted proxy. The last value of the other fields counts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.base_path import base_path as current_base_path
from app.api.middleware.error_format import error_format_of
from app.config.types import UNIX_PEER, is_base_path

FORWARDED_HOST = "tarmac.forwarded_host"  # the key in the scope of X-Forwarded-Host of a trusted proxy
_ADDRESSES = frozenset({b"location", b"content-location", b"tarmac-job"})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What the trusted proxies report; None for what they do not."""

    client: str | None = None
    scheme: str | None = None
    host: str | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    networks: tuple[Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, texts: Iterable[str]) -> TrustedProxies:
        """Return the proxies of networks, addresses and `unix`. Raises ValueError."""
        known = tuple(texts)
        return cls(tuple(ipaddress.ip_network(text) for text in known if text != UNIX_PEER), UNIX_PEER in known)

    def read(self, scope: Scope) -> Forwarded:
        if not (self.networks or self.unix):
            return Forwarded()
        client = scope.get("client")
        peer = None if client is None else parse_address(client[0])
        if not (self.unix if client is None else self._trust(peer)):
            return Forwarded()
        scheme, host = _last(scope, b"x-forwarded-proto").lower(), _last(scope, b"x-forwarded-host")
        prefix = _last(scope, b"x-forwarded-prefix").rstrip("/")
        return Forwarded(
            client=self._client(scope),
            scheme=scheme if scheme in ("http", "https") else None,
            host=host or None,
            prefix=prefix if prefix and is_base_path(prefix) else None,
        )

    def has(self, address: str) -> bool:
        """Return whether `address` belongs to a trusted proxy."""
        return self._trust(parse_address(address))

    def _trust(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self.networks)

    def _client(self, scope: Scope) -> str | None:
        """Return the right-most address that is not trusted, or the left-most one if all are.

        If a proxy reports no address, its own address is returned.
        """
        known: str | None = None
        for text in _values(scope, b"x-forwarded-for"):
            address = parse_address(text)
            if address is None:
                return known
            known = str(address)
            if not self._trust(address):
                return known
        return known


class Proxy:
    """Pure ASGI. `base_path` is TARMAC_BASE_PATH; X-Forwarded-Prefix of a trusted proxy takes precedence.

    The prefix is removed from a path once, so a proxy may pass it on or not. The routes of container tools are not
    below it.
    """

    def __init__(self, app: ASGIApp, trusted: TrustedProxies, base_path: str = "") -> None:
        self._app, self._trusted, self._base_path = app, trusted, base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = self._trusted.read(scope)
        base_path = self._base_path if said.prefix is None else said.prefix
        if base_path and scope["path"] == base_path and scope["method"] in ("GET", "HEAD"):
            await RedirectResponse(f"{base_path}/", 308)(scope, receive, send)
            return
        current_base_path.set(base_path)
        path = _without_slash(scope["method"], _without_prefix(scope["path"], (base_path, self._base_path)))
        seen = {**scope, "path": path, FORWARDED_HOST: said.host, "scheme": said.scheme or scope.get("scheme", "http")}
        if said.client is not None:
            seen["client"] = (said.client, 0)
        is_below = base_path and error_format_of(path) is None
        await self._app(seen, receive, _with_base_path(send, base_path) if is_below else send)


def parse_address(text: str) -> Address | None:
    """Return the address of a text with or without a port, as proxies write it; None for other texts."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _without_prefix(path: str, prefixes: Iterable[str]) -> str:
    for prefix in filter(None, prefixes):
        below = path.removeprefix(f"{prefix}/")
        if below != path and error_format_of(f"/{below}") is None:
            return f"/{below}"
    return path


def _without_slash(method: str, path: str) -> str:
    """Return `path` without a final slash: `/jobs/` is `/jobs`.

    A name may end with a slash at `PUT /push/{filename}`, below /v2/ and on Docker's routes. `/docs/` and
    `/docs/guide/` are bases of relative links.
    """
    is_named = (method == "PUT" and path.startswith("/push/")) or error_format_of(path) is not None
    return path if is_named or path in ("/", "/docs/", "/docs/guide/") else path.removesuffix("/")


def _with_base_path(send: Send, base_path: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in tuple(headers.items()):
                if name.encode() in _ADDRESSES and value.startswith("/") and not value.startswith("//"):
                    headers[name] = base_path + value
        await send(message)

    return sending


def _values(scope: Scope, name: bytes) -> Iterator[str]:
    """Yield the entries of a field, the last one first, lazily."""
    for value in (value.decode("latin-1") for found, value in reversed(scope["headers"]) if found == name):
        yield from _entries(value)


def _entries(value: str) -> Iterator[str]:
    while value:
        value, _, entry = value.rpartition(",")
        if entry.strip():
            yield entry.strip()


def _last(scope: Scope, name: bytes) -> str:
    return next(_values(scope, name), "")


__all__ = ["FORWARDED_HOST", "Proxy", "TrustedProxies", "parse_address"]

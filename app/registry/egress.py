"""Where a registry may send us: one rule for the realm of a challenge, a Location and a redirect.

A registry's answer is foreign input; without a rule it makes us call the metadata service or a neighbour behind the
firewall (CVE-2026-48978, CVE-2026-50151, go-containerregistry#2243), and with too hard a rule a token service at the
registry's own private address is refused (mindthegap#1046). Allowed are the registry's own host and port, the origins
that its operator lists, and public addresses.

The rule is held twice. `check_target` looks at what is written, before anything is sent. `Reach` looks at the address
that is about to be connected to, because a name may mean any address (go-containerregistry#2440)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.errors import InvalidRequest, RegistryRejected
from app.registry.wire import Origin, is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291 2.5.5.1, deprecated, and still routed by some
_METADATA = ipaddress.ip_address("168.63.129.16")  # Azure's, the one such service at a public address


@dataclass(frozen=True, slots=True)
class Reach:
    """The connections that may be opened: to anything at `places` (host and port: the registry's own, and what the
    operator lists), else to public addresses only."""

    places: frozenset[tuple[str, int]]

    def is_trusted(self, host: str, port: int) -> bool:
        """Whether any address will do."""
        return (host.lower(), port) in self.places

    def check(self, host: str, port: int, addresses: Collection[str]) -> None:
        """Raises RegistryRejected unless every one of `addresses`, which `host` means, may be connected to. One inner
        address among public ones is no accident."""
        if self.is_trusted(host, port):
            return
        for address in addresses:
            if is_internal(address):
                raise RegistryRejected(
                    f"the registry leads to {host}, which is {address}: {_INNER}. {_advice(f'https://{host}:{port}')}"
                )


def check_target(target: Origin, registry: Origin, what: str, allowed: Collection[Origin] = ()) -> None:
    """Raises RegistryRejected, saying `what` was refused, unless `target` may be called on the registry's word."""
    if target in allowed:
        return
    if target.scheme == "http" and registry.scheme != "http":
        raise RegistryRejected(
            f"{what} of {registry} leads to plain http at {target.authority}; it is not followed from https"
        )
    if (target.host, target.port) == (registry.host, registry.port):
        return
    if is_internal(target.host):
        raise RegistryRejected(f"{what} of {registry} leads to {target.authority}, {_INNER}. {_advice(str(target))}")


_INNER = "a private, loopback or link-local address other than the registry's own host and port; it is not followed"


def _advice(origin: str) -> str:
    return f"Where it is right, add {origin} to the setting allowed_origins of this registry"


def parse_allowed_origin(text: str) -> Origin:
    """`https://host[:port]`; without a scheme it is https. Raises InvalidRequest."""
    written = text.strip()
    url = written if "://" in written else f"https://{written}"
    try:
        origin = Origin.of(url, "it")
    except RegistryRejected:
        origin = None
    parts = urlsplit(url) if origin else None
    if origin is None or parts is None or parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidRequest(f"{text!r:.200} is no origin; write https://host[:port] with nothing after it")
    return origin


def is_internal(host: str) -> bool:
    """Whether `host` is written as an address, in any of the ways a resolver understands, that is not a public one; or
    is a name of this machine."""
    if is_loopback(host.rstrip(".")):
        return True
    address = _address_of(host.rstrip("."))
    return address is not None and not all(map(_is_public, _meanings(address)))


def _address_of(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:  # 127.1, 0x7f000001 and 2130706433 are addresses to every resolver
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _meanings(address: Address) -> tuple[Address, ...]:
    """The address, and the IPv4 addresses that the ways from IPv6 to IPv4 find inside it."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    inner = [address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or address in _COMPATIBLE:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return (address, *filter(None, inner))


def _is_public(address: Address) -> bool:
    is_odd = address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False)
    # RFC 6052's own prefix is "reserved" by Python's table, and in use
    return address.is_global and (not is_odd or address in _NAT64) and address != _METADATA

"""Which addresses are public, however they are written. Pure."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache

from app.net.urls import is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291 2.5.5.1, deprecated, and still routed by some
_METADATA = ipaddress.ip_address("168.63.129.16")  # Azure's, the one such service at a public address


def is_internal(host: str) -> bool:
    """Whether `host` is written as an address, in any of the ways a resolver understands, that is not a public one; or
    is a name of this machine."""
    if is_loopback(host.rstrip(".")):
        return True
    address = address_of(host.rstrip("."))
    return address is not None and not all(map(is_public, meanings(address)))


def address_of(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:  # 127.1, 0x7f000001 and 2130706433 are addresses to every resolver
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def meanings(address: Address) -> tuple[Address, ...]:
    """The address, and the IPv4 addresses that the ways from IPv6 to IPv4 find inside it."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    inner = [address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or address in _COMPATIBLE:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return (address, *filter(None, inner))


def is_public(address: Address) -> bool:
    is_odd = address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False)
    # RFC 6052's own prefix is "reserved" by Python's table, and in use
    return address.is_global and (not is_odd or address in _NAT64) and address != _METADATA


@lru_cache(maxsize=4096)
def share_of(address: str) -> str:
    """Return by what an address is counted: IPv4 as it is, of IPv6 the network of 64 bits, which one site has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)

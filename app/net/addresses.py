"""Classification of addresses as public or internal, in every notation that resolvers accept. Pure."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache

from app.net.urls import is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291 2.5.5.1, deprecated, but some systems still route it
_METADATA = ipaddress.ip_address("168.63.129.16")  # Azure's metadata service, the only one with a public address


def is_internal(host: str) -> bool:
    """Return whether `host` is a name of this machine or an address that is not public.

    Every notation that a resolver accepts counts as an address.
    """
    if is_loopback(host.rstrip(".")):
        return True
    address = address_of(host.rstrip("."))
    return address is not None and not all(map(is_public, meanings(address)))


def address_of(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:  # resolvers accept 127.1, 0x7f000001 and 2130706433 as addresses
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def meanings(address: Address) -> tuple[Address, ...]:
    """Return the address and the IPv4 addresses embedded in it by the IPv6 transition mechanisms."""
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
    # Python's table lists RFC 6052's own prefix as reserved, but it is in use
    return address.is_global and (not is_odd or address in _NAT64) and address != _METADATA


@lru_cache(maxsize=4096)
def share_of(address: str) -> str:
    """Return the key under which an address is counted.

    It is an IPv4 address itself, or the /64 network of an IPv6 address, because one site has all of it.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)

"""Token services of a registry's own site; pure.

An example is `https://gitlab.example.com/jwt/auth` for `registry.example.com:5050`, both at private addresses. Only
these are asked without a setting.

A challenge is untrusted input, so the rule is narrow:

- the realm's name is the registry's own or a sibling of it;
- https is not downgraded;
- the response with the challenge was sent from a private address;
- the realm resolves to private addresses too, so a registry on the internet cannot lead inside.

Only token requests are sent there, and their redirects are not followed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from app.net.addresses import Address, address_of, is_public, meanings
from app.net.urls import Origin

PRIVATE_SUFFIXES = frozenset({"local", "lan", "corp", "internal", "intranet", "private", "home.arpa"})
# Country registries sell names below these labels: `a.co.uk` and `b.co.uk` belong to different owners.
SECOND_LEVEL = frozenset(
    {"ac", "co", "com", "edu", "go", "gob", "gov", "gv", "id", "ltd", "me", "mil", "mod", "ne", "net", "nhs", "nom"}
    | {"or", "org", "plc", "police", "sch"}
)
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_METADATA = tuple(map(ipaddress.ip_network, ("fd00:ec2::/32", "fd20:ce::/32", "fd00:42::/32")))  # AWS, Google, Scaleway


class Reached(StrEnum):
    """Kind of address from which a registry responded."""

    PRIVATE = "private"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class Site:
    """A registry and the kind of address from which it responded."""

    registry: Origin
    reached: Reached

    def has(self, realm: Origin) -> bool:
        """Return whether `realm`, by its URL, is a token service of this site."""
        if realm.scheme != "https" and self.registry.scheme == "https":
            return False
        if _bare(realm.host) == _bare(self.registry.host):
            return True
        return self.reached is Reached.PRIVATE and are_siblings(self.registry.host, realm.host)

    def permits(self, host: str, address: str) -> bool:
        """Return whether `host` of this site may resolve to the internal `address`."""
        found = address_of(address)
        if found is None:
            return False
        if self.reached is Reached.LOOPBACK:
            return found.is_loopback and _bare(host) == _bare(self.registry.host)
        return all(map(is_public, meanings(found))) or all(map(_is_private, meanings(found)))


def site_of(registry: Origin, peer: str | None) -> Site | None:
    """Return the site of a registry that responded from `peer`.

    Return None if that address is public or, as behind a proxy, unknown.
    """
    address = None if peer is None else address_of(peer)
    if address is None:
        return None
    if address.is_loopback:
        return Site(registry, Reached.LOOPBACK)
    return Site(registry, Reached.PRIVATE) if all(map(_is_private, meanings(address))) else None


def are_siblings(one: str, other: str) -> bool:
    """Return whether two names are in one domain.

    They must share two labels, three below a country's `co`, `com` and the like, or one if that is a private suffix.
    """
    if address_of(one) is not None or address_of(other) is not None:
        return False
    shared = list(_shared_labels(_bare(one), _bare(other)))
    if not shared or shared[0].isdigit():
        return False
    if ".".join(reversed(shared)) in PRIVATE_SUFFIXES or shared[0] in PRIVATE_SUFFIXES:
        return True
    is_sold_below = len(shared[0]) == 2 and len(shared) > 1 and shared[1] in SECOND_LEVEL
    return len(shared) >= (3 if is_sold_below else 2)


def _shared_labels(one: str, other: str) -> Iterator[str]:
    """Yield the common labels, the last one first."""
    for mine, theirs in zip(reversed(one.split(".")), reversed(other.split(".")), strict=False):
        if not mine or mine != theirs:
            return
        yield mine


def _bare(host: str) -> str:
    return host.lower().rstrip(".")


def _is_private(address: Address) -> bool:
    return any(address in network for network in _PRIVATE) and not any(address in network for network in _METADATA)

"""Token services of a registry's own site: `https://gitlab.example.com/jwt/auth` for `registry.example.com:5050`, both
at private addresses. They are asked without a setting, and nothing else is. Pure.

A challenge is foreign input, so the rule is narrow. The name has to be the registry's own or one beside it, https is
kept, the response that names it has to have come from a private address, and what the name means has to be private too:
a registry on the internet leads nowhere inside. Only token requests go there, and their redirects are not followed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from app.net.addresses import Address, address_of, is_public, meanings
from app.net.urls import Origin

PRIVATE_SUFFIXES = frozenset({"local", "lan", "corp", "internal", "intranet", "private", "home.arpa"})
# Below these labels the registries of country domains sell names: `a.co.uk` and `b.co.uk` are strangers.
SECOND_LEVEL = frozenset(
    {"ac", "co", "com", "edu", "go", "gob", "gov", "gv", "id", "ltd", "me", "mil", "mod", "ne", "net", "nhs", "nom"}
    | {"or", "org", "plc", "police", "sch"}
)
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_METADATA = tuple(map(ipaddress.ip_network, ("fd00:ec2::/32", "fd20:ce::/32", "fd00:42::/32")))  # AWS, Google, Scaleway


class Reached(StrEnum):
    """At which kind of address a registry answered."""

    PRIVATE = "private"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class Site:
    """A registry and the kind of address at which it answered."""

    registry: Origin
    reached: Reached

    def has(self, realm: Origin) -> bool:
        """Whether `realm`, as it is written, is a token service of this site."""
        if realm.scheme != "https" and self.registry.scheme == "https":
            return False
        if _bare(realm.host) == _bare(self.registry.host):
            return True
        return self.reached is Reached.PRIVATE and are_siblings(self.registry.host, realm.host)

    def permits(self, host: str, address: str) -> bool:
        """Whether `host` of this site may mean `address`, which is no public one."""
        found = address_of(address)
        if found is None:
            return False
        if self.reached is Reached.LOOPBACK:
            return found.is_loopback and _bare(host) == _bare(self.registry.host)
        return all(map(is_public, meanings(found))) or all(map(_is_private, meanings(found)))


def site_of(registry: Origin, peer: str | None) -> Site | None:
    """Return the site of a registry that answered from the address `peer`; None if that is a public address, or one
    that is not known, as behind a proxy."""
    address = None if peer is None else address_of(peer)
    if address is None:
        return None
    if address.is_loopback:
        return Site(registry, Reached.LOOPBACK)
    return Site(registry, Reached.PRIVATE) if all(map(_is_private, meanings(address))) else None


def are_siblings(one: str, other: str) -> bool:
    """Whether two names are in one domain: they share two labels at least, three below a country's `co`, `com` and the
    like, one if that is a private suffix."""
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
    """The last first."""
    for mine, theirs in zip(reversed(one.split(".")), reversed(other.split(".")), strict=False):
        if not mine or mine != theirs:
            return
        yield mine


def _bare(host: str) -> str:
    return host.lower().rstrip(".")


def _is_private(address: Address) -> bool:
    return any(address in network for network in _PRIVATE) and not any(address in network for network in _METADATA)

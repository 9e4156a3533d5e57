"""Where a registry may send us: one rule for the realm of a challenge, a Location and a redirect.

A registry's answer is foreign input; without a rule it makes us call the metadata service or a neighbour behind the
firewall (CVE-2026-48978, CVE-2026-50151, go-containerregistry#2243), and with too hard a rule a token service at the
registry's own private address is refused (mindthegap#1046)."""

from __future__ import annotations

import ipaddress

from app.errors import RegistryRejected
from app.registry.wire import Origin, is_loopback


def check_target(target: Origin, registry: Origin, what: str) -> None:
    """Raises RegistryRejected, saying `what` was refused, unless `target` may be called on the registry's word."""
    if target.scheme == "http" and registry.scheme != "http":
        raise RegistryRejected(
            f"{what} of {registry} leads to plain http at {target.authority}; it is not followed from https"
        )
    if (target.host, target.port) == (registry.host, registry.port):
        return
    if _is_internal(target.host):
        raise RegistryRejected(
            f"{what} of {registry} leads to {target.authority}, a private, loopback or link-local address other than "
            "the registry's own host and port; it is not followed"
        )


def _is_internal(host: str) -> bool:
    if is_loopback(host):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global

"""Egress policy: which addresses a registry may send us to by a challenge's realm, a Location or a redirect.

The response of a registry is untrusted input. Without a policy it could make us call the metadata service or a host
behind the firewall (CVE-2026-48978, CVE-2026-50151, go-containerregistry#2243). A policy that is too strict rejects a
token service at the registry's own private address (mindthegap#1046). Allowed are the registry's own host and port, the
origins that the operator lists, public addresses, and token services of the registry's own site (`site`).

The policy is applied twice. `check_target` checks the URL before anything is sent. `EgressPolicy` checks the address
before the connection, because a name may resolve to any address (go-containerregistry#2440).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.errors import InvalidRequest, RegistryRejected
from app.net.addresses import is_internal
from app.net.same_site import Site
from app.net.urls import Origin


class InnerAddressError(RegistryRejected):
    """A name resolves to an address that must not be connected to.

    The caller, which knows the whole URL, adds the setting.
    """


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """The connections that may be opened.

    Permitted are all addresses at `endpoints`, public addresses, and the addresses that `site` permits for its token
    services. `endpoints` are pairs of host and port: the registry's own, and those the operator lists.
    """

    endpoints: frozenset[tuple[str, int]]
    site: Site | None = None

    def is_trusted(self, host: str, port: int) -> bool:
        """Return whether any address is permitted for `host` and `port`."""
        return (host.lower(), port) in self.endpoints

    def check(self, host: str, port: int, addresses: Collection[str]) -> None:
        """Check the `addresses` of `host`.

        Raises InnerAddressError unless every one is permitted: one internal address among public ones is suspicious.
        """
        if self.is_trusted(host, port):
            return
        for address in addresses:
            if is_internal(address) and not (self.site is not None and self.site.permits(host, address)):
                raise InnerAddressError(f"the registry leads to {host}, which resolves to {address}: {_INNER}")


def check_target(target: Origin, registry: Origin, what: str, allowed: Collection[Origin] = ()) -> None:
    """Check the target of `what`, a label for the message.

    Raises RegistryRejected if the registry may not send us there.
    """
    if target in allowed:
        return
    if target.scheme == "http" and registry.scheme != "http":
        raise RegistryRejected(
            f"{what} of {registry} leads to plain http at {target.authority}; it is not followed from https. "
            f"{advise(target)}"
        )
    if (target.host, target.port) == (registry.host, registry.port):
        return
    if is_internal(target.host):
        raise RegistryRejected(f"{what} of {registry} leads to {target.authority}, {_INNER}. {advise(target)}")


_INNER = "a private, loopback or link-local address other than the registry's own host and port; it is not followed"


def advise(origin: Origin) -> str:
    """Return which setting allows `origin`."""
    return (
        f"If this is correct, add {origin} to the setting allowed_origins of this registry "
        f"(TARMAC_REGISTRY_ALLOWED_ORIGINS={origin})"
    )


def parse_allowed_origin(text: str) -> Origin:
    """Parse `https://host[:port]`; the scheme defaults to https. Raises InvalidRequest."""
    written = text.strip()
    url = written if "://" in written else f"https://{written}"
    try:
        origin = Origin.of(url, "it")
    except RegistryRejected:
        origin = None
    parts = urlsplit(url) if origin else None
    if origin is None or parts is None or parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidRequest(f"{text!r:.200} is not an origin; write https://host[:port] without a path")
    return origin

"""Where a registry may send us: one rule for the realm of a challenge, a Location and a redirect.

A registry's answer is foreign input; without a rule it makes us call the metadata service or a neighbour behind the
firewall (CVE-2026-48978, CVE-2026-50151, go-containerregistry#2243), and with too hard a rule a token service at the
registry's own private address is refused (mindthegap#1046). Allowed are the registry's own host and port, the origins
that its operator lists, public addresses, and token services of the registry's own site (`site`).

The rule is held twice. `check_target` looks at what is written, before anything is sent. `EgressPolicy` looks at the
address that is about to be connected to, because a name may mean any address (go-containerregistry#2440)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.errors import InvalidRequest, RegistryRejected
from app.net.addresses import is_internal
from app.net.same_site import Site
from app.net.urls import Origin


class InnerAddressError(RegistryRejected):
    """A name means an address that nothing may be connected to. Who knows the whole URL says what to set."""


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """The connections that may be opened: to anything at `places` (host and port: the registry's own, and what the
    operator lists), else to public addresses, and to those that `site` permits its token services."""

    places: frozenset[tuple[str, int]]
    site: Site | None = None

    def is_trusted(self, host: str, port: int) -> bool:
        """Whether any address will do."""
        return (host.lower(), port) in self.places

    def check(self, host: str, port: int, addresses: Collection[str]) -> None:
        """Raises InnerAddressError unless every one of `addresses`, which `host` means, may be connected to. One inner
        address among public ones is no accident."""
        if self.is_trusted(host, port):
            return
        for address in addresses:
            if is_internal(address) and not (self.site is not None and self.site.permits(host, address)):
                raise InnerAddressError(f"the registry leads to {host}, which is {address}: {_INNER}")


def check_target(target: Origin, registry: Origin, what: str, allowed: Collection[Origin] = ()) -> None:
    """Raises RegistryRejected, saying `what` was refused, unless `target` may be called on the registry's word."""
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
        f"If it is right, add {origin} to the setting allowed_origins of this registry "
        f"(TARMAC_REGISTRY_ALLOWED_ORIGINS={origin})"
    )


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

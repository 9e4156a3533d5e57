"""The host names to which the service responds.

A page of another site can resolve its own name to this machine's address (DNS rebinding). The browser then treats it as
our origin, but the Host header still has that name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from app.api.problems import MisdirectedRequest

ANY = "*"


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Allowed names, apart from addresses and loopback names, which cannot be rebound; `*` allows all."""

    names: frozenset[str]

    def check_all(self, hosts: Iterable[str]) -> None:
        """Check the Host header and the host that a trusted proxy reports, if any. Raises MisdirectedRequest."""
        for host in hosts:
            self.check(host)

    def check(self, host: str) -> None:
        """Check one Host header. Raises MisdirectedRequest."""
        name = host_of(host)
        if ANY in self.names or name in self.names or is_loopback_name(name):
            return
        raise MisdirectedRequest(
            f"this service is not known as {name!r:.100}; ask by its address, or name it in TARMAC_ALLOWED_HOSTS"
        )


def host_of(host: str) -> str:
    """Return the host without its port, in lower case."""
    text = host.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def is_loopback_name(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


__all__ = ["ANY", "AllowedHosts"]

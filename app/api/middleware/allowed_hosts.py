"""Under which names the service may be spoken to. A page elsewhere that makes its own name mean this machine's address
(DNS rebinding) is of one origin with us to the browser; the Host header still has that name."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from app.api.problems import MisdirectedRequest

ANY = "*"


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """`names` besides addresses and the names of loopback, which nobody can make their own; with `*` all."""

    names: frozenset[str]

    def check_all(self, hosts: Iterable[str]) -> None:
        """Of the Host header, if there is one, and of what a trusted proxy says that it was. Raises Misdirected."""
        for host in hosts:
            self.check(host)

    def check(self, host: str) -> None:
        """Of a Host header. Raises Misdirected."""
        name = host_of(host)
        if ANY in self.names or name in self.names or is_loopback_name(name):
            return
        raise MisdirectedRequest(
            f"this service is not known as {name!r:.100}; ask by its address, or name it in TARMAC_ALLOWED_HOSTS"
        )


def host_of(host: str) -> str:
    """Without the port, in lower case."""
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

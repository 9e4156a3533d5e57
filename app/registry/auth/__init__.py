"""Authentication at registries: credentials, their sources, and the Authorization header.

authorization  the Authorization header per repository
basic          Basic authentication
bearer         token service
challenge      WWW-Authenticate
ecr            Amazon ECR
keychain       docker and podman config files, credential helpers
password_file  a password that is read from a file
same_site      token services of the registry's own site; pure
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from app.net.urls import RegistryUrl


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name with its password, or an identity token (an OAuth2 refresh token).

    Hidden from `repr`.

    `good_until`: the time.monotonic() value at which they are looked up again; None: only after a rejection.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    good_until: float | None = field(default=None, compare=False)


class CredentialSource(Protocol):
    """A source of credentials.

    It is called concurrently. It may read files and run programs, but not on the event loop.
    """

    async def find(self, registry: RegistryUrl, repository: str) -> Credentials | None:
        """Return the credentials for `repository` ("" for the registry as a whole), or None for anonymous access."""
        ...


class Authenticator(Protocol):
    """One authentication scheme with one set of credentials. It is called concurrently."""

    async def authorization(self, scopes: tuple[str, ...]) -> str | None:
        """Return the value of the Authorization header for `scopes`, or None for no header. Raises RegistryError."""
        ...

    def refused(self, value: str) -> None:
        """Record that the registry answered 401 to `value`, so it is not used again if another value is available."""
        ...


@dataclass(frozen=True, slots=True)
class FixedCredentials:
    """The same credentials for every repository, as configured."""

    credentials: Credentials | None = None

    async def find(self, registry: RegistryUrl, repository: str) -> Credentials | None:
        return self.credentials


ANONYMOUS = FixedCredentials()

__all__ = ["ANONYMOUS", "Authenticator", "CredentialSource", "Credentials", "FixedCredentials"]

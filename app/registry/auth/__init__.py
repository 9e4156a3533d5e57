"""Who we are to a registry: credentials, where they come from, and how they become an Authorization header.

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
    """A user name with its password, or an identity token (an OAuth2 refresh token). Never shown. `good_until`: when
    they are to be looked up anew, by time.monotonic; None: when they are refused."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    good_until: float | None = field(default=None, compare=False)


class CredentialSource(Protocol):
    """Where credentials are looked up. Called concurrently; may read files and run programs, not on the event loop."""

    async def find(self, registry: RegistryUrl, repository: str) -> Credentials | None:
        """What to use for `repository` ("" for the registry as a whole); None: go anonymously."""
        ...


class Authenticator(Protocol):
    """One scheme of authentication with one set of credentials. Called concurrently."""

    async def authorization(self, scopes: tuple[str, ...]) -> str | None:
        """The value of the Authorization header that opens `scopes`, None for none. Raises RegistryError."""
        ...

    def refused(self, value: str) -> None:
        """The registry answered 401 to `value`: do not give it again where another can be had."""
        ...


@dataclass(frozen=True, slots=True)
class FixedCredentials:
    """The same credentials everywhere, as configured."""

    credentials: Credentials | None = None

    async def find(self, registry: RegistryUrl, repository: str) -> Credentials | None:
        return self.credentials


ANONYMOUS = FixedCredentials()

__all__ = ["ANONYMOUS", "Authenticator", "CredentialSource", "Credentials", "FixedCredentials"]

"""Basic authentication (RFC 7617), or none."""

from __future__ import annotations

import base64

from app.registry.auth import Credentials


def basic_value(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


class BasicAuthenticator:
    """Sends no header without credentials; the registry then responds with a challenge."""

    def __init__(self, credentials: Credentials | None) -> None:
        self._value = basic_value(credentials) if credentials and credentials.username else None

    async def authorization(self, scopes: tuple[str, ...]) -> str | None:
        return self._value

    def refused(self, value: str) -> None:
        """Do nothing: there is only one value."""

"""Bearer tokens from a token service (distribution's token and OAuth2 specifications)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from app.errors import ArchiveError, RegistryAuth, RegistryFault
from app.oci import strict_json
from app.registry.auth import Credentials
from app.registry.auth.basic import basic_value
from app.registry.challenge import Challenge

MAX_TOKEN_ANSWER = 1 << 20  # a token with hundreds of scopes has some 10 KiB
_TOKEN = re.compile(r"[!-~]{1,65536}")  # visible ASCII: nothing that could end a header
_SHORTEST = 60.0  # seconds; the token specification's default and minimum
_MARGIN = 5.0  # seconds a token is given up before it expires, for the way to the registry


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """To the token service at `url`; `form` is the body of a POST, None means GET."""

    url: str
    authorization: str | None
    form: bytes | None


FetchToken = Callable[[TokenRequest], Awaitable[bytes]]
"""Sends a TokenRequest; the body of a good answer. Raises RegistryError."""


class BearerAuthenticator:
    """Tokens are kept for each set of scopes until they expire; one request at a time asks for each of them."""

    def __init__(
        self,
        challenge: Challenge,
        credentials: Credentials | None,
        fetch: FetchToken,
        clock: Callable[[], float],
    ) -> None:
        self._parameters = challenge.parameters
        self._credentials = credentials
        self._fetch = fetch
        self._clock = clock
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}
        self._locks: dict[tuple[str, ...], asyncio.Lock] = {}

    async def authorization(self, scopes: tuple[str, ...]) -> str | None:
        async with self._locks.setdefault(scopes, asyncio.Lock()):
            value, good_until = self._tokens.get(scopes, ("", 0.0))
            if not value or self._clock() >= good_until:
                token, seconds = read_token(await self._fetch(self._request(scopes)))
                value = f"Bearer {token}"
                self._tokens[scopes] = (value, self._clock() + max(seconds, _SHORTEST) - _MARGIN)
            return value

    def refused(self, value: str) -> None:
        self._tokens = {scopes: kept for scopes, kept in self._tokens.items() if kept[0] != value}

    def _request(self, scopes: tuple[str, ...]) -> TokenRequest:
        realm, credentials = self._parameters.get("realm", ""), self._credentials
        query = [("service", self._parameters["service"])] if "service" in self._parameters else []
        if credentials is not None and credentials.identity_token:
            form = [*query, ("grant_type", "refresh_token"), ("client_id", "tarmac"), ("scope", " ".join(scopes))]
            form.append(("refresh_token", credentials.identity_token))
            return TokenRequest(realm, None, urlencode(form).encode("ascii"))
        query += [("scope", scope) for scope in scopes]
        authorization = None
        if credentials is not None and credentials.username:
            query.append(("account", credentials.username))
            authorization = basic_value(credentials)
        return TokenRequest(f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}", authorization, None)


def read_token(body: bytes) -> tuple[str, float]:
    """The token and the seconds it is good for. Raises RegistryFault, RegistryAuth."""
    try:
        members = strict_json(body, what="the token service's answer", limit=MAX_TOKEN_ANSWER)
    except ArchiveError as error:
        raise RegistryFault(f"{error}; check the address of the token service") from None
    token = _token_of(members) if isinstance(members, dict) else None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise RegistryAuth("the token service's answer holds no usable token; check the credentials and the service")
    expires_in = members.get("expires_in")
    return token, float(expires_in) if isinstance(expires_in, int | float) else _SHORTEST


def _token_of(members: Mapping[str, Any]) -> Any:
    return members.get("token") or members.get("access_token")

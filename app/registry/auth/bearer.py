"""Bearer tokens from a token service (token and OAuth2 specifications of distribution)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from app.errors import ArchiveError, Failure, RegistryAuth, RegistryFault
from app.net.urls import printable
from app.oci import strict_json
from app.registry.auth import Credentials
from app.registry.auth.basic import basic_value
from app.registry.auth.challenge import Challenge

MAX_TOKEN_RESPONSE_BYTES = 1 << 20  # a token with hundreds of scopes has about 10 KiB
_TOKEN = re.compile(r"[!-~]{1,65536}")  # visible ASCII, so it cannot end a header
_DEFAULT_LIFETIME = 60.0  # lifetime in seconds if the response has none (token specification)
_MARGIN = 10.0  # seconds before expiry at which a token is replaced, because of latency and clock differences
_MAX_LIFETIME = 86400.0  # seconds; a longer lifetime is cut to a day
MAX_TOKENS = 1000  # cached; a service that runs for months sees any number of repositories


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to the token service at `url`.

    `form` is the body of a POST; None means GET. `instead`: the request to try if the service does not support this
    one.
    """

    url: str
    authorization: str | None = field(repr=False)
    form: bytes | None = field(repr=False)
    instead: TokenRequest | None = None


FetchToken = Callable[[TokenRequest], Awaitable[bytes]]
"""Send a TokenRequest and return the body of a successful response. Raises RegistryError."""


class BearerAuthenticator:
    """Caches tokens for each set of scopes until they expire. One request at a time asks for each set."""

    def __init__(
        self,
        challenge: Challenge,
        credentials: Credentials | None,
        fetch: FetchToken,
        clock: Callable[[], float],
    ) -> None:
        self._parameters = challenge.parameters
        self._realm = challenge.parameters.get("realm", "").partition("?")[0]
        self._credentials = credentials
        self._fetch = fetch
        self._clock = clock
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}
        self._locks: dict[tuple[str, ...], asyncio.Lock] = {}

    async def authorization(self, scopes: tuple[str, ...]) -> str | None:
        async with self._locks.setdefault(scopes, asyncio.Lock()):
            value, good_until = self._tokens.get(scopes, ("", 0.0))
            if not value or self._clock() >= good_until:
                requested_at = self._clock()  # a token's lifetime starts when it is issued, not when it is received
                token, seconds = read_token(await self._fetch(self._request(scopes)), self._realm)
                value = f"Bearer {token}"
                self._keep(scopes, value, requested_at + seconds - min(_MARGIN, seconds / 2))
            return value

    def _keep(self, scopes: tuple[str, ...], value: str, good_until: float) -> None:
        self._tokens.pop(scopes, None)
        while len(self._tokens) >= MAX_TOKENS:
            oldest = next(iter(self._tokens))
            del self._tokens[oldest]
            if not self._locks[oldest].locked():
                del self._locks[oldest]
        self._tokens[scopes] = (value, good_until)

    def refused(self, value: str) -> None:
        self._tokens = {scopes: cached for scopes, cached in self._tokens.items() if cached[0] != value}

    def _request(self, scopes: tuple[str, ...]) -> TokenRequest:
        realm, credentials = self._parameters.get("realm", ""), self._credentials
        query = [("service", self._parameters["service"])] if "service" in self._parameters else []
        form = [*query, ("client_id", "tarmac"), ("scope", " ".join(scopes))]
        if credentials is not None and credentials.identity_token:
            return _posted(
                realm, [*form, ("grant_type", "refresh_token"), ("refresh_token", credentials.identity_token)]
            )
        query += [("scope", scope) for scope in scopes]
        if credentials is None or not credentials.username:
            return TokenRequest(_with_query(realm, query), None, None)
        query.append(("account", credentials.username))
        form += [("grant_type", "password"), ("username", credentials.username), ("password", credentials.password)]
        return TokenRequest(_with_query(realm, query), basic_value(credentials), None, _posted(realm, form))


def _posted(realm: str, form: list[tuple[str, str]]) -> TokenRequest:
    return TokenRequest(realm, None, urlencode(form).encode("ascii"))


def _with_query(realm: str, query: list[tuple[str, str]]) -> str:
    return f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"


def read_token(body: bytes, service: str = "") -> tuple[str, float]:
    """Return the token and its lifetime in seconds.

    `service` is the address for messages. Raises RegistryFault and RegistryAuth.
    """
    what = f"the response of the token service {printable(service, 200)}"
    try:
        members = strict_json(body, what=what, limit=MAX_TOKEN_RESPONSE_BYTES)
    except ArchiveError as error:
        raise RegistryFault(f"{error}; check that address, and the proxy in front of it") from None
    token = _token_of(members) if isinstance(members, dict) else None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise RegistryAuth(
            f"{what} has no usable token; check the credentials and the service",
            failure=Failure.BROKEN_RESPONSE,
        )
    expires_in = members.get("expires_in")
    is_usable = isinstance(expires_in, int | float) and not isinstance(expires_in, bool) and expires_in > 0
    return token, float(min(expires_in, _MAX_LIFETIME)) if is_usable else _DEFAULT_LIFETIME


def _token_of(members: Mapping[str, Any]) -> Any:
    return members.get("token") or members.get("access_token")

"""Bearer tokens of an OpenID Connect issuer, in addition to the tokens file (OpenID Connect Core 3.1.3.7, Discovery 4).

Only signatures by the issuer's public keys are accepted. The algorithm in a token's header must be in ALGORITHMS, and a
key is used only with its own type of algorithm. Therefore neither `none` nor a public key used as a shared secret is
accepted. The issuer is contacted under the egress policy (`app.net.egress`). URLs in its responses may refer to
internal addresses only at its own host and port."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from app.auth.model import Role
from app.auth.token_file import MAX_REPOSITORIES, TokenHolder, parse_prefix
from app.errors import ArchiveError, Forbidden, InvalidSettings, RegistryError, Unauthorized, Unavailable
from app.net.client import HttpClient, HttpClientSettings, Request
from app.net.egress import check_target
from app.net.proxies import DIRECT, Proxies
from app.net.urls import Origin, parse_registry_url
from app.oci import strict_json

MAX_TOKEN_BYTES = 16 << 10  # a token with hundreds of groups has ten; longer ones are rejected unread
MAX_RESPONSE_BYTES = 1 << 20
MAX_KEYS = 100
MAX_KEY_AGE_SECONDS = 3600.0  # a revoked key of the issuer is accepted at most this long
RETRY_SECONDS = 60.0  # between two requests to the issuer, even failed ones: a client can invent key names
FETCH_SECONDS = 5.0  # for both responses of the issuer together; requests with unknown keys wait for them
LEEWAY_SECONDS = 30.0  # tolerated difference between the issuer's clock and ours
ALGORITHMS: Mapping[str, str] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
_SUBJECT = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """`roles`: the role for each value of `claim`, a path with dots such as `realm_access.roles`.

    `repositories`: the claim that limits a token to repositories; None: tokens are not limited."""

    issuer: str
    audience: str
    roles: Mapping[str, Role]
    claim: str = "roles"
    ca_file: Path | None = None
    proxies: Proxies = DIRECT
    repositories: str | None = None


class OidcTokens:
    """Validates tokens of the issuer. `clock`: monotonic seconds, for the age of the keys."""

    def __init__(self, settings: OidcSettings, clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")  # time at which the keys were received
        self._requested_at = float("-inf")  # time of the last request to the issuer, successful or not
        self._fetch_lock = asyncio.Lock()
        self._failure = ""

    async def authenticate(self, token: bytes) -> TokenHolder | None:
        """Return the caller of a token; None if it is not a JWT.

        Raises Unauthorized, Forbidden for a token without a role, and Unavailable if the issuer cannot be reached."""
        if len(token) > MAX_TOKEN_BYTES or token.count(b".") != 2:
            return None
        try:
            head = jwt.get_unverified_header(token)
            key = await self._key(str(head.get("kid", "")), str(head.get("alg", "")))
            claims = self._claims(token, key, str(head["alg"]))
        except jwt.PyJWTError as error:
            raise Unauthorized(f"the token of {self._settings.issuer} is not valid: {type(error).__name__}") from None
        return self._holder(claims)

    def _claims(self, token: bytes, key: jwt.PyJWK, algorithm: str) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return claims

    def _holder(self, claims: Mapping[str, Any]) -> TokenHolder:
        subject = str(claims["sub"])
        if not _SUBJECT.fullmatch(subject):
            raise Unauthorized("the token's `sub` must have 1 to 200 printable ASCII characters")
        values = map(str, _values(claims, self._settings.claim))
        roles = frozenset(self._settings.roles[role] for role in values if role in self._settings.roles)
        if not roles:
            raise Forbidden(
                f"the token of {subject} has no role: no value of its claim `{self._settings.claim}` is in "
                "TARMAC_OIDC_ROLES"
            )
        return TokenHolder(f"oidc:{subject}", b"", roles, self._repositories(claims, subject))

    def _repositories(self, claims: Mapping[str, Any], subject: str) -> tuple[str, ...]:
        """Return the prefixes in the claim.

        Raises Forbidden if the configured claim is missing: it must not permit all."""
        claim = self._settings.repositories
        if claim is None:
            return ()
        try:
            prefixes = tuple(parse_prefix(str(prefix)) for prefix in _values(claims, claim))
        except ValueError as error:
            raise Forbidden(f"the claim `{claim}` of the token of {subject}: {error}") from None
        if not 0 < len(prefixes) <= MAX_REPOSITORIES:
            raise Forbidden(
                f"the token of {subject} must name 1 to {MAX_REPOSITORIES} repositories in its claim `{claim}`"
            )
        return prefixes

    async def _key(self, name: str, algorithm: str) -> jwt.PyJWK:
        if algorithm not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError
        if self._is_expired() or name not in self._keys:
            await self._refresh(name)
        key = self._keys.get(name)
        if key is None or key.key_type != ALGORITHMS[algorithm]:
            raise jwt.InvalidKeyError
        return key

    def _is_expired(self) -> bool:
        return self._clock() - self._fetched_at >= MAX_KEY_AGE_SECONDS

    async def _refresh(self, name: str) -> None:
        """Fetch the keys, at most once in AGAIN_SECONDS. Raises Unavailable if all known keys are expired.

        A request with a known key that is not expired never waits for this."""
        async with self._fetch_lock:
            is_needed = self._is_expired() or name not in self._keys
            if is_needed and self._clock() - self._requested_at >= RETRY_SECONDS:
                self._requested_at = self._clock()
                await self._fetch_keys()
        if self._is_expired():
            raise Unavailable(
                f"the keys of {self._settings.issuer} cannot be fetched: {self._failure}; try again later"
            )

    async def _fetch_keys(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                self._keys = dict(await self._fetch())
            self._fetched_at = self._clock()
        except TimeoutError:
            self._failure = f"no response within {FETCH_SECONDS:g} seconds"
        except (RegistryError, ArchiveError, Unavailable) as error:
            self._failure = str(error)

    async def _fetch(self) -> Iterator[tuple[str, jwt.PyJWK]]:
        issuer = self._settings.issuer
        url = parse_registry_url(issuer, "oidc_issuer")
        client = HttpClient(HttpClientSettings(url, ca_file=self._settings.ca_file, proxies=self._settings.proxies))
        origin = Origin.of(issuer, "the issuer")
        await client.open()
        try:
            found = await _document(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration", origin)
            if found.get("issuer") != issuer:
                raise Unavailable(f"the discovery document at {issuer} names another issuer; check TARMAC_OIDC_ISSUER")
            keys_url = str(found.get("jwks_uri", ""))
            check_target(Origin.of(keys_url, "jwks_uri"), origin, "jwks_uri")
            return _keys(await _document(client, keys_url, origin))
        finally:
            await client.close()


async def _document(client: HttpClient, url: str, origin: Origin) -> Mapping[str, Any]:
    response = await client.send(Request("GET", url, limit=MAX_RESPONSE_BYTES), origin)
    if response.status != 200:
        raise Unavailable(f"{url} returned status {response.status}; check TARMAC_OIDC_ISSUER")
    document = strict_json(response.body, what=f"the response of {url}", limit=MAX_RESPONSE_BYTES)
    return document if isinstance(document, dict) else {}


def _values(claims: Mapping[str, Any], claim: str) -> list[Any]:
    """Return the values of a claim, a path with dots."""
    value: Any = claims
    for part in claim.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return [value] if isinstance(value, str) else value if isinstance(value, list) else []


def _keys(document: Mapping[str, Any]) -> Iterator[tuple[str, jwt.PyJWK]]:
    listed = document.get("keys")
    for item in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        if isinstance(item, dict) and item.get("kty") in ALGORITHMS.values() and item.get("use", "sig") == "sig":
            try:
                yield str(item.get("kid", "")), jwt.PyJWK.from_dict(item)
            except jwt.PyJWTError:
                continue  # of an unsupported type; the other keys are used


def parse_roles(texts: tuple[str, ...]) -> Mapping[str, Role]:
    """Parse `value=role`. Raises InvalidSettings."""
    found = {}
    for text in texts:
        value, _, role = text.rpartition("=")
        if not value or role not in list(Role):
            raise InvalidSettings(f"TARMAC_OIDC_ROLES (oidc_roles): {text!r:.80} must be value=push, =read or =admin")
        found[value] = Role(role)
    return found


__all__ = ["OidcSettings", "OidcTokens", "parse_roles"]

"""What is known about one registry while it is in use: where it listens, what it asks for, who we are there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from app.errors import RegistryAuth, RegistryError, RegistryRejected, RegistryTLS, RegistryUnreachable
from app.registry.auth import Authenticator, Credentials
from app.registry.auth.basic import BasicAuthenticator
from app.registry.auth.bearer import MAX_TOKEN_ANSWER, BearerAuthenticator, TokenRequest
from app.registry.challenge import Challenge, parse_challenges
from app.registry.client import Call, HttpClient, HttpSettings, certificate_refused
from app.registry.egress import check_target
from app.registry.reply import Reply, error_of
from app.registry.wire import Origin

FORM: Mapping[str, str] = {"Content-Type": "application/x-www-form-urlencoded"}


class Session:
    """Sends calls with the authorization their repository needs. The first one pings; the others wait for it."""

    def __init__(self, settings: HttpSettings, client: HttpClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._client, self._clock = settings, client, clock
        self._pinging = asyncio.Lock()
        self._origin: Origin | None = None
        self._challenge: Challenge | None = None
        self._credentials: dict[str, Credentials | None] = {}
        self._authenticators: dict[Credentials | None, Authenticator] = {}

    async def origin(self) -> Origin:
        """Where the registry is spoken to. Raises RegistryError when it is not there."""
        async with self._pinging:
            if self._origin is None:
                self._origin = await self._find_origin()
            return self._origin

    async def send(self, call: Call, repository: str, scopes: tuple[str, ...]) -> Reply:
        """The answer to `call`, whatever its status. A 401 is answered once, with new authorization if there is any."""
        origin = await self.origin()
        value = await self._authorization(repository, scopes)
        reply = await self._client.send(replace(call, authorization=value, origin=origin), origin)
        if reply.status != 401 or Origin.of(reply.url, "the URL") != origin:
            return reply
        renewed = await self._renew(reply, repository, scopes, value)
        if renewed == value:
            return reply
        return await self._client.send(replace(call, authorization=renewed, origin=origin), origin)

    async def _find_origin(self) -> Origin:
        *others, last = self._settings.url.origins()
        for origin in others:
            try:
                return await self._ping(origin)
            except (RegistryTLS, RegistryUnreachable) as error:
                if certificate_refused(error):  # it does speak TLS: plain http would be a downgrade
                    raise
        return await self._ping(last)

    async def _ping(self, origin: Origin) -> Origin:
        reply = await self._client.send(Call("GET", f"{origin}/v2/"), origin)
        if reply.status == 401:
            self._challenge = _pick(reply)
        elif reply.status == 404:
            raise RegistryRejected(f"{origin} answers 404 to /v2/: there is no registry at this address")
        elif reply.status != 200:
            raise error_of(reply, datetime.now(UTC))
        return origin

    async def _authorization(self, repository: str, scopes: tuple[str, ...]) -> str | None:
        if self._challenge is None:
            return None
        if repository not in self._credentials:
            self._credentials[repository] = await self._settings.credentials.find(self._settings.url, repository)
        credentials = self._credentials[repository]
        if credentials not in self._authenticators:
            self._authenticators[credentials] = self._make_authenticator(self._challenge, credentials)
        return await self._authenticators[credentials].authorization(scopes)

    async def _renew(self, reply: Reply, repository: str, scopes: tuple[str, ...], refused: str | None) -> str | None:
        """After a 401: the registry may want what the ping did not say, the token may have run out, and a credential
        helper may give new credentials."""
        wanted = _pick(reply)
        if wanted is not None and (self._challenge is None or _service(wanted) != _service(self._challenge)):
            self._challenge = wanted
            self._authenticators.clear()
        elif refused is not None:
            for authenticator in self._authenticators.values():
                authenticator.refused(refused)
            self._credentials.pop(repository, None)
        return await self._authorization(repository, scopes)

    def _make_authenticator(self, challenge: Challenge, credentials: Credentials | None) -> Authenticator:
        if challenge.scheme == "bearer":
            return BearerAuthenticator(challenge, credentials, self._fetch_token, self._clock)
        return BasicAuthenticator(credentials)

    async def _fetch_token(self, request: TokenRequest) -> bytes:
        registry = await self.origin()
        realm = Origin.of(request.url, "the token service (realm)")
        check_target(realm, registry, "the token service (realm)")
        call = Call("GET", request.url, limit=MAX_TOKEN_ANSWER, authorization=request.authorization, origin=realm)
        if request.form is not None:
            call = replace(call, method="POST", headers=FORM, body=request.form)
        reply = await self._client.send(call, registry)
        if reply.status == 200:
            return reply.body
        error: RegistryError = error_of(reply, datetime.now(UTC))
        raise error if error.retryable else RegistryAuth(f"the token service of {registry} refuses: {error}")


def _pick(reply: Reply) -> Challenge | None:
    """The challenge to take up: Bearer before Basic; None where there is neither."""
    challenges = parse_challenges(reply.headers.get("www-authenticate", ()))
    by_scheme = {challenge.scheme: challenge for challenge in reversed(challenges)}
    return by_scheme.get("bearer") or by_scheme.get("basic")


def _service(challenge: Challenge) -> tuple[str, str | None, str | None]:
    """What stays the same in the challenges of one registry; scope and error are about one request."""
    return challenge.scheme, challenge.parameters.get("realm"), challenge.parameters.get("service")

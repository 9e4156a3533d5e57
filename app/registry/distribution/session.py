"""State of one registry while it is used: its origin and its authorizations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from app.errors import Failure, RegistryAuth, RegistryError, RegistryRejected, RegistryTLS, RegistryUnreachable
from app.net.client import HttpClient, Request
from app.net.egress import check_target
from app.net.exchange_errors import certificate_cause
from app.net.response import Response
from app.net.same_site import Site, site_of
from app.net.urls import Origin
from app.net.warnings import record_warning_header
from app.registry.auth import Credentials
from app.registry.auth.authorization import Authorizations, Refusal, Trial
from app.registry.auth.bearer import MAX_TOKEN_RESPONSE_BYTES, TokenRequest
from app.registry.distribution.rate_limit import RequestThrottle
from app.registry.distribution.responses import has_expired, is_version_check, throttle_from, to_registry_error
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.wrappers.redact import SecretScrubber

PROBE_SECONDS = 5.0  # limit for the check whether a failing registry is otherwise healthy
FORM: Mapping[str, str] = {"Content-Type": "application/x-www-form-urlencoded"}


class AuthSession:
    """Sends requests with the authorization of their repository. The first request pings; the others wait for it."""

    def __init__(
        self,
        settings: HttpRegistrySettings,
        client: HttpClient,
        throttle: RequestThrottle | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._client = settings, client
        self._throttle = throttle or RequestThrottle(settings.limits)
        self.secrets = SecretScrubber()
        for user, password in settings.proxies.credentials:
            self.secrets.add(Credentials(user, password))
        self._pinging = asyncio.Lock()
        self._origin: Origin | None = None
        self._site: Site | None = None
        self.authorizations = Authorizations(settings, self._fetch_token, self.secrets, clock)

    async def origin(self) -> Origin:
        """Return the origin of the registry. Raises RegistryError if it is unreachable."""
        async with self._pinging:
            if self._origin is None:
                self._origin = await self._find_origin()
            return self._origin

    async def send(self, request: Request, repository: str, scopes: tuple[str, ...]) -> Response:
        """Send a request and return the response with any status.

        If authorization is missing or rejected, send it again with another one, if possible.
        """
        origin = await self.origin()
        request, trial = replace(request, origin=origin), Trial()
        response, sent = await self._send_once(request, repository, scopes, trial)
        for again in (False, True):
            if not _is_refused(response, sent) or Origin.of(response.url, "the URL") != origin:
                break
            value = await self.authorizations.renew(Refusal(response, sent, again), repository, scopes, trial)
            if value is None:
                break
            if value == sent:
                continue
            response, sent = await self._send_once(request, repository, scopes, trial)
        return replace(response, remark=self.authorizations.settle(response, repository, trial))

    async def _send_once(
        self, request: Request, repository: str, scopes: tuple[str, ...], trial: Trial
    ) -> tuple[Response, str | None]:
        """Return the response and the authorization used.

        The authorization is determined after the throttle has admitted the request.
        """
        assert request.origin is not None
        async with self._throttle.slot(urgent=request.method == "DELETE") as ticket:
            value = await self.authorizations.value(repository, scopes, trial)
            response = await self._client.send(replace(request, authorization=value), request.origin)
            self._learn_from(response, ticket)
        if response.status == 401 and Origin.of(response.url, "the URL") == request.origin:
            self._site = site_of(request.origin, response.peer)
        return response, value

    def _learn_from(self, response: Response, ticket: int) -> None:
        throttled = throttle_from(response, datetime.now(UTC))
        self._throttle.record_response(
            ticket, slow_down=throttled is not None, retry_after=throttled.retry_after if throttled else None
        )
        if warnings := response.headers.get("warning"):
            record_warning_header(self._settings.url.name, tuple(map(self.secrets.scrub, warnings)))

    async def _find_origin(self) -> Origin:
        *others, last = self._settings.url.origins()
        for origin in others:
            try:
                return await self._ping(origin)
            except (RegistryTLS, RegistryUnreachable) as error:
                if certificate_cause(error) is not None:  # the server speaks TLS, so plain http would be a downgrade
                    raise
        return await self._ping(last)

    async def _ping(self, origin: Origin) -> Origin:
        response = await self._ask_version(origin)
        there = Origin.of(response.url, "the URL")
        if is_version_check(response) and there == origin:
            self.authorizations.begin(response)
            self._site = site_of(origin, response.peer)
            return origin
        path = urlsplit(response.url).path
        if path.rstrip("/") != "/v2" or there != origin:
            raise RegistryRejected(
                f"{origin} redirects /v2/ to {there}{path}, so this address is not a registry's; if the registry is "
                "over there, write that as its address",
                failure=Failure.BROKEN_RESPONSE,
            )
        if response.status in {200, 401}:
            raise RegistryRejected(
                f"{origin} answers {response.status} to /v2/ with a web page; check that this is the address of a "
                "registry, and whether a proxy in front of it requires a login",
                failure=Failure.BROKEN_RESPONSE,
            )
        if response.status == 404:
            raise RegistryRejected(
                f"{origin} answers 404 to /v2/, so this address is not a registry's; check the registry's address"
            )
        raise to_registry_error(response, datetime.now(UTC))

    async def _ask_version(self, origin: Origin) -> Response:
        async with self._throttle.slot() as ticket:
            response = await self._client.send(Request("GET", f"{origin}/v2/"), origin)
            self._learn_from(response, ticket)
        return response

    async def is_answering(self) -> bool:
        """Return whether the registry currently answers `/v2/` properly, with or without authorization.

        Raises nothing.
        """
        if self._origin is None:
            return False
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                response = await self._ask_version(self._origin)
                return is_version_check(response) and Origin.of(response.url, "the URL") == self._origin
        except (RegistryError, TimeoutError):
            return False

    async def accepts_credentials(self, repository: str) -> bool:
        """Return whether `/v2/` accepts the credentials configured for `repository`. Raises nothing."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                response = await self.send(Request("GET", f"{await self.origin()}/v2/"), repository, ())
        except (RegistryError, TimeoutError):
            return False
        is_known = self.authorizations.is_asked_for and self.authorizations.has_credentials(repository)
        return response.status == 200 and is_version_check(response) and is_known

    async def _fetch_token(self, request: TokenRequest) -> bytes:
        registry = await self.origin()
        realm = Origin.of(request.url, "the token service (realm)")
        site = self._site if self._is_same_site(realm, registry) else None
        if site is None:
            check_target(realm, registry, "the token service (realm)", self._settings.allowed_origins)
        http_request = Request(
            "GET", request.url, limit=MAX_TOKEN_RESPONSE_BYTES, authorization=request.authorization, origin=realm
        )
        if request.form is not None:
            http_request = replace(http_request, method="POST", headers=FORM, body=request.form, body_is_secret=True)
        response = await self._client.send(replace(http_request, site=site), registry)
        if response.status == 200:
            return response.body
        if response.status in {404, 405} and request.instead is not None:
            return await self._fetch_token(request.instead)
        error = to_registry_error(response, datetime.now(UTC))
        if response.status >= 500 or error.outage:
            raise error
        raise RegistryAuth(f"the token service of {registry} issues no token: {error}", failure=error.failure)

    def _is_same_site(self, realm: Origin, registry: Origin) -> bool:
        """Return whether `realm` is permitted only because it belongs to the registry's own site."""
        is_own = (realm.host, realm.port) == (registry.host, registry.port)
        return not is_own and realm not in self._settings.allowed_origins and bool(self._site and self._site.has(realm))


def _is_refused(response: Response, sent: str | None) -> bool:
    """Return whether another authorization may help.

    That is so after a 401, a 403 to an expired one, and a 403 to a request without any.
    """
    if response.status != 403 or has_expired(response):
        return response.status in {401, 403}
    return sent is None and throttle_from(response, datetime.now(UTC)) is None

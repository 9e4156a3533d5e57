"""Requests to one registry: URLs, scopes, upload Locations, and the cleanup of upload sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from app.errors import RegistryError, RegistryFault, RegistryRejected
from app.net.backoff import DEFAULT_POLICY, REAL, TimeSource
from app.net.client import Request
from app.net.egress import check_target
from app.net.response import Response
from app.net.retry_observer import report_failure
from app.net.urls import Origin, resolve_location
from app.oci import Digest
from app.registry.distribution.digest_headers import compare
from app.registry.distribution.responses import is_page, read_error_detail, to_registry_error
from app.registry.distribution.session import AuthSession
from app.registry.distribution.settings import HttpRegistrySettings

DELETE_TRIES = 4  # per upload session, within the cleanup timeout
_SILENT = frozenset({403, 405})  # to a HEAD: Artifactory responds 403 for missing content (RTFACT-13797)
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class DistributionEndpoints:
    def __init__(self, settings: HttpRegistrySettings, session: AuthSession, pause: TimeSource = REAL) -> None:
        self.settings = settings
        self._pause = pause
        self._session = session
        self._cleanups: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """Return host[:port], as in image references."""
        return self.settings.url.name

    async def url(self, repository: str, rest: str) -> str:
        return f"{await self._session.origin()}/v2/{repository}/{rest}"

    async def send(self, request: Request, repository: str, *more_scopes: str) -> Response:
        """Send a request and return the response with any status.

        If the repository is missing and the registry is configured to create repositories, create it and send the
        request again.
        """
        scopes = (f"repository:{repository}:pull,push", *more_scopes)
        response = await self._session.send(request, repository, scopes)
        create = self.settings.create_repository
        if create is None or callable(request.body) or not _wants_repository(response):
            return response
        await create(repository)
        return await self._session.send(request, repository, scopes)

    async def location(self, response: Response) -> str:
        """Return the URL at which an upload session continues."""
        origin = await self._session.origin()
        value = response.header("location")
        if value is None:
            raise RegistryFault(
                f"{self.name} answered {response.status} to {response.method} without a Location; check that it is a "
                "registry"
            )
        location = resolve_location(response.url, value, origin)
        target = Origin.of(location, "the Location")
        check_target(target, origin, "the upload Location", self.settings.allowed_origins)
        return location

    async def open_upload(self, repository: str, unless: Digest | None = None) -> Response | None:
        """Open an upload session and return the response with its Location.

        Return None if the repository has the blob `unless`, which is tested by mounting it. On cancellation the session
        is cancelled in the background, once it is known.
        """
        query = "" if unless is None else f"?{mount_query(unless, repository)}"
        request = Request("POST", await self.url(repository, f"blobs/uploads/{query}"))
        response = await self.send_opening(request, repository)
        if unless is not None and response.status == HTTPStatus.NOT_IMPLEMENTED:  # the registry does not support mounts
            raise RegistryRejected(str(to_registry_error(response, datetime.now(UTC))))
        if unless is not None and response.status == 201:
            compare(response, unless)
            return None
        expect(response, frozenset({202}))
        return response

    async def send_opening(self, request: Request, repository: str, *more_scopes: str) -> Response:
        """Send a request that may open an upload session.

        On cancellation the session is cancelled too, once it is known.
        """
        opening = asyncio.create_task(self.send(request, repository, *more_scopes))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._clean_up(self._unopen(repository, opening))
            raise

    async def cancel_upload(self, repository: str, location: str) -> None:
        """Cancel an upload session, even during a cancellation. Errors are ignored."""
        await asyncio.shield(self._clean_up(self._delete(repository, location)))

    def abandon_later(self, repository: str, location: str) -> None:
        """Cancel an upload session in the background."""
        self._clean_up(self._delete(repository, location))

    def report_retry(self, error: RegistryError, wait: float) -> None:
        """Report that a request is repeated after `wait` seconds.

        Secrets are redacted here, because this runs below the wrapper that does so.
        """
        self._session.secrets.scrub_error(error)
        report_failure(error, wait)

    async def wait_for_cleanup(self) -> None:
        """Wait until every session is cancelled or its timeout is over."""
        await asyncio.gather(*self._cleanups)

    def _clean_up(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._cleanups.add(task)
        task.add_done_callback(self._cleanups.discard)
        return task

    async def _unopen(self, repository: str, opening: asyncio.Task[Response]) -> None:
        try:
            async with asyncio.timeout(self.settings.timeouts.cleanup):
                response = await opening
            expect(response, frozenset({202}))
            location = await self.location(response)
        except (RegistryError, TimeoutError):
            return
        await self._delete(repository, location)

    async def _delete(self, repository: str, location: str) -> None:
        """Delete a session. Repeat if the registry fails or asks to wait; any other response is final."""
        try:
            async with asyncio.timeout(self.settings.timeouts.cleanup):
                for number in range(1, DELETE_TRIES + 1):
                    if await self._deleted(repository, location):
                        return
                    wait = DEFAULT_POLICY.first_wait * 2.0 ** (number - 1) * self._pause.chance()
                    await self._pause.sleep(wait)
        except (RegistryError, TimeoutError):
            return

    async def _deleted(self, repository: str, location: str) -> bool:
        """Send a DELETE, and return whether the response is final."""
        try:
            response = await self.send(Request("DELETE", location), repository)
        except RegistryError as error:
            if not error.retryable:
                raise
            return False
        is_failure = (
            response.status >= HTTPStatus.INTERNAL_SERVER_ERROR and response.status != HTTPStatus.NOT_IMPLEMENTED
        )
        return not is_failure and response.status not in _LATER


def expect(response: Response, good: frozenset[int]) -> None:
    """Raise RegistryError unless a registry responded with one of the statuses `good`."""
    if response.status not in good:
        raise to_registry_error(response, datetime.now(UTC))
    refuse_page(response)


def refuse_page(response: Response) -> None:
    """Raise RegistryFault for a web page with any status."""
    if is_page(response):
        there = urlsplit(response.url)
        raise RegistryFault(
            f"{there.netloc} answered {response.status} to {response.method} {there.path} with a web page; check the "
            "proxy in front of the registry, and whether it requires a login"
        )


def mount_query(digest: Digest, source: str) -> str:
    """Return the query that mounts a blob of another repository, or of the same one."""
    return f"mount={quote(str(digest), safe='')}&from={quote(source, safe='')}"


def is_not_found(response: Response) -> bool:
    """Return True for 404, and for the statuses that some registries send to a HEAD of missing content.

    A 403 that is a rate limit does not count.
    """
    if response.status in _SILENT:
        return not to_registry_error(response, datetime.now(UTC)).retryable
    return response.status == 404


def _wants_repository(response: Response) -> bool:
    is_push = response.status == 404 and response.method in {"POST", "PUT"}
    return is_push and read_error_detail(response.body).code == "NAME_UNKNOWN"

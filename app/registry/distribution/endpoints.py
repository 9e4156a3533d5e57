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
from app.registry.distribution.responses import is_page, read_complaint, to_registry_error
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

    async def send(self, call: Request, repository: str, *more_scopes: str) -> Response:
        """Send a request and return the response with any status.

        If the repository is missing and the registry is configured to create repositories, create it and send the
        request again.
        """
        scopes = (f"repository:{repository}:pull,push", *more_scopes)
        reply = await self._session.send(call, repository, scopes)
        create = self.settings.create_repository
        if create is None or callable(call.body) or not _wants_repository(reply):
            return reply
        await create(repository)
        return await self._session.send(call, repository, scopes)

    async def location(self, reply: Response) -> str:
        """Return the URL at which an upload session continues."""
        origin = await self._session.origin()
        value = reply.header("location")
        if value is None:
            raise RegistryFault(
                f"{self.name} answered {reply.status} to {reply.method} without a Location; check that it is a registry"
            )
        location = resolve_location(reply.url, value, origin)
        target = Origin.of(location, "the Location")
        check_target(target, origin, "the upload Location", self.settings.allowed_origins)
        return location

    async def open_upload(self, repository: str, unless: Digest | None = None) -> Response | None:
        """Open an upload session and return the response with its Location.

        Return None if the repository has the blob `unless`, which is tested by mounting it. On cancellation the session
        is cancelled in the background, once it is known.
        """
        query = "" if unless is None else f"?{mount_query(unless, repository)}"
        call = Request("POST", await self.url(repository, f"blobs/uploads/{query}"))
        reply = await self.send_opening(call, repository)
        if unless is not None and reply.status == HTTPStatus.NOT_IMPLEMENTED:  # the registry does not support mounts
            raise RegistryRejected(str(to_registry_error(reply, datetime.now(UTC))))
        if unless is not None and reply.status == 201:
            compare(reply, unless)
            return None
        expect(reply, frozenset({202}))
        return reply

    async def send_opening(self, call: Request, repository: str, *more_scopes: str) -> Response:
        """Send a request that may open an upload session.

        On cancellation the session is cancelled too, once it is known.
        """
        opening = asyncio.create_task(self.send(call, repository, *more_scopes))
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
                reply = await opening
            expect(reply, frozenset({202}))
            location = await self.location(reply)
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
            reply = await self.send(Request("DELETE", location), repository)
        except RegistryError as error:
            if not error.retryable:
                raise
            return False
        is_failure = reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR and reply.status != HTTPStatus.NOT_IMPLEMENTED
        return not is_failure and reply.status not in _LATER


def expect(reply: Response, good: frozenset[int]) -> None:
    """Raise RegistryError unless a registry responded with one of the statuses `good`."""
    if reply.status not in good:
        raise to_registry_error(reply, datetime.now(UTC))
    refuse_page(reply)


def refuse_page(reply: Response) -> None:
    """Raise RegistryFault for a web page with any status."""
    if is_page(reply):
        there = urlsplit(reply.url)
        raise RegistryFault(
            f"{there.netloc} answered {reply.status} to {reply.method} {there.path} with a web page; check the proxy "
            "in front of the registry, and whether it requires a login"
        )


def mount_query(digest: Digest, source: str) -> str:
    """Return the query that mounts a blob of another repository, or of the same one."""
    return f"mount={quote(str(digest), safe='')}&from={quote(source, safe='')}"


def is_not_found(reply: Response) -> bool:
    """Return True for 404, and for the statuses that some registries send to a HEAD of missing content.

    A 403 that is a rate limit does not count.
    """
    if reply.status in _SILENT:
        return not to_registry_error(reply, datetime.now(UTC)).retryable
    return reply.status == 404


def _wants_repository(reply: Response) -> bool:
    is_push = reply.status == 404 and reply.method in {"POST", "PUT"}
    return is_push and read_complaint(reply.body).code == "NAME_UNKNOWN"

"""Open upload sessions, and the number of bytes that the registry reports for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from app.errors import RegistryError, RegistryFault
from app.net.backoff import DEFAULT_POLICY, TimeSource, delay_after
from app.net.client import Request
from app.net.response import Response
from app.net.urls import parse_range_header
from app.registry.distribution.endpoints import DistributionEndpoints
from app.registry.distribution.responses import to_registry_error
from app.registry.uploads.body import UploadBody

SETTLING = 0.2  # maximum seconds between two status requests
MAX_CHANGES = 8  # times that a session may change its answer
_SUCCESS = frozenset({200, 201, 202, 204})


class RangeRefused(RegistryFault):
    """The registry answered 416 to a part of an upload.

    Its session has an unexpected offset, which can be requested.
    """


@dataclass(slots=True)
class UploadSession:
    """An upload session: its URL, the registry's offset, and the smallest chunk that the registry accepts."""

    location: str
    least: int
    offset: int = 0
    resumed: bool = False


class SessionProgress:
    """Requests the offset of sessions at one registry.

    Some registries (Quay, Gitea) state the number of bytes instead of the last byte in Range, which is one too many by
    RFC 9110. That is learned from their rejections.
    """

    def __init__(self, endpoint: DistributionEndpoints, pause: TimeSource) -> None:
        self._endpoint, self._pause = endpoint, pause
        self._excess = 0  # bytes that the registry states too many

    async def ask(self, repository: str, session: UploadSession, reading: UploadBody) -> int | None:
        """Return the offset of the session, or None if it is lost or not reported.

        The request is repeated until two answers agree, because bytes of the broken request may still arrive.
        """
        offset = await self._ask_once(repository, session, reading)
        for _ in range(MAX_CHANGES):
            if offset is None:
                return None
            await self._pause.sleep(SETTLING * self._pause.chance())
            before, offset = offset, await self._ask_once(repository, session, reading)
            if offset == before:
                break
        return offset

    def correct(self, session: UploadSession, offset: int) -> int:
        """Return the real offset of a session that states `offset` but rejected the part from there on."""
        if self._excess or offset != session.offset:
            return offset
        self._excess = 1
        return offset - 1

    async def _ask_once(self, repository: str, session: UploadSession, reading: UploadBody) -> int | None:
        response = await self._response(repository, session)
        offset = parse_range_header(response.header("range")) if response.status in _SUCCESS else None
        if offset == 0:
            reading.count_none()
        if offset == reading.furthest + 1:  # more than was sent
            self._excess = 1
        offset = offset and offset - self._excess
        if not offset or offset > reading.furthest:
            return None
        if response.header("location") is not None:
            session.location = await self._endpoint.location(response)
        return offset

    async def _response(self, repository: str, session: UploadSession) -> Response:
        number = 1
        while True:
            try:
                response = await self._endpoint.send(Request("GET", session.location), repository)
                error = to_registry_error(response, datetime.now(UTC))
                if response.status >= 400 and error.retryable:
                    raise error
                return response
            except RegistryError as broken:
                if not broken.retryable or broken.silence or number >= DEFAULT_POLICY.tries:
                    raise
                wait = delay_after(broken, number, DEFAULT_POLICY, self._pause.chance())
                self._endpoint.report_retry(broken, wait)
                await self._pause.sleep(wait)
            number += 1

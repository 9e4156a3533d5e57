"""An open upload session, and how much of the upload it holds by the registry's own word."""

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

SETTLING = 0.2  # seconds at most between asking a session twice
MOST_UNSETTLED = 8  # times a session may say something else than before
_TOLD = frozenset({200, 201, 202, 204})


class RangeRefused(RegistryFault):
    """416 to a part of an upload: the session holds more or less than we think, and can be asked."""


@dataclass(slots=True)
class UploadSession:
    """Where an upload goes on, the bytes that the registry holds of it, and the smallest chunk that it takes."""

    location: str
    least: int
    offset: int = 0
    resumed: bool = False


class SessionProgress:
    """Asks the sessions of one registry. Some registries (Quay, Gitea) state the number of bytes as the last byte of
    the Range, which is one more than RFC 9110 has it; that is learnt from what they refuse."""

    def __init__(self, endpoint: DistributionEndpoints, pause: TimeSource) -> None:
        self._endpoint, self._pause = endpoint, pause
        self._excess = 0  # bytes that the registry states too many

    async def ask(self, repository: str, session: UploadSession, reading: UploadBody) -> int | None:
        """Return how many bytes the session holds, None if it is gone or does not say. It is asked until it says the
        same twice: bytes of the request that broke may still be on their way into it."""
        held = await self._ask_once(repository, session, reading)
        for _ in range(MOST_UNSETTLED):
            if held is None:
                return None
            await self._pause.sleep(SETTLING * self._pause.chance())
            before, held = held, await self._ask_once(repository, session, reading)
            if held == before:
                break
        return held

    def correct(self, session: UploadSession, held: int) -> int:
        """Return how many bytes the session holds that refused the part from `held` on, which is what it states."""
        if self._excess or held != session.offset:
            return held
        self._excess = 1
        return held - 1

    async def _ask_once(self, repository: str, session: UploadSession, reading: UploadBody) -> int | None:
        reply = await self._reply(repository, session)
        held = parse_range_header(reply.header("range")) if reply.status in _TOLD else None
        if held == 0:
            reading.count_none()
        if held == reading.furthest + 1:  # more than it was given
            self._excess = 1
        held = held and held - self._excess
        if not held or held > reading.furthest:
            return None
        if reply.header("location") is not None:
            session.location = await self._endpoint.location(reply)
        return held

    async def _reply(self, repository: str, session: UploadSession) -> Response:
        number = 1
        while True:
            try:
                reply = await self._endpoint.send(Request("GET", session.location), repository)
                error = to_registry_error(reply, datetime.now(UTC))
                if reply.status >= 400 and error.retryable:
                    raise error
                return reply
            except RegistryError as broken:
                if not broken.retryable or broken.silence or number >= DEFAULT_POLICY.tries:
                    raise
                wait = delay_after(broken, number, DEFAULT_POLICY, self._pause.chance())
                self._endpoint.report_retry(broken, wait)
                await self._pause.sleep(wait)
            number += 1

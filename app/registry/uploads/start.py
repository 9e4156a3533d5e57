"""The request that opens an upload session, and asks by the way whether there is need of one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.errors import Failure, RegistryError, RegistryRejected
from app.net.response import Response
from app.registry.uploads.capabilities import UploadCapabilities
from app.registry.uploads.stored_blobs import Blob, StoredBlobs

MOST_FAILURES = 2  # in a row; then it is the question that fails, not the registry
_FAILURES = frozenset(
    {
        Failure.UNREACHABLE,
        Failure.UNANSWERED,
        Failure.OVERLOADED,
        Failure.SERVER_ERROR,
        Failure.CUT_RESPONSE,
    }
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A blob that may be there. `by_head`: an answer that does not state its size is not enough."""

    blob: Blob
    by_head: bool = False


class UploadStarter:
    """Those at one registry. A blob that may be there is mounted from where it would be: 201 if it is, else that was
    the request for a session. A registry that does not take this is asked by HEAD first.

    A question that fails is sent again as any request. If it fails again, HEAD is the way on, and if it then fails for
    another blob too, HEAD is the way from then on: else a registry that was away for a while would be taken for one
    that does not answer this question."""

    def __init__(self, stored: StoredBlobs) -> None:
        self._stored, self._endpoint = stored, stored.endpoint
        self._failures = 0
        self._is_doubtful = False

    async def open(
        self, repository: str, wanted: Wanted | None, profile: UploadCapabilities
    ) -> tuple[Response | None, UploadCapabilities]:
        """Return the answer that has the session's Location, None if the blob `wanted` is there; and the profile that
        proves right if the blob is stored. Raises RegistryError."""
        if wanted is None:
            return await self._endpoint.open_upload(repository), profile
        if profile.ask and not wanted.by_head and self._failures < MOST_FAILURES:
            try:
                reply = await self._ask(repository, wanted.blob)
            except RegistryError as error:
                if error.retryable and not isinstance(error, RegistryRejected):
                    raise
                profile = replace(profile, ask=False)  # if that was it; else the next request says so
            else:
                if reply is not None or await self._stored.confirm(repository, wanted.blob):
                    return reply, profile
                return await self._endpoint.open_upload(repository), profile
        if await self._exists(repository, wanted.blob):
            return None, self._learnt(profile)
        return await self._endpoint.open_upload(repository), self._learnt(profile)

    async def _ask(self, repository: str, blob: Blob) -> Response | None:
        try:
            reply = await self._endpoint.open_upload(repository, blob[0])
        except RegistryError as error:
            self._failures += error.failure in _FAILURES
            raise
        self._failures, self._is_doubtful = 0, False
        return reply

    def _learnt(self, profile: UploadCapabilities) -> UploadCapabilities:
        """After a question by HEAD that was answered."""
        if self._failures < MOST_FAILURES:
            return profile
        if self._is_doubtful:
            return replace(profile, ask=False)
        self._failures, self._is_doubtful = MOST_FAILURES - 1, True
        return profile

    async def _exists(self, repository: str, blob: Blob) -> bool:
        try:
            return await self._stored.has(repository, *blob)
        except RegistryError as error:
            if error.retryable:
                self._failures = 0  # it was the registry that was away: when it is back it is asked as before
            raise

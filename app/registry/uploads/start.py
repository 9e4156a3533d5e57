"""The POST that opens an upload session, and tests at the same time whether the blob exists."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.errors import Failure, RegistryError, RegistryRejected
from app.net.response import Response
from app.registry.uploads.capabilities import UploadCapabilities
from app.registry.uploads.stored_blobs import Blob, StoredBlobs

MAX_FAILURES = 2  # in a row; then the test fails, not the registry
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
    """A blob that may exist. `by_head`: a response that does not state its size is not sufficient."""

    blob: Blob
    by_head: bool = False


class UploadStarter:
    """Starts upload sessions at one registry.

    If the blob may exist, the POST tries to mount it from the repository itself: 201 means that it exists, 202 opened a
    session. If a registry rejects that, the blob is tested by HEAD.

    A failed test is repeated like any request. After MOST_FAILURES in a row, HEAD is used for that blob. Only if the
    test then fails for another blob too, HEAD becomes permanent. Otherwise a temporary outage would be mistaken for a
    registry that does not support the test.
    """

    def __init__(self, stored: StoredBlobs) -> None:
        self._stored, self._endpoint = stored, stored.endpoint
        self._failures = 0
        self._is_doubtful = False

    async def open(
        self, repository: str, wanted: Wanted | None, capabilities: UploadCapabilities
    ) -> tuple[Response | None, UploadCapabilities]:
        """Return the response with the session's Location, or None if the blob `wanted` exists.

        Also return the capabilities to record once the blob is stored. Raises RegistryError.
        """
        if wanted is None:
            return await self._endpoint.open_upload(repository), capabilities
        if capabilities.ask and not wanted.by_head and self._failures < MAX_FAILURES:
            try:
                response = await self._ask(repository, wanted.blob)
            except RegistryError as error:
                if error.retryable and not isinstance(error, RegistryRejected):
                    raise
                capabilities = replace(
                    capabilities, ask=False
                )  # if that was the cause; otherwise the next request reports it
            else:
                if response is not None or await self._stored.confirm(repository, wanted.blob):
                    return response, capabilities
                return await self._endpoint.open_upload(repository), capabilities
        if await self._exists(repository, wanted.blob):
            return None, self._learned(capabilities)
        return await self._endpoint.open_upload(repository), self._learned(capabilities)

    async def _ask(self, repository: str, blob: Blob) -> Response | None:
        try:
            response = await self._endpoint.open_upload(repository, blob[0])
        except RegistryError as error:
            self._failures += error.failure in _FAILURES
            raise
        self._failures, self._is_doubtful = 0, False
        return response

    def _learned(self, capabilities: UploadCapabilities) -> UploadCapabilities:
        """Return the capabilities after a successful HEAD."""
        if self._failures < MAX_FAILURES:
            return capabilities
        if self._is_doubtful:
            return replace(capabilities, ask=False)
        self._failures, self._is_doubtful = MAX_FAILURES - 1, True
        return capabilities

    async def _exists(self, repository: str, blob: Blob) -> bool:
        try:
            return await self._stored.has(repository, *blob)
        except RegistryError as error:
            if error.retryable:
                self._failures = 0  # the registry was down: when it is back, the test is used as before
            raise

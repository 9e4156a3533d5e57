"""Requests that store manifests, one at a time per repository, across all jobs of the process.

Pulp moves the blobs of a manifest while it creates a tag. A manifest that shares some of them and arrives meanwhile
finds them in neither location and is rejected; and more than one tag at a time fills Pulp's task queue. Other
repositories are not affected.
"""

from __future__ import annotations

from datetime import UTC, datetime

from app.errors import ArchiveError, RegistryFault, RegistryRejected, with_hint
from app.net.backoff import TimeSource
from app.net.cancellation import finish_or_cancel
from app.net.client import Request
from app.net.response import Response
from app.oci import Descriptor, parse_manifest
from app.oci.media_types import NON_DISTRIBUTABLE
from app.registry.distribution.digest_headers import compare
from app.registry.distribution.endpoints import expect
from app.registry.distribution.hints import hint_of_manifest
from app.registry.distribution.manifest_lock import ManifestLock, ManifestLocks
from app.registry.distribution.responses import read_error_detail, to_registry_error
from app.registry.uploads.stored_blobs import StoredBlobs

SETTLING_SECONDS = 0.5  # plus up to as long again, before a manifest is sent again although its blobs exist
MAX_FAILED_REPEATS = 3  # futile repetitions of a repository in a row; then the first response is final
_LACKS = frozenset({"MANIFEST_INVALID", "BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"})


class ManifestPuts:
    """Stores manifests in one registry."""

    def __init__(self, stored: StoredBlobs, locks: ManifestLocks, pause: TimeSource) -> None:
        self._stored, self._endpoint, self._locks, self._pause = stored, stored.endpoint, locks, pause

    async def put(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> Response:
        """Store a manifest and return the successful response. Raises RegistryError."""
        descriptor, raw = manifest
        request = Request(
            "PUT",
            await self._endpoint.url(repository, f"manifests/{reference}"),
            {"Content-Type": descriptor.media_type},
            body=raw,
            read_timeout=self._endpoint.settings.timeouts.manifest,
        )
        manifest_lock = self._locks.at(repository)
        missing: tuple[str, ...] = ()
        async with manifest_lock.lock:
            response = await self._send(request, repository)
            if _lacks_blobs(response):
                missing, response = await self._send_again(manifest_lock, request, repository, (response, manifest))
        try:
            expect(response, frozenset({200, 201, 202}))
        except (RegistryFault, RegistryRejected) as error:
            if response.status in {400, 500}:
                error.args = (with_hint(str(error), hint_of_manifest(descriptor, raw)),)
            if isinstance(error, RegistryRejected):
                error.missing = error.missing or missing
            raise
        compare(response, descriptor.digest, raw)
        return response

    async def _send(self, request: Request, repository: str) -> Response:
        """Send the request, and let it finish on cancellation.

        If it were cut off, the registry might still execute it after the client was informed that pushing has ended.
        """
        sending = self._endpoint.send(request, repository)
        return await finish_or_cancel(sending, lambda: True, self._endpoint.settings.timeouts.cleanup)

    async def _send_again(
        self,
        manifest_lock: ManifestLock,
        request: Request,
        repository: str,
        refused: tuple[Response, tuple[Descriptor, bytes]],
    ) -> tuple[tuple[str, ...], Response]:
        """Send the manifest again after a pause, unless blobs are missing.

        Return the missing blobs and the response that counts.
        """
        response, manifest = refused
        if manifest_lock.failed_repeats < MAX_FAILED_REPEATS:
            await self._pause.sleep(SETTLING_SECONDS * (1 + self._pause.chance()))
        missing = await self._missing(repository, manifest)
        if missing or manifest_lock.failed_repeats >= MAX_FAILED_REPEATS:
            return missing, response
        response = await self._send(request, repository)
        manifest_lock.failed_repeats = manifest_lock.failed_repeats + 1 if _lacks_blobs(response) else 0
        return (), response

    async def _missing(self, repository: str, manifest: tuple[Descriptor, bytes]) -> tuple[str, ...]:
        """Return the missing blobs of a manifest. The registry may not have named them."""
        try:
            parsed = parse_manifest(manifest[1], manifest[0])
        except ArchiveError:
            return ()
        wanted = {blob for blob in parsed.blobs if not blob.urls and blob.media_type not in NON_DISTRIBUTABLE}
        return tuple(
            [str(blob.digest) for blob in wanted if not await self._stored.has(repository, blob.digest, blob.size)]
        )


def _lacks_blobs(response: Response) -> bool:
    """Return whether a manifest may have been rejected because of its blobs, although they were seen just before."""
    if response.status not in {400, 404} or read_error_detail(response.body).code not in _LACKS:
        return False
    error = to_registry_error(response, datetime.now(UTC))
    return not (isinstance(error, RegistryRejected) and error.media_type_refused)

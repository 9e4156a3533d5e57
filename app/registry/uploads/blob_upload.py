"""Upload of one blob to a registry, with the fallbacks of `capabilities`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from app.errors import RegistryError, RegistryFault, RegistryRejected
from app.net.backoff import TimeSource
from app.net.response import Response
from app.registry import BlobContent
from app.registry.distribution.rate_limit import RequestThrottle
from app.registry.uploads.body import UploadBody
from app.registry.uploads.capabilities import (
    UploadCapabilities,
    UploadMethod,
    chunk_min_length,
    is_invalid,
    is_session_lost,
    next_capabilities,
)
from app.registry.uploads.capability_file import LearnedCapabilities
from app.registry.uploads.session import SessionProgress, UploadSession
from app.registry.uploads.start import UploadStarter, Wanted
from app.registry.uploads.stored_blobs import Blob, StoredBlobs
from app.registry.uploads.transfer import RefusedError, Transfer, blob_of
from app.registry.uploads.unverified_blobs import MARKED_SIZE, Doubt

PULP = "x-registry-supports-signatures"  # sent by Pulp, which stores even a part of a PUT's body


class BlobUploader:
    """Sends blobs to one registry, and learns its capabilities."""

    def __init__(self, stored: StoredBlobs, throttle: RequestThrottle, pause: TimeSource) -> None:
        self.stored, self.throttle = stored, throttle
        self.openings = UploadStarter(stored)
        self.progress = SessionProgress(stored.endpoint, pause)
        self.learnt = LearnedCapabilities(stored.endpoint.name, stored.endpoint.settings.profiles)

    async def push(self, repository: str, content: BlobContent) -> Blob:
        """Send one blob, and return its digest and size. Raises RegistryError and the errors of the content."""
        capabilities = await self.learnt.current()
        reading = UploadBody(content, self.throttle)
        try:
            return await _Upload(self, repository, reading, capabilities).run()
        finally:
            await reading.close()


class _Upload:
    def __init__(
        self, uploader: BlobUploader, repository: str, reading: UploadBody, capabilities: UploadCapabilities
    ) -> None:
        self._uploader, self._endpoint = uploader, uploader.stored.endpoint
        self._repository, self._content, self._reading = repository, reading.content, reading
        self._capabilities = capabilities
        self._doubt: Doubt | None = None
        self._was_invalid = False

    async def run(self) -> Blob:
        refused: RegistryError | None = None
        while True:
            method = self._choose_method()
            if method is None:
                raise refused or self._too_large()
            if method is UploadMethod.MEASURE:
                await self._reading.measure()
                continue
            try:
                blob = await self._attempt(method)
            except RefusedError as refusal:
                refused = refusal.error
                self._learn(refusal)
                continue
            await self._uploader.learnt.learn(self._capabilities)
            return blob

    def _choose_method(self) -> UploadMethod | None:
        """Choose the upload method, or return None if none is left.

        If the blob may still be discarded, its bytes are sent before the request that commits it. So they are if the
        blob is in doubt: the committing request verifies the digest.
        """
        size, capabilities = self._content.size, self._capabilities
        apart = capabilities
        if not self._content.is_commit_allowed:
            apart = replace(capabilities, put=False)
        elif self._doubt is not None and capabilities.patch:
            apart = replace(capabilities, put=False, chunks=False)
        return apart.choose_method(size) or capabilities.choose_method(size)

    def _too_large(self) -> RegistryRejected:
        """Return the error for a size limit that an earlier blob has revealed."""
        return RegistryRejected(
            f"{self._endpoint.name} accepts neither requests of more than {self._capabilities.most} bytes nor uploads "
            f"in chunks; {self._content.digest} has {self._content.size} bytes. Raise the limit of the proxy in front "
            "of it"
        )

    def _learn(self, refusal: RefusedError) -> None:
        """Update the capabilities after a rejected request. Raise the rejection if no other upload method is left."""
        response = refusal.response
        if is_session_lost(response, refusal.tried):
            raise RegistryFault(f"{refusal.error}; the registry has lost the upload session") from None
        learnt = next_capabilities(self._capabilities, refusal.tried, response)
        if learnt is not None:
            self._capabilities = learnt
            return
        if not is_invalid(response) or self._was_invalid:
            raise refusal.error from None
        self._was_invalid = True  # damaged in transit, or committed by another push meanwhile: try once more

    async def _attempt(self, method: UploadMethod) -> Blob:
        """Send the blob in a new session, which is committed or cancelled at the end."""
        stored = self._uploader.stored
        started = await self._open()
        if started is None:
            return blob_of(self._content)
        least = chunk_min_length(started.header("oci-chunk-min-length"))
        session = UploadSession(await self._endpoint.location(started), least)
        self._reading.furthest = 0
        try:
            await self._learn_from(started)
            method = (self._choose_method() if method is UploadMethod.PUT else None) or method
            transfer = Transfer(stored, self._uploader.progress, self._repository, self._reading, self._capabilities)
            blob = await transfer.deliver(session, method)
        except asyncio.CancelledError:
            await self._endpoint.cancel_upload(self._repository, session.location)
            raise
        except BaseException:
            self._endpoint.abandon_later(self._repository, session.location)
            raise
        await stored.check_sent(self._repository, blob, self._doubt or await self._doubt_of_sent(blob, started))
        return blob

    async def _doubt_of_sent(self, blob: Blob, started: Response) -> Doubt | None:
        """Return a doubt about a blob just sent to Pulp.

        Pulp stores one blob per digest for all repositories and keeps the first, even an incomplete one of another
        client; later uploads are accepted and ignored.
        """
        digest, size = blob
        is_shared = started.header(PULP) is not None and size >= MARKED_SIZE
        return await self._uploader.stored.unproven.doubt_of(digest) or (Doubt.CUT if is_shared else None)

    async def _open(self) -> Response | None:
        """Return the response with a new session, or None if the blob exists."""
        unproven, digest = self._uploader.stored.unproven, self._content.digest
        self._doubt = None if digest is None else await unproven.doubt_of(digest)
        if (spare := self._content.spare) is not None and (opened := spare.take()) is not None:
            return opened
        may_be_there = self._content.might_exist if self._doubt is None else self._doubt is Doubt.CUT
        was_invalid = self._was_invalid and digest is not None
        by_head = self._doubt is not None or was_invalid
        wanted = Wanted(blob_of(self._content), by_head=by_head) if may_be_there or was_invalid else None
        started, self._capabilities = await self._uploader.openings.open(self._repository, wanted, self._capabilities)
        if started is None:
            self._content.mark_existing()
        return started

    async def _learn_from(self, started: Response) -> None:
        """Update the capabilities by the response that opened the session.

        This may wait, so the session must be recorded before.
        """
        digest = self._content.digest
        if digest is not None:
            self._doubt = await self._uploader.stored.unproven.doubt_of(digest)
        if started.header(PULP) is not None:
            self._capabilities = replace(self._capabilities, put=False)

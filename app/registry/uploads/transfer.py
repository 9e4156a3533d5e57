"""Transfer of one blob into one upload session, with resumption after broken connections."""

from __future__ import annotations

from datetime import UTC, datetime

from app.errors import Failure, Internal, RegistryError
from app.net.cancellation import finish_or_cancel
from app.net.client import Body, Request
from app.net.response import Response
from app.net.urls import with_digest
from app.registry import BlobContent
from app.registry.distribution.digest_headers import WrongDigest, compare
from app.registry.distribution.endpoints import refuse_page
from app.registry.distribution.responses import to_registry_error
from app.registry.uploads.body import NO_BODY, OCTETS, UploadBody, full_body, range_body, range_headers
from app.registry.uploads.capabilities import UploadAttempt, UploadCapabilities, UploadMethod, is_too_large
from app.registry.uploads.session import RangeRefused, SessionProgress, UploadSession
from app.registry.uploads.stored_blobs import Blob, StoredBlobs
from app.registry.uploads.unverified_blobs import Doubt

WORTH_ASKING = 128 << 10  # bytes; below this, restarting costs no more than asking for the offset
MAX_FRUITLESS = 2  # resumptions in a row that gained less than WORTH_ASKING bytes
_TAKEN = frozenset({200, 201, 202, 204})  # responses to a PATCH: ECR sends 201, others 204
_STORED = frozenset({200, 201, 204})


class RefusedError(Exception):
    """The registry rejects this request, and would reject it again."""

    def __init__(self, response: Response, error: RegistryError, tried: UploadAttempt) -> None:
        super().__init__()
        self.response, self.error, self.tried = response, error, tried


class Transfer:
    """A transfer into one session at a time. `capabilities`: the capabilities known when it begins."""

    def __init__(
        self,
        stored: StoredBlobs,
        progress: SessionProgress,
        repository: str,
        reading: UploadBody,
        capabilities: UploadCapabilities,
    ) -> None:
        self._stored, self._endpoint, self._progress = stored, stored.endpoint, progress
        self._repository, self._content, self._reading = repository, reading.content, reading
        self._capabilities = capabilities
        self._cleanup = self._endpoint.settings.timeouts.cleanup
        self._streamed = False

    async def deliver(self, session: UploadSession, method: UploadMethod) -> Blob:
        fruitless = 0
        while True:
            began, counted = session.offset, self._reading.counted
            try:
                return await self._send(session, method)
            except RegistryError as error:
                if not error.retryable or self._reading.furthest < WORTH_ASKING or _is_silent_elsewhere(error):
                    raise
                offset = await self._progress.ask(self._repository, session, self._reading)
                if offset is None:
                    return await self._find_committed(error)
                if isinstance(error, RangeRefused):
                    offset = self._progress.correct(session, offset)
                # the registry's own count of bytes read, after a connection broke with bytes in transit
                self._reading.count(max(offset - began, 0) - (self._reading.counted - counted))
                fruitless += offset - began < WORTH_ASKING
                if fruitless > MAX_FRUITLESS:
                    raise
                session.offset, session.resumed = offset, True
                method = self._capabilities.resume_method(self._content.size, offset)

    async def _send(self, session: UploadSession, method: UploadMethod) -> Blob:
        """Send the rest of the blob from the session's offset, and commit it."""
        size = self._content.size
        if method is UploadMethod.PUT and size is not None:
            return await self._close(session, method, size)
        if size is None or session.offset < size:
            await (self._send_chunks(session) if method is UploadMethod.CHUNKS else self._patch_rest(session, method))
        return await self._close(session, method, 0)

    async def _patch_rest(self, session: UploadSession, method: UploadMethod) -> None:
        size, start = self._content.size, session.offset
        headers = dict(OCTETS)
        if size is not None:
            headers["Content-Length"] = str(size - start)
            if session.resumed:
                headers["Content-Range"] = f"{start}-{size - 1}"
        self._streamed = size is None and start == 0  # even if the size becomes known before all of it is sent
        body = self._reading.stream if self._streamed else lambda: self._reading.part(start, size)
        try:
            await self._patch(session, headers, body, method)
        finally:
            self._streamed = False
        session.offset = self._content.size or self._reading.furthest

    async def _send_chunks(self, session: UploadSession) -> None:
        """Send the rest in chunks.

        If the size is unknown, each chunk is buffered, because its length must be sent first.
        """
        size = self._content.size
        most = self._capabilities.chunk(size, self._endpoint.settings.chunk_bytes, session.least)
        while size is None or session.offset < size:
            start = session.offset
            if size is None:
                data = await self._reading.take(start, most)
                if not data:
                    return
                end, body = start + len(data), data
                await self._patch(session, range_headers(start, end), body, UploadMethod.CHUNKS)
            else:
                end = min(start + most, size)
                part = range_body(self._reading, start, end)
                await self._patch(session, range_headers(start, end), part, UploadMethod.CHUNKS)
            session.offset = end

    async def _patch(
        self, session: UploadSession, headers: dict[str, str], body: bytes | Body, method: UploadMethod
    ) -> None:
        await finish_or_cancel(self._send_patch(session, headers, body, method), self._wind_up, self._cleanup)

    async def _send_patch(
        self, session: UploadSession, headers: dict[str, str], body: bytes | Body, method: UploadMethod
    ) -> None:
        response = await self._endpoint.send(Request("PATCH", session.location, headers, body=body), self._repository)
        if response.status in _TAKEN and response.header("location") is not None:
            session.location = await self._endpoint.location(response)
        if self._reading.failure is not None:
            raise self._reading.failure
        length = headers.get("Content-Length")
        self._take(response, _TAKEN, UploadAttempt(method, self._reading.furthest if length is None else int(length)))

    def _wind_up(self) -> bool:
        """Return whether the current request can finish: its body is a stream, or has been sent."""
        size, given = self._content.size, self._reading.furthest
        if size is not None and not self._streamed:
            return given >= size
        if given:
            self._reading.stop()
        return given > 0

    async def _close(self, session: UploadSession, method: UploadMethod, size: int) -> Blob:
        """Commit the blob with a PUT. `size` is that of its body: all of the content, or 0."""
        await self._content.wait_commit_allowed()
        blob = blob_of(self._content)
        headers, body = NO_BODY if method is not UploadMethod.PUT else full_body(self._reading, size)
        request = Request("PUT", with_digest(session.location, blob[0]), headers, body=body)
        response = await (
            self._send_whole(request, blob) if method is UploadMethod.PUT else self._send_request(request)
        )
        self._take(response, _STORED, UploadAttempt(method, size))
        try:
            compare(response, blob[0])
        except WrongDigest:
            self._stored.unproven.add(blob[0], Doubt.LOST)
            raise
        return blob

    async def _send_whole(self, request: Request, blob: Blob) -> Response:
        """Send the PUT with all of the content.

        If it is cut off, the blob's presence is not proof: some registries store the part they received. The same is
        true if a proxy answers after it has sent the registry a part.
        """
        unproven, is_cut = self._stored.unproven, True
        await unproven.begin(*blob)
        try:
            response = await self._send_request(request)
            is_cut = _may_pass(response)
            return response
        finally:
            unproven.end(*blob, is_cut=is_cut)

    async def _send_request(self, request: Request) -> Response:
        return await finish_or_cancel(self._endpoint.send(request, self._repository), self._wind_up, self._cleanup)

    def _take(self, response: Response, good: frozenset[int], tried: UploadAttempt) -> None:
        if response.status in good:
            refuse_page(response)
            return
        self._reading.count_refusal(response)
        error = to_registry_error(response, datetime.now(UTC))
        if response.status in {401, 403} or _may_pass(response):
            raise error
        if response.status == 416 and not is_too_large(response):  # unexpected offset, which can be requested
            raise RangeRefused(f"{error}; the registry's offset of the upload differs from the bytes sent")
        raise RefusedError(response, error, tried)

    async def _find_committed(self, error: RegistryError) -> Blob:
        """Return the blob if it is stored.

        A lost session may have been committed by the request whose response was lost.
        """
        digest, size = self._content.digest, self._content.size
        all_given = digest is not None and size is not None and self._reading.furthest >= size
        if all_given and await self._stored.has(self._repository, *blob_of(self._content)):
            return blob_of(self._content)
        raise error


def blob_of(content: BlobContent) -> Blob:
    """Return digest and size of content that has been read, or whose digest is known."""
    digest, size = content.digest, content.size
    if digest is None or size is None:
        raise Internal("content was read to its end, but has no digest and size")
    return digest, size


def _may_pass(response: Response) -> bool:
    """Return whether the same request may succeed later; 501 rejects this kind of request."""
    return (
        response.status >= 400 and response.status != 501 and to_registry_error(response, datetime.now(UTC)).retryable
    )


def _is_silent_elsewhere(error: RegistryError) -> bool:
    """Return whether the session is on another host that timed out; its offset is then not requested."""
    return error.failure is Failure.ELSEWHERE and error.silence > 0

"""ReplayedUpload: a request whose idempotency key was used before. It is read and compared, never stored or pushed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

from app.errors import ArchiveError, Conflict, InvalidRequest, TarmacError, UploadIncomplete
from app.jobs.model import Job, JobState
from app.jobs.request import JobRequest
from app.jobs.sources.server_archives import CHUNK_BYTES
from app.oci import Digest
from app.threads import hash_in_thread


class ReplayedUpload:
    """A replay. `job` is that of the first request; `settled` returns it when its upload has ended."""

    replay = True

    def __init__(self, job: Job, settled: Callable[[str], Awaitable[Job]]) -> None:
        self.job = job
        self._settled = settled
        self._digests: list[Digest] = []
        self._received = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: a replay stores nothing that could be abandoned."""

    def set_expected_request(self, request: JobRequest) -> None:
        """Ignore the request: nothing is pushed for a replay."""

    async def receive(
        self, name: str, chunks: AsyncIterable[bytes], expected_bytes: int | None = None, path: str | None = None
    ) -> None:
        self._received = 0
        self._digests.append(await hash_only(self._counted(chunks)))

    async def _counted(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._received += len(chunk)
            yield chunk

    async def is_whole(self) -> bool:
        """As it was for the first request."""
        job = await self._settled(self.job.id)
        archives = job.archives[len(self._digests) :]
        return bool(archives) and (archives[0].is_unreadable or archives[0].size == self._received)

    def add_refused(self, error: ArchiveError) -> None:
        """Nothing is looked into."""

    async def submit(self, request: JobRequest) -> Job:
        job = await self._settled(self.job.id)
        unreadable = {number for number, archive in enumerate(job.archives) if archive.is_unreadable}
        digests = [digest for number, digest in enumerate(self._digests) if number not in unreadable]
        check_same_request(job, request.fingerprint(digests))
        return job

    async def abandon(self, error: TarmacError) -> Job:
        return self.job


def check_same_request(job: Job, fingerprint: str) -> None:
    """Compare a replayed request with the first one.

    Raises Conflict while the first is still being received, UploadIncomplete if it broke off, InvalidRequest if it
    differs."""
    if job.state is JobState.RECEIVING:
        raise Conflict(
            f"the first request with this Idempotency-Key is still being received as job {job.id}; retry later"
        )
    if job.idempotency_key is None:
        raise UploadIncomplete("the first request with this Idempotency-Key broke off; send this one again")
    if job.fingerprint != fingerprint:
        raise InvalidRequest(f"this Idempotency-Key was used for another request, job {job.id}; use a new key")


async def hash_only(chunks: AsyncIterable[bytes]) -> Digest:
    hasher = hashlib.sha256()
    batch = bytearray()
    async for chunk in chunks:
        batch += chunk
        if len(batch) >= CHUNK_BYTES:
            await hash_in_thread(hasher.update, bytes(batch))
            batch.clear()
    hasher.update(bytes(batch))
    return Digest("sha256", hasher.hexdigest())

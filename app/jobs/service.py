"""JobService: one method per thing a user can do with jobs.

How an upload goes (form and raw body alike; the fold of `async with` calls `abandon` when anything breaks):

    async with await service.begin(source="upload", idempotency_key=key) as upload:
        for each archive of the request:
            await upload.receive(name, chunks, expected_bytes)
        job = await upload.submit(request)

`upload.job` is the job, from the first byte on. `upload.replay` is True where the idempotency key is known already:
then `receive` only hashes what comes, and `submit` compares it with the first request: the same job comes back, or
InvalidRequest where it is another request. Fifty equal posts at once make one job.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from app.errors import TarmacError
from app.jobs.job import NO_LABELS, Job, JobState
from app.push import PushOptions


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What is asked for. `checksum`: `sha256:<hex>` of the one archive as sent; `paths`: patterns on the server."""

    options: PushOptions
    registry: str = "default"
    labels: Mapping[str, str] = field(default=NO_LABELS)
    checksum: str | None = None
    paths: tuple[str, ...] = ()


class Upload(Protocol):
    """An upload under way. One task uses it. Leaving its `async with` before `submit` gave a job abandons it."""

    @property
    def job(self) -> Job: ...
    @property
    def replay(self) -> bool: ...

    async def receive(self, name: str, chunks: AsyncIterable[bytes], expected_bytes: int | None = None) -> None:
        """Take one archive. Raises SpoolFull, ArchiveError, Conflict (cancelled meanwhile), what `chunks` raises."""
        ...

    async def submit(self, request: JobRequest) -> Job:
        """All archives are there: compare the checksum, open them, plan, queue. A bad archive, name or checksum is
        raised, and the job is FAILED with that problem. Returns a queued job (or, replayed, the first one)."""
        ...

    async def abandon(self, error: TarmacError) -> Job:
        """The upload broke: FAILED with `error`, nothing left in the spool, the idempotency key free again."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class JobService(Protocol):
    """The verbs. Unknown job: NotFound. Every returned Job is durable or newer."""

    async def begin(self, *, source: str = "upload", idempotency_key: str | None = None) -> Upload: ...

    async def submit_paths(self, request: JobRequest, idempotency_key: str | None = None) -> Job: ...

    async def get(self, job_id: str) -> Job: ...

    async def page(
        self, *, state: JobState | None = None, label: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> tuple[tuple[Job, ...], str | None]:
        """Newest first, and the cursor of the next page. `label` is `key=value`."""
        ...

    async def wait(self, job_id: str, seconds: float) -> Job:
        """The job when it has ended, or as it is when the time is up."""
        ...

    def watch(self, job_id: str, after: int | None = None) -> AsyncIterator[Job]:
        """Every newest state from the present one on (left out where its revision is `after`), the last one ended."""
        ...

    async def cancel(self, job_id: str) -> Job: ...

    async def retry(self, job_id: str) -> Job: ...

    async def delete(self, job_id: str) -> None: ...

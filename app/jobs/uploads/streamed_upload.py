"""StreamedUpload: form and raw bodies that are received into the spool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

from app.archive import TarIndex
from app.archive.compression import MAX_DECODER_BYTES
from app.archive.ingest import IngestStream, RawIntake
from app.archive.model import Fault
from app.errors import (
    ArchiveError,
    Conflict,
    InvalidRequest,
    TarmacError,
    Unavailable,
    UploadIncomplete,
)
from app.jobs.deliveries.model import DECISIONS
from app.jobs.model import ArchiveSource, Job, JobArchive, JobImage, JobState
from app.jobs.preparation import Findings, PushPreparer
from app.jobs.registries import pick_registry
from app.jobs.request import JobRequest
from app.jobs.runtime import JobRuntime
from app.jobs.sources.server_archives import NAMELESS, begun, compare_checksum, unique_name, unwrap
from app.jobs.uploads.early_pushes import PartialArchive
from app.oci import Digest
from app.push import PushPlan, with_received
from app.push.early.early_push import EarlyPush, notify_early_push
from app.push.plan.open_archives import prefix_errors_with
from app.spool import PartialReads, SpooledFile

SHOWN_BYTES = 1 << 20  # progress is updated once per MiB: at full speed a thousand times a second


class ArchiveUpload(Protocol):
    """An upload in progress, used by one task. Leaving its `async with` before `submit` returns abandons it."""

    @property
    def job(self) -> Job:
        """Return the job as it was when the upload began."""
        ...

    @property
    def replay(self) -> bool: ...

    def set_expected_request(self, request: JobRequest) -> None:
        """Set what is known of the request before its archive, so that an early push may begin.

        The request given to `submit` decides: if it differs, the early push is undone."""
        ...

    async def receive(
        self, name: str, chunks: AsyncIterable[bytes], expected_bytes: int | None = None, path: str | None = None
    ) -> None:
        """Receive one archive. `path` is the path that its form gives.

        Raises SpoolFull, ArchiveError, Conflict if the job was cancelled meanwhile, and what `chunks` raises."""
        ...

    async def is_whole(self) -> bool:
        """Return whether the archive that is being received is complete, after a chunk that is empty: the others before
        it have been read."""
        ...

    def add_refused(self, error: ArchiveError) -> None:
        """Keep the archive for which `receive` raised `error`. `submit` raises it unless the options say keep_going."""
        ...

    async def submit(self, request: JobRequest) -> Job:
        """Check the checksum, open and plan the received archives, and queue the job.

        Return the queued job (for a replay, the first one). For a bad archive, name or checksum the job fails, and the
        problem is raised."""
        ...

    async def abandon(self, error: TarmacError) -> Job:
        """Fail the job with `error`, delete its files from the spool, and release its idempotency key."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class StreamedUpload:
    """An upload that is stored. `left` is called when it ends, successfully or not."""

    replay = False

    def __init__(self, runtime: JobRuntime, job: Job, source: ArchiveSource, left: Callable[[], object]) -> None:
        self.job = job
        self._runtime, self._source, self._left = runtime, source, left
        self._archives: list[JobArchive] = []
        self._indexes: list[TarIndex | Fault] = []
        self._images: tuple[JobImage, ...] = ()  # of a request that is refused because of some of them
        self._refused: list[ArchiveError] = []
        self._intake: IngestStream | None = None  # of the archive that is being received
        self._coming: JobArchive | None = None  # the archive that is being received
        self._is_whole = False  # all its bytes have been received
        self._scope: asyncio.Timeout | None = None
        self._submitted = False
        self._foreseen: JobRequest | None = None

    def set_expected_request(self, request: JobRequest) -> None:
        self._foreseen = request

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._submitted:
                known = error if isinstance(error, TarmacError) else None
                await self.abandon(known or UploadIncomplete("the upload ended before its last byte; send it again"))
        finally:
            self._runtime.indexes.release_all(self.job.id)
            self._left()

    async def receive(
        self, name: str, chunks: AsyncIterable[bytes], expected_bytes: int | None = None, path: str | None = None
    ) -> None:
        archive = self._coming = JobArchive(self._unique(name), self._source, path=path)
        intake, file = await self._receive(archive, chunks, expected_bytes)
        archive = replace(archive, size=intake.received, digest=intake.digest)
        self._add(replace(archive, compression=intake.compression, file=file), intake.index)

    async def is_whole(self) -> bool:
        return self._intake is not None and self._intake.is_whole

    def add_refused(self, error: ArchiveError) -> None:
        self._refused.append(error)
        self._add(replace(self._coming or JobArchive("", self._source), problem=error.problem), Fault.of(error))

    def _add(self, archive: JobArchive, index: TarIndex | Fault) -> None:
        self._archives.append(archive)
        self._indexes.append(index)
        self._coming = None
        self._runtime.tracker.update_progress(self.job.id, lambda job: job.evolve(archives=tuple(self._archives)))

    @property
    def _asked(self) -> Job:
        """The job with the options that are known so far."""
        return self.job if self._foreseen is None else replace(self.job, options=self._foreseen.options)

    async def _receive(
        self, archive: JobArchive, chunks: AsyncIterable[bytes], expected_bytes: int | None
    ) -> tuple[IngestStream, SpooledFile]:
        if expected_bytes is not None:
            await asyncio.to_thread(self._runtime.spool.check_space, expected_bytes)
        await self._check()  # last: a cancellation from here on finds something to stop
        spooled_as = f"{self.job.id}-{len(self._archives)}"
        try:
            async with asyncio.timeout(None) as self._scope:
                with prefix_errors_with(archive.name, several=archive.name != NAMELESS):
                    return await self._save(archive, spooled_as, chunks, expected_bytes)
        except TimeoutError:
            if self._scope is not None and self._scope.expired():
                raise Conflict(f"job {self.job.id} was cancelled during its upload") from None
            raise
        finally:
            self._scope = None

    async def _save(
        self, archive: JobArchive, spooled_as: str, chunks: AsyncIterable[bytes], expected: int | None
    ) -> tuple[IngestStream, SpooledFile]:
        """Decompress the bytes as they arrive if memory allows; otherwise store them, then decompress the file."""
        memory, chunks = await begun(chunks)
        decoders, share = self._runtime.decoders, self.job.share
        if not decoders.is_free(share, memory):
            return await self._save_later(archive, spooled_as, chunks, expected)
        runtime, may_be_cut = self._runtime, self._asked.options.keep_going
        intake = IngestStream(
            runtime.limits, runtime.max_archive_bytes, memory or MAX_DECODER_BYTES, may_be_cut=may_be_cut
        )
        early = self._early(spooled_as)
        self._intake = intake
        try:
            with decoders.lent(share, memory):
                told = self._told(archive, notify_early_push(chunks, intake, early), expected)
                told = runtime.indexes.checked(spooled_as, share, told, intake)
                return intake, await self._runtime.save(share, spooled_as, told, intake, expected or 0)
        except TarmacError:
            self._note_digest(intake)
            raise
        finally:
            self._intake = None
            if early is not None:
                early.end()

    async def _save_later(
        self, archive: JobArchive, spooled_as: str, chunks: AsyncIterable[bytes], expected: int | None
    ) -> tuple[IngestStream, SpooledFile]:
        runtime, share = self._runtime, self.job.share
        told, raw = self._told(archive, chunks, expected), RawIntake(runtime.max_archive_bytes)
        sent = await runtime.save(share, f"{spooled_as}-sent", told, raw, expected or 0)
        try:
            file = await asyncio.to_thread(runtime.spool.open, sent)
            try:
                return await unwrap(file, spooled_as, runtime, self._asked, self._note_digest)
            finally:
                file.close()
        finally:
            await runtime.discard(sent)

    def _note_digest(self, intake: IngestStream) -> None:
        """Keep the digest of an archive that was received completely and then refused."""
        if self._coming is not None and self._is_whole and intake.received == self._coming.size:
            self._coming = replace(self._coming, digest=intake.digest)

    def add_spooled(self, archive: JobArchive, index: TarIndex) -> None:
        """Add an archive that is in the spool already, instead of `receive`."""
        self._archives.append(archive)
        self._indexes.append(index)

    async def submit(self, request: JobRequest) -> Job:
        if not self._archives:
            raise InvalidRequest("the request contains no archive; send a file part named `archive`, or a body")
        if self._refused and not (request.options.keep_going and len(self._archives) > 1):
            raise _together(self._refused, len(self._archives))
        digests = [archive.digest for archive in self._archives if archive.digest and not archive.is_unreadable]
        fingerprint = request.fingerprint(digests)
        try:
            job, plan = await self._queue(request, fingerprint)
        except TarmacError as error:
            if await self._fails(error, fingerprint, request):
                raise
            raise Unavailable(f"job {self.job.id} was abandoned during its upload; send the archive again") from error
        self._submitted = True
        await self._runtime.early.commit_wanted(job, plan)
        await self._runtime.queue.put(job.id, job.schedule)
        return job

    async def _fails(self, error: TarmacError, fingerprint: str, request: JobRequest) -> bool:
        """Return whether the job fails because of `error`. Raises Conflict if it was cancelled.

        If this replica was taken for dead, the job ended earlier and its archives were deleted; `error` is then only a
        consequence."""
        try:
            key = None if error.retryable else self.job.idempotency_key
            job = await self._fail(error, request, fingerprint=fingerprint, idempotency_key=key)
        except Conflict:  # another replica has taken it over
            job = await self._runtime.tracker.get(self.job.id)
        if job.state is not JobState.FAILED:
            _check_receiving(job)
        return job.problem == error.problem

    async def abandon(self, error: TarmacError) -> Job:
        return await self._fail(error, None, fingerprint=None, idempotency_key=None)

    def stop(self) -> None:
        """Interrupt the reception, because the job was cancelled."""
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    def _early(self, spooled_as: str) -> EarlyPush | None:
        """Start an early push, unless signatures are checked: no byte of an unsigned image may leave."""
        spool, asked = self._runtime.spool, self._foreseen
        if asked is None or self._runtime.signatures or not isinstance(spool, PartialReads):
            return None
        registry = pick_registry(self._runtime.registries, asked.registry)
        arriving = PartialArchive(len(self._archives), partial(spool.open_partial, spooled_as))
        return self._runtime.early.start(self.job, asked.options, registry, arriving)

    async def _check(self) -> None:
        _check_receiving(await self._runtime.tracker.get(self.job.id))

    async def _told(
        self, archive: JobArchive, chunks: AsyncIterable[bytes], expected: int | None
    ) -> AsyncIterator[bytes]:
        before = sum(item.size for item in self._archives)
        size, told = 0, -SHOWN_BYTES
        self._is_whole = False
        async for chunk in chunks:
            size += len(chunk)
            self._coming = replace(archive, size=size)
            if size - told >= SHOWN_BYTES:
                told = size
                self._tell(self._coming, before + size, expected and before + expected)
            yield chunk
        self._is_whole = True
        self._tell(replace(archive, size=size), before + size, expected and before + expected)

    def _tell(self, archive: JobArchive, count: int, expected: int | None) -> None:
        def changed(job: Job) -> Job:
            return job.evolve(
                archives=(*self._archives, archive), progress=with_received(job.progress, count, expected)
            )

        self._runtime.tracker.update_progress(self.job.id, changed)

    async def _queue(self, request: JobRequest, fingerprint: str) -> tuple[Job, PushPlan]:
        registry = pick_registry(self._runtime.registries, request.registry)
        asked = replace(self.job, options=request.options, archives=tuple(self._archives))
        opener = PushPreparer(self._runtime.spool, self._runtime.limits, self._runtime.signatures, registry.check)
        try:
            self._compare(request.expected())
        except TarmacError:
            with suppress(TarmacError):  # the formats and names belong to the record of the failure
                async with opener.prepare(asked, registry.destination, self._understood, self._indexes):
                    pass
            raise
        async with opener.prepare(asked, registry.destination, self._understood, self._indexes) as opened:
            known = {
                "archives": opened.job_archives,
                "images": opened.images,
                "notices": opened.notices,
                **_asked(request, self.job),
                "fingerprint": fingerprint,
                "accepted_at": self._runtime.arrivals.next(self._runtime.clock),
            }

        def queued(job: Job) -> Job:
            _check_receiving(job)  # a job cancelled meanwhile may be queued by a retry, but not by its upload
            return job.transition_to(JobState.QUEUED, **known)

        present = await self._runtime.tracker.transition(self.job.id, queued)
        self._runtime.plans.keep(present, opened.planned)
        return present, opened.plan

    def _understood(self, found: Findings) -> None:
        self._archives, self._images = list(found.archives), found.images

    def _compare(self, expected: Digest | None) -> None:
        if expected is None:
            return
        if len(self._archives) > 1:
            raise InvalidRequest("option `checksum` needs a single archive; send one request for each archive")
        compare_checksum(self._archives[0], expected)

    async def _fail(self, error: TarmacError, request: JobRequest | None, **members: str | None) -> Job:
        """Fail the job with `members`, unless it has ended meanwhile, and delete its files from the spool.

        Files that only lack a decision are kept for a retry with other options."""
        self._submitted = True
        await self._runtime.early.cancel(self.job.id)
        archives = (*self._archives, *([] if self._coming is None else [self._coming]))
        kept: tuple[JobArchive, ...] = ()
        if request is None or error.code not in DECISIONS:
            archives = tuple(replace(archive, file=None) for archive in archives)

        def failed(job: Job) -> Job:
            if job.ended:
                return job
            return job.transition_to(
                JobState.FAILED,
                archives=archives,
                images=self._images,
                problem=error.problem,
                finished_at=self._runtime.clock(),
                **members,
                **({} if request is None else _asked(request, self.job)),
            )

        try:
            job = await self._runtime.tracker.transition(self.job.id, failed)
            kept = job.archives
            return job
        finally:
            files = {archive.file for archive in kept}
            for archive in self._archives:
                if archive.file is not None and archive.file not in files:
                    await self._runtime.discard(archive.file)

    def _unique(self, name: str) -> str:
        return unique_name(name, {archive.name for archive in self._archives})


def _together(errors: Sequence[ArchiveError], count: int) -> ArchiveError:
    """Return all errors as one, of the class of the first."""
    if len(errors) == 1:
        return errors[0]
    return type(errors[0])(f"{len(errors)} of {count} archives cannot be read: {'; '.join(map(str, errors))}")


def _asked(request: JobRequest, job: Job) -> dict[str, Any]:
    """Return what a job stores of its request."""
    return {
        "options": request.options,
        "registry": request.registry,
        "labels": request.labels,
        "priority": request.priority,
        "delivery": request.delivery or job.delivery,
    }


def _check_receiving(job: Job) -> None:
    if job.state is not JobState.RECEIVING:
        raise Conflict(f"job {job.id} is {job.state} and accepts no archive")

"""Appends the bytes of one request to the file of an upload, and starts early pushes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, Callable
from functools import partial

from app.jobs.model import JobState
from app.jobs.registries import pick_registry
from app.jobs.resumable.indexer import StreamingIndexer
from app.jobs.resumable.model import UploadChecksum
from app.jobs.resumable.progress import UploadProgressReporter
from app.jobs.resumable.requests import AppendRequest, UploadChecksumMismatch
from app.jobs.resumable.table import ActiveUpload, UploadTable
from app.jobs.runtime import JobRuntime
from app.jobs.uploads.early_pushes import PartialArchive
from app.push.early.early_push import EarlyPush, notify_early_push
from app.spool.batches import BATCHES
from app.spool.upload_files import AppendFile
from app.threads import hash_in_thread, hashing

HASHES = ("sha1", "sha256", "sha512", "md5")  # tus asks every server for the first


class UploadAppender:
    def __init__(self, runtime: JobRuntime, uploads: UploadTable) -> None:
        self._runtime, self._uploads = runtime, uploads
        self._files = uploads.files

    async def receive(
        self, upload: ActiveUpload, patch: AppendRequest, chunks: AsyncIterable[bytes], check: Callable[[int], None]
    ) -> int:
        """Append all chunks and return the new offset, which is durable.

        `check` is called with the length that the bytes would give, and raises if it is too large. Raises
        UploadChecksumMismatch, what `chunks` raises, and what `AppendStream.write_in_batches` raises."""
        if patch.proof is not None:
            await self._uploads.change(upload, trusted=patch.offset)
        file = await asyncio.to_thread(self._files.writing, upload.state.id)
        teller = UploadProgressReporter(self._runtime, upload.state, asyncio.get_running_loop())
        tally = None if upload.state.is_part else upload.tally
        receiving = AppendStream(file, tally, partial(self._take_room, upload), teller)
        receiving.expect_checksum(patch.proof)
        told = False
        try:
            early = await self._early(upload, patch.offset)
            await receiving.write_in_batches(
                notify_early_push(chunks, upload.tally, early), lambda count: check(patch.offset + count)
            )
            told = receiving.checksum_matches
            if not told:
                raise UploadChecksumMismatch("the bytes of this request do not match its checksum; send them again")
        finally:
            if not told and patch.proof is not None:
                await self._take_back(upload, file, patch.offset)
            await asyncio.to_thread(file.end)
            await self._uploads.count(upload)
            if upload.early is not None:
                upload.early.on_data(upload.tally)  # the next request may be delayed
            if patch.proof is not None:
                await self._uploads.change(upload, trusted=None)
            await self._bound_indexes()
        return file.size

    async def _bound_indexes(self) -> None:
        """Drop the largest idle indexes and cancel the early pushes of their uploads, which need them."""
        for upload in self._uploads.without_index():
            await self._runtime.early.cancel(upload.state.job)
            upload.early = None

    def _take_room(self, upload: ActiveUpload, size: int) -> None:
        """Reserve `size` bytes, and drop the index if it has become too large. Raises SpoolFull, QuotaExceeded."""
        if not self._runtime.indexes.reserve(upload.state.id, upload.state.submitter, upload.tally.memory):
            self._uploads.drop_index(upload)
        self._runtime.spool.check_space(size)
        self._runtime.stored.grow(upload.state.submitter, upload.state.id, size)

    async def _early(self, upload: ActiveUpload, offset: int) -> EarlyPush | None:
        """Return the early push, started with the first byte; None if signatures are checked first."""
        state, runtime = upload.state, self._runtime
        begins = offset == 0 and upload.early is None
        if begins and not (state.is_part or state.hold or runtime.signatures):
            job = await runtime.tracker.get(state.job)
            registry = pick_registry(runtime.registries, job.registry)
            if job.state is JobState.RECEIVING:  # after the end of the job nothing would stop the early push
                arriving = PartialArchive(0, partial(self._files.open_partial, state.id))
                upload.early = runtime.early.start(job, job.options, registry, arriving)
        return upload.early

    async def _take_back(self, upload: ActiveUpload, file: AppendFile, offset: int) -> None:
        """Delete the bytes from `offset` on, and everything derived from them."""
        await self._runtime.early.cancel(upload.state.job)
        upload.early, upload.tally = None, StreamingIndexer(self._runtime.limits)
        await asyncio.to_thread(file.truncate, offset)


class AppendStream:
    """Writes the chunks of one request to a file. `count`: bytes received from the client.

    `take_room` is called with the size of each batch before it is written, and raises SpoolFull or QuotaExceeded.
    `told` is called with the size of the file after each batch."""

    def __init__(
        self,
        file: AppendFile,
        tally: StreamingIndexer | None,
        take_room: Callable[[int], None],
        told: Callable[[int], None],
    ) -> None:
        self.count = 0
        self._file, self._tally, self._take_room, self._told = file, tally, take_room, told
        self._proof: UploadChecksum | None = None

    def expect_checksum(self, proof: UploadChecksum | None) -> None:
        """Set the checksum that the bytes must have; see `checksum_matches`."""
        self._proof = proof
        self._hash = None if proof is None else hashlib.new(proof.algorithm, usedforsecurity=False)

    @property
    def checksum_matches(self) -> bool:
        return self._proof is None or self._hash is None or self._hash.digest() == self._proof.digest

    async def write_in_batches(self, chunks: AsyncIterable[bytes], check: Callable[[int], None]) -> None:
        """Write all `chunks`. On any error the bytes received so far are written, so the client need not resend them.

        `check` is called with the count before bytes are accepted, and raises if there are too many."""
        with BATCHES.upload():
            await self._pump(chunks, check)

    async def _pump(self, chunks: AsyncIterable[bytes], check: Callable[[int], None]) -> None:
        loop = asyncio.get_running_loop()
        write_task: asyncio.Future[None] = loop.create_future()
        write_task.set_result(None)
        batch: list[bytes] = []
        size = 0
        try:
            async for chunk in chunks:
                check(self.count + len(chunk))
                self.count += len(chunk)
                batch.append(chunk)
                size += len(chunk)
                if BATCHES.is_full(len(batch), size):
                    await write_task
                    write_task = loop.run_in_executor(hashing(), self._write, batch)
                    batch, size = [], 0
            await write_task
        except BaseException:
            await asyncio.wait([write_task])
            if write_task.cancelled() or write_task.exception() is None:
                await asyncio.wait([loop.run_in_executor(hashing(), self._write, batch)])
            raise
        await hash_in_thread(self._write, batch)

    def _write(self, batch: list[bytes]) -> None:
        self._take_room(sum(map(len, batch)))
        offset = self._file.size
        self._file.write(batch)
        for chunk in batch:
            if self._proof is not None and self._hash is not None:
                self._hash.update(chunk)
            if self._tally is not None:
                self._tally.feed(offset, chunk)
            offset += len(chunk)
        self._told(self._file.size)

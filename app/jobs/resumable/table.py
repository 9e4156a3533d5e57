"""UploadTable: active uploads by id, with their state, lock, index and early push."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import structlog

from app.archive import Limits
from app.errors import NotFound
from app.jobs.resumable.indexer import StreamingIndexer
from app.jobs.resumable.lock import UploadLock
from app.jobs.resumable.model import UploadState
from app.jobs.stored_bytes import StoredBytes
from app.jobs.uploads.index_memory import IndexMemory
from app.push.early.early_push import EarlyPush
from app.spool.upload_files import UploadFiles

MAX_INDEX_BYTES = 48 << 20  # for the indexes of all uploads; one archive may need 30 MiB

_log = structlog.get_logger(__name__)


class ActiveUpload:
    def __init__(self, state: UploadState, limits: Limits) -> None:
        self.state = state
        self.turns = UploadLock()
        self.tally = StreamingIndexer(limits)
        self.early: EarlyPush | None = None


class UploadTable:
    """Active uploads by id. A change is durable before it is visible here."""

    def __init__(
        self, files: UploadFiles, stored: StoredBytes | None = None, indexes: IndexMemory | None = None
    ) -> None:
        self.files = files
        self.stored = stored or StoredBytes()
        self.indexes = indexes or IndexMemory()
        self._known: dict[str, ActiveUpload] = {}

    @classmethod
    async def load(
        cls,
        files: UploadFiles,
        limits: Limits,
        stored: StoredBytes | None = None,
        indexes: IndexMemory | None = None,
    ) -> Self:
        """Load the uploads of the previous process. Bytes whose checksum was not verified yet are deleted."""
        uploads = cls(files, stored, indexes)
        for name, raw in await asyncio.to_thread(lambda: tuple(files.states())):
            try:
                state = UploadState.read(raw)
            except (ValueError, TypeError):
                _log.warning("upload.state_invalid", upload=name[:8])
                await asyncio.to_thread(files.remove, name)
                continue
            if state.trusted is not None:
                await asyncio.to_thread(files.truncate, name, state.trusted)
                state = replace(state, trusted=None)
                await asyncio.to_thread(files.write_state, name, state.write())
            await uploads.count(uploads.add(state, limits))
        return uploads

    @property
    def jobs(self) -> frozenset[str]:
        """Return the jobs whose uploads can be resumed after a restart."""
        return frozenset(upload.state.job for upload in self._known.values() if upload.state.job)

    def add(self, state: UploadState, limits: Limits) -> ActiveUpload:
        self._known[state.id] = ActiveUpload(state, limits)
        return self._known[state.id]

    def find(self, upload_id: str) -> ActiveUpload:
        try:
            return self._known[upload_id]
        except KeyError:
            raise NotFound("unknown upload; it may have ended, been cancelled or have expired") from None

    def all(self) -> tuple[ActiveUpload, ...]:
        return tuple(self._known.values())

    def without_index(self) -> Iterator[ActiveUpload]:
        """Drop the largest indexes of idle uploads until all have at most MAX_INDEX_BYTES. Yield these uploads."""
        known = sorted(filter(_has_index, self._known.values()), key=lambda upload: upload.tally.memory)
        total = sum(upload.tally.memory for upload in known)
        idle = [upload for upload in known if not (upload.turns.is_taken or upload.state.complete)]
        while total > MAX_INDEX_BYTES and idle:
            upload = idle.pop()
            total -= upload.tally.memory
            self.drop_index(upload)
            yield upload

    def drop_index(self, upload: ActiveUpload) -> None:
        """Forget the index of an upload; its archive is read again when it is complete."""
        upload.tally.let_go()
        self.indexes.release(upload.state.id)

    def taking_room(self) -> tuple[ActiveUpload, ...]:
        """Return all uploads except those whose archive belongs to a job now."""
        return tuple(upload for upload in self._known.values() if upload.state.takes_room)

    async def count(self, upload: ActiveUpload) -> None:
        """Count the bytes of an upload on disk as stored."""
        size = await asyncio.to_thread(self.files.size, upload.state.id)
        self.stored.put(upload.state.submitter, upload.state.id, size)

    async def change(self, upload: ActiveUpload, **changes: Any) -> None:
        state = replace(upload.state, **changes)
        await asyncio.to_thread(self.files.write_state, state.id, state.write())
        upload.state = state

    async def drop(self, upload_id: str) -> None:
        self._known.pop(upload_id, None)
        self.stored.forget(upload_id)
        self.indexes.release(upload_id)
        await asyncio.to_thread(self.files.remove, upload_id)


def _has_index(upload: ActiveUpload) -> bool:
    return upload.tally.memory > 0

"""Push of blobs while their archive is still being received, so that less work is left after its last byte.

The blobs of an OCI layout are named by their digests. Each can be sent and verified as soon as its own last byte has
arrived; a large one is sent as fast as it arrives. The uncompressed layers of a docker archive are compressed and sent,
and the cache records the resulting blobs as usual.

No blob is committed before the whole request is known and its archives are parsed. Until then the bytes wait in upload
sessions, which are cancelled if the blob is not needed after all. The push that follows finds the committed blobs
present.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from app.archive import Compression
from app.archive.compression import sniff
from app.archive.formats.layout.leading_names import DOCUMENTS, MAX_DOCUMENT_BYTES, read_image_names
from app.archive.model import DockerLayer
from app.archive.tar.header import BLOCK, is_header
from app.archive.tar.index import Member
from app.errors import ArchiveError, TarmacError, UploadIncomplete
from app.oci import Digest
from app.push.blob_cache.cache import PlanBlobCache
from app.push.early.pending import PendingBlobs, blob_keys
from app.push.plan.values import BlobStep, PushPlan
from app.push.report.events import BlobDone, BlobSent, Event, Outcome, SentEarly
from app.push.run.blob_content import iterate_in_threads
from app.push.run.blob_transfer import BlobPusher, BlobSources, BlobTransfer
from app.push.run.chunks import BlobExtent, Pieces
from app.push.run.slots import NonBlockingSemaphore, SlotLease
from app.push.run.task_pool import PushResources
from app.registry import Registry
from app.spool import OpenFile
from app.threads import hash_in_thread

MIN_BLOB_BYTES = 256 << 10  # bytes; a smaller file takes no time at the end, and may be a manifest, which is not a blob
MIN_FOLLOWED_BYTES = 32 << 20  # bytes; a smaller blob is sent within a tenth of a second once it is complete
LOOK_AHEAD = 24 << 20  # bytes that may be read ahead of the bytes sent: blocks in the encoders, and a chunk
STALL_SECONDS = 2.0  # for the next chunk; after that neither a request nor a slot waits any longer
MAX_CONCURRENT_BLOBS = 2  # of one archive, read and sent; receiving the upload keeps the cores busy too
MAX_SESSIONS = 128  # upload sessions of one archive; each is a file at the registry, or here
_DIGEST = "([0-9a-f]{64})"
_BLOB = re.compile(  # blobs of layouts and registry storages in any directory, and of crane and imgpkg
    f"(?:.*/)?(?:blobs/sha256/{_DIGEST}|docker/registry/v2/blobs/sha256/../{_DIGEST}/data)"
    f"|(?:sha256-)?{_DIGEST}\\.tar\\.gz"
)
_ROOTS = frozenset({"blobs", "docker"})  # of a layout and of a storage at the root
_LAYER = re.compile(f"{_DIGEST}\\.tar|[^/]+/layer\\.tar")  # skopeo and podman name it by its DiffID
_LAYOUT = re.compile(r"(?:^|/)(?:index\.json$|docker/registry/v2/)")
_COMPRESSED = frozenset({Compression.GZIP, Compression.ZSTD})


@dataclass(frozen=True, slots=True)
class EarlyTarget:
    """The target of early blobs: `host` as in references, and how uncompressed layers are stored there."""

    registry: Registry
    host: str
    repository: str
    layer_compression: Compression


class IndexingProgress(Protocol):
    """The members received so far; implemented by `archive.intake.Intake`."""

    def files_since(self, number: int) -> list[Member]: ...


class EarlyPush:
    """The early push of one archive.

    `peek` opens the part that has been written. `target` is the target, if known; otherwise `find` derives it from the
    image names, if the archive begins with them. `emit` receives the progress. Errors are ignored here: the push that
    follows repeats the work and reports them.
    """

    def __init__(
        self,
        peek: Callable[[], OpenFile],
        resources: PushResources,
        target: EarlyTarget | None,
        find: Callable[[tuple[str, ...]], EarlyTarget | None],
        emit: Callable[[SentEarly], None],
    ) -> None:
        self._peek, self._resources, self._find, self._emit = peek, resources, find, emit
        self.target = target
        self._is_target_given = target is not None
        self.pending = PendingBlobs()
        self._indexed = 0
        self._blobs: deque[Member] = deque()
        self._documents: deque[Member] = deque()
        self._is_layout = False
        self._changed = asyncio.Event()
        self._ended = False
        self._file: OpenFile | None = None
        self._is_closed = False
        self._sending = asyncio.Semaphore(MAX_CONCURRENT_BLOBS)
        self._grown = asyncio.Event()
        self._is_slow = False

    def on_data(self, indexing: IndexingProgress) -> None:
        """Process newly received data. `indexing` knows which files begin in it."""
        members = indexing.files_since(self._indexed)
        self._indexed += len(members)
        for member in members:
            # an index before the blobs: docker did not write this, so uncompressed layers stay unchanged
            self._is_layout = self._is_layout or _LAYOUT.search(member.name) is not None
            if member.name in DOCUMENTS and self.target is None and member.extent.size <= MAX_DOCUMENT_BYTES:
                self._documents.append(member)
            elif member.extent.size >= MIN_BLOB_BYTES and self._is_blob(member.name):
                self._blobs.append(member)
        if self._blobs or self._documents:
            self._changed.set()
        self._notify_grown()

    def _is_blob(self, name: str) -> bool:
        """Return whether the member is a blob.

        If the target was found by the names at the root, blobs in directories do not count, because they may have
        another target.
        """
        if not self._is_target_given and name.partition("/")[0] not in _ROOTS and "/" in name:
            return _LAYER.fullmatch(name) is not None
        return _BLOB.fullmatch(name) is not None or _LAYER.fullmatch(name) is not None

    def end(self) -> None:
        """Start no further blob; `run` ends when the started ones are done."""
        self._ended = True
        self._changed.set()
        self._notify_grown()

    def _notify_grown(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def run(self) -> None:
        """Run until all started blobs are at the registry, which requires the decision about each."""
        sessions = asyncio.Semaphore(MAX_SESSIONS)
        try:
            async with asyncio.TaskGroup() as group:
                while (member := await self._next()) is not None and self.target is not None:
                    await self._sending.acquire()
                    self._sending.release()  # wait until the next blob can be read at once
                    await sessions.acquire()
                    task = group.create_task(self._send(member, self.target))
                    task.add_done_callback(lambda _: sessions.release())
        finally:
            self._close()

    async def _next(self) -> Member | None:
        """Return the next blob that is complete or can be followed, once its target is known."""
        try:
            return await self._find_next()
        except TarmacError:  # the file no longer exists: the upload was complete before this, or was aborted
            return None

    async def _find_next(self) -> Member | None:
        while not self._ended:
            self._changed.clear()
            if self._documents and await self._has(self._documents[0]):
                await self._read_names(self._documents.popleft())
            elif self.target is not None and self._blobs and await self._can_begin(self._blobs[0]):
                return self._blobs.popleft()
            else:
                await self._changed.wait()
        return None

    async def _has(self, member: Member, first: int | None = None) -> bool:
        """Return whether all of the member, or its `first` bytes, has arrived."""
        # for an open file this is an fstat, which does not wait for busy threads
        file = self._file if self._file is not None else await asyncio.to_thread(self._open)
        return member.extent.offset + min(member.extent.size, first or member.extent.size) <= file.size

    async def _can_begin(self, member: Member) -> bool:
        """Return whether the blob can be started.

        After a slow upload none is followed any more, and their number is limited.
        """
        is_long = member.extent.size >= MIN_FOLLOWED_BYTES and not (
            self._is_slow or self._resources.follow_slots.locked()
        )
        follows = is_long and (_stated_digest(_BLOB, member) or _stated_digest(_LAYER, member)) is not None
        return await self._has(member, LOOK_AHEAD if follows else None)

    async def _wait_until_received(self, member: Member, position: int) -> None:
        """Wait until the member can be read from `position`.

        Raises UploadIncomplete if that takes long or cannot happen.
        """
        try:
            async with asyncio.timeout(STALL_SECONDS):
                while True:
                    grown, ended = self._grown, self._ended  # their values before the check
                    if await self._has(member, position + LOOK_AHEAD):
                        return
                    if ended:
                        raise UploadIncomplete("the upload ended before this blob")
                    await grown.wait()
        except TimeoutError:
            self._is_slow = True
            raise UploadIncomplete("upload too slow or stalled") from None

    def _open(self) -> OpenFile:
        """Open the file.

        This runs in a thread, which continues if its task is cancelled: a file opened too late is closed here.
        """
        if self._file is None:
            self._file = self._peek()
            if self._is_closed:
                self._file.close()
        return self._file

    def _close(self) -> None:
        self._is_closed = True
        if self._file is not None:
            self._file.close()

    async def _read_names(self, document: Member) -> None:
        raw = await asyncio.to_thread(self._open().read_at, document.extent.offset, document.extent.size)
        try:
            names = await hash_in_thread(read_image_names, document.name, raw)  # 20,000 names take half a second
        except ArchiveError:
            return  # the push reports this
        if names and self.target is None:
            self.target = await hash_in_thread(self._find, names)

    async def _send(self, member: Member, target: EarlyTarget) -> None:
        try:
            async with SlotLease(self._sending):
                step = await self._step(member, target)
            if step is not None:
                await self._push(step, member, target)
        except UploadIncomplete:  # retry when it is complete
            self._blobs.appendleft(member)
            self._changed.set()
        except TarmacError:
            self.end()

    async def _push(self, step: BlobStep, member: Member, target: EarlyTarget) -> None:
        plan = PushPlan((), (), (step,), target.layer_compression)
        cache = PlanBlobCache(self._resources.blob_cache, target.layer_compression, target.host)
        is_incomplete = not await self._has(member)
        following = (NonBlockingSemaphore(self._resources.follow_slots),) if is_incomplete else ()
        ready = partial(self._wait_until_received, member) if is_incomplete else None
        slots = (self._sending, *following, self._resources.transfer_slots)
        with self.pending.commit_signal(blob_keys(step, target.layer_compression)) as commit_signal:
            sources = BlobSources(plan, (self._open(),), slots, cache, commit_signal, ready, self._resources.decoders)
            await cache.ask(plan.blobs)
            await BlobPusher(sources, target.registry, self._emit_sent).ensure_present(
                BlobTransfer(step), target.repository
            )
        await cache.flush()

    def _emit_sent(self, event: Event) -> None:
        """Emit the bytes and blobs sent. The other progress is counted by the push."""
        if isinstance(event, BlobSent) and event.sent:
            self._emit(SentEarly(size=event.sent))
        elif isinstance(event, BlobDone) and event.outcome is Outcome.PUSHED:
            self._emit(SentEarly(blobs=1))

    async def _step(self, member: Member, target: EarlyTarget) -> BlobStep | None:
        """Return the step for a member, or None if the push may treat it differently."""
        file = self._open()
        head = await asyncio.to_thread(file.read_at, member.extent.offset, BLOCK)
        stated, repositories = _stated_digest(_BLOB, member), (target.repository,)
        if sniff(head) in _COMPRESSED:
            return None if stated is None else BlobStep(stated, 0, member.extent, repositories, what=member.name)
        if self._is_layout or not is_header(head):
            return None
        source = BlobExtent(file, member.extent, member.name)
        diff_id = stated or _stated_digest(_LAYER, member) or await _digest_of(source)
        layer = DockerLayer(diff_id, member.extent, Compression.NONE)
        return BlobStep(diff_id, 0, member.extent, repositories, layer, member.name)


def _stated_digest(pattern: re.Pattern[str], member: Member) -> Digest | None:
    match = pattern.fullmatch(member.name)
    encoded = match and next(filter(None, match.groups()), None)
    return Digest("sha256", encoded) if encoded else None


async def notify_early_push(
    chunks: AsyncIterable[bytes], indexing: IndexingProgress, early: EarlyPush | None
) -> AsyncIterator[bytes]:
    """Yield `chunks` unchanged; notify `early` before each, about the chunks before it."""
    async for chunk in chunks:
        if early is not None:
            early.on_data(indexing)
        yield chunk


async def _digest_of(source: BlobExtent) -> Digest:
    hasher = hashlib.sha256()

    def hashed() -> Pieces:
        for piece in source.pieces():
            hasher.update(piece.data)
            yield piece

    async with aclosing(iterate_in_threads(hashed())) as pieces:
        async for _ in pieces:
            pass
    return Digest("sha256", hasher.hexdigest())

"""Blobs that are sent while their archive is still coming in: after its last byte there is less to do.

Of an OCI layout: its blobs are called by their digests, so each can be sent, verified as ever, as soon as its own last
byte is there. Nothing refers to them before the push that follows has understood the archive; it finds them present.
A registry throws away what nothing comes to refer to."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterable

from app.archive import Compression
from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.tar_index import Member
from app.errors import InvalidReference, TarmacError
from app.oci import Digest, Reference, parse_repository
from app.push.content import ArchivedBlob, Sending
from app.push.options import Destination, PushOptions
from app.push.pieces import Source
from app.registry import Registry
from app.spool import OpenFile

SMALLEST = 256 << 10  # bytes; what is smaller takes no time at the end, and may be a manifest, which is no blob
AT_ONCE = 2  # of one archive; an upload that comes in keeps the cores busy enough
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_COMPRESSED = frozenset({Compression.GZIP, Compression.ZSTD})  # plain layers may still be compressed by the push


def early_repository(options: PushOptions, destination: Destination) -> str | None:
    """Where blobs can go before the archive is understood: the options say it, and that all of it goes there."""
    picks = options.images or options.platforms
    if options.tag is None or options.dry_run or picks or options.on_existing_tag != "overwrite":
        return None
    try:
        tag = Reference.parse_destination(options.tag, "option `tag`")
        return parse_repository("/".join(filter(None, (destination.path, options.prefix, tag.repository))))
    except InvalidReference:
        return None  # the push says so


class EarlyPush:
    """One archive's. `peek` opens what has been written of it; `lane` is that of every push. What goes wrong is left to
    the push that follows, which does the work again and says what is the matter."""

    def __init__(
        self, peek: Callable[[], OpenFile], registry: Registry, repository: str, lane: asyncio.Semaphore
    ) -> None:
        self._peek, self._registry, self._repository, self._lane = peek, registry, repository, lane
        self._waiting: deque[Member] = deque()
        self._news = asyncio.Event()
        self._looking = asyncio.Lock()
        self._over = False
        self._file: OpenFile | None = None

    def tell(self, met: Iterable[Member]) -> None:
        """More has come; `met` are the files that it begins or brings."""
        self._waiting.extend(each for each in met if each.extent.size >= SMALLEST and _BLOB.fullmatch(each.name))
        if self._waiting:
            self._news.set()

    def end(self) -> None:
        """No blob is begun any more; `run` ends with those that are under way."""
        self._over = True
        self._news.set()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._work())
        finally:
            if self._file is not None:
                self._file.close()

    async def _work(self) -> None:
        try:
            while (found := await self._next()) is not None:
                await self._send(*found)
        except TarmacError:
            self.end()

    async def _next(self) -> tuple[OpenFile, Member] | None:
        """The next blob that is whole."""
        async with self._looking:
            while not self._over:
                self._news.clear()
                if self._waiting:
                    extent = self._waiting[0].extent
                    file = await asyncio.to_thread(self._open)
                    if extent.offset + extent.size <= file.size:
                        return file, self._waiting.popleft()
                await self._news.wait()
        return None

    def _open(self) -> OpenFile:
        if self._file is None:
            self._file = self._peek()
        return self._file

    async def _send(self, file: OpenFile, member: Member) -> None:
        head = await asyncio.to_thread(file.read_at, member.extent.offset, SNIFF_BYTES)
        digest = Digest("sha256", member.name.rpartition("/")[2])
        if sniff(head) not in _COMPRESSED or await self._registry.blob_exists(self._repository, digest):
            return
        async with self._lane:
            sending = Sending(ArchivedBlob(Source(file, member.extent, member.name), digest), _untold)
            try:
                await self._registry.push_blob(self._repository, sending)
            finally:
                await sending.release()


def _untold(_position: int, _sent: int) -> None:
    """The progress of the push is counted when the push has begun."""

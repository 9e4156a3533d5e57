"""Blobs that are sent while their archive is still coming in: after its last byte there is less to do.

The blobs of an OCI layout are called by their digests, so each can be sent, verified as ever, as soon as its own last
byte is there. The plain layers of a docker archive are compressed and sent, and what they became is remembered as ever.
Nothing refers to any of it before the push that follows has understood the archive; it finds what it needs present. A
registry throws away what nothing comes to refer to."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from app.archive import Compression
from app.archive.compression import sniff
from app.archive.model import DockerLayer
from app.archive.tar_header import BLOCK, is_header
from app.archive.tar_index import Member
from app.errors import InvalidReference, TarmacError
from app.oci import Digest, Reference, parse_repository
from app.push.content import in_threads
from app.push.crew import Lanes
from app.push.events import Event
from app.push.landing import Carrier, Landing, Supply
from app.push.memory import Recollection
from app.push.options import Destination, PushOptions
from app.push.pieces import Pieces, Source
from app.push.plan import BlobStep, PushPlan
from app.registry import Registry
from app.spool import OpenFile

SMALLEST = 256 << 10  # bytes; what is smaller takes no time at the end, and may be a manifest, which is no blob
AT_ONCE = 2  # of one archive; an upload that comes in keeps the cores busy enough
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_LAYER = re.compile(r"([0-9a-f]{64})\.tar|[^/]+/layer\.tar")  # skopeo's and podman's is called by its DiffID
_COMPRESSED = frozenset({Compression.GZIP, Compression.ZSTD})


def early_repository(options: PushOptions, destination: Destination, staging: str = "") -> str | None:
    """Where blobs can go before the archive is understood: all of it is pushed, and the options say whereto, or there
    is a `staging` repository, from which they are mounted then."""
    if options.dry_run or options.images or options.platforms or options.on_existing_tag != "overwrite":
        return None
    if options.tag is None:
        return staging or None
    try:
        tag = Reference.parse_destination(options.tag, "option `tag`")
        return parse_repository("/".join(filter(None, (destination.path, options.prefix, tag.repository))))
    except InvalidReference:
        return None  # the push says so


@dataclass(frozen=True, slots=True)
class Place:
    """Where the blobs go: `host` as references show it, and how plain layers are to be stored there."""

    registry: Registry
    host: str
    repository: str
    layer_compression: Compression


class EarlyPush:
    """One archive's. `peek` opens what has been written of it. What goes wrong is left to the push that follows, which
    does the work again and says what is the matter."""

    def __init__(self, peek: Callable[[], OpenFile], place: Place, lanes: Lanes) -> None:
        self._peek, self._place, self._lanes = peek, place, lanes
        self._recollection = Recollection(lanes.memory, place.layer_compression, place.host)
        self._waiting: deque[Member] = deque()
        self._is_layout = False
        self._news = asyncio.Event()
        self._looking = asyncio.Lock()
        self._over = False
        self._file: OpenFile | None = None

    def tell(self, met: Iterable[Member]) -> None:
        """More has come; `met` are the files that it begins or brings."""
        for member in met:
            # an index before the blobs: no docker wrote this, so a plain layer is to stay as it is
            self._is_layout = self._is_layout or member.name == "index.json"
            if member.extent.size >= SMALLEST and (_BLOB.fullmatch(member.name) or _LAYER.fullmatch(member.name)):
                self._waiting.append(member)
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
        step = await self._step(file, member)
        if step is None:
            return
        plan = PushPlan((), (), (step,), self._place.layer_compression)
        supply = Supply(plan, (file,), self._lanes.transfer, self._recollection)
        await self._recollection.ask(plan.blobs)
        await Carrier(supply, self._place.registry, _untold).carry(Landing(step), self._place.repository)
        await self._recollection.flush()

    async def _step(self, file: OpenFile, member: Member) -> BlobStep | None:
        """None for what the push that follows may want otherwise."""
        head = await asyncio.to_thread(file.read_at, member.extent.offset, BLOCK)
        blob, where = _BLOB.fullmatch(member.name), (self._place.repository,)
        if sniff(head) in _COMPRESSED:
            if blob is None:
                return None
            return BlobStep(Digest("sha256", blob[1]), 0, member.extent, where, what=member.name)
        if self._is_layout or not is_header(head):
            return None
        name = blob or _LAYER.fullmatch(member.name)
        source = Source(file, member.extent, member.name)
        diff_id = Digest("sha256", name[1]) if name is not None and name[1] else await _digest_of(source)
        layer = DockerLayer(diff_id, member.extent, Compression.NONE)
        return BlobStep(diff_id, 0, member.extent, where, layer, member.name)


async def _digest_of(source: Source) -> Digest:
    hasher = hashlib.sha256()

    def hashed() -> Pieces:
        for piece in source.pieces():
            hasher.update(piece.data)
            yield piece

    async with aclosing(in_threads(hashed())) as pieces:
        async for _ in pieces:
            pass
    return Digest("sha256", hasher.hexdigest())


def _untold(_event: Event) -> None:
    """The progress of the push is counted when the push has begun."""

"""BlobContent for tests: bytes in memory, cut where a test wants them cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from weakref import WeakSet

from app.errors import ArchiveError
from app.oci import Digest
from app.registry import BlobContent


class BytesContent(BlobContent):
    """`known`: digest and size are known beforehand. `reads` counts how often it was read from the start, `sent` the
    bytes that the registry reports to have read."""

    def __init__(self, data: bytes, *, known: bool = True, cut: int = 1 << 20) -> None:
        self.data, self.cut, self.reads, self.sent = data, cut, 0, 0
        self._digest: Digest | None = Digest.of(data) if known else None

    @property
    def digest(self) -> Digest | None:
        return self._digest

    @property
    def size(self) -> int | None:
        return None if self._digest is None else len(self.data)

    async def chunks(self) -> AsyncIterator[bytes]:
        self.reads += 1
        for start in range(0, len(self.data), self.cut):
            yield self.data[start : start + self.cut]
        self._digest = Digest.of(self.data)

    def count_sent(self, size: int) -> None:
        self.sent += size


class LyingContent(BytesContent):
    """Says one size and gives another number of bytes."""

    def __init__(self, data: bytes, stated: int) -> None:
        super().__init__(data, cut=4)
        self.stated = stated

    @property
    def size(self) -> int:
        return self.stated


class FailingContent(BytesContent):
    """Gives some bytes, then raises, as content does that finds its digest wrong."""

    def __init__(self, data: bytes, error: ArchiveError | OSError) -> None:
        super().__init__(data, cut=4)
        self.error = error

    async def chunks(self) -> AsyncIterator[bytes]:
        self.reads += 1
        yield self.data[: self.cut]
        raise self.error


class EndlessContent(BytesContent):
    """Gives some bytes, says so, and then nothing until it is cancelled."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, cut=4)
        self.begun = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.data[: self.cut]
        self.begun.set()
        await asyncio.Event().wait()


class _Chunk(bytearray):
    """Bytes of which can be told whether anybody holds them."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class UndecidedContent(BytesContent):
    """Of which is not known whether it is wanted until `word` is set; `asked` is set when a registry awaits it. `held`
    has those of its chunks that somebody holds."""

    def __init__(self, data: bytes, *, known: bool = True) -> None:
        super().__init__(data, known=known, cut=4)
        self.word, self.asked = asyncio.Event(), asyncio.Event()
        self.held: WeakSet[_Chunk] = WeakSet()

    async def chunks(self) -> AsyncIterator[bytes]:
        async for data in super().chunks():
            chunk = _Chunk(data)
            self.held.add(chunk)
            yield chunk  # type: ignore[misc]
            del chunk

    @property
    def is_commit_allowed(self) -> bool:
        return self.word.is_set()

    async def wait_commit_allowed(self) -> None:
        self.asked.set()
        await self.word.wait()

"""The memory that the indexes of all archives being received may use together."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator
from typing import Protocol

from app.auth.model import is_too_many
from app.errors import Busy

MAX_INDEX_BYTES = 96 << 20
MAX_ARCHIVE_INDEX_BYTES = 30 << 20  # of an archive with 100,000 members
FREE_BYTES = 16 << 10  # of each archive, not counted: about 50 members


class Indexing(Protocol):
    @property
    def memory(self) -> int:
        """Return the bytes that the index has."""
        ...


class IndexMemory:
    """Bytes by archive. A share, the name of a token, may use half of what the others leave. Thread-safe."""

    def __init__(self, most: int = MAX_INDEX_BYTES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._reserved: dict[str, tuple[str, int]] = {}
        self._by_share: Counter[str] = Counter()

    @property
    def used(self) -> int:
        return self._by_share.total()

    def reserve(self, key: str, share: str, size: int) -> bool:
        """Reserve `size` bytes for the archive `key` instead of its present bytes.

        Return False, and change nothing, if there is no space.
        """
        if size <= FREE_BYTES:
            return True
        with self._lock:
            own = self._by_share[share] - self._reserved.get(key, (share, 0))[1] + size
            others = self.used - self._by_share[share]
            if own + others > self._most or (share and is_too_many(own, others, self._most)):
                return False
            self._reserved[key] = (share, size)
            self._by_share[share] = own
            return True

    async def checked(
        self, key: str, share: str, chunks: AsyncIterator[bytes], index: Indexing
    ) -> AsyncIterator[bytes]:
        """Yield the chunks of an archive while there is memory for its index. Raises Busy."""
        async for chunk in chunks:
            yield chunk
            if not self.reserve(key, share, index.memory):
                raise Busy(
                    "many archives with many members are being received, and there is no memory for the index of "
                    "another one; send it again later, or send fewer at once"
                )

    def release_all(self, job_id: str) -> None:
        """Release the bytes of the archives of a job."""
        for key in [key for key in self._reserved if key.startswith(f"{job_id}-")]:
            self.release(key)

    def release(self, key: str) -> None:
        with self._lock:
            share, size = self._reserved.pop(key, ("", 0))
            self._by_share[share] -= size
            self._by_share += Counter()  # drop zeros


__all__ = ["FREE_BYTES", "MAX_ARCHIVE_INDEX_BYTES", "MAX_INDEX_BYTES", "IndexMemory"]

"""How much of an upload is collected in memory before a thread writes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

BATCHES_BYTES = 96 << 20  # of all uploads that come in at once
MIN_BATCH_BYTES = 64 << 10
MAX_BATCH_BYTES = 1 << 20  # a thread call costs about 50 µs; 1 MiB takes 600 µs to hash, 64 KiB takes 40
MAX_CHUNKS = 512  # of one batch; each costs about 40 bytes more than its content


class Batches:
    """The batches of all uploads: the more come in, the smaller they are."""

    def __init__(self) -> None:
        self._uploads = 0

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Count an upload that comes in."""
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    @property
    def size(self) -> int:
        """Return the bytes that one batch may have now."""
        return min(MAX_BATCH_BYTES, max(MIN_BATCH_BYTES, BATCHES_BYTES // max(self._uploads, 1)))

    def is_full(self, chunks: int, size: int) -> bool:
        return size >= self.size or chunks >= MAX_CHUNKS


BATCHES = Batches()  # of the process

__all__ = ["BATCHES", "Batches"]

"""Amount of an upload that is collected in memory before a thread writes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

BATCHES_BYTES = 96 << 20  # of all concurrent uploads
MIN_BATCH_BYTES = 64 << 10
MAX_BATCH_BYTES = 1 << 20  # a thread call takes about 50 µs; hashing 1 MiB takes 600 µs, 64 KiB takes 40
MAX_CHUNKS = 512  # per batch; each takes about 40 bytes more than its content


class Batches:
    """The batches of all uploads: more uploads have smaller batches."""

    def __init__(self) -> None:
        self._uploads = 0

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Count a running upload."""
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    @property
    def size(self) -> int:
        """Return the maximum size of a batch at present, in bytes."""
        return min(MAX_BATCH_BYTES, max(MIN_BATCH_BYTES, BATCHES_BYTES // max(self._uploads, 1)))

    def is_full(self, chunks: int, size: int) -> bool:
        return size >= self.size or chunks >= MAX_CHUNKS


BATCHES = Batches()  # of the process

__all__ = ["BATCHES", "Batches"]

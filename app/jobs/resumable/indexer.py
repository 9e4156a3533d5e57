"""Hashing and indexing while the bytes arrive, so that the last of them is soon followed by the job."""

from __future__ import annotations

from app.archive import Limits
from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.ingest import IngestStream
from app.archive.model import Compression
from app.archive.tar.index import Member


class StreamingIndexer:
    """`count` bytes have been through it, from the first one on. A wrapped archive is read again at its end, when it is
    unwrapped into the spool. What is no tar is refused at its first header. Blocks; raises what Intake raises."""

    def __init__(self, limits: Limits) -> None:
        self.count = 0
        self._limits = limits
        self._head = b""
        self._intake: IngestStream | None = None
        self._sniffed = False

    def feed(self, offset: int, chunk: bytes) -> None:
        """`offset`: of the chunk. What does not follow is passed over, and with it all that comes after it: the
        service was started anew, or bytes were taken back."""
        if offset != self.count:
            return
        self.count += len(chunk)
        if not self._sniffed:
            self._head += chunk
            if len(self._head) < SNIFF_BYTES:
                return
            chunk, self._sniffed = self._head, True
            if sniff(chunk) is Compression.NONE:
                self._intake = IngestStream(self._limits)
            self._head = b""
        if self._intake is not None:
            for _ in self._intake.feed(chunk):
                pass

    @property
    def memory(self) -> int:
        """Return about how many bytes the members of the archive take."""
        return 0 if self._intake is None else self._intake.memory

    def let_go(self) -> None:
        """Forget everything, and pass over what comes: the archive is read again at its end."""
        self.count, self._head, self._intake = -1, b"", None

    def files_since(self, number: int) -> list[Member]:
        """As `IngestStream` has it; none of a wrapped archive."""
        return [] if self._intake is None else self._intake.files_since(number)

    @property
    def intake(self) -> IngestStream | None:
        """What a plain tar goes through."""
        return self._intake

    def finish(self, size: int) -> IngestStream | None:
        """With digest and index, where all `size` bytes of a plain tar went through. Raises what Intake raises."""
        if self._intake is None or self.count != size:
            return None
        for _ in self._intake.finish():
            pass
        return self._intake

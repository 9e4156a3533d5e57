"""StreamingIndexer: hashes and indexes an archive during its upload, so that the job follows the last byte quickly."""

from __future__ import annotations

from app.archive import Limits
from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.ingest import IngestStream
from app.archive.model import Compression
from app.archive.tar.index import Member


class StreamingIndexer:
    """Indexes an archive while it is received. `count`: bytes seen so far.

    A compressed archive is read a second time when it is complete, while it is decompressed into the spool. A file that
    is not a tar is refused at its first header. Blocks; raises what IngestStream raises."""

    def __init__(self, limits: Limits) -> None:
        self.count = 0
        self._limits = limits
        self._head = b""
        self._intake: IngestStream | None = None
        self._sniffed = False

    def feed(self, offset: int, chunk: bytes) -> None:
        """Add the chunk at `offset`. Ignore it, and all later ones, if it does not follow the previous one.

        That happens if the service was restarted, or if bytes were taken back."""
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
        """Return the approximate memory used by the members of the archive, in bytes."""
        return 0 if self._intake is None else self._intake.memory

    @property
    def is_dropped(self) -> bool:
        return self.count < 0

    def let_go(self) -> None:
        """Forget everything and ignore further chunks; the archive is read again when it is complete."""
        self.count, self._head, self._intake = -1, b"", None

    def files_since(self, number: int) -> list[Member]:
        """Return the members from `number` on, as `IngestStream` does; none for a compressed archive."""
        return [] if self._intake is None else self._intake.files_since(number)

    @property
    def intake(self) -> IngestStream | None:
        """Return the stream that a plain tar is fed to."""
        return self._intake

    def finish(self, size: int, *, may_be_cut: bool = False) -> IngestStream | None:
        """Return the stream with digest and index, if all `size` bytes of a plain tar were fed; otherwise None.

        `may_be_cut`: see `IngestStream`. Raises what IngestStream raises."""
        if self._intake is None or self.count != size:
            return None
        self._intake.may_be_cut = may_be_cut
        for _ in self._intake.finish():
            pass
        return self._intake

"""Archives that were split into files of any name: whether an archive is complete, and whether a file can be what
follows. Only the content tells. Pure but for `ReadAt`."""

from __future__ import annotations

from collections.abc import Sequence

from app.archive.compression import MAX_DECODER_BYTES, SNIFF_BYTES, Decompressor, decompressor, sniff
from app.archive.model import DEFAULT_LIMITS, Compression, Limits, ReadAt
from app.archive.tar.header import BLOCK, is_header
from app.archive.tar.indexer import READ_AHEAD, TarIndexer
from app.errors import ArchiveError

PEEK_BYTES = 1 << 20  # of a file that begins as an archive, to see whether it is one
CHUNK_BYTES = 1 << 20
MAX_SHOWN = 10  # names in a message
MIN_TEXT_BYTES = 16  # shorter pieces of compressed data may look like text by chance
_TEXT = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D}


def is_complete(unwrap: Decompressor, indexer: TarIndexer) -> bool:
    """Return whether what went through both is an archive with its end."""
    try:
        unwrap.finish()
        return indexer.finish().ended
    except ArchiveError:
        return False


def is_padding(head: bytes) -> bool:
    """Return whether a file that begins with `head` can follow an archive that is whole: zeros behind its end."""
    return bool(head) and not any(head)


def can_follow(head: bytes, compression: Compression) -> bool:
    """Return whether a file that is no archive can be the next part of one that breaks off. `head`: its first bytes.
    `compression`: of the archive."""
    is_text = len(head) >= MIN_TEXT_BYTES and _TEXT.issuperset(head[:BLOCK])
    return bool(head) and not (is_text and compression is not Compression.NONE)  # a checksum or a note


def may_be_archive(head: bytes, *, is_all: bool) -> bool:
    """Return whether a file may be an archive of its own. `head`: its first PEEK_BYTES, or all of it (`is_all`)."""
    compression = sniff(head[:SNIFF_BYTES])
    if compression is Compression.NONE and not (len(head) >= BLOCK and is_header(head[:BLOCK])):
        return False
    unwrap, indexer = decompressor(compression), TarIndexer()
    try:
        for piece in unwrap.feed(head):
            indexer.feed(piece)
            if indexer.position > PEEK_BYTES:
                return True
    except ArchiveError:
        return False
    return not is_all or is_complete(unwrap, indexer)


class ArchiveScan:
    """Reads files as one archive, one after the other, and keeps nothing of them. Blocks."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.compression = Compression.NONE
        self._limits = limits
        self._indexer = TarIndexer(limits)
        self._unwrap: Decompressor | None = None

    @property
    def is_whole(self) -> bool:
        return self._unwrap is not None and is_complete(self._unwrap, self._indexer)

    def add(self, source: ReadAt, size: int) -> None:
        """Read a file. Raises ArchiveError if it is damaged, or does not continue the one before."""
        if self._unwrap is None:
            self.compression = sniff(source.read_at(0, min(size, SNIFF_BYTES)))
            self._unwrap = decompressor(self.compression, self._limits, MAX_DECODER_BYTES)
        if self.compression is Compression.NONE:
            self._walk(source, size)
            return
        for offset in range(0, size, CHUNK_BYTES):
            for piece in self._unwrap.feed(source.read_at(offset, min(CHUNK_BYTES, size - offset))):
                self._indexer.feed(piece)

    def _walk(self, source: ReadAt, size: int) -> None:
        start = self._indexer.position
        while (at := self._indexer.position - start) < size:
            self._indexer.feed(source.read_at(at, min(READ_AHEAD, size - at)))
            self._indexer.skip(size - (self._indexer.position - start))


def name_parts(names: Sequence[str]) -> str:
    """Return what a message says of an archive that was read from several files; the last of `names` was read last."""
    shown = ", ".join(f"{name!r:.200}" for name in names[:MAX_SHOWN])
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return (
        f"read as the parts of one archive: {shown}{more}. If {names[-1]!r:.200} does not continue {names[-2]!r:.200}, "
        "a part is missing or the order is wrong: send all parts in order"
    )

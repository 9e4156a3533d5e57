"""Hash, decompress and index received bytes in one pass, on their way to the spool.

A packaged Helm chart is an exception: its layer in the registry is the file exactly as sent. The spool therefore gets
that file as the only member of a tar."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from app.archive.compression import MAX_DECODER_BYTES, SNIFF_BYTES, Decompressor, decompressor, sniff
from app.archive.continued import is_complete
from app.archive.helm.package import HelmChartBuffer
from app.archive.model import DEFAULT_LIMITS, Compression, Limits, ReadAt
from app.archive.tar.indexer import Member, TarIndex, TarIndexer
from app.errors import TooLarge, TruncatedArchive
from app.oci import Digest


class IngestStream:
    """A `spool.Tap`: raw bytes in, the plain tar out. Consume the iterator of each call before the next call.

    `received` and `digest` describe the raw bytes so far; `compression` and `index` are available after `finish`. Data
    that is not a tar is rejected at its first header. Raises TooLarge, UnknownFormat, MalformedArchive,
    TruncatedArchive and LimitExceeded. The caller compares the digest with a checksum from the sender."""

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        max_bytes: int | None = None,
        memory: int = MAX_DECODER_BYTES,
        *,
        may_be_cut: bool = False,
    ) -> None:
        """Start an upload. `memory`: bytes that a decoder may use; `max_bytes`: the limit of the raw bytes.

        `may_be_cut`: if the archive breaks off, `index` has its whole members."""
        self._memory = memory
        self.may_be_cut = may_be_cut
        self.received = 0
        self.compression = Compression.NONE
        self._limits = limits
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._head = b""  # until there are enough bytes to detect the compression
        self._decompressor: Decompressor | None = None
        self._indexer = TarIndexer(limits)
        self._index: TarIndex | None = None
        self._chart: HelmChartBuffer | None = None  # while this may be a chart

    @property
    def digest(self) -> Digest:
        return Digest("sha256", self._hash.hexdigest())

    @property
    def index(self) -> TarIndex:
        assert self._index is not None, "Intake.index is there after finish()"
        return self._index

    @property
    def memory(self) -> int:
        """Return the approximate memory in bytes that the members of the archive use."""
        return self._indexer.memory

    def files_since(self, number: int) -> list[Member]:
        """Return the files of the plain tar so far from that number on, like `TarIndexer.files_since`."""
        return self._indexer.files_since(number)

    @property
    def is_whole(self) -> bool:
        """Return whether what came so far is an archive with its end."""
        return self._decompressor is not None and is_complete(self._decompressor, self._indexer)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self.received += len(chunk)
        check_size(self.received, self._max_bytes)
        self._hash.update(chunk)
        stream = self._decompressor
        if stream is None:
            chunk = self._head = self._head + chunk
            if len(chunk) < SNIFF_BYTES:
                return
            stream = self._open(chunk)
        yield from self._pass(stream, chunk)

    def finish(self) -> Iterator[bytes]:
        stream = self._decompressor
        if stream is None:
            stream = self._open(self._head)
            yield from self._pass(stream, self._head)
        self._index = self._finished(stream)
        if self._chart is None:
            return
        plain = b"".join(self._chart.finish())
        if self._chart.is_chart:
            self._indexer = TarIndexer(self._limits)
            self._indexer.feed(plain)
            self._index = self._indexer.finish()
        yield plain

    def _finished(self, stream: Decompressor) -> TarIndex:
        try:
            stream.finish()
            return self._indexer.finish()
        except TruncatedArchive as error:
            if not self.may_be_cut or (self._chart is not None and self._chart.is_chart):
                raise
            return self._indexer.finish_cut(error)

    def _open(self, head: bytes) -> Decompressor:
        self.compression = sniff(head)
        if self.compression is Compression.GZIP:
            self._chart = HelmChartBuffer(self._indexer)
        self._decompressor = decompressor(self.compression, self._limits, self._memory)
        return self._decompressor

    def _pass(self, stream: Decompressor, chunk: bytes) -> Iterator[bytes]:
        if self._chart is not None:
            self._chart.feed(chunk)
        for plain in stream.feed(chunk):
            self._indexer.feed(plain)
            if self._chart is None:
                yield plain
            elif self._chart.might_be_chart(plain):
                continue
            else:
                yield from self._chart.plain
                self._chart = None


class RawIntake:
    """A `spool.Tap` that stores received bytes unchanged. Raises TooLarge."""

    def __init__(self, max_bytes: int | None = None) -> None:
        self.received = 0
        self._max_bytes = max_bytes

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self.received += len(chunk)
        check_size(self.received, self._max_bytes)
        yield chunk

    def finish(self) -> Iterator[bytes]:
        yield from ()


def check_size(received: int, max_bytes: int | None) -> None:
    """Raise TooLarge if more than `max_bytes` were received."""
    if max_bytes is not None and received > max_bytes:
        raise TooLarge(f"the upload has more than {max_bytes} bytes, the limit of this service")


def sniff_file(source: ReadAt, size: int) -> Compression:
    """Detect the compression of a file of `size` bytes. Blocks."""
    return sniff(source.read_at(0, min(size, SNIFF_BYTES)))


__all__ = ["IngestStream", "RawIntake", "sniff_file"]

"""Packaged Helm charts (`helm package`): gzip over a tar of one directory with Chart.yaml in it. Pure."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator

from app.archive.compression import decompressor
from app.archive.model import Compression, Limits
from app.archive.tar import TarIndexer
from app.errors import ArchiveError, LimitExceeded

MAX_CHART_BYTES = 20 << 20  # as sent; it is held in memory while it is received. Helm itself cannot install 1 MiB
MAX_UNPACKED_BYTES = 100 << 20  # what Helm reads of a chart at most
MAX_AHEAD = 4 << 20  # unpacked bytes among which Chart.yaml has to lie; helm writes it first
HEAD_BYTES = 64 << 10  # unpacked, to see whether it is a chart
_FIRST_FILE = re.compile(r"([^/]+)/Chart\.yaml")
_BLOCK = 512


class HeldChart:
    """Holds what is received as long as it may be a chart: by its first file, as `helm package` writes it."""

    def __init__(self, indexer: TarIndexer) -> None:
        self.is_chart = False
        self.plain: list[bytes] = []
        self._indexer = indexer
        self._raw: list[bytes] = []
        self._size = 0

    def keep(self, chunk: bytes) -> None:
        """As it came. Raises LimitExceeded for a chart that is too large."""
        self._raw.append(chunk)
        self._size += len(chunk)
        if self.is_chart and self._size > MAX_CHART_BYTES:
            raise LimitExceeded(f"the Helm chart has more than {MAX_CHART_BYTES} bytes")

    def may_be(self, piece: bytes) -> bool:
        """After `piece` was indexed. False where it is no chart; then `plain` has all that was unpacked so far. Raises
        LimitExceeded."""
        if self.is_chart:
            if self._indexer.position > MAX_UNPACKED_BYTES:
                raise LimitExceeded(f"the Helm chart unpacks to more than {MAX_UNPACKED_BYTES} bytes")
            return True
        self.plain.append(piece)
        first = self._indexer.first_file
        self.is_chart = first is not None and _FIRST_FILE.fullmatch(first) is not None
        if self.is_chart:
            self.plain.clear()
        return self.is_chart or (first is None and sum(map(len, self.plain)) <= MAX_AHEAD)

    def finish(self) -> Iterator[bytes]:
        """What goes to the spool after the last byte: a tar of the chart as it was sent, or what was held."""
        if not self.is_chart:
            yield from self.plain
            return
        name = f"{(self._indexer.first_file or '').partition('/')[0]}.tgz"
        info = tarfile.TarInfo(name)
        info.size = self._size
        yield info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        yield from self._raw
        yield bytes(-self._size % _BLOCK + 2 * _BLOCK)


def starts_a_chart(head: bytes, limits: Limits) -> bool:
    """Whether what starts with `head` is a packaged chart, as far as its first HEAD_BYTES unpacked tell."""
    indexer = TarIndexer(limits)
    try:
        for piece in decompressor(Compression.GZIP, limits).feed(head):
            indexer.feed(piece[: HEAD_BYTES - indexer.position])
            if indexer.position == HEAD_BYTES:
                break
    except ArchiveError:
        return False
    return _FIRST_FILE.fullmatch(indexer.first_file or "") is not None


def read_chart_yaml(raw: bytes, limits: Limits) -> tuple[bytes, int]:
    """Chart.yaml of the packaged chart `raw`, and how many bytes that unpacks to. All of it is unpacked, to see that it
    is whole. Raises UnknownFormat, MalformedArchive, TruncatedArchive, LimitExceeded."""
    indexer = TarIndexer(limits)
    unwrap = decompressor(Compression.GZIP, limits)
    ahead = bytearray()
    for piece in unwrap.feed(raw):
        indexer.feed(piece)
        ahead += piece[: MAX_AHEAD - len(ahead)]
    unwrap.finish()
    extent = indexer.finish().extent(indexer.first_file or "")
    if extent is None or extent.offset + extent.size > len(ahead):
        raise LimitExceeded(f"Chart.yaml of the Helm chart does not lie within its first {MAX_AHEAD} bytes")
    return bytes(ahead[extent.offset : extent.offset + extent.size]), indexer.position
